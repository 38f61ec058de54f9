"""`tunesmith adapters`: the registry: names, versions, stages, and what is demanded."""

from __future__ import annotations

import click
from rich.text import Text

from tunesmith.cli.actor import actor
from tunesmith.cli.adapter_display import (
    adapters_table,
    as_json,
    demanded,
    head,
    history_table,
    versions_table,
)
from tunesmith.cli.once import OnceGroup
from tunesmith.cli.output import confirm, echo
from tunesmith.cli.terminal import Terminal
from tunesmith.experiments import promotion
from tunesmith.experiments.edits import without
from tunesmith.experiments.registration import AdapterEdit, read_adapter_edit, read_new_adapter
from tunesmith.serving.adapters import fault_of, locate_adapter
from tunesmith.settings import Settings
from tunesmith.tracking.audit import write_down
from tunesmith.tracking.registry_entities import AdapterFilters, AdapterVersion, Stage
from tunesmith.tracking.store import Store

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
def list_(
    words: tuple[str, ...],
    model: str | None,
    task: str | None,
    language: str | None,
    tags: tuple[str, ...],
    stage: str | None,
    limit: int,
    in_json: bool,
) -> None:
    """List registered adapters, those in which all WORDS occur."""
    wanted = None if stage is None else Stage(stage)
    filters = AdapterFilters(
        text=" ".join(words), model=model, task=task, language=language, tags=tags, stage=wanted,
        limit=limit,
    )  # fmt: skip
    with Store(Settings.read().store_url) as store:
        found, total = store.registry.list(filters), store.registry.count(filters)
        versions = store.registry.versions(*(each.name for each in found))
    if in_json:
        for each in found:
            echo(as_json(each, versions[each.name]))
        return
    console = Terminal(highlight=False)
    if not found:
        asked = words or model or task or language or tags or stage
        anything = "matches" if asked else "yet; register one with: tunesmith adapters register"
        console.print(f"No registered adapter {anything}")
        return
    console.print(adapters_table([(each, versions[each.name]) for each in found], wanted))
    if total > len(found):
        console.print(f"{len(found)} of {total:,}; --limit shows more", style="dim")


@adapters.command()
@name_argument
@click.option("--json", "in_json", is_flag=True, help="Everything, for programs.")
def show(name: str, in_json: bool) -> None:
    """Show a registered adapter: its versions, what is demanded, who did what."""
    settings = Settings.read()
    with Store(settings.store_url) as store:
        adapter = store.registry.get(name)
        versions = store.registry.versions(name)[name]
        history = store.registry.history(name)
    if in_json:
        echo(as_json(adapter, versions, history, indent=2))
        return
    console, zone = Terminal(highlight=False), settings.timezone
    console.print(head(adapter, zone))
    console.print()
    if versions:
        console.print(versions_table(versions, zone))
        console.print()
        console.print(history_table(history, zone))
    else:
        console.print("No version")


@adapters.command()
@name_argument
@click.argument("reference", metavar="ID|EXPERIMENT|latest")
@click.option("--description", help="What it is for; of a new name or of one that is there.")
@click.option("--language", help="Language of its texts, such as en or zh-TW.")
@click.option("--tag", "tags", multiple=True, help="A tag it shall have; may be given again.")
@comment_option
def register(
    name: str,
    reference: str,
    description: str | None,
    language: str | None,
    tags: tuple[str, ...],
    comment: str,
) -> None:
    """Register an experiment's adapter as the next version of NAME, a new one or one that is there.

    The version is a candidate, and keeps what was known of the experiment: base model, data, score
    with its interval, and the hash of the weights.
    """
    edit = read_adapter_edit(
        {"description": description, "language": language, "tags": list(tags) or None}
    )
    new = read_new_adapter({"name": name, "comment": comment})
    settings = Settings.read()
    with Store(settings.store_url) as store:
        experiment = store.find(reference)
        weights = locate_adapter(experiment, settings).weights_hash()
        version = promotion.version_of(
            experiment, new.name, weights, comment=new.comment, by=actor()
        )
        added = promotion.register(version, store)
        write_down(store, actor(), "adapter.register", added.reference, experiment=experiment.id)
        _edit(new.name, edit, store)
    echo(f"{added.reference}  {added.stage}  experiment {experiment.id}")


