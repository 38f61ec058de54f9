"""One tree of errors; every message is written for the person who reads it.

TunesmithError                 exit code 1
├── UserError                  exit code 2: something asked for is wrong, and can be put right
│   ├── ConfigError            the configuration has problems, all of them listed
│   ├── DataError              the data can't be read or used
│   ├── ModelError             the base model can't be found, read or used
│   │   └── RefusedChatError       its chat template takes no such conversation
│   ├── DeviceError            the device asked for isn't there, or can't do what is asked
│   ├── NotFoundError          nothing has the id or name that was given
│   ├── StateError             the experiment's state doesn't allow what is asked
│   └── AccessError            who asks may not have or do this
│       ├── UnauthenticatedError   who asks isn't known: a token is needed, or another one
│       └── TooManyAttemptsError   too many wrong tokens came from one address
├── TrainingError              training could not go on
│   ├── NonFiniteLossError     the loss became NaN or infinite
│   ├── ProcessKilledError     one of several processes that train together was killed
│   └── VerificationError      the saved adapter doesn't give the trained model's predictions
├── LeaseLostError             another process may train the experiment now, this one no longer
├── ServiceError               a service (broker, API, worker) can't be started or reached
├── StorageError               a file or the store can't be written
│   ├── BusyError              another process has kept the store locked for long
│   └── UnreachableError       a storage on the network does not answer
└── Interrupted                exit code 130: stopped by the user, who can resume
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Any

from tunesmith.loading import load
from tunesmith.messages import Message, joined, marked, say, say_plural


class _Unset(Enum):
    """What stands for a value that isn't known; the same object in every process."""

    UNSET = "unset"


_UNSET = _Unset.UNSET

LONGEST_NAME = 200
"""Characters up to which a name is compared with others, and shown in a message."""

MOST_NAMES = 10_000
"""Names, at most, of which the nearest is looked for."""

MOST_PROBLEMS = 50
"""Problems that one report lists; it says how many more there are."""

