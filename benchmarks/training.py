"""Training beside what people would use instead: speed, memory, time of the whole process, score.

Run with `make bench`, or alone with `python -m benchmarks.training`; an hour or more on two cores,
less with `--share 0.25` (a quarter of the starter's rows). All contenders train the same: the
starter's model and data as Tunesmith checked and split them, the same layers, rank, batch and
learning rate, one epoch. Each runs in a process of its own, one after the other, and so on for
`--repeat` rounds; a figure is the median, and what counts are ratios within one run.

Per cent of peak: four operations for each token and each weight of the blocks (forward, and the
gradient of the input; frozen weights need none of their own), by the products of bfloat16 matrices
of 2,048 x 2,048 that this machine computes in a second. Where texts share their beginning,
Tunesmith computes fewer tokens than it learns from, and the figure says what it would have taken.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from safetensors import safe_open

from tunesmith.config.yaml import read_draft
from tunesmith.experiments.lifecycle.prepare import Prepared, prepare
from tunesmith.models.load import load_tokenizer
from tunesmith.settings import Settings
from tunesmith.threads import as_given
from tunesmith.training.encoding import KEPT

ROOT = Path(__file__).resolve().parents[1]
CASES = {
    "classification": ("default.yaml", ["stock", "tuned", "tuned_eager"]),
    "sft": ("smollm2-sft.yaml", ["trl", "trl_best"]),
}
OURS = "tunesmith"
CACHE = "cache"
"""Our cache within the run's folder: the chat model is converted into it once."""


def main() -> int:
    """Measure, print a table, and write the figures where `--output` says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="share of the starter's rows")
    parser.add_argument("--case", choices=list(CASES), action="append")
    parser.add_argument(
        "--output", type=Path, help="write the figures as JSON; cases not measured stay in it"
    )
    arguments = parser.parse_args()
    output: Path | None = arguments.output
    report = json.loads(output.read_text()) if output is not None and output.exists() else {}
    for case in arguments.case or CASES:
        report[case] = compare(case, arguments.share, arguments.repeat)
        print_table(case, report[case])
        if output is not None:
            output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def peaks() -> dict[str, int]:
    """What the matrix units of this machine reach now, by number format."""
    return {name: round(peak(name)) for name in ("bfloat16", "float32")}


def peak(precision: str, size: int = 2048) -> float:
    """Billions of operations a second in products of square matrices, the best of ten."""
    import torch

    one, other = (torch.randn(size, size).to(getattr(torch, precision)) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        begun = time.perf_counter()
        one @ other
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best / 1e9


def compare(case: str, share: float, repeat: int) -> dict[str, Any]:
    """The medians of every contender, and Tunesmith's ratios to them."""
    recipe, peers = CASES[case]
    reached = peaks()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        overrides = _smaller(recipe, share)
        settings = Settings().model_copy(update={"cache_dir": work / CACHE})
        prepared = prepare(read_draft(ROOT / "config" / recipe, None, overrides), settings)
        flops = _hand_over(prepared, work)
        rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in (*peers, OURS)}
        for number in range(repeat):
            for name in rounds:
                print(f"{case}, round {number + 1}: {name}", file=sys.stderr, flush=True)
                run = _ours(recipe, overrides, work) if name == OURS else _peer(name, work)
                rounds[name].append(run)
    medians = {name: _median(runs) for name, runs in rounds.items()}
    for figures in medians.values():
        used = figures["tokens_per_second"] * flops / 1e9
        figures["percent_of_peak"] = round(100 * used / reached["bfloat16"], 1)
    ours = medians[OURS]
    ratios = {
        name: {
            "speed": round(ours["samples_per_second"] / figures["samples_per_second"], 2),
            "memory": round(ours["peak_bytes"] / figures["peak_bytes"], 2),
            "whole_process": round(ours["wall_seconds"] / figures["wall_seconds"], 2),
        }
        for name, figures in medians.items()
        if name != OURS
    }
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    return {
        "machine": machine,
        "share_of_rows": share,
        "peak_gflops": reached,
        "peak_gflops_after": peaks(),
        "contenders": medians,
        "ratios": ratios,
        "rounds": rounds,
    }


def _smaller(recipe: str, share: float) -> list[str]:
    data = read_draft(ROOT / "config" / recipe).config().data
    sides = {"train_samples": data.train_samples, "eval_samples": data.eval_samples}
    return [f"data.{name}={max(32, round((n or 0) * share))}" for name, n in sides.items()]


