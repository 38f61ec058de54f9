"""Who types a command: the owner of what they submit, and their name in the audit trail."""

from __future__ import annotations

from tunesmith.tracking.environment import user_name


def actor() -> str:
    """`local:USER`, which neither a token nor a provider's account can be called."""
    return f"local:{user_name()}"
