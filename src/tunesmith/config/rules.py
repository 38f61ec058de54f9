"""The rules that rows are held against, as a configuration sets them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tunesmith.config.section import Section

RowAction = Literal["drop", "warn", "fail", "ignore"]
Mending = Literal["fix", "drop", "warn", "fail", "ignore"]
Needed = Literal["drop", "fail"]


class ValidationRules(Section):
    """What a row must be like to be used, and what happens to one that isn't.

    A rule's action: `drop` leaves the row out, `fix` mends it, `warn` reports it, `fail` stops, and
    `ignore` doesn't look. Whatever is found stands in the report.
    """

    min_text_length: int = Field(1, ge=0, description="Shortest text kept, in characters.")
    max_text_length: int | None = Field(
        None, ge=1, description="Longest text kept, in characters; null for no limit."
    )
    allow_empty: bool = Field(False, description="Keep rows whose text is empty or missing.")
    remove_html: bool = Field(True, description="Strip HTML tags and entities from the text.")
    near_duplicate_similarity: float = Field(
        0.8, gt=0.0, le=1.0, description="Share of common words from which texts are nearly equal."
    )
    max_imbalance_ratio: float = Field(
        3.0, ge=1.0, description="Rows of the commonest label by those of the rarest, at most."
    )
    unreadable_rows: Needed = Field("drop", description="Lines that are no row, as broken JSON.")
    empty_texts: RowAction | None = Field(
        None, description="Empty or missing text; null: drop, or ignore with allow_empty."
    )
    short_texts: RowAction = Field("drop", description="Text under min_text_length.")
    long_texts: RowAction = Field("drop", description="Text over max_text_length.")
    cut_texts: RowAction = Field("warn", description="Text over data.max_length, in tokens.")
    cut_answers: RowAction | None = Field(
        None, description="Chats whose answer is cut by data.max_length; null: as cut_texts."
    )
    control_tokens: RowAction = Field("warn", description="Texts with the model's control tokens.")
    html: Mending | None = Field(
        None, description="HTML tags and entities; null: fix with remove_html, else ignore."
    )
    broken_encoding: Mending = Field(
        "fix", description="Text decoded in the wrong way, as in 'cafÃ©'."
    )
    control_characters: Mending = Field("fix", description="Characters that nobody sees.")
    missing_labels: Needed = Field("drop", description="Rows without a label.")
    unknown_labels: Needed = Field(
        "fail", description="Rows whose label is not among task.labels, or is no number."
    )
    broken_tags: Needed = Field(
        "drop", description="Tags that break IOB2 or don't fit their words; spans out of the text."
    )
    rare_labels: RowAction = Field("warn", description="Labels with suspiciously few rows.")
    label_imbalance: Literal["warn", "fail", "ignore"] = Field(
        "warn", description="Labels beyond max_imbalance_ratio."
    )
    duplicates: RowAction = Field(
        "warn", description="Rows with text and label of an earlier one; drop keeps the first."
    )
    near_duplicates: RowAction = Field(
        "warn", description="Rows with nearly the text of an earlier one; drop keeps the first."
    )
    conflicting_labels: RowAction = Field(
        "warn", description="The same text with different labels; drop leaves out all of them."
    )
    leakage: RowAction = Field("drop", description="Training rows with a held-out row's text.")
    near_leakage: RowAction = Field(
        "warn", description="Training rows with nearly a held-out row's text."
    )
    wrong_roles: Needed = Field("drop", description="Chat turns of unknown roles.")
    non_text_turns: Needed = Field("drop", description="Chats that are no list of texts.")
    empty_turns: RowAction = Field("drop", description="Chat turns without text.")
    missing_answers: Needed = Field("drop", description="Chats and prompts without an answer.")
    wrong_order: RowAction = Field("warn", description="Chats whose roles don't take turns.")
    secrets: RowAction = Field("warn", description="Likely keys, tokens and passwords.")
    personal_data: RowAction = Field(
        "warn", description="Likely e-mail addresses and phone numbers."
    )

    @property
    def actions(self) -> dict[str, Any]:
        """Rule → action, those decided that were left open."""
        rules = self.model_dump(
            exclude={
                "min_text_length", "max_text_length", "allow_empty", "remove_html",
                "near_duplicate_similarity", "max_imbalance_ratio",
            }
        )  # fmt: skip
        rules["empty_texts"] = self.empty_texts or ("ignore" if self.allow_empty else "drop")
        rules["cut_answers"] = self.cut_answers or self.cut_texts
        rules["html"] = self.html or ("fix" if self.remove_html else "ignore")
        return rules
