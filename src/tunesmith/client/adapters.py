"""Registered adapters: listed, registered, promoted, removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.client.connection import Connected, path_of
from tunesmith.schemas.adapters import (
    AdapterPage,
    AdapterVersionState,
    AdapterWhole,
    StageChanged,
)


class Adapters(Connected):
    """Names, under which versions of adapters are kept in stages."""

    def adapters(
        self,
        *,
        text: str | None = None,
        model: str | None = None,
        task: str | None = None,
        language: str | None = None,
        tag: str | Sequence[str] = (),
        stage: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> AdapterPage:
        """The registered adapters that pass all filters, by name; they have each `tag`."""
        given = {key: value for key, value in locals().items() if key != "self"}
        given["tag"] = [tag] if isinstance(tag, str) else list(tag)
        return self._ask(AdapterPage, "GET", "/adapters", params=given)

    def adapter(self, name: str) -> AdapterWhole:
        """One registered adapter, whole. Raises NotFoundError."""
        return self._poll(AdapterWhole, path_of("adapters", name))

    def register_adapter(
        self, name: str, experiment_id: str | None = None, **fields: Any
    ) -> AdapterWhole:
        """A new name, with its first version where an experiment is named.

        `fields`: description, language, tags, demands (the promotion rule), comment. Raises
        ConfigError, StateError when the name is taken, NotFoundError.
        """
        asked = {"name": name, "experiment_id": experiment_id, **fields}
        return self._ask(AdapterWhole, "POST", "/adapters", json=asked)

    def register_version(
        self, name: str, experiment_id: str, *, comment: str = ""
    ) -> AdapterVersionState:
        """The next version of a name. Raises NotFoundError, StateError."""
        asked = {"experiment_id": experiment_id, "comment": comment}
        path = path_of("adapters", name, "versions")
        return self._ask(AdapterVersionState, "POST", path, json=asked)

    def edit_adapter(self, name: str, **changes: Any) -> AdapterWhole:
        """Change what is given: description, language, tags, demands. Raises ConfigError."""
        return self._ask(AdapterWhole, "PATCH", path_of("adapters", name), json=changes)

    def set_stage(
        self, name: str, number: int, stage: str, *, comment: str = "", force: bool = False
    ) -> StageChanged:
        """Promote or archive. Raises StateError with every unmet condition, NotFoundError."""
        asked: Mapping[str, Any] = {"stage": stage, "comment": comment, "force": force}
        path = path_of("adapters", name, "versions", number, "stage")
        return self._ask(StageChanged, "POST", path, json=asked)

    def remove_version(self, name: str, number: int) -> None:
        """Remove a version that isn't in production. Raises StateError, NotFoundError."""
        self._connection.request("DELETE", path_of("adapters", name, "versions", number))

    def remove_adapter(self, name: str) -> None:
        """Remove a name with its versions. Raises StateError, NotFoundError."""
        params = {"confirm": name}
        self._connection.request("DELETE", path_of("adapters", name), params=params)
