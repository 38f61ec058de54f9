"""`tunesmith adapters`: the registry: names, versions, stages, promotion rules."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from tunesmith.cli.adapters import display
from tunesmith.cli.console.once import OnceGroup
from tunesmith.cli.console.output import confirm, echo, echo_json, gettext, word
from tunesmith.cli.console.records import new_tags, opened, record, tag_options
from tunesmith.cli.console.terminal import Terminal, Text
from tunesmith.experiments.registry import promotion
from tunesmith.experiments.registry.registration import (
    AdapterEdit,
    read_adapter_edit,
    read_new_adapter,
)
from tunesmith.files.environment import this_person
from tunesmith.names import Version
from tunesmith.schemas.enums import Stage
from tunesmith.serving.adapters import fault_of, locate_adapter
from tunesmith.store.entities.registry import AdapterFilters
from tunesmith.store.store import Store

VERSION = "NAME@N|NAME@STAGE|NAME@latest"
STAGES = click.Choice([str(each) for each in Stage])

version_argument = click.argument("reference", metavar=VERSION)
name_argument = click.argument("name")
comment_option = click.option("--comment", default="", help="Why; it stays in the history.")


@click.group(cls=OnceGroup)
def adapters() -> None:
    """Register adapters under names, promote and archive versions, find them."""


@adapters.command("list")
@click.argument("words", nargs=-1)
@click.option("--model", help="Part of the base model's name.")
@click.option("--task", help="Exactly this task.")
@click.option("--language", help="This language; zh finds zh-TW too.")
@click.option("--tag", "tags", multiple=True, help="Only those with this tag, or all of several.")
@click.option("--stage", type=STAGES, help="Only those with a version in this stage.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--json", "in_json", is_flag=True, help="JSON, one adapter a line.")
def list_(words: tuple[str, ...], stage: str | None, in_json: bool, **asked: Any) -> None:
    """List registered adapters, those in which all WORDS occur."""
    wanted = None if stage is None else Stage(stage)
    filters = AdapterFilters(text=" ".join(words), stage=wanted, **asked)
    with opened() as (store, _):
        found, total = store.registry.list(filters), store.registry.count(filters)
        versions = store.registry.versions(*(each.name for each in found))
    if in_json:
        for each in found:
            echo_json(asdict(each) | {"versions": [asdict(v) for v in versions[each.name]]})
        return
    console = Terminal()
    if not found:
        asked.pop("limit")
        if words or stage or any(asked.values()):
            console.say("No registered adapter matches")
        else:
            console.say("No registered adapter yet; register one with: tunesmith adapters register")
        return
    console.print(display.adapters_table([(each, versions[each.name]) for each in found], wanted))
    if total > len(found):
        console.say("{n} of {total:,}; --limit shows more", "dim", n=len(found), total=total)


@adapters.command()
@name_argument
@click.option("--json", "in_json", is_flag=True, help="Everything, for programs.")
def show(name: str, in_json: bool) -> None:
    """Show a registered adapter: its versions, its promotion rule, who did what."""
    with opened() as (store, settings):
        adapter = store.registry.get(name)
        versions = store.registry.versions(name)[name]
        history = store.registry.history(name)
    if in_json:
        whole = {"versions": list(map(asdict, versions)), "history": list(map(asdict, history))}
        echo_json(asdict(adapter) | whole, indent=2)
        return
    console, zone = Terminal(), settings.timezone
    console.print(display.head(adapter, zone))
    console.print()
    if versions:
        console.print(display.versions_table(versions, zone))
        console.print()
        console.print(display.history_table(history, zone))
    else:
        console.say("No version")


@adapters.command()
@name_argument
@click.argument("reference", metavar="ID|EXPERIMENT|latest")
@click.option("--description", help="What it is for; of a new name or of one that is there.")
@click.option("--language", help="Language of its texts, such as en or zh-TW.")
@click.option("--tag", "tags", multiple=True, help="A tag it shall have; may be given again.")
@comment_option
def register(name: str, reference: str, tags: tuple[str, ...], comment: str, **said: Any) -> None:
    """Register an experiment's adapter as the next version of NAME, a new one or one that is there.

    The version is a candidate, and keeps what was known of the experiment: base model, data, score
    with its interval, and the hash of the weights.
    """
    edit = read_adapter_edit({**said, "tags": list(tags) or None})
    new = read_new_adapter({"name": name, "comment": comment})
    with opened() as (store, settings):
        experiment = store.find(reference)
        weights = locate_adapter(experiment, settings).weights_hash()
        by = this_person()
        version = promotion.version_of(experiment, new.name, weights, comment=new.comment, by=by)
        added = promotion.register(version, store)
        record(store, "adapter.register", added.reference, experiment=experiment.id)
        _edit(new.name, edit, store)
    echo(
        "{reference}  {stage}  experiment {id}",
        reference=added.reference,
        stage=added.stage,
        id=experiment.id,
    )


@adapters.command()
@version_argument
@click.option(
    "--to", "stage", type=STAGES, default=str(Stage.PRODUCTION), show_default=True,
    help="The stage it shall be in.",
)  # fmt: skip
@comment_option
@click.option(
    "--force", is_flag=True,
    help="Into production though it doesn't meet the promotion rule; needs --comment.",
)  # fmt: skip
def promote(reference: str, stage: str, comment: str, force: bool) -> None:
    """Give a version another stage; the one that was in production is archived.

    A version goes into production when it meets the promotion rule of its name (tunesmith
    adapters demands).
    """
    _change_stage(reference, Stage(stage), comment, force=force)


@adapters.command()
@version_argument
@comment_option
def archive(reference: str, comment: str) -> None:
    """Archive a version; its experiment may be deleted then."""
    _change_stage(reference, Stage.ARCHIVED, comment)


@adapters.command()
@name_argument
@click.option(
    "--minimum-score", type=click.FloatRange(0, 1),
    help="What the lower end of the score's 95 % interval must reach.",
)  # fmt: skip
@click.option("--no-minimum-score", is_flag=True, help="Demand no score.")
@click.option(
    "--verified/--no-verified", default=None,
    help="The saved adapter was loaded again and gave the same predictions.",
)  # fmt: skip
@click.option(
    "--better-than-production/--no-better-than-production", default=None,
    help="Better than the one in production, by the paired test on the same evaluation rows.",
)  # fmt: skip
@click.option(
    "--minimum-coverage", type=click.FloatRange(0, 1),
    help="What the share of rows that it answers must reach, with task.selective_accuracy.",
)  # fmt: skip
@click.option("--no-minimum-coverage", is_flag=True, help="Demand no coverage.")
@click.option(
    "--maximum-calibration-error", type=click.FloatRange(0, 1),
    help="What the upper end of the expected calibration error must not exceed.",
)  # fmt: skip
@click.option("--no-maximum-calibration-error", is_flag=True, help="Demand no calibration.")
@click.option(
    "--maximum-forgetting", type=click.FloatRange(0),
    help="What the upper end of the loss on general text, in nats per token above the base "
    "model's, must not exceed.",
)  # fmt: skip
@click.option("--no-maximum-forgetting", is_flag=True, help="Demand nothing of general text.")
@click.option(
    "--validated/--no-validated", default=None,
    help="Rows of their own stopped it and picked its checkpoint: none that judge.",
)  # fmt: skip
@click.option(
    "--grouped/--no-grouped", default=None,
    help="Its interval is by groups, where its data know groups.",
)  # fmt: skip
def demands(name: str, **given: Any) -> None:
    """Show or change what a version must be like to go into production."""
    changes = {k: v for k, v in given.items() if v is not None}
    for limit in [name for name in given if name.startswith(("minimum_", "maximum_"))]:
        if changes.pop(f"no_{limit}"):
            if limit in changes:
                option = limit.replace("_", "-")
                raise click.UsageError(
                    gettext("--{option} or --no-{option}: one of them.", option=option)
                )
            changes[limit] = None
    with opened() as (store, _):
        if changes:
            _edit(name, read_adapter_edit({"demands": changes}), store)
        rule = display.rule_in_words(store.registry.get(name).demands)
        echo("{name}: {rule}", name=name, rule=rule)


@adapters.command()
@name_argument
@click.option("--description", help="What it is for.")
@click.option("--language", help='Language of its texts, such as en or zh-TW; "" for none.')
@tag_options
def edit(name: str, tags: tuple[str, ...], untag: tuple[str, ...], **said: str | None) -> None:
    """Change what is said of a registered adapter."""
    if set(said.values()) == {None} and not tags and not untag:
        raise click.UsageError(
            gettext("nothing to change: give --description, --language, --tag or --untag.")
        )
    with opened() as (store, _):
        kept = new_tags(store.registry.get(name).tags, tags, untag)
        _edit(name, read_adapter_edit({**said, "tags": kept}), store)
    echo("{name} is changed", name=name)


@adapters.command()
@click.argument("reference", metavar="NAME|NAME@N")
@click.option("--yes", is_flag=True, help="Don't ask.")
def remove(reference: str, yes: bool) -> None:
    """Remove a version, or a name with all its versions; experiments stay."""
    with opened() as (store, _):
        if Version.of(reference).which is not None:
            version = store.registry.find(reference)
            removed, stage = version.reference, version.stage
            confirm("Remove {reference} ({stage})?", yes=yes, reference=removed, stage=stage)
            store.registry.remove_version(version.name, version.number)
        else:
            removed = store.registry.get(reference).name
            count = len(store.registry.versions(removed)[removed])
            confirm(
                "Remove {removed} and its {count} versions?", yes=yes, removed=removed, count=count
            )
            store.registry.remove(removed)
        record(store, "adapter.remove", removed)
    echo("{removed} is removed", removed=removed)


def _change_stage(reference: str, to: Stage, comment: str, *, force: bool = False) -> None:
    with opened() as (store, settings):
        version = store.registry.find(reference)
        fault = None
        if to is Stage.PRODUCTION:
            fault = fault_of(store.get(version.experiment_id), settings, version.weights_hash)
        moved = promotion.change_stage(
            version, to, store, settings,
            by=this_person(), comment=comment, force=force, fault=fault,
        )  # fmt: skip
        record(store, "adapter.stage", version.reference, **moved.details())
    line = Text.assemble(
        (version.reference, "bold"), f"  {word(moved.was)} → {word(moved.version.stage)}"
    )
    if moved.replaced is not None:
        line.append(gettext("; {reference} is archived", reference=moved.replaced.reference))
    for each in moved.unmet:
        line.append(gettext("\n  forced against {each}", each=each), "yellow")
    Terminal().print(line)


def _edit(name: str, wanted: AdapterEdit, store: Store) -> None:
    """Change what is asked for, and write down what that was."""
    if details := promotion.edit(name, wanted, store):
        record(store, "adapter.edit", name, **details)
