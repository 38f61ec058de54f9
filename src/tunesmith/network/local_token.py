"""A token that only this account can read, for its own programs on the same machine.

The API writes a new one at each start, where it is open, and the web page shows it in the name of
that account on systems that don't tell whose a connection is (`peers`). Anew each time, because a
program that waits on the API's port while the API is away may be shown an old one.
"""

from __future__ import annotations

import hmac
import os
import secrets

from tunesmith.files.writing import write_text
from tunesmith.settings import Settings

_BEGIN = "local_"


class LocalToken:
    """The token of the API that was last started on this results folder."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.services_dir / "local-token"
        self._token: str | None = None

    def make(self) -> None:
        """Make a new one, which the process that calls this takes. Raises StorageError."""
        token = _BEGIN + secrets.token_urlsafe(32)
        write_text(self.path, token, private=True)
        self._token = token

    def fits(self, text: str) -> bool:
        """Whether `text` is the one that this process has made."""
        return self._token is not None and hmac.compare_digest(self._token.encode(), text.encode())

    def read(self) -> str | None:
        """The one that lies there; None where there is none of this account's own."""
        try:
            if self.path.stat().st_uid != os.geteuid():
                return None
            text = self.path.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        return text if text.startswith(_BEGIN) else None
