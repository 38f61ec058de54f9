"""The records that the store keeps, as frozen values; importing them loads no database."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tunesmith.errors import ConfigError, Problem, nearest
from tunesmith.messages import say
from tunesmith.schemas.base import Said
from tunesmith.schemas.enums import SORT_KEYS, ExperimentStatus

ID_LENGTH = 12

QUEUES = ("cpu", "gpu")
"""What a queued experiment can ask for: any worker, or one with a GPU."""

LONGEST_SEARCH = 1000
"""Most characters of a text that is looked for: databases refuse patterns of any length."""

MOST_WORDS = 32
"""Most different words, and most tags, that are looked for together: each is a query of its own."""


def new_experiment_id() -> str:
    """A new random id: 12 lowercase hexadecimal digits (48 bits)."""
    return secrets.token_hex(ID_LENGTH // 2)


def utc_now() -> datetime:
    """The present time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One training run: what was asked, where it stands, what came of it.

    Times are aware UTC datetimes. The mappings hold what JSON can say; a number that is not finite
    becomes null when it is stored.
    """

    id: str = field(default_factory=new_experiment_id)
    name: str
    status: ExperimentStatus = ExperimentStatus.QUEUED
    phase: str | None = None
    """What a running experiment is doing now, such as "training"."""
    progress: float = 0.0
    """Share of the work that is done, 0 to 1."""
    task: str
    model_name: str
    dataset_name: str
    dataset_hash: str | None = None
    dataset_version: int | None = None
    """Number of the dataset's version that it is trained on, as in `reviews@3`."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The complete resolved configuration."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Identity of the data: rows, columns and content hash of each split."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Package versions, git commit and hardware."""
    plan: Mapping[str, Any] = field(default_factory=dict)
    """How this machine ran it: device, precision, batching."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Final results, as in `metrics.json`."""
    directory: str | None = None
    """Path of the experiment's folder."""
    reason: Said | None = None
    """Why it failed or was cancelled, in one paragraph."""
    created_at: datetime = field(default_factory=utc_now)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    train_runtime: float | None = None
    """Seconds of training."""
    eval_accuracy: float | None = None
    """Accuracy on the evaluation rows, 0 to 1."""
    score_name: str | None = None
    """Name of the task's main metric."""
    score: float | None = None
    """Value of the task's main metric."""
    pid: int | None = None
    """Process that runs it."""
    host: str | None = None
    """Name of the machine that runs it."""
    machine: str | None = None
    """That machine, as `files.machine` tells machines apart; None in records of before."""
    process_started: float | None = None
    """Seconds from the machine's start to that process's: tells a reused `pid` apart."""
    owner: str = ""
    """Who submitted it: the name of an access token; empty where nobody has to say who they are."""
    queue: str | None = None
    """Queue that it waits in, one of QUEUES; None for one that is trained where it was started."""
    priority: int = 0
    """The queued experiment of the highest priority is taken first."""
    rank: float = 0.0
    """Place among the queued experiments of one priority: the lowest is taken first."""
    runs_after: str | None = None
    """Id of an experiment that must have ended, in whatever way, before this one is taken."""
    restarts: int = 0
    """Times that it was put back because the process that trained it died."""
    worker: str | None = None
    """Worker that took it."""
    lease: str | None = None
    """Token of the one process that may write to it; None while nobody runs it."""
    heartbeat: int = 0
    """How often the lease was renewed. It counts, so that no clock decides who is alive."""
    cancel_requested_at: datetime | None = None
    """When somebody asked a running experiment to stop."""
    time_left: float | None = None
    """Estimated seconds until training ends."""
    note: str = ""
    """What people say of it; like name and tags, it may be changed at any time."""
    tags: tuple[str, ...] = ()
    """Words that people put on it, in the order of the alphabet; of one tag in capitals and not,
    there is one."""

    @property
    def data_reference(self) -> str:
        """The version of its data, `reviews@3`; the name they were asked for by where none is
        recorded."""
        name = str(self.data.get("dataset") or self.dataset_name)
        return name if self.dataset_version is None else f"{name}@{self.dataset_version}"

    @property
    def test_side(self) -> str | None:
        """The hash of the rows that judge it; None before they are known."""
        found = ((self.data.get("splits") or {}).get("evaluation") or {}).get("hash")
        return found if isinstance(found, str) else None

    @property
    def picked_by_test(self) -> bool:
        """Whether the rows that judge it also stopped it or picked its checkpoint."""
        ending = self.metrics.get("ending")
        metric = ending.get("metric") if isinstance(ending, Mapping) else None
        return isinstance(metric, str) and metric.startswith("eval_")

    @property
    def interval(self) -> Mapping[str, Any]:
        """The interval of its score as it was recorded; empty where there is none."""
        score = self.metrics.get("score")
        return (score.get("interval") or {}) if isinstance(score, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Metric:
    """One value of one metric at one optimizer step; a later value for the same step replaces it.

    `value` may be NaN or infinite: a loss that blew up is worth seeing.
    """

    experiment_id: str
    step: int
    name: str
    value: float
    epoch: float | None = None
    recorded_at: datetime = field(default_factory=utc_now)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """One immutable state of a dataset, by its content's hash; mappings hold what JSON can say."""

    name: str
    number: int
    """1 for the dataset's first version."""
    hash: str
    """Content hash of its rows and their order: the same on every machine, from any file format."""
    rows: int
    columns: tuple[str, ...]
    splits: Mapping[str, int]
    """Split → rows."""
    split_by: Mapping[str, Any] = field(default_factory=dict)
    """How rows were held out: `{"seed", "fraction"}`; empty where the source has its own splits."""
    source: str
    """Where it was read from: a path, a hub id, a package file."""
    parent: int | None = None
    """The version that was the newest when this one was made."""
    label_counts: Mapping[str, int] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    """The rules that the rows were held against."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """What those rules found: rows before and after, and the findings of each rule."""
    description: str = ""
    created_at: datetime = field(default_factory=utc_now)
    created_by: str = ""
    """User and machine."""
    tags: tuple[str, ...] = ()
    """Names that its users gave it."""

    @property
    def reference(self) -> str:
        """What names it in a configuration: `reviews@3`."""
        return f"{self.name}@{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which experiments to list, and in which order. What is None filters nothing.

    An experiment without a value (no accuracy yet, say) passes no filter on that value and comes
    last in either direction; equal values are ordered by id. `desc` is by default True for
    `created_at` and False for the rest.

    Raises ConfigError with every problem: an unknown sort key, a time without a zone, a negative
    limit or offset, a text of more than 1,000 characters, more than 32 words or tags.
    """

    name: str | None = None
    """Part of the name, in capitals or not."""
    status: ExperimentStatus | None = None
    model: str | None = None
    """Part of the base model's name, in capitals or not."""
    dataset: str | None = None
    """Part of the dataset's name, in capitals or not."""
    text: str | None = None
    """Words that all occur in the name, the model's or dataset's name, the id, the reason, the note
    or a tag."""
    tags: tuple[str, ...] = ()
    """Tags that it has all of, in capitals or not."""
    owner: str | None = None
    """Exactly this owner."""
    min_accuracy: float | None = None
    """Lowest `eval_accuracy`, 0 to 1."""
    max_runtime: float | None = None
    """Longest `train_runtime`, in seconds."""
    start_date: datetime | None = None
    """Earliest `created_at`, itself included."""
    end_date: datetime | None = None
    """Latest `created_at`, itself included."""
    sort_by: str = "created_at"
    desc: bool | None = None
    limit: int | None = None
    offset: int = 0

    def __post_init__(self) -> None:
        if problems := [*self._problems()]:
            raise ConfigError(problems)

    def _problems(self) -> Iterator[Problem]:
        if self.sort_by not in SORT_KEYS:
            why, near = say("experiments can't be sorted by this"), nearest(self.sort_by, SORT_KEYS)
            yield Problem("sort_by", why, self.sort_by, ", ".join(SORT_KEYS), near)
        for name, time in (("start_date", self.start_date), ("end_date", self.end_date)):
            if time is not None and time.tzinfo is None:
                why, example = say("the time has no zone"), "2026-01-31T12:00:00Z"
                yield Problem(name, why, time.isoformat(), example)
        texts = {name: getattr(self, name) for name in ("name", "model", "dataset", "text")}
        yield from search_problems(texts, self.tags)
        for name, number in (("limit", self.limit), ("offset", self.offset)):
            if number is not None and number < 0:
                yield Problem(name, say("must not be negative"), number)

    @property
    def descending(self) -> bool:
        """The direction, `desc` or the sort key's default."""
        return self.sort_by == "created_at" if self.desc is None else self.desc


def words_of(text: str | None) -> tuple[str, ...]:
    """The different words that are looked for, in their order."""
    return tuple(dict.fromkeys((text or "").split()))


def search_problems(texts: Mapping[str, str | None], tags: Collection[str]) -> Iterator[Problem]:
    """What is wrong with texts and tags that are looked for: too long, or too many."""
    for name, text in (*texts.items(), *(("tag", tag) for tag in tags)):
        if len(text or "") > LONGEST_SEARCH:
            accepted = say("at most {n:,} characters", n=LONGEST_SEARCH)
            yield Problem(name, say("the text is too long"), accepted=accepted)
    for name, words in (("text", words_of(texts.get("text"))), ("tag", tags)):
        if len(words) > MOST_WORDS:
            accepted = say("at most {n}", n=MOST_WORDS)
            yield Problem(name, say("too many are looked for"), len(words), accepted)
