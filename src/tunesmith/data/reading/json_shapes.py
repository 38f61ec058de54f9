"""Where in a JSON document the rows stand: as pandas, the hub's viewer and other services write it.

pandas: https://pandas.pydata.org/docs/reference/api/pandas.DataFrame.to_json.html (records, values,
columns, index, split, table) and `to_dict` (list, tight). The viewer:
https://huggingface.co/docs/dataset-viewer/rows
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.data.reading.options import ReadingOptions
from tunesmith.errors import DataError, nearest, shorten
from tunesmith.messages import say

DEEPEST = 4
"""Levels of objects in which a list of rows is looked for."""

INDEX = "index"
"""How pandas calls an index without a name."""

NO_TAG = "-100"
"""The tag of a word that has none, which is neither learned nor judged."""

_WORD = ("id", "orth", "ner")
"""Keys of a word in spaCy's training data that are used, and its number."""

_TURN = {"role", "content", "from", "value"}

_ROWS = {"data", "rows", "records", "items", "results", "examples", "instances"}
"""How lists of rows are called beside other lists."""


@dataclass(frozen=True)
class Shaped:
    """The rows of a document."""

    rows: list[Any]
    """Objects, where it is well formed."""
    notes: tuple[str, ...] = ()
    """What its owner should know of where they stood."""
    is_turned: bool = False
    """Whether keys of the document are no names of columns but number rows."""


def rows_of(document: Any, path: Path, options: ReadingOptions) -> Shaped:
    """The rows of a document; `data.sheet` names the list of one that has several.

    Raises DataError when it holds no table, ConfigError where there is no list that is asked for.
    """
    if isinstance(document, list):
        return _of_list(document)
    if not isinstance(document, dict) or not document:
        raise _no_table(shorten(document), path)
    for shape in (_viewer, _pandas_table, _pandas_split):
        if options.sheet is None and (found := shape(document)) is not None:
            return found
    lists = {key: value for key, value in _lists(document, "", 1) if value}
    if options.sheet is not None:
        return Shaped(_chosen(lists, options))
    if (found := _columns_of_lists(document) or _pandas_objects(document)) is not None:
        return found
    tables = {key: value for key, value in lists.items() if _are_rows(value)} or lists
    outer = {key: value for key, value in tables.items() if key in document} or tables
    usual = {key: value for key, value in outer.items() if key.split(".")[-1] in _ROWS}
    if len(only := outer if len(outer) == 1 else usual) == 1:
        [(key, rows)] = only.items()
        if _are_turns(rows):
            return Shaped([document])  # a chat, alone in its file
        others = [
            name for name in [*document, *lists] if name not in key.split(".") and name != key
        ]
        return Shaped(list(map(_entry, rows)), (_under(key, list(dict.fromkeys(others))),))
    if not any(isinstance(value, list) for value in document.values()) and not tables:
        return Shaped([document])  # one row: a JSON Lines file of one line
    if not tables:
        raise _no_table(say("an object with empty lists"), path)
    raise _no_table(
        say("an object with {n} lists ({names})", n=len(tables), names=", ".join(tables)),
        path,
        say(": data.sheet chooses one, and files train.json, test.json … in a folder are splits"),
    )


def _no_table(what: str, path: Path, advice: str = "") -> DataError:
    return DataError(
        "{path} must hold a list of objects, or an object with one list of "
        "objects; it holds {what}{advice}",
        path=path,
        what=what,
        advice=advice,
    )


def _under(key: str, others: Sequence[str]) -> str:
    if not others:
        return say("its rows are the list {key}", key=key)
    return say(
        "its rows are the list {key}; beside its rows, not used: {others}", key=key, others=others
    )


def _chosen(lists: Mapping[str, list[Any]], options: ReadingOptions) -> list[Any]:
    wanted = options.sheet or ""
    if wanted in lists:
        return lists[wanted]
    near = nearest(wanted, lists)
    raise options.wrong("sheet", say("there is no such list"), ", ".join(lists) or None, near)


def _lists(value: Mapping[str, Any], prefix: str, level: int) -> Iterator[tuple[str, list[Any]]]:
    """The lists in an object and in the objects in it, by their keys with dots between."""
    for key, inner in value.items():
        if isinstance(inner, list):
            yield f"{prefix}{key}", inner
        elif isinstance(inner, dict) and level < DEEPEST:
            yield from _lists(inner, f"{prefix}{key}.", level + 1)


