"""What commands share that read or change the store: it, the audit trail, tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from tunesmith.files.environment import this_person
from tunesmith.loading import load
from tunesmith.settings import Settings
from tunesmith.store.audit import write_down
from tunesmith.store.store import Store


@contextmanager
def opened() -> Iterator[tuple[Store, Settings]]:
    """The store, and the settings that say where it is."""
    settings = Settings.read()
    with Store(settings.store_url) as store:
        yield store, settings


def record(store: Store, action: str, target: str, **details: Any) -> None:
    """Write down that whoever types did `action` to `target`."""
    write_down(store, this_person(), action, target, **details)


def tag_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` the options `--tag` and `--untag`: `tags` and `untag`."""
    gone = click.option("--untag", multiple=True, help="A tag to take from it; the others stay.")
    tag = click.option(
        "--tag", "tags", multiple=True, help="A tag it shall have; those not given go."
    )
    return tag(gone(command))


def new_tags(before: Sequence[str], tags: Sequence[str], untag: Sequence[str]) -> list[str] | None:
    """The tags that are asked for of what has those `before`; None where none is named."""
    if untag:
        return list(load("tunesmith.experiments.lifecycle.edits").without(untag, tags or before))
    return list(tags) or None
