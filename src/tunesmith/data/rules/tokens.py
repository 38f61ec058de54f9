"""Rules about texts as the model's tokenizer reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith.config.rule_field import NEEDED, Action, bound
from tunesmith.data.checking.rule import Rule
from tunesmith.messages import say

if TYPE_CHECKING:
    from tunesmith.data.checking.examined import Examined
    from tunesmith.data.checking.tokens import Counted


class ControlTokens(Rule):
    """Texts with the model's control tokens."""

    name = "control_tokens"
    label = "control tokens in texts"

    def check_tokens(self, rows: Examined, counted: Counted) -> None:
        rows.note(
            self.name,
            counted.control,
            counted.column,
            lambda index: say(
                "holds {value}, a control token of the model, which is read as plain "
                "text: take it out, and where the data are in a chat format already, "
                "give turns instead",
                value=counted.control[index],
            ),
        )


class CutAnswers(Rule):
    """Chats whose answer is cut by data.max_length; null: as cut_texts."""

    name = "cut_answers"
    label = "answers without their end"
    default = None

    @classmethod
    def decided(cls, rules: Any, task: Any = None) -> Action:
        return str(rules.cut_answers or rules.cut_texts)

    def check_tokens(self, rows: Examined, counted: Counted) -> None:
        rows.note(
            self.name,
            counted.long,
            counted.column,
            lambda index: say(
                "{seen}: the answer loses its end ({share:.1%} of the rows do), from "
                "which no model learns to stop; set data.max_length={longest}, or drop "
                "such rows",
                seen=counted.seen(index),
                share=counted.share,
                longest=max(counted.counts),
            ),
        )


class RefusedChats(Rule):
    """Chats that the model's chat template refuses."""

    name = "refused_chats"
    label = "chats that the model can't read"
    actions = NEEDED
    default = "drop"

    def check_tokens(self, rows: Examined, counted: Counted) -> None:
        rows.note(self.name, counted.refused, counted.column, counted.refused.__getitem__)


class CutTexts(Rule):
    """Text over data.max_length, in tokens."""

    name = "cut_texts"
    label = "texts that are cut"

    def check_tokens(self, rows: Examined, counted: Counted) -> None:
        rows.note(
            self.name,
            counted.long,
            counted.column,
            lambda index: say(
                "{seen} ({share:.1%} of the rows are cut): raise data.max_length, or "
                "shorten the text",
                seen=counted.seen(index),
                share=counted.share,
            ),
        )


class UnwrittenTools(Rule):
    """Tools and calls that the model's chat template leaves out."""

    name = "unwritten_tools"
    label = "tools that the model can't be shown"
    default = "drop"

    def check_tokens(self, rows: Examined, counted: Counted) -> None:
        lost = {index: one for index, one in counted.unwritten.items() if not one.partly}
        rows.note(
            self.name,
            lost,
            counted.column,
            lambda index: say(
                "{lost} ({model}): choose a model that was trained to call tools, such as "
                "Qwen/Qwen2.5-0.5B-Instruct, or take the tools out of the row",
                lost=lost[index].advice,
                model=counted.tokens.model,
            ),
        )
        partly = counted.unwritten.keys() - lost
        action = "warn" if rows.actions[self.name] == "drop" else None
        rows.note(
            self.name,
            partly,
            counted.column,
            lambda index: say(
                "{lost} ({model}): the rest is learned without; a model that was trained to "
                "call tools, such as Qwen/Qwen2.5-0.5B-Instruct, is shown them",
                lost=counted.unwritten[index].advice,
                model=counted.tokens.model,
            ),
            action=action,
        )


MOST_LETTERS = 0.4
"""Share of tokens that are one letter, at most: who knows a language knows words of it."""


class UnknownTokens(Rule):
    """Texts of a script that the model doesn't know."""

    name = "unknown_tokens"
    label = "tokens unknown to the model"
    actions = ("warn", "fail", "ignore")
    bounds = bound(
        "max_unknown_share", float, 0.1, ge=0.0, le=1.0,
        description="Share of tokens that are unknown, or parts of characters, at most.",
    )  # fmt: skip

    def check_tokens(self, rows: Examined, counted: Counted) -> None:
        shares = counted.shares
        if shares.unknown + shares.byte > rows.rules.max_unknown_share:
            unknown = shares.unknown >= shares.byte
            share = shares.unknown if unknown else shares.byte
            bytes_alone = say("single bytes, parts of a character")
            what = say("unknown to the model") if unknown else bytes_alone
        elif shares.letter > MOST_LETTERS:
            share, what = shares.letter, say("single letters")
        else:
            return
        advice = say(
            "the base model hardly knows the script of these texts, so that it can learn little "
            "of them: take one of their language or a multilingual one as model.name, such as "
            "{names}",
            names=list(_CHAT_MODELS if rows.task.writes_text else _ENCODERS),
        )
        value = say("{share:.0%} of the tokens are {what}", share=share, what=what)
        rows.note_all(self.name, counted.column, value, advice)


_ENCODERS = ("intfloat/multilingual-e5-small", "distilbert-base-multilingual-cased")
_CHAT_MODELS = ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen3-0.6B")
"""Base models of many languages that are small and free to use."""
