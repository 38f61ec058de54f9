"""Who types a command: the owner of what they submit, and their name in the audit trail."""

from __future__ import annotations

from tunesmith.tracking.environment import this_person


def actor() -> str:
    """Whoever runs this process."""
    return this_person()
