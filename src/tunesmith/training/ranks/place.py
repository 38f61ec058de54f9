"""Which of the processes that train together this one is; asking costs nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tunesmith.errors import ConfigError, Problem
from tunesmith.messages import say


@dataclass(frozen=True)
class Place:
    """This process among all that train together."""

    rank: int = 0
    """The first process has rank 0, and leads."""
    size: int = 1
    local_rank: int = 0
    """Its number among those of its node: that of its GPU."""
    local_size: int = 1
    """Processes of its node."""

    @property
    def leads(self) -> bool:
        """Whether this is the process that evaluates, saves and reports."""
        return self.rank == 0

    @classmethod
    def of_torchrun(cls) -> Place | None:
        """This process' place among those that torchrun started; None where it trains alone.

        Raises ConfigError when the environment says it in something else than numbers.
        """
        if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys():
            return None
        size = _number("WORLD_SIZE")
        if size == 1:
            return None
        return cls(_number("RANK"), size, _number("LOCAL_RANK"), _number("LOCAL_WORLD_SIZE"))


def _number(name: str) -> int:
    value = os.environ.get(name)
    if value is None or not value.isdecimal():
        message = say("torchrun gives each process this environment variable")
        raise ConfigError([Problem(name, message, value, say("a number"))])
    return int(value)
