"""Registered adapters in the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from zoneinfo import ZoneInfo

from rich.text import Text

from tunesmith.cli.tables import Column, FittedTable
from tunesmith.tracking.files import finite
from tunesmith.tracking.registry_entities import (
    AdapterVersion,
    Demands,
    RegisteredAdapter,
    Stage,
    StageChange,
)

STYLES = {
    Stage.PRODUCTION: "green",
    Stage.STAGING: "cyan",
    Stage.CANDIDATE: "blue",
    Stage.ARCHIVED: "dim",
}


def as_json(
    adapter: RegisteredAdapter,
    versions: Sequence[AdapterVersion],
    history: Sequence[StageChange] | None = None,
    *,
    indent: int | None = None,
) -> str:
    """An adapter with its versions, and their history where it is given."""
    values = asdict(adapter) | {"versions": [asdict(each) for each in versions]}
    if history is not None:
        values["history"] = [asdict(each) for each in history]
    return json.dumps(finite(values), default=str, ensure_ascii=False, indent=indent)


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
            name, f"{shown.number} of {len(versions)}", _stage(shown.stage), _score(shown),
            shown.task, Text(_last(shown.model_name)), *words,
        )  # fmt: skip
    return table


def head(adapter: RegisteredAdapter, zone: ZoneInfo) -> Text:
    """What is said and demanded of a name."""
    by = f" by {adapter.owner}" if adapter.owner else ""
    text = Text.assemble((adapter.name, "bold"), f"  registered {_when(adapter, zone)}{by}")
    if adapter.description:
        text.append(f"\n  {adapter.description}")
    if adapter.language:
        text.append(f"\n  language {adapter.language}")
    if adapter.tags:
        text.append(f"\n  tags {', '.join(adapter.tags)}")
    text.append(f"\n  to go into production: {demanded(adapter.demands)}")
    return text


def demanded(demands: Demands) -> str:
    """What is demanded, in one line."""
    told = []
    if demands.minimum_score is not None:
        told.append(f"minimum_score {demands.minimum_score:g} (lower end of the 95 % interval)")
    if demands.verified:
        told.append("verified")
    if demands.better_than_production:
        told.append("better_than_production (paired test)")
    return ", ".join(told) or "nothing is demanded"


def versions_table(versions: Sequence[AdapterVersion], zone: ZoneInfo) -> FittedTable:
    """A line for each version."""
    table = FittedTable(
        Column("version"), Column("stage"), Column("score"), Column("95 % interval", spare=1),
        Column("verified", spare=4), Column("data", cut=True, spare=3),
        Column("model", cut=True, spare=5), Column("experiment", spare=0),
        Column("registered", cut=True, spare=2),
    )  # fmt: skip
    for each in versions:
        interval = "" if each.low is None else f"{each.low:.3f} to {each.high or 0:.3f}"
        by = f" by {each.created_by}" if each.created_by else ""
        table.add_row(
            f"{each.number}", _stage(each.stage), _score(each), interval,
            "yes" if each.reload_verified else Text("no", "yellow"), Text(_last(each.dataset)),
            Text(_last(each.model_name)), each.experiment_id,
            Text(f"{each.created_at.astimezone(zone):%Y-%m-%d %H:%M}{by}"),
        )  # fmt: skip
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
            why = Text.assemble(("forced", "yellow"), f": {each.comment}")
            for line in each.unmet:
                why.append(f"\n{line}", "dim")
        was = f"{each.was} → " if each.was else ""
        table.add_row(
            f"{each.at.astimezone(zone):%Y-%m-%d %H:%M}", str(each.number),
            Text(f"{was}{each.stage}", STYLES[each.stage]), Text(each.actor), why,
        )  # fmt: skip
    return table


def _stage(stage: Stage) -> Text:
    return Text(str(stage), STYLES[stage])


def _score(version: AdapterVersion) -> str:
    return "" if version.score is None else f"{version.score:.3f} {version.score_name}"


def _last(name: str) -> str:
    """The part of a name that tells it apart in a narrow column."""
    if name.startswith("package:"):
        return name.removeprefix("package:").partition("/")[0]
    return name.rpartition("/")[2] or name


def _when(adapter: RegisteredAdapter, zone: ZoneInfo) -> str:
    return f"{adapter.created_at.astimezone(zone):%Y-%m-%d}"
