"""What every part of the client has: the connection, and paths that lead nowhere else."""

from __future__ import annotations

from urllib.parse import quote

from tunesmith.api.connection import Connection


class Connected:
    """A connection to the API at `url`; the parts of the client ask through it."""

    def __init__(
        self, url: str, token: str | None, timeout: float, *, passed_on: bool = False
    ) -> None:
        self.url = url.rstrip("/")
        self._connection = Connection(self.url, token, timeout, passed_on=passed_on)
        self._ask, self._poll = self._connection.ask, self._connection.poll


def path_of(*parts: str | int) -> str:
    """A path of these parts, none of which can lead elsewhere."""
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)
