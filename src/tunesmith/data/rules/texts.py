"""Rules about what a text is made of: its length, its characters, what must not be learned.

Lines that are no row are found by reading.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tunesmith.config.rule_field import MENDING, NEEDED, Action, bound
from tunesmith.data.checking.rule import Rule
from tunesmith.data.reading.likely_encoding import CHINESE
from tunesmith.loading import load
from tunesmith.messages import say

if TYPE_CHECKING:
    from tunesmith.data.checking.across_splits import Together
    from tunesmith.data.checking.examined import Examined, Integers

_LETTER = r"[\x{80}-\x{6ff}\x{2010}-\x{203a}\x{20ac}\x{2122}\x{2500}-\x{25ff}¬√]"
_RARE = "".join(
    rf"\x{{{ord(before) + 1:x}}}-\x{{{ord(after) - 1:x}}}"
    for before, after in pairwise(["\u3400", *sorted({*CHINESE}), "\u9fff"])
    if ord(after) - ord(before) > 1
)
"""A class of all Chinese characters but the frequent ones."""

WRONGLY_DECODED = (
    rf"{_LETTER}{{2}}|[ÂÃ]\s|[\x{{80}}-\x{{9f}}]|�|¤|[ã-éï][\x{{80}}-\x{{bf}}]"
    rf"|[\x{{e000}}-\x{{f8ff}}]|[{_RARE}\x{{3105}}-\x{{3129}}]{{6}}"
)
"""What wrongly decoded text is made of: letters of the old 8-bit encodings, two or more for each
that was meant, codes that no encoding of today uses, or Chinese without a frequent character
(GBK's comma is ㄛ in Big5)."""

LOST = "�|锟斤拷|嚙踝蕭"
"""What stands for characters that were lost, also as GBK and Big5 read it."""

CONTROL = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x{200b}\x{202a}-\x{202e}\x{2066}-\x{2069}\x{feff}"
    r"\x{fff9}-\x{fffb}]"
)
"""Characters that nobody sees: control codes but tab and line ends, the zero-width space, marks
that turn the direction of writing (as in "Trojan source", CVE-2021-42574), byte-order marks."""
_INVISIBLE = str.maketrans(
    dict.fromkeys(
        [
            *range(0x00, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, 0x200B,
            *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF, *range(0xFFF9, 0xFFFC),
        ]
    )
)  # fmt: skip

MOST_NUMBERS = 2_000
"""Likely phone numbers that are looked at closely where nothing depends on it but a warning."""


@cache
def _wrongly_decoded() -> re.Pattern[str]:
    """`WRONGLY_DECODED` for Python."""
    return re.compile(
        re.sub(r"\\x\{([0-9a-f]+)\}", lambda code: chr(int(code[1], 16)), WRONGLY_DECODED)
    )


class BrokenEncoding(Rule):
    """Text decoded in the wrong way, as in 'cafÃ©'."""

    name = "broken_encoding"
    label = "broken encoding"
    actions = MENDING
    default = "fix"

    @staticmethod
    def clean(text: str) -> str:
        if not _wrongly_decoded().search(text):
            return text
        return str(load("tunesmith.data.mojibake").mend_encoding(text))

    def mend(self, rows: Examined) -> None:
        """Mend what can be; where characters were lost, nothing can."""
        mojibake = load("tunesmith.data.mojibake")
        rows_texts = load("tunesmith.data.texts")
        what = say("text that was decoded in the wrong way")
        mended = say("nothing to do: {what} was mended", what=what)
        for column in rows.written:
            rows.mend(
                self.name,
                column,
                WRONGLY_DECODED,
                self.clean,
                what,
                mended,
                answers=True,
            )
            texts = rows_texts.as_series(rows.table.column(column), answers=True)
            replaced = rows_texts.matching(texts, LOST)
            odd = (rows_texts.matching(texts, WRONGLY_DECODED) & ~replaced).arg_true()
            lost = [i for i in odd.to_list() if mojibake.is_lost(texts[i])]
            action: Action | None = "warn" if rows.actions[self.name] == "fix" else None
            again = say("characters were lost (�): take the text from where it came from again")
            rows.note(self.name, replaced.to_numpy(), column, again, action=action)
            again = say(
                "decoded in the wrong way, and bytes of it were lost, so that it is not mended: "
                "take the text from where it came from again"
            )
            rows.note(self.name, lost, column, again, action=action)


class ControlCharacters(Rule):
    """Characters that nobody sees."""

    name = "control_characters"
    label = "control characters"
    actions = MENDING
    default = "fix"

    @staticmethod
    def clean(text: str) -> str:
        return text.translate(_INVISIBLE)

    def mend(self, rows: Examined) -> None:
        what = say("invisible characters")
        mended = say("nothing to do: the {what} were removed", what=what)
        for column in rows.written:
            rows.mend(self.name, column, CONTROL, self.clean, what, mended, answers=True)


class Html(Rule):
    """HTML tags and entities; null: as remove_html says, and warn in chats if that is null."""

    name = "html"
    label = "HTML"
    actions = MENDING
    default = None
    bounds = bound(
        "remove_html", bool | None, None,
        description="Strip HTML tags and entities from texts; null: from all but chats.",
    )  # fmt: skip
    mends_answers = False

    @classmethod
    def decided(cls, rules: Any, task: Any = None) -> Action:
        if rules.html or rules.remove_html is not None:
            return rules.html or ("fix" if rules.remove_html else "ignore")
        return "warn" if task is not None and task.writes_text else "fix"

    @staticmethod
    def clean(text: str) -> str:
        return str(load("tunesmith.data.markup").strip_html(text))

    def mend(self, rows: Examined) -> None:
        hint = load("tunesmith.data.markup").HINT
        mended = say("nothing to do: the HTML was removed")
        stays = say("holds HTML, which stays: data.validation_rules.html=fix removes it")
        for column in rows.asked:
            rows.mend(self.name, column, hint, self.clean, say("HTML"), mended, stays=stays)


class EmptyTexts(Rule):
    """Empty or missing text; null: drop, or ignore with allow_empty."""

    name = "empty_texts"
    label = "empty texts"
    default = None
    bounds = bound(
        "allow_empty", bool, False, description="Keep rows whose text is empty or missing."
    )

    @classmethod
    def decided(cls, rules: Any, task: Any = None) -> Action:
        return rules.empty_texts or ("ignore" if rules.allow_empty else "drop")

    def check(self, rows: Examined) -> None:
        for column in rows.asked:
            empty = rows.lengths(column) == 0
            rows.note(self.name, empty, column, say("write the text, or remove the row"))


class LongTexts(Rule):
    """Text over max_text_length."""

    name = "long_texts"
    label = "long texts"
    default = "drop"
    bounds = bound(
        "max_text_length", int | None, None, ge=1,
        description="Longest text kept, in characters; null for no limit.",
    )  # fmt: skip

    def check(self, rows: Examined) -> None:
        most = rows.rules.max_text_length
        for column in rows.asked if most is not None else ():
            lengths = rows.lengths(column)

            def advice(index: int, lengths: Integers = lengths) -> str:
                n = int(lengths[index])
                return say("{n:,} characters, at most {most:,} are wanted", n=n, most=most)

            rows.note(self.name, lengths > most, column, advice)


class ShortTexts(Rule):
    """Text under min_text_length."""

    name = "short_texts"
    label = "short texts"
    default = "drop"
    bounds = bound(
        "min_text_length", int, 1, ge=0, description="Shortest text kept, in characters."
    )

    def check(self, rows: Examined) -> None:
        """An empty text is another rule's."""
        least = rows.rules.min_text_length
        for column in rows.asked:
            lengths = rows.lengths(column)

            def advice(index: int, lengths: Integers = lengths) -> str:
                n = int(lengths[index])
                return say("{n:,} characters, at least {least:,} are wanted", n=n, least=least)

            rows.note(self.name, (lengths > 0) & (lengths < least), column, advice)


class PersonalData(Rule):
    """Likely e-mail addresses, phone numbers and identity numbers."""

    name = "personal_data"
    label = "personal data"

    def check_together(self, data: Together) -> None:
        find_personal_data = load("tunesmith.data.checking.personal").find_personal_data
        advice = say("replace it, unless the model may learn it")
        for rows in data.sides:
            most = MOST_NUMBERS if rows.actions[self.name] == "warn" else None
            found, passed_over = find_personal_data(data.texts[rows.split].written, most)
            rows.note(self.name, found, data.column, advice, [*found.values()])
            if passed_over:
                data.notes.append(
                    say(
                        "phone numbers in {n:,} texts of {split} after the first {most:,} that "
                        "may hold one (personal_data: drop looks at all)",
                        n=passed_over,
                        split=rows.split,
                        most=MOST_NUMBERS,
                    )
                )


class Secrets(Rule):
    """Likely keys, tokens and passwords."""

    name = "secrets"
    label = "secrets"

    def check_together(self, data: Together) -> None:
        find_secrets = load("tunesmith.data.checking.personal").find_secrets
        advice = say("take the secret out, and change it where it is in use")
        for rows in data.sides:
            found = find_secrets(data.texts[rows.split].written)
            rows.note(self.name, found, data.column, advice, [*found.values()])


class UnreadableRows(Rule):
    """Lines that are no row, as broken JSON."""

    name = "unreadable_rows"
    label = "unreadable rows"
    actions = NEEDED
    default = "drop"
