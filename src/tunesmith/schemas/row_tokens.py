"""Rows as a model sees them, as the API and the command give them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunesmith.schemas.base import ResponseModel, Said, WithMessages

MOST_ROWS = 20
"""Rows that are shown at once."""


class TokenState(ResponseModel):
    """A token of a row."""

    id: int
    text: str = Field(description="The token alone; � where it is a part of a character.")
    kind: Literal["known", "unknown", "byte", "letter", "special"] = Field(
        description="unknown: stands for whatever the model doesn't know; byte: a part of a "
        "character; letter: one letter; special: marks a place."
    )
    is_learned: bool
    is_cut: bool = Field(description="Whether the model doesn't see it: data.max_length.")
    tag: str | None = Field(description="The label that is learned for this token.")


class TokenSequence(ResponseModel):
    """One text that the model reads for a row."""

    name: str = Field(description="text, answer 1, chosen, rejected.")
    tokens: list[TokenState]


class RowTokens(WithMessages, ResponseModel):
    """A row as the model sees it."""

    split: str
    row: int = Field(description="Its number in the source, from 1.")
    left_out: list[Said] = Field(description="Why no training sees it; empty where it is used.")
    findings: list[Said] = Field(description="What the rules say of it besides.")
    target: str | None = Field(description="What is learned of the whole row: a label, a number.")
    sequences: list[TokenSequence]


class RowsAsTokens(WithMessages, ResponseModel):
    """Rows as the model sees them."""

    task: str
    model: str
    max_length: int = Field(description="Tokens that the model sees of a text, at most.")
    notes: list[Said] = Field(description="What is said of the tokens of all rows together.")
    rows: list[RowTokens]
