"""Names of datasets, tags and versions: which can be, and which version `reviews@3` means."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tunesmith.data.reading.files import endings
from tunesmith.data.versions.log import VersionLog
from tunesmith.errors import DataError, NotFoundError, did_you_mean, nearest, shorten
from tunesmith.messages import say
from tunesmith.names import CURRENT, LATEST, Version, is_name, is_stored

SHOWN_NAMES = 20

_RULE = say(
    "1 to 100 letters, digits, _, . and -, at most 200 bytes in UTF-8, of which a letter or digit "
    "is the first"
)


def check_name(name: str, what: str = "a dataset") -> None:
    """Raises DataError when nothing can have this name: it would be a path, or look like a file."""
    if is_name(name, endings()):
        return
    if not is_stored(name):
        raise DataError(
            "{what} can't be called {name}: not every disk can hold a folder of this name. "
            "Accepted: at most 100 characters and 200 bytes in UTF-8, and no device of Windows, "
            "such as con or nul",
            what=what,
            name=shorten(name),
        )
    message = say("{what} can't be called {name}", what=what, name=shorten(name))
    if not is_name(name):
        raise DataError(
            "{message}; accepted: {rule}, without .. in it", message=message, rule=_RULE
        )
    ending = Path(name).suffix
    raise DataError(
        "{message}: it would be taken for a file; leave the ending {ending} away",
        message=message,
        ending=ending,
    )


def check_tag(tag: str) -> None:
    """Raises DataError when no version can be tagged so."""
    check_name(tag, "a tag")
    if tag in (CURRENT, LATEST) or tag.isdigit():
        raise DataError(
            "a tag can't be called {name}, which has a meaning of its own", name=repr(tag)
        )


def find_number(log: VersionLog, reference: Version) -> int:
    """The number of the version of this dataset that `reference` means.

    Raises NotFoundError naming what there is, and the nearest name.
    """
    name, wanted = reference.name, reference.which
    if wanted is None or wanted == CURRENT:
        return log.current
    if wanted == LATEST:
        return max(log.versions)
    number = log.tags.get(wanted) if reference.number is None else reference.number
    if number in log.versions:
        return number
    latest = max(log.versions)
    there = (
        say("{name}@1 to {name}@{latest}", name=name, latest=latest) if latest > 1 else f"{name}@1"
    )
    if log.tags:
        there += say(", tagged: {listed}", listed=_listed(log.tags))
    near = nearest(wanted, [*log.tags, LATEST, CURRENT])
    hint = say("; did you mean {name}@{near}?", name=name, near=near) if near else ""
    raise NotFoundError(
        "there is no version {reference}; there is {there}{hint}",
        reference=reference,
        there=there,
        hint=hint,
    )


def hint(wanted: str, known: Collection[str], what: str) -> str:
    """The end of a message about a name that isn't there: the nearest, else all (`what`)."""
    if near := did_you_mean(wanted, known):
        return near
    if known:
        return say("; there is: {names}", names=_listed(known))
    return say("; there are no {kind} yet", kind=what)


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:SHOWN_NAMES])
    return shown if len(names) <= SHOWN_NAMES else f"{shown}, …"
