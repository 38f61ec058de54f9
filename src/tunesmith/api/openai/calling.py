"""Calls of tools in answers: found in what the model said, whole or while it is being said."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from tunesmith.api.openai.schemas import CalledFunction, ToolCall
from tunesmith.tasks.chats.call_forms import CallForm
from tunesmith.tasks.chats.tools import arguments_text


class Calling:
    """An answer that may hold calls: text goes on at once, what may be a call waits for the end."""

    def __init__(
        self, form: CallForm | None, tools: Sequence[dict[str, Any]], *, most: int | None = None
    ) -> None:
        """`form` is that of the model's calls, None where it has none known here.

        Without `tools` nothing is a call. `most` bounds the calls of an answer.
        """
        self._form = form if tools else None
        self._tools = tools
        self._most = most
        self._said = ""
        self._given = 0

    def next(self, piece: str) -> str:
        """What of the answer is surely text, with `piece` its next one."""
        if self._form is None:
            return piece
        self._said += piece
        begin = self._form.begin(self._said, whole=False)
        end = len(self._said[:begin].rstrip())  # no space before a call
        text = self._said[self._given : end]
        self._given = max(self._given, end)
        return text

    def end(self) -> tuple[str, list[ToolCall]]:
        """The text that was held back, and the calls."""
        if self._form is None:
            return "", []
        text, calls = self._form.parted(self._said, self._tools)
        if not calls:
            return self._said[self._given :], []
        return (
            text[self._given :],
            [
                ToolCall(
                    id=f"call{secrets.token_hex(3)[:5]}",  # nine characters, as Mistral's want
                    function=CalledFunction(
                        name=call["function"]["name"], arguments=arguments_text(call)
                    ),
                )
                for call in calls[: self._most]
            ],
        )
