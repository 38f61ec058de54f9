"""Experiments beside each other."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from tunesmith.api import computations
from tunesmith.api.deps import ServiceDep, StoreDep, TurnDep, Viewer, find_experiment
from tunesmith.api.documentation import errors
from tunesmith.api.schemas.compare import ExperimentComparison
from tunesmith.experiments.comparison import FEWEST, MOST

router = APIRouter(prefix="/experiments", tags=["experiments"])


@router.get("/compare", responses=errors(404), summary="Compare experiments")
def compare(
    store: StoreDep,
    service: ServiceDep,
    _: Viewer,
    _turn: TurnDep,
    ids: Annotated[
        list[str],
        Query(
            alias="id",
            min_length=FEWEST,
            max_length=MOST,
            description="Ids of different experiments; the first is the baseline.",
            json_schema_extra={"uniqueItems": True},
        ),
    ],
) -> ExperimentComparison:
    """Scores with intervals, each experiment tested against the first on the same evaluation rows,
    what differs in configuration, environment and data, and seeds grouped. Curves are in
    GET /experiments/{experiment_id}/metrics."""
    found = [find_experiment(id_, store) for id_ in ids]
    compared = service.computing.run(computations.compare_trained, found, service.settings)
    return ExperimentComparison.model_validate(compared)
