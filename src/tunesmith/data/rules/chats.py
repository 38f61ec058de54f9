"""Rules about conversations; the tasks that learn from them find what breaks them."""

from __future__ import annotations

from tunesmith.config.rule_field import NEEDED
from tunesmith.data.checking.rule import Rule


class EmptyTurns(Rule):
    """Chat turns without text."""

    name = "empty_turns"
    label = "empty turns"
    default = "drop"


class MissingAnswers(Rule):
    """Chats and prompts without an answer."""

    name = "missing_answers"
    label = "missing answers"
    actions = NEEDED
    default = "drop"


class NonTextTurns(Rule):
    """Chats that are no list of texts."""

    name = "non_text_turns"
    label = "turns without text"
    actions = NEEDED
    default = "drop"


class WrongOrder(Rule):
    """Chats whose roles don't take turns."""

    name = "wrong_order"
    label = "turns out of order"


class WrongRoles(Rule):
    """Chat turns of unknown roles."""

    name = "wrong_roles"
    label = "wrong roles"
    actions = NEEDED
    default = "drop"


class WrongTools(Rule):
    """Tools and tool calls that can't be read."""

    name = "wrong_tools"
    label = "tools that can't be read"
    actions = NEEDED
    default = "drop"
