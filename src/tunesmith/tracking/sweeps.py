"""Sweeps and their trials, as the store keeps them.

A trial is recorded under its number before anything is queued, and ended while it runs: of several
who do the same at once, one succeeds and the others are told. So anyone may drive a sweep.
"""

from __future__ import annotations

import builtins
from dataclasses import asdict
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from tunesmith.errors import NotFoundError, StateError, nearest, shorten
from tunesmith.tracking.database import Database
from tunesmith.tracking.entities import utc_now
from tunesmith.tracking.sweep_entities import Sweep, SweepStatus, Trial, TrialState
from tunesmith.tracking.tables import sweep_trials, sweeps

_NEWEST_FIRST = (sweeps.c.created_at.desc(), sweeps.c.id.desc())


class Sweeps:
    """Sweeps and trials; reached as `store.sweeps`.

    Every method is one transaction, and raises StorageError when the store can't be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, sweep: Sweep, first: Trial) -> None:
        """Record a new sweep with its first trial."""
        with self._database.writing() as connection:
            connection.execute(sweeps.insert(), asdict(sweep))
            connection.execute(sweep_trials.insert(), asdict(first))

    def find(self, reference: str) -> Sweep:
        """The sweep that a person means: an id, its beginning, a name (the newest), `latest`.

        Raises NotFoundError naming the nearest.
        """
        wanted = reference.strip()
        known = self.list()
        for sweep in known:
            if wanted in (sweep.id, sweep.name, "latest"):
                return sweep
        begun = [sweep for sweep in known if len(wanted) >= 4 and sweep.id.startswith(wanted)]
        if len(begun) == 1:
            return begun[0]
        near = nearest(wanted, [s.id for s in known] + [s.name for s in known])
        hint = f"did you mean {near}?" if near else "`tunesmith sweeps list` shows what there is."
        raise NotFoundError(f"There is no sweep {shorten(reference)}; {hint}")

    def get(self, sweep_id: str) -> Sweep:
        """The sweep with exactly this id. Raises NotFoundError."""
        with self._database.reading() as connection:
            query = select(sweeps).where(sweeps.c.id == sweep_id)
            row = connection.execute(query).mappings().first()
        if row is None:
            raise NotFoundError(f"There is no sweep {shorten(sweep_id)}.")
        return Sweep(**row)

    def list(self, limit: int | None = None) -> builtins.list[Sweep]:
        """The sweeps, the newest first."""
        query = select(sweeps).order_by(*_NEWEST_FIRST).limit(limit)
        with self._database.reading() as connection:
            return [Sweep(**row) for row in connection.execute(query).mappings()]

    def unsettled(self) -> builtins.list[Sweep]:
        """The sweeps that run, and those that have ended while trials of them go on."""
        open_ = select(sweep_trials.c.sweep_id).where(sweep_trials.c.state == TrialState.RUNNING)
        query = select(sweeps).where(
            (sweeps.c.status == SweepStatus.RUNNING) | sweeps.c.id.in_(open_)
        )
        with self._database.reading() as connection:
            return [Sweep(**row) for row in connection.execute(query).mappings()]

    def reopen(self, sweep_id: str) -> Sweep:
        """Let a failed or cancelled sweep run again, with its cancelled trials.

        Raises StateError when it is neither, NotFoundError when there is no such sweep.
        """
        again = {"finished_at": None, "reason": None}
        ended = [SweepStatus.FAILED, SweepStatus.CANCELLED]
        statement = (
            update(sweeps)
            .where(sweeps.c.id == sweep_id, sweeps.c.status.in_(ended))
            .values(status=SweepStatus.RUNNING, **again)
        )
        trials = (
            update(sweep_trials)
            .where(
                sweep_trials.c.sweep_id == sweep_id,
                sweep_trials.c.state == TrialState.CANCELLED,
            )
            .values(state=TrialState.RUNNING, **again)
        )
        with self._database.writing() as connection:
            if changed := connection.execute(statement).rowcount:
                connection.execute(trials)
        sweep = self.get(sweep_id)
        if not changed:
            raise StateError(f"Sweep {sweep_id} ({sweep.name}) is {sweep.status}.")
        return sweep

    def end(self, sweep_id: str, to: SweepStatus, reason: str | None = None) -> Sweep:
        """End a sweep that runs with the status `to`; returns it then.

        Raises StateError when it doesn't run, NotFoundError when there is no such sweep.
        """
        statement = (
            update(sweeps)
            .where(sweeps.c.id == sweep_id, sweeps.c.status == SweepStatus.RUNNING)
            .values(status=to, reason=reason, finished_at=utc_now())
        )
        with self._database.writing() as connection:
            changed = connection.execute(statement).rowcount
        sweep = self.get(sweep_id)
        if not changed:
            raise StateError(f"Sweep {sweep_id} ({sweep.name}) is {sweep.status}.")
        return sweep

    # -- trials -----------------------------------------------------------------------------

    def trials(self, sweep_id: str) -> builtins.list[Trial]:
        """The trials of a sweep, by number; none for an unknown sweep."""
        columns = sweep_trials.c
        query = select(sweep_trials).where(columns.sweep_id == sweep_id).order_by(columns.number)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings()
            return [Trial(**{**row, "experiments": tuple(row["experiments"])}) for row in rows]

    def add_trial(self, trial: Trial) -> bool:
        """Record a new trial; False when another process was faster with this number."""
        try:
            with self._database.writing() as connection:
                connection.execute(sweep_trials.insert(), asdict(trial))
        except IntegrityError:
            return False
        return True

    def end_trial(self, trial: Trial, to: TrialState, **changes: Any) -> bool:
        """End a running trial; False when another process was faster."""
        columns = sweep_trials.c
        statement = (
            update(sweep_trials)
            .where(
                columns.sweep_id == trial.sweep_id,
                columns.number == trial.number,
                columns.state == TrialState.RUNNING,
            )
            .values(state=to, finished_at=utc_now(), **changes)
        )
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount > 0
