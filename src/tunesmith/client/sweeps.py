"""Sweeps: begun, listed, read, cancelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.client.connection import Connected, path_of
from tunesmith.schemas.sweeps import SweepPage, SweepState, SweepWhole


class Sweeps(Connected):
    """Searches for the best setting."""

    def begin_sweep(self, asked: Mapping[str, Any]) -> SweepState:
        """Begin a sweep, as its file says it, base configuration inside. Raises ConfigError."""
        return self._ask(SweepState, "POST", "/sweeps", json=dict(asked))

    def sweeps(self, *, limit: int = 20, offset: int = 0) -> SweepPage:
        """The sweeps, the newest first."""
        return self._ask(SweepPage, "GET", "/sweeps", params={"limit": limit, "offset": offset})

    def sweep(self, sweep_id: str) -> SweepWhole:
        """One sweep, whole. Raises NotFoundError."""
        return self._poll(SweepWhole, path_of("sweeps", sweep_id))

    def cancel_sweep(self, sweep_id: str) -> SweepState:
        """Cancel it, and its experiments. Raises NotFoundError, StateError."""
        return self._ask(SweepState, "POST", path_of("sweeps", sweep_id, "cancel"))
