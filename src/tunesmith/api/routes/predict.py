"""Asking the adapter of an experiment."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter

from tunesmith.api.deps import UsableDep, Viewer
from tunesmith.api.http.documentation import BODY, errors
from tunesmith.api.http.problems import UnavailableError
from tunesmith.errors import AccessError, ServiceError
from tunesmith.schemas.predict import Predictions, Questions, plain
from tunesmith.serving.adapters import locate_adapter

router = APIRouter(prefix="/experiments/{experiment_id}", tags=["predict"])


@router.post("/predict", responses=errors(404, 409, *BODY), summary="Ask the adapter")
def predict(usable: UsableDep, body: Questions, call: Viewer) -> Predictions:
    """Answers of the trained adapter to texts, rows or conversations, and on request those of its
    base model beside them. Instead of an experiment a registered adapter may be named. The first
    request loads the model; the next ones find it warm. A base model is fetched from the hub for
    members and admins only."""
    experiment, weights_hash = usable
    adapter = locate_adapter(experiment, call.settings, weights_hash)
    if (experiment.config.get("model") or {}).get("trust_remote_code"):
        raise AccessError(
            "the base model brings code of its own, which is not run for a request "
            "that came over the network; at the machine itself: tunesmith predict "
            "{id}",
            id=experiment.id,
        )
    try:
        reply = call.service.companion.answer(
            replace(adapter, may_fetch=call.identity.may_fetch),
            [plain(given) for given in body.inputs],
            base=body.base,
            max_new_tokens=body.max_new_tokens,
            unsure=body.unsure,
        )
    except ServiceError as error:
        raise UnavailableError(str(error)) from error
    return Predictions.model_validate(reply)
