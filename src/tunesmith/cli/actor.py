"""Who types a command: the owner of what they submit, and their name in the audit trail."""

from __future__ import annotations

import getpass


def actor() -> str:
    """`local:USER`, which neither a token nor a provider's account can be called."""
    try:
        return f"local:{getpass.getuser()}"
    except (OSError, KeyError):  # a container's user may have no name
        return "local:unknown"
