"""Registered adapters in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from tunesmith.cli.console.output import gettext, word
from tunesmith.cli.console.terminal import Column, FittedTable, Text, interval
from tunesmith.names import brief
from tunesmith.schemas.enums import Stage
from tunesmith.store.entities.registry import (
    AdapterVersion,
    PromotionRule,
    RegisteredAdapter,
    StageChange,
)

STYLES = {
    Stage.PRODUCTION: "green",
    Stage.STAGING: "cyan",
    Stage.CANDIDATE: "blue",
    Stage.ARCHIVED: "dim",
}


def adapters_table(
    found: Sequence[tuple[RegisteredAdapter, Sequence[AdapterVersion]]], stage: Stage | None
) -> FittedTable:
    """A line for each name: the version in production, or in `stage`, else the newest."""
    table = FittedTable(
        Column("name", cut=True), Column("version"), Column("stage"), Column("score", cut=True),
        Column("task", spare=2), Column("model", cut=True, spare=1), Column("language", spare=3),
        Column("tags", cut=True, spare=4),
    )  # fmt: skip
    for adapter, versions in found:
        shown = next((v for v in versions if v.stage is (stage or Stage.PRODUCTION)), None)
        shown = shown or next(iter(versions), None)
        name = Text(adapter.name, "bold")
        words = (Text(adapter.language or ""), Text(", ".join(adapter.tags)))
        if shown is None:
            table.add_row(name, "", "", "", "", "", *words)
            continue
        table.add_row(
            name,
            gettext("{n} of {rows}", n=shown.number, rows=len(versions)),
            _stage(shown.stage),
            _score(shown),
            shown.task,
            Text(brief(shown.model_name)),
            *words,
        )
    return table


def head(adapter: RegisteredAdapter, zone: ZoneInfo) -> Text:
    """A name's description, language, tags and promotion rule."""
    by = gettext(" by {owner}", owner=adapter.owner) if adapter.owner else ""
    when = f"{adapter.created_at.astimezone(zone):%Y-%m-%d}"
    text = Text.assemble(
        (adapter.name, "bold"), gettext("  registered {when}{by}", when=when, by=by)
    )
    if adapter.description:
        text.append(f"\n  {adapter.description}")
    if adapter.language:
        text.append(gettext("\n  language {language}", language=adapter.language))
    if adapter.tags:
        text.append(gettext("\n  tags {names}", names=", ".join(adapter.tags)))
    text.append(gettext("\n  to go into production: {rule}", rule=rule_in_words(adapter.demands)))
    return text


def rule_in_words(rule: PromotionRule) -> str:
    """The conditions of a promotion rule, in one line."""
    conditions = []
    if (least := rule.minimum_score) is not None:
        conditions.append(
            gettext("minimum_score {least:g} (lower end of the 95 % interval)", least=least)
        )
    if rule.verified:
        conditions.append("verified")
    if rule.better_than_production:
        conditions.append(gettext("better_than_production (paired test)"))
    if (share := rule.minimum_coverage) is not None:
        conditions.append(
            gettext("minimum_coverage {least:g} (lower end of the 95 % interval)", least=share)
        )
    for name in ("maximum_calibration_error", "maximum_forgetting"):
        if (most := getattr(rule, name)) is not None:
            conditions.append(
                gettext("{name} {most:g} (upper end of the 95 % interval)", name=name, most=most)
            )
    conditions += [name for name in ("validated", "grouped") if getattr(rule, name)]
    return ", ".join(conditions) or gettext("no promotion rule")


def versions_table(versions: Sequence[AdapterVersion], zone: ZoneInfo) -> FittedTable:
    """A line for each version."""
    table = FittedTable(
        Column("version"), Column("stage"), Column("score"), Column("95 % interval", spare=1),
        Column("verified", spare=4), Column("data", cut=True, spare=3),
        Column("model", cut=True, spare=5), Column("experiment", spare=0),
        Column("registered", cut=True, spare=2),
    )  # fmt: skip
    for each in versions:
        by = gettext(" by {created_by}", created_by=each.created_by) if each.created_by else ""
        table.add_row(
            f"{each.number}",
            _stage(each.stage),
            _score(each),
            interval(each.low, each.high),
            gettext("yes") if each.reload_verified else Text(gettext("no"), "yellow"),
            Text(brief(each.dataset)),
            Text(brief(each.model_name)),
            each.experiment_id,
            Text(f"{each.created_at.astimezone(zone):%Y-%m-%d %H:%M}{by}"),
        )
    return table


def history_table(history: Sequence[StageChange], zone: ZoneInfo) -> FittedTable:
    """A line for each step, the newest first."""
    table = FittedTable(
        Column("when"), Column("version"), Column("stage"), Column("who", cut=True),
        Column("why", wraps=True),
    )  # fmt: skip
    for each in history:
        why = Text(each.comment)
        if each.forced:
            why = Text.assemble((gettext("forced"), "yellow"), f": {each.comment}")
            for line in each.unmet:
                why.append(f"\n{line}", "dim")
        was = f"{word(each.was)} → " if each.was else ""
        table.add_row(
            f"{each.at.astimezone(zone):%Y-%m-%d %H:%M}", str(each.number),
            Text(f"{was}{word(each.stage)}", STYLES[each.stage]), Text(each.actor), why,
        )  # fmt: skip
    return table


def _stage(stage: Stage) -> Text:
    return Text(word(stage), STYLES[stage])


def _score(version: AdapterVersion) -> str:
    return "" if version.score is None else f"{version.score:.3f} {version.score_name}"
