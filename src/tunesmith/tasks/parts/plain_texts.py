"""Texts of users to tokens: a control token in them is the text that it is, and never obeyed.

Texts without one are encoded by the tokenizer alone. Of the others the tokens are found apart, and
put between those that the model wants around a text, or a pair of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.tasks.base import Example
from tunesmith.tasks.tokens.control_tokens import ControlTokens, Tokens

_PROBE = "one word"
_FIELDS = ("input_ids", "token_type_ids", "offset_mapping")


def read_as_text(tokenizer: Any) -> None:
    """Let `tokenizer`, and whoever loads it once it is saved, read control tokens as text.

    The Rust tokenizers alone: the others would no longer know other added tokens either.
    """
    if tokenizer.is_fast:
        tokenizer.split_special_tokens = tokenizer.init_kwargs["split_special_tokens"] = True


def encode_texts(
    tokenizer: Any, *texts: Sequence[str], max_length: int | None = None, offsets: bool = False
) -> list[Example]:
    """Tokens of each text, or pair of texts, cut to `max_length` where that is given.

    `input_ids`; `token_type_ids` where the tokenizer has them; with `offsets` also
    `offset_mapping`, each token's place in its text.
    """
    rows = list(zip(*texts, strict=True))
    if not rows:
        return []
    control = ControlTokens(tokenizer)
    around = _Around.of(tokenizer, len(texts))
    encoded = tokenizer(
        *map(list, texts),
        return_offsets_mapping=offsets,
        truncation=max_length is not None,
        max_length=max_length,
        verbose=False,
    )
    found: list[Example] = []
    names = [name for name in _FIELDS if name in encoded and (offsets or name != _FIELDS[2])]
    for number, row in enumerate(rows):
        example = {name: encoded[name][number] for name in names}
        if around.holds_others(example["input_ids"], control.ids) or any(map(control.first, row)):
            apart = around.row([control.tokens(text) for text in row], max_length)
            example = {name: apart[name] for name in names}
        found.append(example)
    return found


@dataclass(frozen=True)
class _Around:
    """The tokens that a model wants around texts, as (id, type): one list before, between, after.

    Types are None where the tokenizer has none.
    """

    special: list[list[tuple[int, int | None]]]
    types: list[int | None]
    """The type of the tokens of each text."""
    cut_left: bool

    @classmethod
    def of(cls, tokenizer: Any, texts: int) -> _Around:
        """What `tokenizer` puts around so many texts."""
        probe = list(tokenizer(_PROBE, add_special_tokens=False)["input_ids"])
        encoded = tokenizer(*[_PROBE] * texts)
        ids = list(encoded["input_ids"])
        typed = list(zip(ids, encoded.get("token_type_ids") or [None] * len(ids), strict=True))
        special, types, start = [], [], 0
        for _ in range(texts):
            places = range(start, len(ids))
            place = next((n for n in places if ids[n : n + len(probe)] == probe), start)
            special.append(typed[start:place])
            types.append(typed[place][1])
            start = place + len(probe)
        return cls([*special, typed[start:]], types, tokenizer.truncation_side == "left")

    def holds_others(self, ids: Sequence[int], control: frozenset[int]) -> bool:
        """Whether more `control` tokens are among `ids` than stand around the texts."""
        own = sum(token in control for part in self.special for token, _ in part)
        return sum(map(control.__contains__, ids)) > own

    def row(self, texts: Sequence[Tokens], max_length: int | None) -> Example:
        """The texts' tokens with those around them, the longest text cut first."""
        kept = [len(text) for text in texts]
        if max_length is not None:
            kept = _longest_first(kept, max_length - sum(map(len, self.special)))
        whole = [(*token, (0, 0)) for token in self.special[0]]
        for text, length, own, after in zip(texts, kept, self.types, self.special[1:], strict=True):
            part = text[len(text) - length :] if self.cut_left else text[:length]
            whole += [(token, own, place) for token, place in part]
            whole += [(*token, (0, 0)) for token in after]
        ids, types, places = zip(*whole, strict=True) if whole else ((), (), ())
        return dict(zip(_FIELDS, (list(ids), list(types), list(places)), strict=True))


def _longest_first(lengths: Sequence[int], room: int) -> list[int]:
    """How many tokens of one or two texts are kept so that they have `room` together."""
    if sum(lengths) <= room:
        return list(lengths)
    if len(lengths) == 1:
        return [max(room, 0)]
    short = min(*lengths, room // 2)
    return [short, room - short] if lengths[0] <= lengths[1] else [room - short, short]
