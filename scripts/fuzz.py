"""Sends nonsense to a running API, in every role, and looks at what each answer costs: `make fuzz`.

Under a megabyte each: uploads, checks, configurations, YAML, sweeps, archives and the routes that
the page uses. It fails on an answer that takes more than two seconds, on a 500, and where
`/health/live` isn't answered within 200 ms meanwhile. Where other programs share the machine,
`--busy-machine` counts what the API computed of that time, and doesn't see it wait for a lock or a
disk. The worst twenty go into a report. The same seed sends the same.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import psutil

from tunesmith.api.access.tokens import create_token
from tunesmith.errors import TunesmithError
from tunesmith.experiments.archives.unpacking import import_archive
from tunesmith.schemas.enums import Role
from tunesmith.settings import Settings
from tunesmith.store.store import Store

MOST = 900_000
"""Bytes of a request, at most."""

SLOW, LATE = 2.0, 0.2
"""Seconds that an answer may take, and that `/health/live` may take beside it."""

PIECES = (
    "1", "1 2 ", "a.", "a@b.", "<a ", "<!--", "&#", '"', "[", "{", "}", "://a:", "eyJa.", "Ã©",
    "\x80", "\x00", "\x1b[2J", "a\u0301", "\ufdfa", "\u202e", "\u6f22", "\n", "\r\n", "\t", ",",
    "\\", "'", "%", "_", "=HYPERLINK(", "-", "0912-345-678 ", "- ", "&a ", "*a ", ": ", "1:59",
    "\u3000", "\U0001f469\u200d", "null", "NaN", "true", "9" * 400,
)  # fmt: skip
FIELDS = (
    "model", "model.name", "data", "data.dataset_name", "data.where", "data.train_split",
    "data.validation_rules", "lora.target_modules", "lora.rank_pattern", "lora.r", "task",
    "task.labels", "training.learning_rate", "training.num_train_epochs", "training.device",
    "experiment_name", "job.time_limit", "training.report_to", "nonsense",
)  # fmt: skip
PATHS = (
    "/datasets", "/datasets/{t}", "/datasets/{t}/1", "/datasets/{t}/1/preview",
    "/datasets/reviews/1/report", "/datasets/{t}/diff?old={t}&new={t}", "/experiments?name={t}",
    "/experiments/{t}", "/experiments/{t}/files/{t}", "/experiments/{t}/log", "/adapters/{t}",
    "/sweeps/{t}", "/task/{t}", "/configuration/models", "/compare?experiments={t}", "/workers",
    "/queues", "/experiments/stats?name={t}", "/download/experiments/{t}", "/{t}",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One request."""

    what: str
    method: str
    path: str
    given: dict[str, Any] = field(default_factory=dict)
    """How it is sent: arguments of the HTTP client."""


@dataclass(frozen=True)
class Measured:
    """What it cost."""

    what: str
    role: str
    status: int
    seconds: float
    processor_seconds: float
    counted: float  # by which it is judged
    wrong: str = ""


