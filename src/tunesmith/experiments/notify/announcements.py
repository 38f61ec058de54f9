"""Announces the end of every experiment to webhooks and the hook, at least once.

Deliveries wait in the store (`store.deliveries`). Every worker and API looks there every few
seconds; a training in a terminal does so at its end, and leaves what it can't deliver to them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from tunesmith.errors import StorageError
from tunesmith.experiments.notify.hook import run_hook
from tunesmith.experiments.notify.webhooks import Unheard, post, shown
from tunesmith.files.folder import ExperimentFolder
from tunesmith.files.log import append_to_log
from tunesmith.messages import say
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import utc_now
from tunesmith.store.entities.service import Delivery
from tunesmith.store.store import Store

HOOK = "hook"
"""Target of deliveries to the hook."""

PAUSES = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds between two tries: the schedule that Standard Webhooks recommends."""

ATTEMPTS = len(PAUSES) + 1

HELD = 60.0
"""Seconds that one try may take, over what a hook is given; then another process may try."""

UNCLAIMED = timedelta(hours=1)
"""After which an ending is forgotten that nobody wants to hear of: nothing is set up."""

TOO_OLD = timedelta(seconds=2 * sum(PAUSES))
"""After which a delivery is forgotten whose target nobody's settings name any more."""

AT_ONCE = 20
"""Deliveries that are looked at together."""

log = logging.getLogger("tunesmith.announcements")


def announce(store: Store, settings: Settings, patience: float | None = None) -> None:
    """Try once to deliver all that is due; after `patience` seconds nothing more is begun.

    What fails is logged and waits; nothing is raised: how an experiment ended is not changed by who
    hears of it.
    """
    targets = _targets(settings)
    until = None if patience is None else time.monotonic() + patience
    try:
        if not targets:
            store.deliveries.forget(utc_now() - UNCLAIMED, unaddressed=True)
            return
        store.deliveries.address(dict.fromkeys(targets, settings.announced_ends))
        store.deliveries.forget(utc_now() - TOO_OLD, unaddressed=False)
        for delivery in store.deliveries.due(targets, AT_ONCE):
            if until is not None and time.monotonic() > until:
                return
            held = utc_now() + timedelta(seconds=HELD + settings.hook_seconds)
            if store.deliveries.take(delivery, held):
                _deliver(delivery, targets[delivery.target], store, settings)
    except StorageError as error:
        log.warning("%s Announcements of experiments that ended wait.", error)


def ping(settings: Settings) -> Iterator[tuple[str, str | None]]:
    """Post a `ping` to every webhook: its host, and why it was not heard, or None."""
    for address in settings.webhook_addresses:
        trouble = None
        try:
            event = f"msg_{secrets.token_hex(12)}"
            body = _body("ping", utc_now().isoformat(), {})
            post(address, event, body, settings.webhook_key)
        except Unheard as error:
            trouble = str(error)
        yield shown(address), trouble


def message(delivery: Delivery, settings: Settings) -> bytes:
    """What is posted of an ending, the same at each try."""
    facts = delivery.facts
    links = {
        "page": f"{settings.ui_public_url}/experiment?id={facts['id']}",
        "api": f"{settings.api_url or settings.api_address}/experiments/{facts['id']}",
    }
    data = {"event": delivery.event, **facts, "links": links}
    return _body(f"experiment.{facts['status']}", facts["finished_at"], data)


def _body(kind: str, timestamp: str, data: Mapping[str, Any]) -> bytes:
    content = {"type": kind, "timestamp": timestamp, "data": data}
    return json.dumps(content, ensure_ascii=False).encode()


def _targets(settings: Settings) -> dict[str, str]:
    """Target, as the store knows it → its address; an address may hold a token, so its hash."""
    targets = {
        hashlib.sha256(address.encode()).hexdigest()[:16]: address
        for address in settings.webhook_addresses
    }
    return targets | ({HOOK: ""} if settings.hook_command else {})


def _deliver(delivery: Delivery, address: str, store: Store, settings: Settings) -> None:
    body = message(delivery, settings)
    about = {"experiment": delivery.experiment_id}
    if delivery.target == HOOK:
        _run_hook(delivery, body, store, settings)
        store.deliveries.remove(delivery)  # after it, so that one that was killed starts again
        return
    try:
        post(address, delivery.event, body, settings.webhook_key)
    except Unheard as error:
        tries = delivery.attempts + 1
        if error.final or tries >= ATTEMPTS:
            log.error(
                "webhook %s refused the end of experiment %s, and is not tried again (%s, try %d)",
                shown(address), delivery.experiment_id, error, tries, extra=about,
            )  # fmt: skip
            store.deliveries.remove(delivery)
            return
        pause = PAUSES[delivery.attempts]
        log.warning(
            "webhook %s refused the end of experiment %s (%s); the next try is in %d seconds",
            shown(address), delivery.experiment_id, error, pause, extra=about,
        )  # fmt: skip
        store.deliveries.postpone(delivery, utc_now() + timedelta(seconds=pause))
        return
    log.info("webhook %s accepted the end of experiment %s", shown(address), delivery.experiment_id)
    store.deliveries.remove(delivery)


def _run_hook(delivery: Delivery, body: bytes, store: Store, settings: Settings) -> None:
    command, seconds = settings.hook_command, settings.hook_seconds
    status = str(delivery.facts["status"])
    lines, trouble = run_hook(command, body, delivery.experiment_id, status, seconds)
    said = [(logging.INFO, say("hook: {line}", line=line)) for line in lines]
    if trouble is not None:
        said.append(
            (logging.WARNING, say("hook: {command} {trouble}", command=command[0], trouble=trouble))
        )
        log.warning(
            "hook of experiment %s: %s %s", delivery.experiment_id, command[0], trouble,
            extra={"experiment": delivery.experiment_id},
        )  # fmt: skip
    experiment = store.known(delivery.experiment_id)
    if experiment is not None:  # else deleted meanwhile
        append_to_log(ExperimentFolder.of(experiment, settings).log, settings, said)
