"""Who asks, and what they may do.

Bound to this machine's own address, the account that started it needs no token, and nobody else is
let in without one: no other account of the machine, and no visitor of a proxy on it. Bound to
anything else, everybody has to show a token.

Failing attempts are counted for each network address and token: many people may come from one
address, such as that of a web page's server or an office. A token that is right is let in however
many wrong ones came before it.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from typing import Literal

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from tunesmith.api.access.oidc import OidcVerifier
from tunesmith.api.access.tokens import PREFIX, TokenVerifier, digest, token_prefix
from tunesmith.errors import AccessError, ServiceError, TooManyAttemptsError, UnauthenticatedError
from tunesmith.files.environment import RESERVED
from tunesmith.messages import N_, say
from tunesmith.network.addresses import is_loopback
from tunesmith.network.local_token import LocalToken
from tunesmith.network.origin import Origin
from tunesmith.schemas.enums import Role
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Experiment
from tunesmith.store.entities.registry import RegisteredAdapter
from tunesmith.store.entities.sweeps import Sweep
from tunesmith.store.store import Store

FAILURES = RateLimitItemPerMinute(10)
"""So often one token, or tokens that begin alike, may be wrong from one address."""

ADDRESS_FAILURES = RateLimitItemPerMinute(100)
"""So many wrong tokens of any kind may come from one address."""

OIDC_PREFIX = "oidc:"
"""Before the names of a provider's accounts, so that none can pass for a token of ours."""


@dataclass(frozen=True)
class Identity:
    """Who asks."""

    name: str
    role: Role
    via: Literal["local", "token", "oidc"]
    display_name: str = ""
    """What people call them, where that differs from their name; it decides nothing."""

    @property
    def owner(self) -> str:
        """Whose an experiment is that they submit: empty for whoever is at this machine."""
        return "" if self.via == "local" else self.name

    @property
    def may_fetch(self) -> bool:
        """Whether data and models may be fetched from the hub for them.

        It is the operator who fetches, with the operator's token.
        """
        return self.role is not Role.VIEWER

    def require(self, role: Role) -> None:
        """Raises AccessError when they may not do what `role` may."""
        if not self.role.allows(role):
            raise AccessError(
                "{name} is {role}; this needs the role {needed}. An admin makes tokens "
                "with: tunesmith tokens create NAME --role ROLE",
                name=self.name,
                role=self.role,
                needed=role,
            )

    def require_change(self, thing: Experiment | Sweep | RegisteredAdapter) -> None:
        """Raises AccessError when they may not change an experiment, a sweep, an adapter's name."""
        self.require(Role.MEMBER)
        if self.role is not Role.ADMIN and thing.owner != self.owner:
            owner = thing.owner or say("whoever is at the machine itself")
            called = thing.name if isinstance(thing, RegisteredAdapter) else thing.id
            raise AccessError(_ANOTHERS[type(thing)], id=called, owner=owner, name=self.name)


_ANOTHERS = dict(
    zip(
        (Experiment, Sweep, RegisteredAdapter),
        N_(
            "experiment {id} belongs to {owner}; {name} may change only experiments of their own.",
            "sweep {id} belongs to {owner}; {name} may change only sweeps of their own.",
            "adapter {id} belongs to {owner}; {name} may change only adapters of their own.",
        ),
        strict=True,
    )
)


_Limit = tuple[RateLimitItem, *tuple[str, ...]]
"""A limit, and the key under which it counts."""

LOCAL = Identity(RESERVED, Role.ADMIN, "local")
"""The account that started this process, on the same machine."""

_ADVICE = say(
    "It is sent as Authorization: Bearer ts_…; an admin makes one with: "
    "tunesmith tokens create NAME"
)


class Authenticator:
    """Finds out who asks. Raises ServiceError when nobody could be let in, or everybody."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.open = is_loopback(settings.api_host) and not settings.require_tokens
        self.tokens = TokenVerifier(store)
        self.local = LocalToken(settings)
        self._oidc = OidcVerifier(settings) if settings.oidc_issuer else None
        self._failures = MovingWindowRateLimiter(MemoryStorage())
        if not self.open and self._oidc is None and not _has_admin(store):
            why = (
                say("tokens are required (TUNESMITH_REQUIRE_TOKENS)")
                if is_loopback(settings.api_host)
                else say(
                    "{api_host} can be reached from other machines", api_host=settings.api_host
                )
            )
            raise ServiceError(
                "the API is not started: {why}, and there is no admin token yet. Make "
                "one with: tunesmith tokens create NAME --role admin; or set "
                "TUNESMITH_OIDC_ISSUER.",
                why=why,
            )

    def identify(self, token: str | None, origin: Origin) -> Identity:
        """Who sent a request with `token` from `origin`.

        Raises UnauthenticatedError without a valid token where one is needed, TooManyAttemptsError
        after too many wrong ones.
        """
        if token is None:
            if self.open and origin.is_own:
                return LOCAL
            raise UnauthenticatedError(
                say(
                    "Only the account that started Tunesmith needs no access token, in "
                    "requests of its own programs on the same machine. "
                )
                + _ADVICE
                if self.open
                else say("This needs an access token. ") + _ADVICE
            )
        address = _network(origin.client[0] if origin.client else "")
        if self.tokens.is_costly(token):
            self._check_failures(_limits(token, address)[1:])
        identity = self._recognise(token, origin)
        if identity is None:
            limits = _limits(token, address)
            self._check_failures(limits)
            for limit, *key in limits:
                self._failures.hit(limit, *key)
            raise UnauthenticatedError("This access token is unknown, has expired or was revoked.")
        return identity

    def _check_failures(self, limits: list[_Limit]) -> None:
        for limit, *key in limits:
            if not self._failures.test(limit, *key):
                wait = self._failures.get_window_stats(limit, *key).reset_time - time.time()
                raise TooManyAttemptsError(
                    say("Too many wrong tokens came from this address; try again later."),
                    max(1, round(wait)),
                )

    def _recognise(self, token: str, origin: Origin) -> Identity | None:
        if self.open and not origin.forwarded and self.local.fits(token):
            return LOCAL
        if token.startswith(PREFIX):
            record = self.tokens.verify(token)
            return Identity(record.name, record.role, "token") if record else None
        if self._oidc is None:
            return None
        account = self._oidc.verify(token)
        if account is None:
            return None
        return Identity(OIDC_PREFIX + account.subject, account.role, "oidc", account.display_name)


def _limits(token: str, address: str) -> list[_Limit]:
    """What counts the failures of `token` from `address`: the address's own limit first, so that
    invented prefixes fill no memory."""
    beginning = token_prefix(token) or digest(token).hex()
    return [(ADDRESS_FAILURES, address), (FAILURES, address, beginning)]


def _has_admin(store: Store) -> bool:
    return any(
        token.role is Role.ADMIN and token.revoked_at is None for token in store.access.tokens()
    )


def _network(client: str) -> str:
    """What counts as one address: of IPv6 the network, of which everybody has a whole one."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 6:
        return str(ipaddress.ip_network(f"{address}/64", strict=False))
    return client
