"""What the values of a column look like: free text, labels, numbers, marks, or an id or a date."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from typing import Any

from tunesmith.tasks.parts.label_texts import certain_key, is_missing
from tunesmith.values import canonical, is_number

SHORTEST_TEXT = 3
"""Words of a free text, in the middle of all; two characters of a script without spaces are one."""
LONGEST_LABEL = 40
"""Characters of a label, in the middle of all."""
FEWEST_VALUES = 4
"""Values that must be seen before they count as few, or as different."""
FREE = 0.5
"""Share of different values, at least, in a column of free texts; at most, in one of labels."""

_NO_DATA = re.compile(
    r"(.*[\W_])?(id|ids|idx|uid|uuid|guid|index|no|nr|key|hash|date|time|datetime|timestamp|year|month"
    r"|day|url|link|email|split)|unnamed.*|(created|updated|modified)[\W_].*"
    r"|.*(編號|编号|序號|序号|代號|日期|時間|时间|年份|網址|网址|電話|电话)",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\d{1,4}[-/.年]\d{1,2}([-/.月]\d{1,4}日?)?([T ].{0,40})?|\d{1,2}:\d{2}(:\d{2})?"
)
_NO_TEXT = re.compile(
    r"[a-z][a-z0-9+.-]*://\S+|\S+@\S+\.\S+|[0-9a-f-]{16,}|[A-Za-z_.-]*\d[\w.-]*", re.I
)
_NO_SPACES = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")


def is_no_data(name: str, values: Sequence[Any]) -> bool:
    """Whether a column holds ids, dates, addresses or the like, by its name or its values."""
    if _NO_DATA.fullmatch(name.strip()):
        return True
    texts = [value.strip() for value in values if isinstance(value, str) and value.strip()]
    odd = sum(bool(_DATE.fullmatch(text) or _NO_TEXT.fullmatch(text)) for text in texts)
    different = len({*texts}) > FREE * len(texts)
    return bool(texts) and different and odd > FREE * len(texts)


def is_free_text(values: Sequence[Any]) -> bool:
    """Whether most values are texts of several words, and different from each other."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    if not texts or len(texts) < FREE * len(values):
        return False
    if len(texts) >= FEWEST_VALUES and len({*texts}) <= FREE * len(texts):
        return False
    return statistics.median(map(_words, texts)) >= SHORTEST_TEXT


def _words(text: str) -> float:
    text = text[:1_000]
    return len(text.split()) + len(_NO_SPACES.findall(text)) / 2


def is_few_labels(values: Sequence[Any]) -> bool:
    """Whether the values are short and repeat: labels of a few kinds."""
    found = [canonical(value) for value in values if not isinstance(value, dict | list)]
    if len(found) < max(FEWEST_VALUES, len(values)) or any(map(_DATE.fullmatch, found)):
        return False
    lengths = sorted(map(len, found))
    return 2 <= len({*found}) <= FREE * len(found) and lengths[len(found) // 2] <= LONGEST_LABEL


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether the values are numbers, different ones."""
    found = [canonical(value) for value in values if not isinstance(value, bool)]
    return len({*found}) > 1 and len(found) == len(values) and all(map(is_number, found))


def is_marks(values: Sequence[Any]) -> bool:
    """Whether the values are 0 and 1, or true and false, and nothing else."""
    found = {certain_key(canonical(value)) for value in values if not is_missing(value)}
    return found in ({"0", "1"}, {"true", "false"})


def median_length(values: Sequence[Any]) -> float:
    """Characters of the values, in the middle of all."""
    return statistics.median(len(canonical(value)) for value in values)