def _are_objects(rows: Sequence[Any]) -> bool:
    return bool(rows) and all(isinstance(row, dict) for row in rows[:10])


def _are_rows(entries: Sequence[Any]) -> bool:
    """Whether a list holds anything but names, such as those of classes."""
    return any(isinstance(entry, dict | list) for entry in entries[:10])


def _entry(entry: Any) -> Any:
    """An entry of a document as an object, where it is a text and what was marked in it.

    So spaCy has its examples, and NER Annotator its export: `[text, {"entities": […]}]`.
    """
    match entry:
        case [str(text), dict(marks)] if "text" not in marks:
            return {"text": text, **marks}
    return entry


def _are_turns(rows: Sequence[Any]) -> bool:
    return _are_objects(rows) and all(
        {"role", "content"} <= row.keys() or {"from", "value"} <= row.keys() for row in rows[:10]
    )


def _of_list(rows: list[Any]) -> Shaped:
    """A list of objects; or of lists, which are rows without or below the names of columns."""
    if (found := _spacy(rows)) is not None:
        return found
    rows = list(map(_entry, rows))
    width = len(rows[0]) if rows and isinstance(rows[0], list) else 0
    if not width or not all(isinstance(row, list) and len(row) == width for row in rows):
        return Shaped(rows)
    if _is_header(rows):
        return Shaped([dict(zip(rows[0], row, strict=True)) for row in rows[1:]])
    names = [str(number) for number in range(width)]
    note = say("its columns have no names: they are called {names}", names=names)
    return Shaped([dict(zip(names, row, strict=True)) for row in rows], (note,))


def _spacy(documents: list[Any]) -> Shaped | None:
    """SpaCy 2's training data: documents of paragraphs, each a row, of sentences of words.

    https://v2.spacy.io/api/annotation#json-input. A word without `ner`, or with `-`, has no tag.
    """
    unused: Counter[str] = Counter()
    try:
        inner = [each for document in documents for each in document["paragraphs"]]
        rows = [_paragraph(each, unused) for each in inner]
    except (AttributeError, LookupError, TypeError):
        return None  # something that is written in another way
    if not rows:
        return None
    note = say(
        "spaCy's training data: {n:,} paragraphs of {m:,} documents, each a row",
        n=len(rows),
        m=len(documents),
    )
    left = say("keys that are not used: {names}", names=list(unused))
    return Shaped(rows, (note, left) if unused else (note,))


def _paragraph(given: Mapping[str, Any], unused: Counter[str]) -> dict[str, Any]:
    """A paragraph of spaCy's as a row; keys that are not used are counted."""
    words = [word for sentence in given["sentences"] for word in sentence.get("tokens") or ()]
    unused.update(key for key in given if key not in ("raw", "sentences", "cats"))
    unused.update(f"tokens[].{key}" for word in words for key in word if key not in _WORD)
    tags = [word.get("ner") for word in words]
    row = {
        "text": given.get("raw"),
        "tokens": [word.get("orth") for word in words],
        "ner_tags": [NO_TAG if tag in (None, "-") else tag for tag in tags],
        "label": [each["label"] for each in given.get("cats") or () if each.get("value")],
    }
    return {key: value for key, value in row.items() if value}


def _is_header(rows: Sequence[list[Any]]) -> bool:
    """Whether the first row names columns: distinct words, none of which is a value of its own."""
    first, rest = rows[0], rows[1:]
    if not rest or not all(isinstance(name, str) and name.isidentifier() for name in first):
        return False
    recurs = any(row[n] == name for row in rest for n, name in enumerate(first))
    return len(set(first)) == len(first) and not recurs


