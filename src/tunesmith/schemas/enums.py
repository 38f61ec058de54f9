"""The words that travel: states, stages, roles and verdicts, in the store and in JSON alike."""

from __future__ import annotations

from enum import StrEnum

SORT_KEYS = ("created_at", "name", "train_runtime", "eval_accuracy")
"""What a list of experiments can be sorted by."""


class ExperimentStatus(StrEnum):
    """Where an experiment stands; `experiments/lifecycle/states.py` decides what follows what."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_live(self) -> bool:
        """True while the experiment waits or runs."""
        return self in (ExperimentStatus.QUEUED, ExperimentStatus.RUNNING)

    @property
    def is_finished(self) -> bool:
        """True once the experiment has ended, however it ended."""
        return not self.is_live


class SweepStatus(StrEnum):
    """Where a sweep stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TrialState(StrEnum):
    """Where a trial stands; only a running one becomes another."""

    RUNNING = "running"
    """Its experiments wait or run."""
    SUCCEEDED = "succeeded"
    PRUNED = "pruned"
    """It looked bad and was ended early."""
    FAILED = "failed"
    CANCELLED = "cancelled"


class Stage(StrEnum):
    """What a version is for. Any may become any other; one version of a name is in production."""

    CANDIDATE = "candidate"
    """It was registered, and nobody has said yet that it is good."""
    STAGING = "staging"
    """It is being tried."""
    PRODUCTION = "production"
    """It is the one that is used."""
    ARCHIVED = "archived"
    """It isn't used any more; its experiment may be deleted."""


class Role(StrEnum):
    """What the holder of a token may do; each may do all that those before it may."""

    VIEWER = "viewer"
    """Looks at everything."""
    MEMBER = "member"
    """Submits experiments, and changes its own."""
    ADMIN = "admin"
    """Changes everybody's experiments, the queues and the tokens; reads the audit trail."""

    @property
    def order(self) -> int:
        """0 for the role that may do least."""
        return tuple(Role).index(self)

    def allows(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        return self.order >= other.order


class Verdict(StrEnum):
    """What can be said of an experiment against the baseline."""

    BETTER = "better"
    WORSE = "worse"
    NOT_DISTINGUISHABLE = "not distinguishable"
    NOT_COMPARABLE = "not comparable"


class Obstacle(StrEnum):
    """Why two experiments can't be held against each other."""

    NO_SCORE = "no_score"
    OTHER_METRIC = "other_metric"
    PICKED_BY_TEST = "picked_by_test"
    OTHER_ROWS = "other_rows"
    NO_PREDICTIONS = "no_predictions"
    NOT_A_SHARE = "not_a_share"
