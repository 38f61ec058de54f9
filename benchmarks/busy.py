"""Training and serving while other programs use the cores, and what that costs while none does.

`python -m benchmarks.busy`, some twelve minutes on two cores that nothing else uses. The contenders
differ in how OpenMP's threads wait (`tunesmith.threads`), as the environment says: `now`, `before`
(as OpenMP comes) and candidates. Each is one process that keeps its models loaded; in every round
all of them train the starter a few steps and answer a chat, quiet and beside a busy loop for
each core. `before` is measured beside busy loops once, and shorter: it takes minutes there. What
quiet speed costs is less than a shared machine varies: so `now` and `before` are measured in many
short pairs besides, in turns who is first, and the median of their ratios comes with an interval.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tunesmith.experiments import train
from tunesmith.loading import load
from tunesmith.serving.adapters import locate_adapter
from tunesmith.serving.asking import Asking
from tunesmith.settings import Settings
from tunesmith.store.store import Store
from tunesmith.threads import COUNTS, MARK, WAITING_ASKED, usable_cores

FIGURES = Path(__file__).parent / "figures"
CONTENDERS = {
    "now": {},
    "before": {"GOMP_SPINCOUNT": "300000"},
    "spin 1,000": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
    "spin 10,000": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"},
}
ROUNDS, PAIRS = 4, 24
STEPS, TOKENS = 16, 32
"""What is trained and answered in a round."""

LEAST_QUIET, LEAST_BUSY = 0.97, 0.40
"""Share of the speed from before that quiet cores must give, and of the quiet speed busy ones."""

CONFIG = Path(__file__).parent.parent / "config"
QUESTION = [{"role": "user", "content": "Write a very long story about a dragon."}]


class Contender:
    """A process that measures, in an environment of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        decisive = (*WAITING_ASKED, *COUNTS, MARK)
        kept = {name: value for name, value in os.environ.items() if name not in decisive}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.busy", "--measuring", str(folder)],
            env=kept | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def measure(self, steps: int, tokens: int) -> dict[str, float]:
        """Samples a second of training and tokens a second of an answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(steps, tokens, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a measuring process died; run it with --measuring FOLDER to see why")
        return dict(json.loads(line))

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """That many processes use a core each within this."""
    # Each ends with us, however we end.
    busy = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
    loops = [subprocess.Popen([sys.executable, "-c", busy]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def measuring(folder: Path) -> None:
    """Answer on standard output what `Contender.measure` asks on standard input."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    settings = _settings(folder)
    with Store(settings.store_url) as store:
        adapter = locate_adapter(store.find("latest"), settings)
    engine = load("tunesmith.serving.engine").Engine(settings, {"chat": (adapter, 0)}, base=True)
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as own:
        for line in sys.stdin:
            steps, tokens = map(int, line.split())
            answer = {"training": _train(Path(own), folder, steps), "serving": _say(engine, tokens)}
            print(json.dumps(answer), file=output, flush=True)


def _train(own: Path, folder: Path, steps: int) -> float:
    settings = _settings(own).model_copy(update={"cache_dir": folder / "cache"})
    fields: dict[str, Any] = {
        "data.train_samples": 800,
        "data.eval_samples": 8,
        "training.max_steps": steps,
        "training.eval_strategy": "no",
    }
    trained = train(CONFIG / "default.yaml", settings=settings, **fields)
    return float(trained.metrics["train_samples_per_second"])


def _say(engine: Any, tokens: int) -> float:
    """Tokens a second after the first one, which reads the question."""
    model, asking = engine.find("chat:base"), Asking(tokens)
    times: list[float] = []
    spoken = engine.say(
        engine.open(model, QUESTION, asking), asking, lambda _: times.append(time.monotonic())
    )
    return float(spoken.completion_tokens - 1) / (times[-1] - times[0])


def _settings(folder: Path) -> Settings:
    return Settings(
        _env_file=None, TUNESMITH_RESULTS_DIR=folder, TUNESMITH_CACHE_DIR=folder / "cache"
    )


