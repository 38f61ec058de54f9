"""Who may do what, and who did what: access tokens, and an audit trail that can only grow."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import func, literal, select, update
from sqlalchemy.exc import IntegrityError

from tunesmith.errors import NotFoundError, StateError, nearest, shorten
from tunesmith.messages import say
from tunesmith.store.database.column_types import UTCDateTime
from tunesmith.store.database.connection import Part
from tunesmith.store.database.tables import audit, tokens
from tunesmith.store.entities.experiments import utc_now
from tunesmith.store.entities.service import AuditEntry, Token


class Access(Part):
    """Tokens and the audit trail; reached as `store.access`."""

    def add(self, token: Token) -> None:
        """Record a new token.

        A name stays taken when its token is revoked, because experiments and the audit trail tell
        people by it. Raises StateError when the name or the prefix is taken.
        """
        try:
            with self._database.writing() as connection:
                connection.execute(tokens.insert(), asdict(token))
        except IntegrityError as error:
            taken = any(known.name == token.name for known in self.tokens())
            what = (
                say("called {name}", name=shorten(token.name))
                if taken
                else say("with the same beginning")
            )
            raise StateError("There is a token {name} already, or was one.", name=what) from error

    def token(self, prefix: str) -> Token | None:
        """The token that begins so, revoked or not; None when there is none."""
        found = self._rows(select(tokens).where(tokens.c.prefix == prefix))
        return Token(**found[0]) if found else None

    def tokens(self) -> list[Token]:
        """All tokens, the revoked too, by name."""
        return [Token(**row) for row in self._rows(select(tokens).order_by(tokens.c.name))]

    def revoke(self, name: str) -> Token:
        """The token as it is then: it opens nothing any more. Raises NotFoundError."""
        statement = (
            update(tokens)
            .where(tokens.c.name == name)
            .values(revoked_at=func.coalesce(tokens.c.revoked_at, literal(utc_now(), UTCDateTime)))
        )
        with self._database.writing() as connection:
            if connection.execute(statement).rowcount:
                row = connection.execute(select(tokens).where(tokens.c.name == name)).mappings()
                return Token(**row.one())
            near = nearest(name, connection.scalars(select(tokens.c.name)))
        hint = say("; did you mean {name}?", name=near) if near else say(".")
        raise NotFoundError("There is no token called {name}{hint}", name=shorten(name), hint=hint)

    def touch(self, prefix: str, at: datetime) -> None:
        """Note that a token was used; without one, nothing is done."""
        self._changed(update(tokens).where(tokens.c.prefix == prefix).values(last_used_at=at))

    def record(self, entry: AuditEntry) -> None:
        """Add an entry to the audit trail; the store numbers it."""
        row = {name: value for name, value in asdict(entry).items() if name != "id"}
        with self._database.writing() as connection:
            connection.execute(audit.insert(), row)

    def entries(
        self,
        limit: int = 50,
        offset: int = 0,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
    ) -> tuple[list[AuditEntry], int]:
        """A part of the audit trail, the newest first, and how many entries there are in all.

        `actor`, `action` and `target` each leave out the entries with another one.
        """
        wanted = ((audit.c.actor, actor), (audit.c.action, action), (audit.c.target, target))
        conditions = [column == value for column, value in wanted if value is not None]
        query = select(audit).where(*conditions).order_by(audit.c.id.desc())
        count = select(func.count()).select_from(audit).where(*conditions)
        with self._database.reading() as connection:
            rows = connection.execute(query.limit(limit).offset(offset)).mappings()
            entries = [AuditEntry(**row) for row in rows]
            return entries, connection.scalar(count) or 0
