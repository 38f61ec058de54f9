"""Writing down who did what, whichever way they came: over the API or from the command line."""

from __future__ import annotations

import logging
from typing import Any

from tunesmith.errors import StorageError
from tunesmith.store.entities.service import AuditEntry
from tunesmith.store.store import Store

log = logging.getLogger("tunesmith.audit")


def write_down(
    store: Store, actor: str, action: str, target: str, *, address: str = "", **details: Any
) -> None:
    """Add to the audit trail what `actor` just did to `target`; it is logged too.

    What was done can't be undone by failing here, so a store that is gone meanwhile is logged.
    """
    about = {"experiment": target} if action.startswith("experiment.") else {}
    log.info("%s: %s %s", actor, action, target, extra=about)
    entry = AuditEntry(actor=actor, action=action, target=target, details=details, address=address)
    try:
        store.access.record(entry)
    except StorageError as error:
        log.error("not in the audit trail: %s %s by %s: %s", action, target, actor, error)