def _hand_over(prepared: Prepared, folder: Path) -> float:
    """Write what the peers train on into `folder`; returns operations for each token."""
    config, task, data = prepared.config, prepared.task, prepared.dataset
    tokenizer = load_tokenizer(prepared.source)
    task.prepare_tokenizer(tokenizer)
    training = config.training
    counts = task.token_counts(list(data.train), tokenizer)
    job = {
        "model": str(prepared.source.folder),
        "scratch": str(folder / "scratch"),
        "learning_rate": training.learning_rate,
        "warmup_steps": training.warmup_steps,
        "batch": training.per_device_train_batch_size,
        "seed": training.seed,
        "task_type": task.peft_task_type,
        "r": config.lora.r,
        "lora_alpha": config.lora.lora_alpha,
        "target_modules": config.lora.target_modules,
        "max_length": config.data.max_length,
        "train_tokens": sum(min(count, config.data.max_length) for count in counts),
        "labels": list(task.facts().get("labels") or []),
        "max_new_tokens": 6,
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    for side, rows in (("train", data.train), ("evaluation", data.evaluation)):
        lines = [json.dumps(_plain(prepared, row)) for row in rows]
        (folder / f"{side}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return 4.0 * _block_weights(prepared.source.folder)


def _block_weights(model: Path) -> int:
    """The weights of the matrices in the numbered blocks of `model`."""
    total = 0
    for file in model.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
        total += sum(
            shape[0] * shape[1]
            for name, shape in shapes.items()
            if len(shape) == 2 and any(part.isdigit() for part in name.split("."))
        )
    return total


def _plain(prepared: Prepared, row: Any) -> dict[str, Any]:
    task = prepared.task
    if task.name == "sft":
        return {"messages": task.messages(row)}  # type: ignore[attr-defined]
    return {"text": row[task.columns["text"]], "label": row[task.columns["label"]]}


def _peer(name: str, folder: Path) -> dict[str, Any]:
    output, figures = _run([sys.executable, "-m", "benchmarks.contenders", name, str(folder)], ROOT)
    return {**json.loads(output.splitlines()[-1]), **figures}


def _ours(recipe: str, overrides: list[str], folder: Path) -> dict[str, Any]:
    # The peers evaluate once, after training; so does this.
    overrides = [*overrides, "training.eval_strategy=no"]
    results = folder / f"results-{time.monotonic_ns()}"
    command = [
        sys.executable, "-m", "tunesmith.cli", "train",
        "--config", str(ROOT / "config" / recipe), *overrides,
    ]  # fmt: skip
    shutil.rmtree(folder / CACHE / KEPT, ignore_errors=True)  # rows are encoded as by the peers
    own = {"TUNESMITH_RESULTS_DIR": str(results), "TUNESMITH_CACHE_DIR": str(folder / CACHE)}
    _, figures = _run(command, folder, **own)
    (experiment,) = results.glob("*/metrics.json")
    metrics = json.loads(experiment.read_text(encoding="utf-8"))
    return {
        **figures,
        "train_seconds": metrics["train_runtime"],
        "samples_per_second": metrics["train_samples_per_second"],
        "tokens_per_second": metrics["train_tokens_per_second"],
        "train_loss": metrics["train_loss"],
        "first_step_seconds": metrics["resources"]["seconds_to_first_step"],
        "score": metrics["score"]["value"],
    }


def _run(command: list[str], folder: Path, **variables: str) -> tuple[str, dict[str, float]]:
    """Run `command` in `folder`; what it printed, its seconds and its peak memory in bytes."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**as_given(os.environ), **variables},
            stdout=output,
            stderr=errors,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if status:
            raise SystemExit(f"{' '.join(command)} failed:\n{errors.read().decode()[-3000:]}")
        text = output.read().decode()
    return text, {"wall_seconds": seconds, "peak_bytes": usage.ru_maxrss * 1024}


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: round(statistics.median(run[name] for run in runs), 4)
        for name in runs[0]
        if all(name in run for run in runs)
    }


def print_table(case: str, figures: dict[str, Any]) -> None:
    """The medians as a table, Tunesmith's line last."""
    print(f"\n{case}; products before and after: {figures['peak_gflops']}", end=", ")
    print(f"{figures['peak_gflops_after']} billion operations a second")
    head = (
        "samples/s",
        "tokens/s",
        "% of peak",
        "peak GB",
        "first step s",
        "whole s",
        "score",
        "x",
    )
    print(f"{'':14}" + "".join(f"{name:>13}" for name in head))
    for name, found in figures["contenders"].items():
        ratio = figures["ratios"].get(name, {}).get("speed", 1.0)
        values = (
            f"{found['samples_per_second']:.1f}", f"{found['tokens_per_second']:,.0f}",
            f"{found['percent_of_peak']:.0f}", f"{found['peak_bytes'] / 1e9:.2f}",
            f"{found['first_step_seconds']:.1f}", f"{found['wall_seconds']:.0f}",
            f"{found.get('score', float('nan')):.3f}", f"{ratio:.2f}",
        )  # fmt: skip
        print(f"{name:14}" + "".join(f"{value:>13}" for value in values))


if __name__ == "__main__":
    raise SystemExit(main())
