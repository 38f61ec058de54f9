"""Registering an experiment's adapter, and moving a version through its stages by a promotion rule.

The rule is applied when a version is to go into production, and nowhere else. Each condition that
isn't met is listed with its figures; an admin can promote all the same, with a reason, which the
history keeps for as long as the version is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunesmith.errors import AccessError, NotFoundError, StateError, UserError
from tunesmith.experiments.questions.comparison import compare_experiments
from tunesmith.experiments.registry.figures import unmet_figures
from tunesmith.experiments.registry.registration import AdapterEdit
from tunesmith.messages import say
from tunesmith.schemas.enums import Stage, Verdict
from tunesmith.settings import Settings
from tunesmith.statistics.intervals import LEVEL, OUTDATED
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.entities.registry import AdapterVersion, PromotionRule, RegisteredAdapter
from tunesmith.store.store import Store
from tunesmith.tasks import TASKS


class PromotionRefusedError(StateError):
    """Raised when a version doesn't meet the promotion rule; `unmet` says each condition."""

    def __init__(self, version: AdapterVersion, unmet: tuple[str, ...]) -> None:
        self.unmet = unmet
        lines = "".join(f"\n{each}" for each in unmet)
        super().__init__(
            say(
                "{reference} doesn't go into production: it doesn't meet the "
                "promotion rule of {name}.{lines}",
                reference=version.reference,
                name=version.name,
                lines=lines,
            )
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a version."""

    version: AdapterVersion
    was: Stage
    replaced: AdapterVersion | None
    """The one that was in production before, now archived."""
    unmet: tuple[str, ...]
    """Conditions that it didn't meet when it was forced into production."""
    comment: str

    def details(self) -> dict[str, Any]:
        """The same for the audit trail."""
        details: dict[str, Any] = {"was": self.was, "stage": self.version.stage}
        if self.replaced is not None:
            details["archived"] = self.replaced.reference
        if self.unmet:
            details |= {"forced": True, "unmet": self.unmet}
        return details | ({"comment": self.comment} if self.comment else {})


def version_of(
    experiment: Experiment, name: str, weights_hash: str, *, comment: str = "", by: str = ""
) -> AdapterVersion:
    """What is to be registered of `experiment` under `name`; the store gives the number.

    `weights_hash` is the SHA-256 of its adapter_model.safetensors.
    """
    interval = experiment.interval
    base = experiment.environment.get("base_model") or {}
    evaluation = (experiment.data.get("splits") or {}).get("evaluation") or {}
    return AdapterVersion(
        name=name,
        number=0,
        experiment_id=experiment.id,
        comment=comment,
        created_by=by,
        task=experiment.task,
        model_name=experiment.model_name,
        model_identity=base.get("identity"),
        score_name=experiment.score_name,
        score=experiment.score,
        low=interval.get("low"),
        high=interval.get("high"),
        method=interval.get("method"),
        rows=interval.get("rows"),
        dataset=experiment.data_reference,
        dataset_hash=experiment.dataset_hash,
        evaluation_hash=evaluation.get("hash"),
        reload_verified=experiment.metrics.get("reload_verified") is True,
        weights_hash=weights_hash,
    )


def register(version: AdapterVersion, store: Store, *, owner: str = "") -> AdapterVersion:
    """Record the next version of a name, which is made where there is none; returns it.

    Raises StateError when the experiment hasn't succeeded or is a version of this name already,
    NotFoundError when it isn't there any more.
    """
    if not store.registry.knows(version.name):
        adapter = RegisteredAdapter(name=version.name, owner=owner)
        try:
            store.registry.create(adapter, version)
        except StateError:
            if not store.registry.knows(version.name):
                raise  # else another made the name in this moment
        else:
            return store.registry.version(version.name, 1)
    return store.registry.add(version)


def change_stage(
    version: AdapterVersion,
    to: Stage,
    store: Store,
    settings: Settings,
    *,
    by: str = "",
    comment: str = "",
    force: bool = False,
    fault: str | None = None,
) -> Moved:
    """Give `version` another stage; returns what became of it.

    `fault` says, in words, why its adapter can't be used as it was registered, which nobody can
    force. `force` promotes though conditions are unmet, and needs a `comment`. Raises
    PromotionRefusedError with every unmet condition, StateError when it is in that stage already or
    the registry changed meanwhile, UserError when a forced promotion has no comment, NotFoundError.
    """
    if version.stage is to:
        raise StateError("{version} is in {status} already.", version=version.reference, status=to)
    if force and not comment.strip():
        raise UserError("A forced promotion needs a comment: the history keeps it as the reason.")
    adapter = store.registry.get(version.name)
    versions = store.registry.versions(version.name)[version.name]
    standing = next((each for each in versions if each.stage is Stage.PRODUCTION), None)
    unmet: tuple[str, ...] = ()
    if to is Stage.PRODUCTION:
        if fault is not None:
            raise StateError(
                "{version} doesn't go into production: {why}", version=version.reference, why=fault
            )
        unmet = unmet_conditions(version, adapter.demands, standing, store, settings)
        if unmet and not force:
            raise PromotionRefusedError(version, unmet)
    moved, replaced = store.registry.change_stage(
        version.name,
        version.number,
        to,
        expected=version.stage,
        in_production=None if standing is None else standing.number,
        demands=adapter.demands,
        actor=by,
        comment=comment,
        forced=bool(unmet),
        unmet=unmet,
    )
    return Moved(moved, version.stage, replaced, unmet, comment)


def edit(name: str, wanted: AdapterEdit, store: Store, *, may_relax: bool = True) -> dict[str, Any]:
    """Change a name; returns what changed, for the audit. Raises NotFoundError, AccessError."""
    before = store.registry.get(name)
    rule = None
    if wanted.demands is not None:
        rule = wanted.demands.applied_to(before.demands)
        if not may_relax and rule.is_weaker_than(before.demands):
            raise AccessError(
                "the promotion rule of {name} would be relaxed; that is for an admin to do.",
                name=name,
            )
    after = store.registry.edit(
        name,
        description=wanted.description,
        language=wanted.language,
        tags=wanted.tags,
        demands=rule,
    )
    fields = ("description", "language", "tags", "demands")
    changed = [each for each in fields if getattr(before, each) != getattr(after, each)]
    if not changed:
        return {}
    details: dict[str, Any] = {"changed": changed}
    if "demands" in changed:
        details |= {"demands": after.demands.as_stored(), "before": before.demands.as_stored()}
    return details


def unmet_conditions(
    version: AdapterVersion,
    rule: PromotionRule,
    standing: AdapterVersion | None,
    store: Store,
    settings: Settings,
) -> tuple[str, ...]:
    """The conditions of `rule` that the version doesn't meet, each in words with its figures.

    `standing` is the version that is in production. Raises StorageError when the answers that the
    paired test needs lie in an object store that doesn't answer.
    """
    found = []
    if rule.minimum_score is not None:
        found.append(_score_below(version, rule.minimum_score))
    if rule.verified and not version.reload_verified:
        found.append(
            say(
                "verified: it isn't recorded that its adapter, loaded again, gave the "
                "same predictions."
            )
        )
    if rule.minimum_coverage is not None:
        found.append(_answers_too_little(version, rule.minimum_coverage, store))
    found += unmet_figures(version, rule, store)
    if rule.better_than_production and standing is not None:
        found.append(_not_better(version, standing, store, settings))
    return tuple(each for each in found if each is not None)


def _score_below(version: AdapterVersion, minimum: float) -> str | None:
    metric = version.score_name or "score"
    if version.score is None:
        return say("minimum_score {minimum:g}: it has no score.", minimum=minimum)
    known = TASKS.get(version.task)
    if known is not None and known.prefers_lower(metric):
        return say(
            "minimum_score {minimum:g}: of {metric} less is better, so no least one is met.",
            minimum=minimum,
            metric=metric,
        )
    if version.low is None or version.high is None:
        return say(
            "minimum_score {minimum:g}: its {metric} of {score:.4f} has no interval, "
            "and the lower end is what counts.",
            minimum=minimum,
            metric=metric,
            score=version.score,
        )
    if version.method in OUTDATED:
        return say(
            "minimum_score {minimum:g}: the interval of its {metric} of {score:.4f} "
            "was made by a bootstrap, which is too narrow with few rows. Train it "
            "again: the new version's interval is reliable.",
            minimum=minimum,
            metric=metric,
            score=version.score,
        )
    if version.low >= minimum:
        return None
    rows = "" if version.rows is None else say(" from {rows:,} rows", rows=version.rows)
    return say(
        "minimum_score {minimum:g}: its {metric} is {score:.4f}, with a "
        "{level:.0%} interval of {low:.4f} to {high:.4f}{rows}; the lower end is "
        "what counts.",
        minimum=minimum,
        metric=metric,
        score=version.score,
        level=LEVEL,
        low=version.low,
        high=version.high,
        rows=rows,
    )


def _answers_too_little(version: AdapterVersion, minimum: float, store: Store) -> str | None:
    """Why the share of rows that `version` answers isn't shown to reach `minimum`."""
    try:
        selective = store.get(version.experiment_id).metrics.get("selective")
    except NotFoundError as error:
        return say("minimum_coverage {minimum:g}: {why}", minimum=minimum, why=error)
    if not selective:
        return say(
            "minimum_coverage {minimum:g}: it was trained without task.selective_accuracy, so "
            "nothing says from which confidence on it is right as often as asked.",
            minimum=minimum,
        )
    coverage = selective["coverage"]
    if coverage["low"] >= minimum:
        return None
    return say(
        "minimum_coverage {minimum:g}: it answers {value:.4f} of the test rows, with a {level:.0%} "
        "interval of {low:.4f} to {high:.4f}; the lower end is what counts.",
        minimum=minimum,
        value=coverage["value"],
        level=LEVEL,
        low=coverage["low"],
        high=coverage["high"],
    )


def _not_better(
    version: AdapterVersion, standing: AdapterVersion, store: Store, settings: Settings
) -> str | None:
    """Why `version` isn't better than the one in production by the paired test."""
    try:
        pair_of = [store.get(each.experiment_id) for each in (standing, version)]
    except NotFoundError as error:
        return say("better_than_production: {why}", why=error)
    looks = store.looks(pair_of[0].test_side)
    (pair,) = compare_experiments(pair_of, settings, looks).pairs
    if pair.verdict is Verdict.BETTER:
        return None
    return say(
        "better_than_production: held against {version}, here the first: {why}",
        version=standing.reference,
        why=pair.explanation,
    )
