"""Sweeps and their trials, as the store keeps them.

A trial is recorded under its number before anything is queued, and ended while it runs: of several
who do the same at once, one succeeds and the others get a StateError. So anyone may drive a sweep.
"""

from __future__ import annotations

import builtins
from dataclasses import asdict
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from tunesmith.errors import NotFoundError, StateError, nearest, shorten
from tunesmith.messages import say
from tunesmith.schemas.enums import SweepStatus, TrialState
from tunesmith.store.database.connection import Part
from tunesmith.store.database.tables import sweep_trials, sweeps
from tunesmith.store.entities.experiments import utc_now
from tunesmith.store.entities.sweeps import Sweep, Trial

_NEWEST_FIRST = (sweeps.c.created_at.desc(), sweeps.c.id.desc())


class Sweeps(Part):
    """Sweeps and trials; reached as `store.sweeps`."""

    def create(self, sweep: Sweep, first: Trial) -> None:
        """Record a new sweep with its first trial."""
        with self._database.writing() as connection:
            connection.execute(sweeps.insert(), asdict(sweep))
            connection.execute(sweep_trials.insert(), asdict(first))

    def find(self, reference: str) -> Sweep:
        """The sweep meant: an id, its beginning, a name, `latest`. Raises NotFoundError."""
        wanted = reference.strip()
        known = self.list()
        for sweep in known:
            if wanted in (sweep.id, sweep.name, "latest"):
                return sweep
        begun = [sweep for sweep in known if len(wanted) >= 4 and sweep.id.startswith(wanted)]
        if len(begun) == 1:
            return begun[0]
        near = nearest(wanted, [s.id for s in known] + [s.name for s in known])
        hint = (
            say("did you mean {near}?", near=near)
            if near
            else say("`tunesmith sweeps list` shows what there is.")
        )
        raise NotFoundError(
            "There is no sweep {reference}; {hint}", reference=shorten(reference), hint=hint
        )

    def get(self, sweep_id: str) -> Sweep:
        """The sweep with exactly this id. Raises NotFoundError."""
        found = self._rows(select(sweeps).where(sweeps.c.id == sweep_id))
        if not found:
            raise NotFoundError("There is no sweep {id}.", id=shorten(sweep_id))
        return Sweep(**found[0])

    def list(self, limit: int | None = None) -> builtins.list[Sweep]:
        """The sweeps, the newest first."""
        query = select(sweeps).order_by(*_NEWEST_FIRST).limit(limit)
        return [Sweep(**row) for row in self._rows(query)]

    def unsettled(self) -> builtins.list[Sweep]:
        """The sweeps that run, and those that have ended while trials of them go on."""
        open_ = select(sweep_trials.c.sweep_id).where(sweep_trials.c.state == TrialState.RUNNING)
        query = select(sweeps).where(
            (sweeps.c.status == SweepStatus.RUNNING) | sweeps.c.id.in_(open_)
        )
        return [Sweep(**row) for row in self._rows(query)]

    def reopen(self, sweep_id: str) -> Sweep:
        """Let a failed or cancelled sweep run, with its cancelled trials. Raises StateError."""
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
        return self._get(sweep_id, changed=changed > 0)

    def end(self, sweep_id: str, to: SweepStatus, reason: str | None = None) -> Sweep:
        """End a sweep that runs with the status `to`; returns it. Raises StateError."""
        statement = (
            update(sweeps)
            .where(sweeps.c.id == sweep_id, sweeps.c.status == SweepStatus.RUNNING)
            .values(status=to, reason=reason, finished_at=utc_now())
        )
        return self._get(sweep_id, changed=self._changed(statement) > 0)

    def _get(self, sweep_id: str, *, changed: bool) -> Sweep:
        """The sweep as it is now. Raises StateError unless it was `changed`, NotFoundError."""
        sweep = self.get(sweep_id)
        if not changed:
            raise StateError(
                "Sweep {id} ({name}) is {status}.",
                id=sweep_id,
                name=sweep.name,
                status=sweep.status,
            )
        return sweep

    # -- trials -----------------------------------------------------------------------------

    def trials(self, sweep_id: str) -> builtins.list[Trial]:
        """The trials of a sweep, by number; none for an unknown sweep."""
        columns = sweep_trials.c
        query = select(sweep_trials).where(columns.sweep_id == sweep_id).order_by(columns.number)
        rows = self._rows(query)
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
        return self._changed(statement) > 0