def measure(
    names: Sequence[str], rounds: int, pairs: int
) -> tuple[dict[str, dict[str, list[dict[str, float]]]], dict[str, list[float]]]:
    """Contender → `quiet` and `busy` → the figures of each round; and those of `quiet_pairs`."""
    found: dict[str, dict[str, list[dict[str, float]]]]
    found = {name: {"quiet": [], "busy": []} for name in names}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tunesmith-bench-")))
        fields: dict[str, Any] = {
            "data.train_samples": 40, "data.eval_samples": 8, "training.max_steps": 1,
        }  # fmt: skip
        train(CONFIG / "smollm2-sft.yaml", settings=_settings(folder), **fields)
        contenders = {name: Contender(folder, CONTENDERS[name]) for name in names}
        for contender in contenders.values():
            stack.callback(contender.end)
            contender.measure(STEPS, 2)  # all is loaded, and every product compiled
        ratios = quiet_pairs(contenders, pairs)
        for number in range(rounds):
            order = [*names[number % len(names) :], *names[: number % len(names)]]
            for name in order:
                found[name]["quiet"].append(contenders[name].measure(STEPS, TOKENS))
            with busy_loops(usable_cores()):
                for name in order:
                    if name != "before":
                        found[name]["busy"].append(contenders[name].measure(STEPS, TOKENS))
                    elif number == 0:
                        found[name]["busy"].append(contenders[name].measure(2, 4))
            print(f"round {number + 1} of {rounds} done", file=sys.stderr, flush=True)
    return found, ratios


def quiet_pairs(contenders: dict[str, Contender], pairs: int) -> dict[str, list[float]]:
    """Part → the quiet speed of `now` divided by that of `before`, of each pair."""
    ratios: dict[str, list[float]] = {"training": [], "serving": []}
    for number in range(pairs):
        order = ("now", "before") if number % 2 else ("before", "now")
        speeds = {name: contenders[name].measure(STEPS // 2, TOKENS) for name in order}
        for part, found in ratios.items():
            found.append(speeds["now"][part] / speeds["before"][part])
    return ratios


def median_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """The median, and its 95 % interval by the bootstrap's percentiles."""
    drawn = random.Random(seed)
    medians = sorted(statistics.median(drawn.choices(values, k=len(values))) for _ in range(2_000))
    return statistics.median(values), medians[50], medians[-51]


def summarize(found: dict[str, dict[str, list[dict[str, float]]]]) -> dict[str, Any]:
    """Medians, and the medians of the ratios of rounds, whose parts were measured side by side."""
    summary: dict[str, Any] = {}
    for name, figures in found.items():
        summary[name] = {}
        for part in ("training", "serving"):
            quiet = [one[part] for one in figures["quiet"]]
            busy = [one[part] for one in figures["busy"]]
            before = [one[part] for one in found["before"]["quiet"]]
            pairs = zip(quiet, before, strict=True)
            summary[name][part] = {
                "quiet": round(statistics.median(quiet), 2),
                "busy": round(statistics.median(busy), 2),
                "quiet_against_before": round(statistics.median(a / b for a, b in pairs), 3),
                "best_quiet_against_best_before": round(max(quiet) / max(before), 3),
                "busy_against_quiet": round(
                    statistics.median(b / q for b, q in zip(busy, quiet, strict=False)), 3
                ),
            }
    return summary


def main() -> None:
    """Measure, print, and write benchmarks/figures/busy.json; exit status 1 beyond a limit."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=[*CONTENDERS])
    parser.add_argument("--output", type=Path, default=FIGURES / "busy.json")
    parser.add_argument("--measuring", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measuring:
        measuring(arguments.measuring)
        return
    names = list(dict.fromkeys(["now", "before", *arguments.contenders]))
    found, ratios = measure(names, arguments.rounds, arguments.pairs)
    summary = summarize(found)
    for part, values in ratios.items():
        figures = [round(figure, 3) for figure in median_interval(values)]
        summary["now"][part] |= {"pairs": figures[0], "pairs_interval": figures[1:]}
    report = {
        "rounds": arguments.rounds,
        "pairs": arguments.pairs,
        "cores": usable_cores(),
        "python": platform.python_version(),
        "environments": {name: CONTENDERS[name] for name in names},
        "figures": summary,
    }
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for name, parts in summary.items():
        for part, figures in parts.items():
            print(f"{name:<12} {part:<9}", *(f"{k} {v}" for k, v in figures.items()), sep="  ")
    held = all(
        figures["pairs"] >= LEAST_QUIET and figures["busy_against_quiet"] >= LEAST_BUSY
        for figures in summary["now"].values()
    )
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
