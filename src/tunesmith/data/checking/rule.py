"""What a rule of the data does: the interface that every rule fills in.

Rules, stated first:

- A rule is a class in a file of `data/rules/`, or in another package (`plugins`). Its field in
  `data.validation_rules`, with its bounds, is made of it; nothing else lists rules.
- It fills in one of the methods here. What it finds it notes with `rows.note`, which does with the
  rows as the rule's action says. It isn't asked where that is `ignore`.
- What it mends in a text, it mends by `clean`, so that questions can be mended alike.
- It is light to import: Polars, NumPy and Arrow are imported inside its methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tunesmith.config.rule_field import RuleField

if TYPE_CHECKING:
    from tunesmith.data.checking.across_splits import Together
    from tunesmith.data.checking.examined import Examined
    from tunesmith.data.checking.tokens import Counted


class Rule(RuleField):
    """What a row must be like to be used."""

    mends_answers: ClassVar[bool] = True
    """Whether `clean` is for what is learned and answered, too, not only for what is asked."""

    @staticmethod
    def clean(text: str) -> str:
        """`text` as `mend` leaves it: so an adapter is asked, where training mended."""
        return text

    def mend(self, rows: Examined) -> None:
        """Put right what can be in the texts of one split, before anything else looks at them."""

    def check(self, rows: Examined) -> None:
        """Look at each row of one split by itself."""

    def check_together(self, data: Together) -> None:
        """Look at the rows of all splits, which passed what looks at each by itself."""

    def check_tokens(self, rows: Examined, counted: Counted) -> None:
        """Look at rows as the model's tokenizer reads them; a task names the rules that do."""
