"""Numbers of classes → their names, as the features of `datasets` say them.

https://huggingface.co/docs/datasets/about_dataset_features. Parquet and Arrow files that `datasets`
wrote have them in their schema's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

KEY = b"huggingface"
"""The key of the schema's metadata."""

IGNORED = -100
"""In lists, the number of what has no class (PyTorch's ignored target), which it stays."""


def _features_in(schema: pa.Schema) -> Mapping[str, Any]:
    """The features, by column, that a schema's metadata name; none where it has none."""
    try:
        features = json.loads((schema.metadata or {})[KEY])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def named_by_schema(table: pa.Table) -> pa.Table:
    """`table` with the names that its schema's metadata give to classes, without the metadata."""
    return with_label_names(table.replace_schema_metadata(None), _features_in(table.schema))


def with_label_names(table: pa.Table, features: Mapping[str, Any]) -> pa.Table:
    """`table` with names in place of the numbers of classes, also in lists and objects.

    -1 (a hidden label) and other numbers without a name are missing.
    """
    for column, feature in features.items():
        if column in table.column_names and _holds_classes(feature):
            place = table.column_names.index(column)
            table = table.set_column(place, column, _named_column(table.column(column), feature))
    return table


def _named_column(column: pa.ChunkedArray, feature: Any) -> pa.ChunkedArray | pa.Array:
    names = _names(feature)
    if names is not None and pa.types.is_integer(column.type):
        is_known = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(names)))
        numbers = pc.if_else(is_known, column, pa.scalar(None, column.type))
        return pa.array(names, pa.string()).take(numbers.combine_chunks())
    return pa.array([_named(value, feature) for value in column.to_pylist()])


def _names(feature: Any) -> list[str] | None:
    """The names of the classes, where a feature is one of them."""
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return None
    names = feature.get("names")
    return list(map(str, names)) if isinstance(names, list) else None


def _inner(feature: Any) -> Any:
    """The feature of a list's items; None where it is no list's."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    if isinstance(feature, dict) and isinstance(feature.get("_type"), str):
        return feature.get("feature")
    return None


def _holds_classes(feature: Any) -> bool:
    if _names(feature) is not None:
        return True
    if (inner := _inner(feature)) is not None:
        return _holds_classes(inner)
    is_object = isinstance(feature, dict) and not isinstance(feature.get("_type"), str)
    return is_object and any(map(_holds_classes, feature.values()))


def _named(value: Any, feature: Any, *, listed: bool = False) -> Any:
    """`value` with the names of the classes in it."""
    if (names := _names(feature)) is not None:
        if not isinstance(value, int) or isinstance(value, bool):
            return value
        if listed and value == IGNORED:
            return str(IGNORED)
        return names[value] if 0 <= value < len(names) else None
    if isinstance(value, list):
        inner = _inner(feature)
        return [_named(each, feature if inner is None else inner, listed=True) for each in value]
    if isinstance(value, dict):
        # A sequence of objects is kept as an object of lists.
        parts = _inner(feature) or feature
        if isinstance(parts, dict):
            return {key: _named(each, parts.get(key)) for key, each in value.items()}
    return value
