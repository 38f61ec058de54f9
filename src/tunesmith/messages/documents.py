"""Messages in documents: a text stays where it stood, and what it is made of stands beside it.

A document such as `metrics.json` or an answer of the API holds plain texts, for people and for
programs that know nothing of messages. Its member `MESSAGES` has those texts that are messages, by
their places (JSON pointers, RFC 6901), each as `{text, template, values}`; whoever reads the
document puts them back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, MutableSequence
from typing import Any

from tunesmith.messages.message import Message, from_json

MESSAGES = "messages"
"""The member of a document that holds what its messages are made of."""

DEEPEST = 50
"""Levels of a document in which messages are looked for."""


def with_messages(document: Mapping[str, Any]) -> dict[str, Any]:
    """`document` with what its messages are made of; as it is where it holds none."""
    found = messages_in(document)
    return {**document, MESSAGES: found} if found else dict(document)


def without_messages(document: dict[str, Any]) -> dict[str, Any]:
    """A document that `with_messages` made, changed to have its messages in their places again."""
    found = document.get(MESSAGES)
    if isinstance(found, Mapping) and found and all(name.startswith("/") for name in found):
        del document[MESSAGES]
        put_back(document, found)
    return document


def messages_in(document: Mapping[str, Any]) -> dict[str, Any]:
    """The messages anywhere in `document`, by their places."""
    return {pointer: message.to_json() for pointer, message in _found(document, "", 0)}


def put_back(document: MutableMapping[str, Any], messages: Mapping[str, Any]) -> None:
    """Give each place of `document` its message, where it still holds that text."""
    for pointer, each in messages.items():
        *names, last = map(_unescaped, pointer.removeprefix("/").split("/")[: DEEPEST + 1])
        inner: Any = document
        for name in names:
            inner = _at(inner, name)
        message, text = from_json(each), _at(inner, last)
        if message is None or not isinstance(text, str) or text != message:
            continue
        if isinstance(inner, MutableMapping):
            inner[last] = message
        else:
            inner[int(last)] = message


def _found(value: object, pointer: str, depth: int) -> Iterator[tuple[str, Message]]:
    if isinstance(value, Message):
        yield pointer, value
    elif depth > DEEPEST:
        return
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _found(each, f"{pointer}/{_escaped(str(name))}", depth + 1)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _found(each, f"{pointer}/{number}", depth + 1)


def _at(inner: Any, name: str) -> Any:
    """What `inner` has under `name`; None where that is nothing."""
    if isinstance(inner, Mapping):
        return inner.get(name)
    if isinstance(inner, MutableSequence) and name.isascii() and name.isdecimal():
        return inner[int(name)] if len(name) < 9 and int(name) < len(inner) else None
    return None


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _unescaped(name: str) -> str:
    return name.replace("~1", "/").replace("~0", "~")