SHOWN_NAMES = 20
"""Names that a message lists; of more it says how many there are."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was most probably meant to be, or None.

    Whatever is given, the work is bounded: long names, and names beyond the first 10,000, are not
    compared.
    """
    if len(name) > LONGEST_NAME:
        return None
    short = (other for other in islice(known, MOST_NAMES) if len(other) <= LONGEST_NAME)
    process = load("rapidfuzz.process")  # a tenth of the time of `tunesmith --help`
    scorer = load("rapidfuzz.fuzz").ratio
    found = process.extractOne(name, list(short), scorer=scorer, score_cutoff=60)
    return None if found is None else found[0]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` with the nearest of the `known` names; empty where none is near."""
    found = nearest(name, known)
    return say("; did you mean {name}?", name=found) if found else ""


def first_line(error: BaseException) -> str:
    """The first line of what `error` says, short enough for a sentence."""
    return str(error).strip().partition("\n")[0][:300]


def listed(names: Sequence[str]) -> Message:
    """`names` for a message: the first 20, and how many more there are."""
    shown = [shown_name(name) for name in names[:SHOWN_NAMES]]
    more = len(names) - SHOWN_NAMES
    if more > 0:
        return say("{names} and {n:,} more", names=shown, n=more)
    return say("{names}", names=shown)


def shown_name(name: str) -> str:
    """`name` on one line and without escape sequences, cut to 200 characters: for messages."""
    name = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    return one_line(name)


def one_line(text: str) -> str:
    """`text` with control characters written as escapes, so that it stays on its line.

    Line breaks would let a name forge lines of a log; escape sequences would move a terminal's
    cursor (OWASP, "Log Injection"); marks of direction would let text be read in another order.
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character == "\u3000"
        else character.encode("unicode_escape").decode()
        for character in text
    )


def printable(text: str) -> str:
    r"""`text` with control characters written as escapes (`\u001b`), line breaks and tabs kept.

    For texts of several lines; a terminal runs nothing of what is left (OWASP, "Log Injection").
    JSON means the same afterwards.
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text.replace("\r\n", "\n"))


_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def shorten(value: object, limit: int = 60) -> str:
    """`value` as Python writes it, cut to `limit` characters."""
    if isinstance(value, str | bytes) and len(value) > limit:
        value = value[:limit]  # what is cut off below need not be written first
        return repr(value)[: limit - 1] + "…"
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


@dataclass(frozen=True)
class Problem:
    """One thing wrong with what a person asked for.

    `field` is the dotted path of the setting, `place` where it was written (`file:line` or a flag).
    """

    field: str
    message: str
    value: Any = _UNSET
    accepted: str | None = None
    suggestion: str | None = None
    place: str | None = None

    @property
    def has_value(self) -> bool:
        """Whether the value that was given is known."""
        return self.value is not _UNSET

    def __str__(self) -> Message:
        return joined([each for each in (self.place, self.sentence) if each], " ")

    @property
    def sentence(self) -> Message:
        """What is wrong, without its place."""
        parts: list[str] = [self.message]
        if self.field:
            field = shown_name(self.field)
            parts = [say("{field}: {message}", field=field, message=self.message)]
        return joined([*parts, *self.details], "")

    @property
    def details(self) -> list[Message]:
        """What follows the message: the value, what is accepted, the nearest right name."""
        found = []
        if self.has_value:
            found.append(say("; got {value}", value=shorten(self.value)))
        if self.accepted:
            found.append(say("; accepted: {what}", what=self.accepted))
        if self.suggestion:
            found.append(say("; did you mean {name}?", name=self.suggestion))
        return found


def first_problems(problems: Sequence[Problem]) -> list[Problem]:
    """The first 50 problems, and one that says how many more there are."""
    return [*problems[:MOST_PROBLEMS], *more_problems(len(problems) - MOST_PROBLEMS)]


def more_problems(count: int) -> list[Problem]:
    """The problem that stands for `count` others; none where there are none."""
    if count <= 0:
        return []
    return [
        Problem(
            "",
            say_plural(
                "{n:,} more problem is not listed", "{n:,} more problems are not listed", n=count
            ),
        )
    ]


class TunesmithError(Exception):
    """Raised when Tunesmith can't do what was asked; the base of all that it raises on purpose.

    It says `template` with `values` in its places, as `say` does; a message stays as it is.
    """

    exit_code = 1

    def __init__(self, template: str, /, **values: object) -> None:
        if values:
            message = say(template, **values)
        else:
            message = template if isinstance(template, Message) else marked(template)
        super().__init__(message)


class UserError(TunesmithError):
    """Raised when what was asked for is wrong in a way that the user can put right."""

    exit_code = 2


class ConfigError(UserError):
    """Raised when a configuration has problems; carries every one of them, with its place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(joined(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)  # so that it can come from another process

    def located(self, places: Mapping[str, str]) -> ConfigError:
        """The same error with the places of its fields filled in (`places`: field → place)."""
        return ConfigError(
            problem if problem.place else replace(problem, place=_place_of(problem.field, places))
            for problem in self.problems
        )


def invalid(field: str, message: str, *rest: Any, **more: Any) -> ConfigError:
    """The error of one problem, whose parts are given as to `Problem`."""
    return ConfigError([Problem(field, message, *rest, **more)])


def _place_of(field: str, places: Mapping[str, str]) -> str | None:
    """Where `field` was written, or its nearest enclosing section."""
    while field:
        if field in places:
            return places[field]
        field = field.rpartition(".")[0]
    return places.get("")


class DataError(UserError):
    """Raised when the data can't be read, or can't be used for the task."""


class ModelError(UserError):
    """Raised when the base model can't be found, read or used for the task."""


class RefusedChatError(ModelError):
    """Raised when the model's chat template refuses a conversation, where it takes others."""


class DeviceError(UserError):
    """Raised when the device asked for isn't there, or can't do what is asked of it."""


class NotFoundError(UserError):
    """Raised when no experiment, version or split has the id or name that was given."""


class StateError(UserError):
    """Raised when the experiment's state doesn't allow what is asked (an illegal transition)."""


class AccessError(UserError):
    """Raised when who asks isn't known, or may not have or do what is asked for."""


class UnauthenticatedError(AccessError):
    """Raised when a request doesn't say who asks, or says it wrongly."""


class TooManyAttemptsError(AccessError):
    """Raised when one address tried too many wrong tokens; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[TooManyAttemptsError], tuple[str, int]]:
        return type(self), (str(self), self.retry_after)


class LeaseLostError(TunesmithError):
    """Raised in a process whose experiment was given to another: it must write no more."""


class ServiceError(TunesmithError):
    """Raised when a service (broker, API, worker) can't be started or reached."""


class TrainingError(TunesmithError):
    """Raised when training could not go on."""


class NonFiniteLossError(TrainingError):
    """Raised when the loss became NaN or infinite."""


class ProcessKilledError(TrainingError):
    """Raised when a signal ended one of several processes that train one experiment together."""


class VerificationError(TrainingError):
    """Raised when the saved adapter doesn't give the trained model's predictions."""


class StorageError(TunesmithError):
    """Raised when a file or the store can't be written: a full disk, a read-only folder."""


class BusyError(StorageError):
    """Raised when another process has kept the store locked for long: nothing is wrong with it."""


class UnreachableError(StorageError):
    """A storage on the network doesn't answer: in a while it may."""


class Interrupted(TunesmithError):
    """Raised when the user stopped the work (Ctrl-C); what was done is kept and can be resumed."""

    exit_code = 130
