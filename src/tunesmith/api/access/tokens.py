"""Access tokens: made, shown once, kept as a hash, recognised again.

A token is `ts_<prefix>_<secret>`: the prefix finds its record, and a hash of the secret is kept.

- A secret that is made here has 256 random bits, which nobody guesses, so SHA-256 is enough (NIST
  SP 800-63B, 5.1.2.2, asks for no more from 112 bits on). It takes no time, so that a right token
  is recognised however many wrong ones come.
- One made elsewhere may be weaker, and is hashed with Argon2id, as those of older versions were.
  The parameters are OWASP's least
  (https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from datetime import datetime, timedelta
from operator import attrgetter

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cachetools import LRUCache, TTLCache, cachedmethod

from tunesmith.errors import StateError, invalid
from tunesmith.files.environment import RESERVED
from tunesmith.messages import say
from tunesmith.schemas.enums import Role
from tunesmith.schemas.service import TOKEN_NAME
from tunesmith.store.entities.experiments import utc_now
from tunesmith.store.entities.service import Token
from tunesmith.store.store import Store

PREFIX = "ts_"

FRESH = 2.0
"""Seconds for which a token's record is taken as it was read: so soon a revoked one is refused."""

REMEMBERED = 1000
"""Tokens whose secret needs no hashing again."""

TOUCHED_EVERY = timedelta(minutes=1)
"""How exactly it is known when a token was last used."""

_TOKEN = re.compile(r"ts_([0-9a-f]{8})_([A-Za-z0-9_-]{20,100})")
_FAST = "sha256$"
"""Before a hash of a secret that was made here."""

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def create_token(name: str, role: Role, store: Store, created_by: str) -> tuple[Token, str]:
    """Record a new token; returns the record, and the token itself, which nobody can read again.

    Raises ConfigError for an impossible name, StateError when the name is or was taken.
    """
    _check_name(name)
    prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    token = Token(
        name=name, role=role, prefix=prefix, hash=_fast_hash(secret), created_by=created_by
    )
    store.access.add(token)
    return token, f"{PREFIX}{prefix}_{secret}"


def keep_token(name: str, role: Role, text: str, store: Store, created_by: str) -> bool:
    """See to it that the token `text`, made elsewhere, opens the API as `name`.

    True when it was recorded now, False when it was there already: so that a deployment may say
    the same at every start. Raises ConfigError when `text` is no token, StateError when the name
    has another token or role, or this one was revoked.
    """
    found = _TOKEN.fullmatch(text)
    if found is None:
        accepted = say("ts_, 8 hexadecimal digits, _, 20 to 100 letters, digits, _ or -")
        raise invalid("token", say("this is not one"), "***", accepted)
    known = store.access.token(found[1])
    if known is not None and (known.name, known.role) == (name, role):
        if known.revoked_at is not None:
            raise StateError(
                "The token {name} was revoked; make another one, of another name.", name=name
            )
        if _fits(known.hash, found[2]):
            return False
    _check_name(name)
    store.access.add(
        Token(
            name=name,
            role=role,
            prefix=found[1],
            hash=_HASHER.hash(found[2]),
            created_by=created_by,
        )
    )
    return True


def _fast_hash(secret: str) -> str:
    return _FAST + hashlib.sha256(secret.encode()).hexdigest()


def _fits(known: str, secret: str) -> bool:
    """Whether `known` is a hash of `secret`."""
    if known.startswith(_FAST):
        return hmac.compare_digest(known, _fast_hash(secret))
    try:
        return bool(_HASHER.verify(known, secret))
    except (VerificationError, InvalidHashError):
        return False


def _check_name(name: str) -> None:
    """Raise StateError or ConfigError for a name that no token can have."""
    if name == RESERVED:
        raise StateError(
            "{name} stands for whoever is at this machine; choose another name.", name=RESERVED
        )
    if re.fullmatch(TOKEN_NAME, name) is None:
        accepted = say("1 to 64 letters, digits, _ . @ -, beginning with a letter or digit")
        raise invalid("name", say("no token can be called so"), name, accepted)


def token_prefix(text: str) -> str | None:
    """What the token `text` is found by; None when it isn't of this form."""
    found = _TOKEN.fullmatch(text)
    return found[1] if found else None


class TokenVerifier:
    """Recognises tokens; safe to be called from many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._records: TTLCache[str, Token | None] = TTLCache(REMEMBERED, FRESH)
        self._verified: LRUCache[bytes, str] = LRUCache(REMEMBERED)
        """Digest of a token → the hash that it was found to fit."""
        self._noted: dict[str, datetime] = {}
        """Prefix → the last use that was noted here."""
        self._unwritten: dict[str, datetime] = {}
        """Those of them that the store doesn't know yet."""

    def verify(self, text: str) -> Token | None:
        """The record of the token `text`; None when it opens nothing (any more).

        Raises StorageError when the store can't be read.
        """
        found = _TOKEN.fullmatch(text)
        if found is None:
            return None
        record = self._record(found[1])
        if record is None or record.revoked_at is not None:
            with self._lock:
                self._verified.pop(digest(text), None)
            return None
        with self._lock:
            fitted = self._verified.get(digest(text)) == record.hash
        if not fitted and not self._fits(text, found[2], record):
            return None
        self._note_use(record)
        return record

    def is_costly(self, text: str) -> bool:
        """Whether to recognise `text` takes a hash that is slow on purpose. Raises StorageError."""
        found = _TOKEN.fullmatch(text)
        record = self._record(found[1]) if found else None
        if record is None or record.revoked_at is not None or record.hash.startswith(_FAST):
            return False
        with self._lock:
            return self._verified.get(digest(text)) != record.hash

    def write_uses(self) -> None:
        """Tell the store when tokens were last used.

        Raises StorageError; what couldn't be written is written the next time.
        """
        with self._lock:
            uses = dict(self._unwritten)
        for prefix, at in uses.items():
            self._store.access.touch(prefix, at)
            with self._lock:
                if self._unwritten.get(prefix) == at:
                    del self._unwritten[prefix]

    def forget(self) -> None:
        """Read every record again when it is asked for next."""
        with self._lock:
            self._records.clear()

    @cachedmethod(attrgetter("_records"), lock=attrgetter("_lock"))
    def _record(self, prefix: str) -> Token | None:
        return self._store.access.token(prefix)

    def _fits(self, text: str, secret: str, record: Token) -> bool:
        if not _fits(record.hash, secret):
            return False
        with self._lock:
            self._verified[digest(text)] = record.hash
        return True

    def _note_use(self, record: Token) -> None:
        """Remember that a token was used. Writing it here would let reading fail with the store."""
        now = utc_now()
        with self._lock:
            last = self._noted.get(record.prefix) or record.last_used_at
            if last is None or abs(now - last) >= TOUCHED_EVERY:
                self._noted[record.prefix] = self._unwritten[record.prefix] = now


def digest(text: str) -> bytes:
    """What stands for the token `text` where the token itself shall not be kept."""
    return hashlib.sha256(text.encode()).digest()