def text(chance: random.Random, most: int = MOST) -> str:
    """A text of one, two or many pieces, often very long."""
    size = int(most ** chance.random())
    pieces = chance.sample(PIECES, chance.choice((1, 1, 2, 5)))
    unit = "".join(pieces)
    repeated = unit * (size // max(1, len(unit.encode())) + 1)
    return repeated.encode()[:size].decode("utf-8", "ignore")


def value(chance: random.Random, depth: int = 0) -> Any:
    """Anything that JSON can say."""
    kind = chance.randrange(9 if depth < 4 else 6)
    if kind == 6:
        return [value(chance, depth + 1)] * chance.choice((0, 1, 3, 5_000))
    if kind == 7:
        return {text(chance, 40) or "a": value(chance, depth + 1) for _ in range(3)}
    if kind == 8:
        return {f"k{number}": 1 for number in range(chance.choice((1, 30, 20_000)))}
    number = chance.choice((0, -1, 10**30, 2**63))
    return (None, True, number, 1e308, text(chance), text(chance, 50))[kind]


def configuration(chance: random.Random) -> dict[str, Any]:
    """A configuration with something odd in it."""
    asked: dict[str, Any] = {
        "task": {"name": "text-classification"}, "model": {"name": "some/model"},
        "data": {"dataset_name": chance.choice(("reviews@1", "reviews.csv", "some/data"))},
    }  # fmt: skip
    for path in chance.sample(FIELDS, chance.choice((0, 1, 2, 4))):
        *sections, name = path.split(".")
        part = asked
        for section in sections:
            if not isinstance(part.get(section), dict):
                part[section] = {}
            part = part[section]
        part[name] = value(chance)
    return asked


def table(chance: random.Random) -> bytes:
    """A file of rows, or of nothing like it."""
    cell = text(chance)
    rows = chance.choice((1, 1, 50, 5_000))
    part = cell[:: max(1, rows)] if rows > 1 else cell
    kind = chance.randrange(5)
    if kind == 0:
        content = "text,label\n" + "".join(f"{part},{number % 2}\n" for number in range(rows))
    elif kind == 1:
        content = "".join(
            json.dumps({"text": part, "label": str(n % 2)}) + "\n" for n in range(min(rows, 500))
        )
    elif kind == 2:
        quoted = part.replace('"', '""')
        content = "text,label\n" + f'"{quoted}",a\n' * rows + "good words here,b\n" * 20
    elif kind == 3:
        content = "[" * chance.choice((1, 50_000)) + cell
    else:
        content = cell
    data = content.encode("utf-8", "replace")[:MOST]
    return gzip.compress(data) if chance.random() < 0.1 else data


def case(chance: random.Random) -> Case:
    """One request, drawn."""
    draw = chance.randrange(10)
    if draw < 2:
        form = {"name": chance.choice(("reviews", "other", text(chance, 100)))}
        files = {"file": (text(chance, 60).replace("\x00", "") or "x.csv", table(chance))}
        return Case("upload", "POST", "/datasets", {"data": form, "files": files})
    if draw == 2:
        return Case("inspect", "POST", "/datasets/inspect", {"files": {"file": table(chance)}})
    if draw == 3:
        body = {"yaml": text(chance, 99_000)}
        return Case("parse", "POST", "/configuration/parse", {"json": body})
    if draw == 4:
        parameters = {chance.choice(FIELDS): value(chance) for _ in range(3)}
        swept = {"base": configuration(chance), "parameters": parameters, "sampler": "grid"}
        return Case("sweep", "POST", "/sweeps", {"content": as_json(swept)})
    if draw < 8:
        route = chance.choice(("validate", "resolve", "check", "rejected", "estimate"))
        return Case(
            route, "POST", f"/configuration/{route}", {"content": as_json(configuration(chance))}
        )
    path = chance.choice(PATHS)
    while "{t}" in path:
        odd = chance.choice(("../x", "%00", "%09..", "%2e%2e", text(chance, 300)))
        path = path.replace("{t}", quote(odd, safe="%."), 1)
    return Case(path[:40], "GET", path)


def as_json(body: Any) -> bytes:
    """`body` as JSON, cut where it would be too large; no more than that is ever written."""
    written = ""
    for piece in json.JSONEncoder().iterencode(body):
        written += piece
        if len(written) >= MOST:
            break
    return written.encode()[:MOST]


class Costs:
    """What a server's process, and those that work for it, have taken of processor time."""

    def __init__(self, pid: int, *, busy_machine: bool = False) -> None:
        self._process = psutil.Process(pid)
        self._busy_machine = busy_machine

    def counted(self, seconds: float, processor_seconds: float) -> float:
        """The seconds by which an answer is judged."""
        return min(seconds, processor_seconds) if self._busy_machine else seconds

    def own(self) -> float:
        """Seconds of the process itself."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def all(self) -> float:
        """Seconds of it and of what works for it."""
        total = 0.0
        for process in (self._process, *self._process.children(recursive=True)):
            with suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
                total += getattr(times, "children_user", 0) + getattr(times, "children_system", 0)
        return total


@contextmanager
def watched(url: str, costs: Costs) -> Iterator[list[str]]:
    """What `/health/live` was too late for, meanwhile."""
    late: list[str] = []
    done = threading.Event()

    def look() -> None:
        with httpx2.Client(base_url=url, timeout=60, trust_env=False) as client:
            while not done.wait(0.05):
                begun, before = time.monotonic(), costs.own()
                with suppress(httpx2.HTTPError):
                    client.get("/health/live")
                took, busy = time.monotonic() - begun, costs.own() - before
                if costs.counted(took, busy) > LATE:
                    late.append(f"/health/live took {took:.2f} s, {busy:.2f} s of them at work")

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield late
    finally:
        done.set()
        thread.join()


def send(client: httpx2.Client, asked: Case, role: str, costs: Costs) -> Measured:
    """Send it, and see what it costs."""
    begun, before = time.monotonic(), costs.all()
    try:
        with watched(str(client.base_url), costs) as late:
            status = client.request(asked.method, asked.path, **asked.given).status_code
    except httpx2.HTTPError as error:
        took = time.monotonic() - begun
        return Measured(asked.what, role, 0, took, 0.0, took, f"no answer: {error!r}")
    took, busy = round(time.monotonic() - begun, 3), round(costs.all() - before, 3)
    counted = costs.counted(took, busy)
    wrong = late[0] if late else ""
    if status == 500:
        wrong = "it answered 500"
    elif counted > SLOW:
        wrong = f"it took {took:.1f} s, {busy:.1f} s of processor time"
    return Measured(asked.what, role, status, took, busy, counted, wrong)


def archive(
    chance: random.Random, folder: Path, settings: Settings, store: Store, costs: Costs
) -> Measured:
    """An archive of nonsense, taken in by this process."""
    path = folder / "fuzz.zip"
    manifest = {"format": 1, "experiment": "0" * 12, "folder": "x", "files": {"experiment/a": "0"}}
    manifest |= {chance.choice([*manifest]): value(chance)}
    with zipfile.ZipFile(path, "w", chance.choice((0, 8))) as packed:
        packed.writestr("archive.json", as_json(manifest))
        packed.writestr("experiment/a", text(chance))
    if chance.random() < 0.3:
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 0xFF
        path.write_bytes(data)
    begun, before, wrong = time.monotonic(), time.process_time(), ""
    try:
        import_archive(path, store, settings)
        wrong = "it was taken in"
    except TunesmithError:
        pass
    except Exception as error:  # noqa: BLE001 - what it is looking for
        wrong = f"{type(error).__name__}: {error}"
    took, busy = time.monotonic() - begun, time.process_time() - before
    counted = costs.counted(took, busy)
    wrong = wrong or ("slow" if counted > SLOW else "")
    return Measured("archive", "local", 0, took, busy, counted, wrong)


def rounds(
    send_one: Callable[[random.Random], Measured], seed: int, until: Callable[[int], bool]
) -> list[Measured]:
    """What case after case costs, until it is enough."""
    found: list[Measured] = []
    while not until(len(found)):
        chance = random.Random(f"{seed}/{len(found)}")
        found.append(send_one(chance))
        if found[-1].wrong:
            print(f"case {len(found) - 1}: {found[-1]}", flush=True)
    return found


def report(found: list[Measured], path: Path) -> None:
    """Write what failed, and the twenty that cost most."""
    worst = sorted(found, key=lambda one: -one.counted)[:20]
    written = {
        "cases": len(found),
        "failed": [asdict(one) for one in found if one.wrong],
        "worst": [asdict(one) for one in worst],
    }
    path.write_text(json.dumps(written, indent=1), encoding="utf-8")


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, int, Settings, dict[str, str]]]:
    """A real API with tokens: its address, process, settings, and role → token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    values = {"TUNESMITH_RESULTS_DIR": folder / "results", "TUNESMITH_DATA_DIR": folder,
              "API_PORT": port, "TUNESMITH_CACHE_DIR": folder / "cache", "REDIS_PORT": 1,
              "TUNESMITH_REQUIRE_TOKENS": True}  # fmt: skip
    settings = Settings(_env_file=None, **values)  # type: ignore[arg-type]
    (folder / "reviews.csv").write_text("text,label\n" + "some good words,a\nnone at all,b\n" * 30)
    with Store(settings.store_url) as store:
        tokens = {str(role): create_token(str(role), role, store, "fuzz")[1] for role in Role}
    environment = {name: str(given) for name, given in values.items()}
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunesmith.cli", "api"], cwd=folder, stdout=log, stderr=log,
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "HF_HUB_OFFLINE": "1"} | environment,
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                with suppress(httpx2.HTTPError):
                    if httpx2.get(f"{url}/health/live", trust_env=False).is_success:
                        break
                time.sleep(0.2)
            yield url, process.pid, settings, tokens
        finally:
            process.terminate()
            process.wait(30)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--report", type=Path, default=Path("fuzz-report.json"))
    parser.add_argument("--busy-machine", action="store_true", help="count processor time")
    asked = parser.parse_args()
    print(f"seed {asked.seed}, {asked.minutes:g} minutes", flush=True)
    until = time.monotonic() + asked.minutes * 60
    with tempfile.TemporaryDirectory() as place, server(Path(place)) as started:
        url, pid, settings, tokens = started
        costs, folder = Costs(pid, busy_machine=asked.busy_machine), Path(place)
        local = settings.model_copy(update={"results_dir": folder / "taken"})
        clients = {
            role: httpx2.Client(
                base_url=url, timeout=180, trust_env=False,
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            for role, token in tokens.items()
        }  # fmt: skip
        for _ in range(2):  # the first one waits for modules to be loaded
            clients["admin"].post(
                "/configuration/check",
                json={"task": "text-classification", "model": {"name": "some/model"},
                      "data": {"dataset_name": str(folder / "reviews.csv")}},
            ).raise_for_status()  # fmt: skip
        clients["nobody"] = httpx2.Client(base_url=url, timeout=180, trust_env=False)
        with Store(f"sqlite:///{folder / 'taken.db'}") as store:

            def one(chance: random.Random) -> Measured:
                if chance.random() < 0.1:
                    return archive(chance, folder, local, store, costs)
                role = chance.choice(["viewer", "member", "member", "admin", "nobody"])
                drawn = case(chance)
                client = clients[role]
                if "files" in drawn.given:
                    headers = {"Authorization": client.headers.get("authorization", "")}
                    with httpx2.Client(
                        base_url=url, timeout=180, trust_env=False, headers=headers
                    ) as plain:
                        return send(plain, drawn, role, costs)
                return send(client, drawn, role, costs)

            found = rounds(one, asked.seed, lambda _: time.monotonic() > until)
        for client in clients.values():
            client.close()
    report(found, asked.report)
    failed = sum(bool(each.wrong) for each in found)
    print(f"{len(found)} cases, {failed} failed; {asked.report} has the worst")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