def _viewer(document: dict[str, Any]) -> Shaped | None:
    """Rows as the hub's viewer gives them, their class numbers as names."""
    rows, features = document.get("rows"), document.get("features")
    if not isinstance(features, list) or not isinstance(rows, list) or not rows:
        return None
    if not all(isinstance(each, dict) and isinstance(each.get("row"), dict) for each in rows):
        return None
    notes = []
    total = document.get("num_rows_total")
    if isinstance(total, int) and total > len(rows):
        notes.append(
            say("it holds {n:,} of the {total:,} rows of the dataset", n=len(rows), total=total)
        )
    if cut := sum(bool(each.get("truncated_cells")) for each in rows):
        notes.append(say("the hub's viewer cut texts of {n:,} of its rows", n=cut))
    names = dict(_class_names(features))
    return Shaped([_named(each["row"], names) for each in rows], tuple(notes))


def _class_names(features: Sequence[Any]) -> Iterator[tuple[str, list[str]]]:
    for feature in features:
        kind = feature.get("type") if isinstance(feature, dict) else None
        if isinstance(kind, dict) and kind.get("_type") == "ClassLabel":
            yield str(feature.get("name")), [str(name) for name in kind.get("names") or []]


def _named(row: dict[str, Any], names: Mapping[str, list[str]]) -> dict[str, Any]:
    """The row with names in place of class numbers; -1 is a hidden label."""
    out = dict(row)
    for column, known in names.items():
        number = row.get(column)
        if isinstance(number, int) and -1 <= number < len(known):
            out[column] = known[number] if number >= 0 else None
    return out


def _pandas_table(document: dict[str, Any]) -> Shaped | None:
    schema, rows = document.get("schema"), document.get("data")
    if not (isinstance(schema, dict) and isinstance(schema.get("fields"), list)):
        return None
    if not isinstance(rows, list) or not _are_objects(rows):
        return None
    if [row.get(INDEX) for row in rows if isinstance(row, dict)] != [*range(len(rows))]:
        return Shaped(rows)
    return Shaped([{key: row[key] for key in row if key != INDEX} for row in rows])


def _pandas_split(document: dict[str, Any]) -> Shaped | None:
    columns, rows = document.get("columns"), document.get("data")
    if not isinstance(columns, list) or not isinstance(rows, list) or not rows:
        return None
    if not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        return None
    index = document.get("index")
    return Shaped(
        _with_index(
            [dict(zip(map(str, columns), row, strict=True)) for row in rows],
            index if isinstance(index, list) and len(index) == len(rows) else range(len(rows)),
        )
    )


def _with_index(rows: list[dict[str, Any]], index: Sequence[Any]) -> list[dict[str, Any]]:
    """The rows with what pandas' index says of them, unless it only counts them."""
    counts = [str(key) for key in index] == [str(number) for number in range(len(rows))]
    if counts or any(INDEX in row for row in rows):
        return rows
    return [{INDEX: key, **row} for key, row in zip(index, rows, strict=True)]


def _columns_of_lists(document: dict[str, Any]) -> Shaped | None:
    """`{"text": ["a", "b"], "label": [0, 1]}`: a list a column, as `to_dict` writes it."""
    if len(document) < 2 or not all(isinstance(value, list) for value in document.values()):
        return None
    lengths = {len(values) for values in document.values()}
    heads = [list(map(_entry, values[:10])) for values in document.values()]
    if len(lengths) != 1 or any(map(_are_objects, heads)):
        return None
    rows = zip(*document.values(), strict=True)
    return Shaped([dict(zip(document, row, strict=True)) for row in rows])


def _pandas_objects(document: dict[str, Any]) -> Shaped | None:
    """Objects by column (`{"text": {"0": "a"}}`), or by row (`{"0": {"text": "a"}}`)."""
    inner = list(document.values())
    if not all(isinstance(value, dict) and value for value in inner):
        return None
    keys = list(inner[0])
    are_numbers = [all(key.isdecimal() for key in some) for some in (document, keys)]
    is_long = len(keys) >= 3 and len(keys) > len(inner) > 1
    is_columns = not are_numbers[0] and (are_numbers[1] or is_long)
    if is_columns and all(list(value) == keys for value in inner):
        columns = list(document)
        rows = [{name: document[name][key] for name in columns} for key in keys]
        return Shaped(_with_index(rows, keys), is_turned=True)
    is_index = are_numbers[0] or (len(inner) >= 3 and len(inner) > len(keys))
    if is_index and not set(keys) <= _TURN and all(value.keys() == set(keys) for value in inner):
        return Shaped(_with_index(inner, list(document)), is_turned=True)
    return None
