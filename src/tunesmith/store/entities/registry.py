"""The records of the registry, as frozen values; importing them loads no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Self

from tunesmith.errors import ConfigError
from tunesmith.schemas.base import Said
from tunesmith.schemas.enums import Stage
from tunesmith.store.entities.experiments import search_problems, utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionRule:
    """What a version must reach to go into production; `demands` in the store and the API."""

    minimum_score: float | None = None
    """What the lower end of its score's 95 % interval must reach."""
    verified: bool = False
    """Whether the saved adapter must have been loaded again and have given the same predictions."""
    better_than_production: bool = False
    """Whether it must be better, by the paired test, than the version that is in production."""
    minimum_coverage: float | None = None
    """What the lower end of its share of answers must reach, with `task.selective_accuracy`."""
    maximum_calibration_error: float | None = None
    """What the upper end of its calibrated probabilities' expected error must not exceed."""
    maximum_forgetting: float | None = None
    """What the upper end of what it lost on general text, in nats per token, must not exceed."""
    validated: bool = False
    """Whether rows of their own must have stopped and picked, so that no row that judges did."""
    grouped: bool = False
    """Whether its interval must be by groups, where its data know groups."""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """The rule that is stored as `values`; what this version doesn't know is left out."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})

    def as_stored(self) -> dict[str, Any]:
        """Name → value."""
        return asdict(self)

    def is_weaker_than(self, other: PromotionRule) -> bool:
        """Whether a version could meet this rule and not `other`."""
        return any(
            _is_weaker(each.name, getattr(self, each.name), getattr(other, each.name))
            for each in fields(self)
        )


def _is_weaker(name: str, own: float | None, other: float | None) -> bool:
    """Whether a condition is met more easily as `own` than as `other`; both may be a bool."""
    if not other and (other is None or isinstance(other, bool)):
        return False
    if own is None:
        return True
    return own > other if name.startswith("maximum_") else own < other


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterVersion:
    """One version of a registered adapter: an experiment, and what was known of it then."""

    name: str
    number: int
    """1 for the name's first; a number is never given twice, though its version be removed."""
    stage: Stage = Stage.CANDIDATE
    experiment_id: str
    comment: str = ""
    created_at: datetime = field(default_factory=utc_now)
    created_by: str = ""
    task: str
    model_name: str
    model_identity: str | None = None
    """The base model's commit, or the hash of its weights."""
    score_name: str | None = None
    score: float | None = None
    low: float | None = None
    """Lower end of the score's 95 % interval."""
    high: float | None = None
    method: str | None = None
    """How that interval is made."""
    rows: int | None = None
    """Evaluation rows that it is made from."""
    dataset: str
    """The data: `reviews@3`, or the name they were asked for by."""
    dataset_hash: str | None = None
    evaluation_hash: str | None = None
    """Content hash of the evaluation rows."""
    reload_verified: bool = False
    """Whether the saved adapter, loaded again, gave the same predictions."""
    weights_hash: str
    """SHA-256 of its adapter_model.safetensors."""

    @property
    def reference(self) -> str:
        """What names it: `reviews@3`."""
        return f"{self.name}@{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredAdapter:
    """A name under which versions of an adapter are kept."""

    name: str
    description: str = ""
    language: str | None = None
    """Language of its texts, as BCP 47 writes it: `en`, `zh-TW`."""
    tags: tuple[str, ...] = ()
    demands: PromotionRule = field(default_factory=PromotionRule)
    owner: str = ""
    """Who registered it, as of an experiment."""
    created_at: datetime = field(default_factory=utc_now)
    given: int = 0
    """The last version's number that was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageChange:
    """One step of a version from one stage to another."""

    name: str
    number: int
    step: int = 1
    """1 for the registration."""
    at: datetime = field(default_factory=utc_now)
    actor: str = ""
    was: Stage | None = None
    """None when it was registered."""
    stage: Stage
    comment: Said = ""
    forced: bool = False
    """Whether it went into production without meeting the promotion rule."""
    unmet: tuple[str, ...] = ()
    """The conditions that it didn't meet then, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFilters:
    """Which registered adapters to list, by name. What is None filters nothing.

    `model`, `task` and `stage` are asked of one version: a name is listed where one of its versions
    has all of them. Raises ConfigError for a text of more than 1,000 characters, more than
    32 words or tags.
    """

    text: str | None = None
    """Words that all occur in the name, the description, the language, a tag, or in the base
    model's or data's name, the task, the experiment's id or the comment of a version."""
    model: str | None = None
    """Part of the base model's name, in capitals or not."""
    task: str | None = None
    """Exactly this task."""
    language: str | None = None
    """This language: `zh` finds `zh-TW` too."""
    tags: tuple[str, ...] = ()
    """Tags that it has all of, in capitals or not."""
    stage: Stage | None = None
    limit: int | None = None
    offset: int = 0

    def __post_init__(self) -> None:
        texts = {name: getattr(self, name) for name in ("text", "model", "task", "language")}
        if problems := [*search_problems(texts, self.tags)]:
            raise ConfigError(problems)
