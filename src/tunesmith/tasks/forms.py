"""How the answers of a dataset are written, where only all of its rows together can say it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from tunesmith.messages import Message


class AnswerForm(ABC):
    """What a task found out about the answers of all rows, and how it reads them."""

    notes: tuple[Message, ...]
    """What a user should know of it."""

    @property
    @abstractmethod
    def example(self) -> list[Any]:
        """An answer as `answer` writes it."""

    @abstractmethod
    def answer(self, row: Mapping[str, Any]) -> Any:
        """The row's answer in the one form that the task reads.

        What can't be written so stays as it is: `Task.faults` says what is wrong with it.
        """
