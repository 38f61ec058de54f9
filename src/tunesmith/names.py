"""What a person may give as data, base model or adapter, parsed into what it refers to.

A name is a path, something in an installed package (`package:NAME/inner/path`), a version of a
dataset or of a registered adapter (`reviews@3`), or else an id of the Hugging Face hub. Only this
module takes such names apart; `data.sources` and `models.locate` find what they refer to.
"""

from __future__ import annotations

import pathlib
import re
import unicodedata
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, Self, overload

LATEST, CURRENT = "latest", "current"
"""After `@`: the newest version, and the one that a dataset's bare name means."""

SIMPLE_NAME = r"^\w[\w.-]{0,99}$"
"""Pattern of what experiments and registered adapters may be called."""

LONGEST_NAME, LONGEST_FOLDER = 100, 200
"""Characters of a name, and bytes of it in UTF-8, at most: with what is put behind a name it must
fit the 255 bytes that a disk allows."""

_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")

_PACKAGE, _VERSION, _ADDRESS = "package:", "@", "://"
_DATABASE = re.compile(
    r"(sqlite|postgres(ql)?|mysql|mariadb|mssql|oracle)(\+\w+)?://", re.IGNORECASE
)
_PASSWORD = re.compile(r"(://[^/@]*?:)(?!\$\{\w+\}@)[^/]+@")
_SECRET = re.compile(
    r"([?&][^=&]*(?:password|passwd|pwd|secret|token)=)(?!\$\{)[^&]+", re.IGNORECASE
)
_MARKS = (".", "/", "~", "\\")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_UNSEEN = re.compile(
    "[\u034f\u200c\u200d\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""What nobody sees of a word: joiners, fillers, choices between forms of one character."""
_KEPT = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd", "Nl"})
"""Unicode's categories of what names are made of, beside `_`, `.` and `-`."""
_OF_WINDOWS = re.compile(
    r"(con|prn|aux|nul|(com|lpt)[1-9\u00b9\u00b2\u00b3])(\..*)?", re.IGNORECASE
)
"""What Windows takes for a device, whatever its ending."""


@dataclass(frozen=True)
class Path:
    """A file or folder of this machine, whether it is there or not."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def place(self) -> pathlib.Path:
        """The path itself, `~` replaced; a home folder that nobody has stays as it is written.

        Where letters and accents are composed on the disk and not in the text, or the other way
        round, it is the path on the disk.
        """
        path = pathlib.Path(self.text)
        with suppress(RuntimeError):
            path = path.expanduser()
        if self.text.isascii() or exists(path):
            return path
        spellings = (pathlib.Path(unicodedata.normalize(form, str(path))) for form in _FORMS)
        return next(filter(exists, spellings), path)

    @property
    def is_there(self) -> bool:
        """Whether it leads to something."""
        return exists(self.place)

    @property
    def is_address(self) -> bool:
        """Whether it is written like an address of a network, which nothing here reads."""
        return _ADDRESS in self.text

    @property
    def is_marked(self) -> bool:
        """Whether it begins as only paths do."""
        return self.text.startswith(_MARKS)


@dataclass(frozen=True)
class Hub:
    """A model or dataset of the Hugging Face hub: `owner/name`, or `name` for its oldest."""

    id: str

    def __str__(self) -> str:
        return self.id

    @property
    def owner(self) -> str | None:
        """The account that it belongs to; None for an id without one."""
        owner, slash, _ = self.id.partition("/")
        return owner if slash else None


@dataclass(frozen=True)
class Package:
    """A file or folder in an installed package; the package's own folder without `inner`."""

    name: str
    inner: str = ""

    @classmethod
    def of(cls, text: str) -> Self | None:
        """What `package:NAME/inner/path` refers to, well formed or not; None for other names."""
        if not text.startswith(_PACKAGE):
            return None
        name, _, inner = text.removeprefix(_PACKAGE).partition("/")
        return cls(name, inner)

    def __str__(self) -> str:
        return f"{_PACKAGE}{self.name}/{self.inner}" if self.inner else _PACKAGE + self.name


@dataclass(frozen=True)
class Version:
    """A version of a dataset or registered adapter: `reviews@3`, `reviews@gold`.

    `which` is a number, a tag or a stage; None where the name stands alone.
    """

    name: str
    which: str | None = None

    @classmethod
    def of(cls, text: str) -> Self:
        """What `text` refers to for somebody who expects a version."""
        name, at, which = canonical(text).partition(_VERSION)
        return cls(name, which if at else None)

    def __str__(self) -> str:
        return self.name if self.which is None else f"{self.name}{_VERSION}{self.which}"

    @property
    def number(self) -> int | None:
        """Its number, where it is named by one."""
        which = self.which or ""
        return int(which) if which.isascii() and which.isdigit() else None


@dataclass(frozen=True)
class Query:
    """What a statement asks of a database: `sqlite:///reviews.db#select text, label from t`.

    The address is as SQLAlchemy has it; `${NAME}` in it stands for a variable of the environment.
    """

    address: str
    statement: str

    @classmethod
    def of(cls, text: str) -> Self | None:
        """What `text` asks of which database; None for other names."""
        address, _, statement = text.partition("#")
        return cls(address, statement.strip()) if _DATABASE.match(address) else None

    def __str__(self) -> str:
        return f"{self.shown}#{self.statement}" if self.statement else self.shown

    @property
    def shown(self) -> str:
        """The address without a password."""
        address = _PASSWORD.sub(r"\1***@", self.address)
        return _SECRET.sub(r"\1***", address)

    @property
    def has_password(self) -> bool:
        """Whether a password is written in the address."""
        return self.shown != self.address

    @property
    def file(self) -> pathlib.Path | None:
        """The SQLite file that is asked; None for a database of a server."""
        scheme, _, rest = self.address.partition(_ADDRESS)
        if scheme.lower() != "sqlite":
            return None
        return Path(rest.removeprefix("/").partition("?")[0]).place


Reference = Path | Hub | Package | Version | Query


@overload
def parse(text: str, *, endings: Collection[str]) -> Path | Hub | Package: ...
@overload
def parse(text: str, *, endings: Collection[str], versions: bool) -> Reference: ...
def parse(text: str, *, endings: Collection[str], versions: bool = False) -> Reference:
    """What `text` refers to, where the files that are meant have one of `endings` (`.csv`).

    A path leads to something, begins as only paths do, has such an ending, or can be no id of the
    hub. With `versions`, versions of datasets and queries can be named. Anything can be parsed.
    """
    if package := Package.of(text):
        return package
    if versions and (query := Query.of(text)):
        return query
    path = Path(text)
    if path.is_there:
        return path
    if versions and is_version(text, endings):
        return Version.of(text)
    if path.is_marked or text.lower().endswith(tuple(endings)) or not _HUB_ID.fullmatch(text):
        return path
    return Hub(text)


def is_version(text: str, endings: Collection[str] = ()) -> bool:
    """Whether `text` has the form of a version: two names, joined by `@`."""
    parts = text.split(_VERSION)
    return len(parts) == 2 and all(is_name(part, endings) for part in parts)


def is_name(text: str, endings: Collection[str] = ()) -> bool:
    """Whether a dataset or tag can be called so: no path, no file of these `endings`."""
    fits = text[:1].isalnum() and ".." not in text and not text.lower().endswith(tuple(endings))
    return fits and is_stored(text) and _tidied(text) == text


def is_stored(text: str) -> bool:
    """Whether every disk can hold a folder called so: it is short, and no device of Windows."""
    short = len(text) <= LONGEST_NAME and len(text.encode(errors="replace")) <= LONGEST_FOLDER
    return short and _OF_WINDOWS.fullmatch(text) is None


def canonical(text: str) -> str:
    """`text` in the one spelling that names have: composed characters (Unicode NFC).

    macOS names files with letters and accents apart.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def has_unseen(text: str) -> bool:
    """Whether there is something in `text` that nobody sees."""
    return _UNSEEN.search(text) is not None


def name_of(text: str, otherwise: str) -> str:
    """The nearest to `text` that a dataset, a file or an experiment can be called.

    Letters and digits of any script stay, all between them becomes `-`; of long ones the beginning
    is kept. Where nothing is left it is `otherwise` with a hash of the text, so that two texts
    don't become one.
    """
    name = shortened(_tidied(text.replace(".", "-")), LONGEST_FOLDER).rstrip("-_.")
    if not name:
        return f"{otherwise}-{sha256(text.encode(errors='replace')).hexdigest()[:8]}"
    return name if is_stored(name) else f"{name}-{otherwise}"


def shortened(name: str, size: int) -> str:
    """The beginning of `name` that has at most `size` bytes in UTF-8, and 100 characters."""
    return name[:LONGEST_NAME].encode(errors="replace")[:size].decode(errors="ignore")


def _tidied(text: str) -> str:
    """`text` with `-` for all that no name has, and none of it at its ends."""
    composed = canonical(_UNSEEN.sub("", text))
    kept = (
        each if each in "_.-" or unicodedata.category(each) in _KEPT else " " for each in composed
    )
    return "-".join("".join(kept).split()).lstrip("-_.")


def exists(path: pathlib.Path) -> bool:
    """Whether the path leads to something; a name that no disk can hold leads nowhere."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a character that no name has
        return False


def breach(reference: Reference, root: pathlib.Path) -> Literal["outside", "hidden", "none"] | None:
    """Why `reference` may not be named over the network; None where it may.

    Paths may, as far as they lead to something in the folder `root` and nothing on the way is
    hidden. Of all that lies outside, the answer is the same, so that nobody learns what is there.
    """
    if not isinstance(reference, Path):
        return None
    try:
        path = reference.place.resolve()
        inside = path.relative_to(root.resolve())
        there = path.exists()
    except (ValueError, OSError, RuntimeError):
        return "outside"
    if any(part.startswith(".") for part in inside.parts):
        return "hidden"
    return None if there else "none"


def brief(text: str) -> str:
    """The part of a recorded name that tells it apart in little room.

    That is the package, or the last part of a path or hub id.
    """
    if query := Query.of(text):
        return last_part(query.shown)
    package = Package.of(text)
    return package.name if package else last_part(text)


def last_part(text: str) -> str:
    """What stands after the last slash of a recorded name."""
    return text.rpartition("/")[2] or text
