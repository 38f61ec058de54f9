"""Sign-in with an OpenID Connect provider: authorization code, PKCE, state and nonce, by Authlib.

- `/sign-in` sends the browser to the provider.
- `/sign-in/done` is where it comes back to, with a code that is exchanged for an ID token.

The token goes into the cookie that access tokens go into, once the API has said whom it takes it
for: the API alone judges. What went wrong reaches the page as one word in its address.

https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth
"""

from __future__ import annotations

import logging
import secrets
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.base_client import MismatchingStateError, OAuthError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tunesmith.client import Client
from tunesmith.errors import AccessError, ConfigError, Problem, ServiceError, TunesmithError
from tunesmith.messages import say
from tunesmith.network.addresses import is_loopback, is_private
from tunesmith.network.oidc import LEEWAY, TIMEOUT, discovery_address, provider_address
from tunesmith.settings import Settings
from tunesmith.ui.visitor import session
from tunesmith.ui.visitor.cookies import LARGEST, is_secure, keep_token, own_path

PATH = "/sign-in"
DONE = "/sign-in/done"

TROUBLE = "sign_in"
"""Parameter of the page's address that says why nobody is signed in: one of the words below."""

AGAIN = "again"
"""Parameter of `/sign-in` of who was signed in until their token expired: where the provider still
knows them, it sends them back at once."""

REFUSED, STALE, UNREACHABLE, UNKNOWN, TOO_LARGE = (
    "refused", "stale", "unreachable", "unknown", "too-large",
)  # fmt: skip

PATIENCE = 600
"""Seconds that somebody has to sign in at the provider."""

ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")

UNANSWERED = (httpx2.HTTPError, ValueError, ServiceError)
"""What is raised when the provider can't be reached, or doesn't speak OpenID Connect."""

log = logging.getLogger("tunesmith.ui")


def is_offered(settings: Settings) -> bool:
    """Whether people can sign in with a provider."""
    return settings.oidc_client_id is not None


def provider_name(settings: Settings) -> str:
    """What to call the provider: its host."""
    return urlsplit(settings.oidc_issuer or "").hostname or ""


def routes(settings: Settings) -> list[Route]:
    """The two routes, where they are offered. Raises ConfigError for what they can't do without."""
    if not is_offered(settings):
        return []
    problems = []
    if settings.oidc_issuer is None:
        wrong = say("TUNESMITH_OIDC_CLIENT_ID is of no use without its provider")
        accepted = say("an address that begins with https://")
        problems.append(Problem("TUNESMITH_OIDC_ISSUER", wrong, None, accepted))
    if settings.ui_url is None and not is_loopback(settings.ui_host):
        wrong = say("the provider has to send browsers back to this page")
        accepted = say(
            "the address at which browsers find it, such as https://tunesmith.example.com"
        )
        problems.append(Problem("TUNESMITH_UI_URL", wrong, None, accepted))
    if problems:
        raise ConfigError(problems)
    sign_in = SignIn(settings)
    # Of this server's life only: who was underway when it was started again begins once more.
    kept = Middleware(
        SessionMiddleware,
        secret_key=secrets.token_urlsafe(32),
        session_cookie="tunesmith_sign_in",
        max_age=PATIENCE,
        path=PATH,
        same_site="lax",  # strict would keep it from the request that comes from the provider
        https_only=is_secure(settings, ""),
    )
    return [
        Route(PATH, sign_in.begin, middleware=[kept]),
        Route(DONE, sign_in.end, middleware=[kept]),
    ]


class SignIn:
    """The way to the provider and back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._issuer = provider_address(settings)
        secret = settings.oidc_client_secret
        self._provider = OAuth().register(
            "provider",
            client_id=settings.oidc_client_id,
            client_secret=secret.get_secret_value() if secret else None,
            server_metadata_url=discovery_address(self._issuer),
            client_kwargs={
                "scope": "openid profile email",
                "code_challenge_method": "S256",
                "timeout": TIMEOUT,
            },
        )

    async def begin(self, request: Request) -> Response:
        """Send the browser to the provider, which asks for the account unless one comes back."""
        request.session["back"] = own_path(request.query_params.get("back"))
        asked = {} if AGAIN in request.query_params else {"prompt": "select_account"}
        try:
            await self._read_document()
            answer: Response = await self._provider.authorize_redirect(
                request, self._settings.ui_public_url + DONE, **asked
            )
        except UNANSWERED as error:
            return self._give_up(request, UNREACHABLE, error)
        return answer

    async def end(self, request: Request) -> Response:
        """Exchange the code that the browser brings for a token, and let the API judge it."""
        try:
            await self._read_document()
            answer = await self._provider.authorize_access_token(request, leeway=LEEWAY)
            token = str(answer["id_token"])
        except (MismatchingStateError, JoseError) as error:  # state; nonce, signature, time
            return self._give_up(request, STALE, error)
        except (OAuthError, KeyError) as error:
            return self._give_up(request, REFUSED, error)
        except UNANSWERED as error:
            return self._give_up(request, UNREACHABLE, error)
        if len(token) > LARGEST:
            return self._give_up(request, TOO_LARGE, say("a token of {n} bytes", n=len(token)))
        try:
            await run_in_threadpool(_try, token)
        except AccessError as error:
            return self._give_up(request, UNKNOWN, error)
        except TunesmithError as error:
            return self._give_up(request, UNREACHABLE, error)
        back = own_path(request.session.get("back"))
        request.session.clear()
        entered = RedirectResponse(back, status_code=303)
        keep_token(entered, token, secure=is_secure(self._settings, request.url.scheme))
        return entered

    async def _read_document(self) -> None:
        """Read what the provider says of itself, once. Raises ServiceError when that isn't so."""
        found = await self._provider.load_server_metadata()
        addresses = [str(found.get(endpoint)) for endpoint in ENDPOINTS]
        if found.get("issuer") != self._issuer or not all(map(is_private, addresses)):
            self._provider.server_metadata = {}
            raise ServiceError(
                "{address} is not the document of {issuer}.",
                address=discovery_address(self._issuer),
                issuer=self._issuer,
            )

    def _give_up(self, request: Request, word: str, why: object) -> Response:
        # A provider's own words may hold what it was sent; their kind is enough for the log.
        said = str(why) if isinstance(why, TunesmithError | str) else type(why).__name__
        log.warning("nobody was signed in with %s: %s (%s)", self._issuer, word, said)
        request.session.clear()
        return RedirectResponse(f"/?{TROUBLE}={word}", status_code=303)


def _try(token: str) -> None:
    with Client(session.api_url(), token) as trial:
        trial.whoami()
