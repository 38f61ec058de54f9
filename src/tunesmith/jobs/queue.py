"""Messages that say "there is work", by Celery. They carry nothing else: the store is the queue.

A message that is lost, doubled or late changes nothing. Whoever hears one looks into the store.
"""

from __future__ import annotations

import threading
from typing import Any

from celery import Celery
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from tunesmith.jobs.broker import TIMEOUT, broker_trouble, in_words, shown_url
from tunesmith.jobs.logs import log
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import QUEUES

TASK = "tunesmith.work"
"""The one message: look into the store, something waits there."""

PING_INTERVAL = 5.0
"""Seconds without a message after which the broker is asked whether it is there."""

_UNREACHABLE = (RedisError, OperationalError, OSError)


def broker_queue(queue: str) -> str:
    """The name of `queue` in the broker, where other programs may have queues too."""
    return f"tunesmith.{queue}"


def make_celery(settings: Settings) -> Celery:
    """The Celery application of the broker in `settings`, with a message queue for each of QUEUES.

    Messages are JSON and have no results; they are acknowledged when they are heard, one at a time.
    A lost connection is tried again for ever.
    """
    app = Celery("tunesmith", set_as_current=False)
    app.conf.update(
        # All three, or the environment variables CELERY_BROKER_… of another program would win.
        broker_url=settings.broker_url,
        broker_read_url=settings.broker_url,
        broker_write_url=settings.broker_url,
        broker_connection_timeout=TIMEOUT,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        broker_transport_options={
            # Above Kombu's own pauses, so that a silent broker is left and a slow one is not.
            "socket_timeout": 10.0,
            "socket_connect_timeout": TIMEOUT,
            "socket_keepalive": True,
        },
        task_queues=[Queue(broker_queue(name)) for name in QUEUES],
        task_default_queue=broker_queue(QUEUES[0]),
        task_create_missing_queues=False,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
    )
    return app


def send_once(settings: Settings, queue: str) -> bool:
    """Say that there is work in `queue`; False when the broker can't be reached within seconds."""
    try:
        _send(make_celery(settings), queue)
    except _UNREACHABLE:
        return False
    return True


def _send(app: Celery, queue: str) -> None:
    with _connect(app) as connection:
        options: dict[str, Any] = {"connection": connection, "retry": False}
        app.send_task(TASK, queue=broker_queue(queue), **options)


def _connect(app: Celery) -> Connection:
    """A connection of its own: one that is kept may be one to a broker that is gone."""
    connection: Connection = app.connection_for_write()
    connection.ensure_connection(max_retries=1, interval_start=0)
    return connection


class Notifier:
    """Sends the messages, and knows whether the broker is there.

    Rules: `notify` never waits for the broker and never fails. What can't be sent is dropped: the
    maintenance round sends again as long as something waits.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.broker_url
        self._app = make_celery(settings)
        self._wanted: set[str] = set()
        self._wake = threading.Event()
        self._asked = threading.Event()
        self._closing = False
        self._live = False
        self._thread = threading.Thread(target=self._send_all, name="notifier", daemon=True)
        self._thread.start()

    @property
    def live(self) -> bool:
        """Whether the last contact with the broker succeeded; at first waits for its answer."""
        self._asked.wait(2 * TIMEOUT)
        return self._live

    def notify(self, queue: str) -> None:
        """Say that there is work in `queue`, soon and from another thread."""
        self._wanted.add(queue)
        self._wake.set()

    def waiting(self, queue: str) -> int | None:
        """How many messages of `queue` nobody has heard yet; None when the broker can't tell."""
        try:
            with _connect(self._app) as connection:
                count = int(connection.default_channel.client.llen(broker_queue(queue)))
        except _UNREACHABLE as error:
            self._heard(in_words(error))
            return None
        self._heard(None)
        return count

    def close(self) -> None:
        """Send what is wanted still, and end the thread."""
        self._closing = True
        self._wake.set()
        self._thread.join(4 * TIMEOUT)

    def _send_all(self) -> None:
        self._heard(broker_trouble(self._url))
        while not self._closing or self._wanted:
            if not self._wake.wait(PING_INTERVAL):
                self._heard(broker_trouble(self._url))
                continue
            self._wake.clear()
            while self._wanted:
                self._try(self._wanted.pop())

    def _try(self, queue: str) -> None:
        try:
            _send(self._app, queue)
        except _UNREACHABLE as error:
            self._heard(in_words(error))
        else:
            self._heard(None)

    def _heard(self, trouble: str | None) -> None:
        known, live = self._asked.is_set(), trouble is None
        if live != self._live or not known:
            self._live = live
            if not live:
                log.warning(
                    "the broker %s can't be reached (%s); experiments are found in the store",
                    shown_url(self._url),
                    trouble,
                )
            elif known:
                log.info("the broker %s is back", shown_url(self._url))
        self._asked.set()
