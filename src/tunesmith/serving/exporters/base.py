"""What an export is: the interface that every exporter fills in.

An exporter is one file in this folder, or a class of another package (`plugins`). It is light to
import: torch and what it converts with are imported inside the methods that use them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith.settings import Settings

if TYPE_CHECKING:
    from tunesmith.serving.exporters.parts.agreement import Agreement
    from tunesmith.serving.exporters.parts.work import Work


@dataclass(frozen=True)
class Exported:
    """A finished export."""

    target: str
    place: str
    """A path, or the address of a repository."""
    files: dict[str, str]
    """Name → SHA-256."""
    agreement: Agreement
    note: str = ""
    """What whoever uses it should know."""


@dataclass(frozen=True)
class Option:
    """Something that a user may, or must, say of an export to one target."""

    name: str
    """As on the command line, without its dashes."""
    help: str
    metavar: str | None = None
    """What stands for its text; None: it is a switch."""
    required: bool = False

    @property
    def parameter(self) -> str:
        """The name as Python has it."""
        return self.name.replace("-", "_")


class Exporter(ABC):
    """One form that an adapter can be taken along in.

    What it writes must answer the held-out rows as the adapter does: `work.verify` says so, and
    raises VerificationError where it doesn't.
    """

    name: ClassVar[str]
    """As in `tunesmith export --to NAME`."""
    summary: ClassVar[str]
    """One line for people who choose."""
    place: ClassVar[str] = "{}"
    """Where it goes by itself; the braces stand for the experiment's or the version's name."""
    formats: ClassVar[tuple[str, ...]] = ()
    """The number formats that `--dtype` may name."""
    usual_format: ClassVar[str] = "the adapter goes as it is"
    """The number format where none is named, in words."""
    weights: str | None = None
    """One of FORMATS that the adapter is computed in; None: as the base model is stored."""
    options: ClassVar[tuple[Option, ...]] = ()
    """Those of its own; they are keyword arguments of the class, by `parameter`."""

    def __init__(self, settings: Settings, form: str | None = None, **options: Any) -> None:
        """Raises UserError for options that can't be, before anything is loaded.

        `form` is one of `formats`, or None; a switch that wasn't given is False, a text None.
        """
        self.settings, self.form = settings, form

    @abstractmethod
    def export(self, work: Work, place: Path, *, force: bool) -> Exported:
        """Write `work`'s adapter to `place`, and hold what was written against it.

        `force` replaces what is there already. Raises ModelError for a model or task that this form
        can't hold, UserError where something is there, VerificationError, StorageError.
        """