@adapters.command()
@version_argument
@click.option(
    "--to", "stage", type=STAGES, default=str(Stage.PRODUCTION), show_default=True,
    help="The stage it shall be in.",
)  # fmt: skip
@comment_option
@click.option(
    "--force", is_flag=True,
    help="Into production though it doesn't meet what is demanded; needs --comment.",
)  # fmt: skip
def promote(reference: str, stage: str, comment: str, force: bool) -> None:
    """Give a version another stage; the one that was in production is archived.

    Into production goes what meets every demand of its name (tunesmith adapters demands).
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
    "--better-than-production/--no-better-than-production", "better", default=None,
    help="Better than the one in production, by the paired test on the same evaluation rows.",
)  # fmt: skip
def demands(
    name: str,
    minimum_score: float | None,
    no_minimum_score: bool,
    verified: bool | None,
    better: bool | None,
) -> None:
    """Show or change what a version must be like to go into production."""
    if no_minimum_score and minimum_score is not None:
        raise click.UsageError("--minimum-score or --no-minimum-score: one of them.")
    given = {
        "minimum_score": minimum_score, "verified": verified, "better_than_production": better
    }  # fmt: skip
    changes: dict[str, object] = {k: v for k, v in given.items() if v is not None}
    if no_minimum_score:
        changes["minimum_score"] = None
    with Store(Settings.read().store_url) as store:
        if changes:
            _edit(name, read_adapter_edit({"demands": changes}), store)
        echo(f"{name}: {demanded(store.registry.get(name).demands)}")


@adapters.command()
@name_argument
@click.option("--description", help="What it is for.")
@click.option("--language", help='Language of its texts, such as en or zh-TW; "" for none.')
@click.option("--tag", "tags", multiple=True, help="A tag it shall have; those not given go.")
@click.option("--untag", multiple=True, help="A tag to take from it; the others stay.")
def edit(
    name: str,
    description: str | None,
    language: str | None,
    tags: tuple[str, ...],
    untag: tuple[str, ...],
) -> None:
    """Change what is said of a registered adapter."""
    if description is None and language is None and not tags and not untag:
        raise click.UsageError(
            "nothing to change: give --description, --language, --tag or --untag."
        )
    with Store(Settings.read().store_url) as store:
        before = store.registry.get(name)
        kept = without(untag, tags or before.tags) if untag else tags
        wanted = {
            "description": description, "language": language,
            "tags": list(kept) if tags or untag else None,
        }  # fmt: skip
        _edit(name, read_adapter_edit(wanted), store)
    echo(f"{name} is changed")


@adapters.command()
@click.argument("reference", metavar="NAME|NAME@N")
@click.option("--yes", is_flag=True, help="Don't ask.")
def remove(reference: str, yes: bool) -> None:
    """Remove a version, or a name with all its versions; experiments stay."""
    with Store(Settings.read().store_url) as store:
        if "@" in reference:
            version = store.registry.find(reference)
            _ask(f"Remove {version.reference} ({version.stage})?", yes=yes)
            store.registry.remove_version(version.name, version.number)
            removed = version.reference
        else:
            removed = store.registry.get(reference).name
            count = len(store.registry.versions(removed)[removed])
            _ask(f"Remove {removed} and its {count} versions?", yes=yes)
            store.registry.remove(removed)
        write_down(store, actor(), "adapter.remove", removed)
    echo(f"{removed} is removed")


def _change_stage(reference: str, to: Stage, comment: str, *, force: bool = False) -> None:
    settings = Settings.read()
    with Store(settings.store_url) as store:
        version = store.registry.find(reference)
        fault = _fault(version, store, settings) if to is Stage.PRODUCTION else None
        moved = promotion.change_stage(
            version, to, store, settings, by=actor(), comment=comment, force=force, fault=fault
        )
        write_down(store, actor(), "adapter.stage", version.reference, **moved.details())
    told = Text.assemble((version.reference, "bold"), f"  {moved.was} → {moved.version.stage}")
    if moved.replaced is not None:
        told.append(f"; {moved.replaced.reference} is archived")
    for each in moved.unmet:
        told.append(f"\n  forced against {each}", "yellow")
    Terminal(highlight=False).print(told)


def _fault(version: AdapterVersion, store: Store, settings: Settings) -> str | None:
    return fault_of(store.get(version.experiment_id), settings, version.weights_hash)


def _edit(name: str, wanted: AdapterEdit, store: Store) -> None:
    """Change what is asked for, and write down what that was."""
    if details := promotion.edit(name, wanted, store):
        write_down(store, actor(), "adapter.edit", name, **details)


def _ask(question: str, *, yes: bool) -> None:
    if not yes:
        confirm(question)
