"""A client of the REST API: `tunesmith.Client`, typed, for programs, notebooks and the web page.

    with Client("http://127.0.0.1:8000") as client:
        submitted = client.train({"model": {…}, "data": {…}})
        state = client.wait(submitted.task_id)
        print(state.result)

Answers are the API's own models. What the API refuses is raised as the error that it is:
NotFoundError, StateError, ConfigError with every problem, AccessError, DataError, and ServiceError
when the API can't be reached. Of AccessError, UnauthenticatedError asks for another token, and
TooManyAttemptsError for patience.
"""

from __future__ import annotations

from typing import Self

from tunesmith.client.adapters import Adapters
from tunesmith.client.data import Data
from tunesmith.client.experiments import Experiments
from tunesmith.client.following import Event, Following
from tunesmith.client.service import Service
from tunesmith.client.sweeps import Sweeps

__all__ = ["DEFAULT_URL", "Client", "Event"]

DEFAULT_URL = "http://127.0.0.1:8000"


class Client(Following, Experiments, Sweeps, Adapters, Data, Service):
    """A connection to the API at `url`, to be closed or used with `with`.

    `token` is an access token, where the API asks for one; `timeout` is in seconds, and longer for
    what reads whole datasets. A server that asks in the name of its visitors says so with
    `passed_on`, so that they aren't taken for the account that it runs under.

    Raises ConfigError for a URL or a token that can't be one. Every method raises ServiceError when
    the API can't be reached or has an error of its own, AccessError when the token doesn't allow
    what is asked, and StorageError when the API's store doesn't answer; further errors are named.
    Threads may share a client.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        passed_on: bool = False,
    ) -> None:
        super().__init__(url, token, timeout, passed_on=passed_on)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
