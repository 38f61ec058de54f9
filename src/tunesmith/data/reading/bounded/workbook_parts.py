"""What the parts of a workbook say that its cells don't: formulas without a value, merged cells.

The parts of Excel's workbooks are those of ECMA-376, LibreOffice's those of OpenDocument.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from pathlib import PurePosixPath
from xml.etree import ElementTree

_BOOK, _LINKS, _OPEN = "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "content.xml"
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_NO_VALUE = re.compile(
    rb'<c\s[^>]*?\br="([A-Z]{1,3})\d+"[^>]*>\s*<f(?:\s[^>]*)?(?:/>|>[^<]*</f>)\s*'
    rb"(?:<v\s*/>|<v>\s*</v>)?\s*</c>"
)
"""A cell with a formula, and no value that a program computed for it."""
_SPANS = re.compile(rb'table:number-rows-spanned="(?!1")\d')


def formulas_without_value(path: str, sheet: str) -> Counter[int]:
    """Number of a column, from 0 → how many formulas of it have no value, in Excel's workbooks."""
    found: Counter[int] = Counter()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as book:
            if (part := _part(book, sheet)) is not None:
                found.update(map(_number, _NO_VALUE.findall(book.read(part))))
    return found


def has_spans(path: str) -> bool:
    """Whether a workbook of LibreOffice has cells that go over several rows."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as book:
        return _OPEN in book.namelist() and _SPANS.search(book.read(_OPEN)) is not None


def _part(book: zipfile.ZipFile, sheet: str) -> str | None:
    """The part of an Excel workbook that holds a sheet's cells."""
    there = {*book.namelist()}
    if not {_BOOK, _LINKS} <= there:
        return None
    sheets = ElementTree.fromstring(book.read(_BOOK)).iter()
    wanted = next((each.get(_ID) for each in sheets if each.get("name") == sheet), None)
    links = ElementTree.fromstring(book.read(_LINKS)).iter()
    target = next((each.get("Target") for each in links if wanted and each.get("Id") == wanted), "")
    part = str(PurePosixPath("/xl", str(target)))[1:]
    return part if part in there else None


def _number(letters: bytes) -> int:
    """The number of a column, from 0: A, B … Z, AA."""
    number = 0
    for letter in letters:
        number = 26 * number + letter - ord("A") + 1
    return number - 1
