"""Comparisons of experiments, as the API gives them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tunesmith.schemas.base import FiniteOrNull, ResponseModel, Said, WithMessages
from tunesmith.schemas.enums import ExperimentStatus, Obstacle, Verdict


class IntervalState(ResponseModel):
    """Where a value probably is."""

    low: float
    high: float
    level: float = Field(description="0.95: such intervals hold the true value 95 times of 100.")
    method: str = Field(description="How it was made: docs/statistics.md has each.")
    rows: int = Field(description="Evaluation rows that it is made from.")
    groups: int | None = Field(
        None, description="Groups (data.group_column) that these rows are of; null: none."
    )


class ComparedExperiment(WithMessages, ResponseModel):
    """One of the experiments that are compared."""

    id: str
    name: str
    status: ExperimentStatus
    metric: str | None = Field(description="Name of the task's main metric.")
    score: FiniteOrNull = Field(description="Value of the task's main metric.")
    interval: IntervalState | None = Field(description="Of the score, over evaluation rows.")
    note: Said | None = Field(description="Why there is no interval, or only the recorded one.")
    seed: int | None = Field(description="training.seed.")
    dataset: str = Field(description="The data, such as reviews@3.")
    data_hash: str | None = Field(description="Content hash of the data.")
    train_rows: int | None
    evaluation_rows: int | None
    evaluation_hash: str | None = Field(description="Content hash of the evaluation rows.")


class ExperimentPair(WithMessages, ResponseModel):
    """An experiment held against the baseline, on the same evaluation rows."""

    baseline_id: str = Field(description="The first of the experiments.")
    experiment_id: str
    verdict: Verdict = Field(description="What can be said of it against the baseline.")
    explanation: Said = Field(description="The verdict and what it rests on, in words.")
    obstacle: Obstacle | None = Field(description="Why they can't be compared, where they can't.")
    difference: FiniteOrNull = Field(description="Its score minus the baseline's.")
    interval: IntervalState | None = Field(
        description="Of the difference; of this comparison alone, however many there are."
    )
    test: str | None = Field(description="Name of the test.")
    p_value: FiniteOrNull = Field(description="Of this test alone.")
    adjusted_p_value: FiniteOrNull = Field(
        description="Adjusted for all tests of the comparison (Holm); the verdict rests on it."
    )
    rows: int | None = Field(description="Evaluation rows.")
    won: int | None = Field(description="Rows it has right and the baseline wrong.")
    lost: int | None = Field(description="Rows the baseline has right and it has wrong.")
    won_rows: list[int] = Field(description="Numbers of the first of them in the source.")
    lost_rows: list[int] = Field(description="Numbers of the first of them in the source.")
    rows_needed: int | None = Field(
        description="Evaluation rows in all that would give a verdict with 80 % power, if the "
        "difference is as large as it looks; null where there is one, or no difference was seen."
    )


class FieldDifference(ResponseModel):
    """A field that is not the same in all experiments."""

    field: str = Field(description="Dotted path, such as lora.r.")
    values: list[Any] = Field(description="In the experiments' order; null where it isn't there.")


class ChangedRowState(ResponseModel):
    """A row that is not the same in both."""

    kind: str = Field(description="added, removed, relabelled, edited or moved.")
    split: str = Field(description="Where it is now; where it was, when it was removed.")
    old: dict[str, str] | None = Field(description="Column → value, shortened, in the baseline's.")
    new: dict[str, str] | None = Field(description="Column → value, shortened, in this one's.")


class RowDifferencesState(WithMessages, ResponseModel):
    """How the rows of an experiment's data differ from those of the baseline's."""

    experiment_id: str
    old: str = Field(description="The baseline's data version, such as reviews@1.")
    new: str = Field(description="This one's.")
    counts: dict[str, int] | None = Field(
        description="added, removed, relabelled, edited, moved → rows; null where they weren't "
        "compared."
    )
    examples: list[ChangedRowState] = Field(description="A few rows of each kind.")
    note: Said | None = Field(description="Why they weren't compared.")


class SeedGroupState(ResponseModel):
    """Experiments that are the same but for name and seed."""

    experiment_ids: list[str]
    metric: str
    seeds: list[int | None]
    number: int = Field(description="How many different seeds.")
    mean: float = Field(description="Mean score.")
    standard_deviation: float = Field(description="Of one score, from this sample.")


class ExperimentComparison(WithMessages, ResponseModel):
    """A comparison of experiments; the first is the baseline."""

    experiments: list[ComparedExperiment] = Field(description="In the order that was asked for.")
    pairs: list[ExperimentPair] = Field(description="Every other one against the first.")
    config: list[FieldDifference] = Field(description="Configuration, but for the names.")
    environment: list[FieldDifference] = Field(description="Packages, hardware, base model, plan.")
    data: list[FieldDifference] = Field(description="Version, hash, and rows of each side.")
    figures: list[FieldDifference] = Field(
        [], description="Calibration, coverage, forgetting and sides, where any has them."
    )
    lacks: list[Said] = Field([], description="Which of these an experiment lacks, in words.")
    seeds: list[SeedGroupState] = Field(description="Groups of at least two seeds.")
    looks: int = Field(
        description="How many experiments the rows that judge the first have judged: the adjusted "
        "p-values allow for them."
    )
    note: Said | None = Field(description="That these rows have been looked at too often.")
    rows: list[RowDifferencesState] = Field(
        description="Of each experiment whose data are another version than the baseline's."
    )
