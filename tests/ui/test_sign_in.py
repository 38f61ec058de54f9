"""Signing in with an OpenID Connect provider: there and back, and what is refused on the way."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.api.serving import serving
from tests.servers.oidc_provider import CLIENT, SECRET, Provider, oidc_provider
from tests.ui.conftest import Seen, settled, stack

from tunesmith.errors import ConfigError
from tunesmith.settings import Settings
from tunesmith.ui.visitor import oidc, session
from tunesmith.ui.visitor.cookies import TOKEN, own_path

PAGE = "https://tunesmith.example.com"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with oidc_provider() as made:
        yield made


@pytest.fixture(scope="module")
def page(
    provider: Provider, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """The two routes, for a browser that finds the page over HTTPS, with the API behind them."""
    folder = tmp_path_factory.mktemp("sign-in")
    shutil.copy(migrated_sqlite, folder / "experiments.db")
    settings = Settings(
        _env_file=None,
        TUNESMITH_RESULTS_DIR=folder,
        TUNESMITH_REQUIRE_TOKENS=True,
        TUNESMITH_OIDC_ISSUER=provider.issuer,
        TUNESMITH_OIDC_CLIENT_ID=CLIENT,
        TUNESMITH_OIDC_CLIENT_SECRET=SECRET,
        TUNESMITH_UI_URL=PAGE,
    )
    before = list(session._given)
    with serving(settings) as api:
        session.configure(settings.model_copy(update={"api_url": str(api.base_url)}))
        with TestClient(
            Starlette(routes=oidc.routes(settings)), base_url=PAGE, follow_redirects=False
        ) as made:
            yield made
    session._given[:] = before


@pytest.fixture(autouse=True)
def forgotten(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test begins with a browser and a provider that know nothing of the one before."""
    yield
    if "page" in request.fixturenames:
        request.getfixturevalue("page").cookies.clear()
        request.getfixturevalue("provider").claims.clear()
        request.getfixturevalue("provider").codes.clear()


def there(page: TestClient, back: str = "/data?name=a") -> str:
    """Sign in at the provider; the path that the browser is sent back to."""
    begun = page.get("/sign-in", params={"back": back})
    assert begun.status_code == 302
    shown = httpx2.get(begun.headers["location"], trust_env=False).text
    address = urlsplit(shown.split('"')[1].replace("&amp;", "&"))
    assert f"{address.scheme}://{address.netloc}" == PAGE
    return f"{address.path}?{address.query}"


def test_who_signed_in_at_the_provider_is_let_in_with_cookies_that_scripts_and_http_never_see(
    page: TestClient, provider: Provider
) -> None:
    done = page.get(there(page))
    assert (done.status_code, done.headers["location"]) == (303, "/data?name=a")
    kept = next(c for c in done.headers.get_list("set-cookie") if c.startswith(TOKEN))
    assert all(word in kept.lower() for word in ("httponly", "secure", "samesite=strict"))
    assert page.cookies[TOKEN].count(".") == 2
    assert "tunesmith_sign_in" not in page.cookies, "state, nonce and verifier are used once"
    assert provider.codes == {}


def test_a_browser_that_did_not_begin_to_sign_in_is_not_signed_in(
    page: TestClient, provider: Provider
) -> None:
    begun_elsewhere = there(page)
    page.cookies.clear()
    assert page.get(begun_elsewhere).headers["location"] == "/?sign_in=stale"
    assert TOKEN not in page.cookies
    asked = parse_qs(urlsplit(there(page)).query)
    forged = page.get("/sign-in/done", params={"code": asked["code"][0], "state": "guessed"})
    assert forged.headers["location"] == "/?sign_in=stale"
    assert TOKEN not in page.cookies


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"nonce": "another's"}, "stale"),
        ({"nonce": None}, "stale"),
        ({"exp": 1}, "stale"),
        ({"aud": "another"}, "stale"),
        ({"iss": "http://127.0.0.1:1"}, "stale"),
        ({"nbf": 2**40}, "stale"),
        ({"sub": ""}, "unknown"),
        ({"groups": ["a group of the company"] * 200}, "too-large"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_token_that_is_not_of_this_sign_in_signs_nobody_in(
    page: TestClient, provider: Provider, claims: dict[str, object], word: str
) -> None:
    provider.claims.update(claims)
    done = page.get(there(page))
    assert done.headers["location"] == f"/?sign_in={word}"
    assert TOKEN not in page.cookies


def test_a_code_without_its_verifier_or_a_refusal_signs_nobody_in(
    page: TestClient, provider: Provider
) -> None:
    back = there(page)
    next(iter(provider.codes.values()))["code_challenge"] = "of another browser"
    assert page.get(back).headers["location"] == "/?sign_in=refused"
    said = page.get("/sign-in/done?error=access_denied&error_description=<b>no</b>")
    assert said.headers["location"] == "/?sign_in=refused"


def test_a_provider_that_does_not_answer_or_is_another_is_said_so(
    page: TestClient, provider: Provider
) -> None:
    document = provider.documents["/.well-known/openid-configuration"]
    settings = session.settings()
    for wrong in (
        document | {"issuer": "https://login.example.com"},
        document | {"token_endpoint": "http://login.example.com/token"},
        None,
    ):
        provider.documents["/.well-known/openid-configuration"] = wrong
        with TestClient(
            Starlette(routes=oidc.routes(settings)), base_url=PAGE, follow_redirects=False
        ) as other:
            assert other.get("/sign-in").headers["location"] == "/?sign_in=unreachable"
    provider.documents["/.well-known/openid-configuration"] = document


@pytest.mark.parametrize(
    "wanted", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_to_another_site_after_signing_in(page: TestClient, wanted: str) -> None:
    assert own_path(wanted) == "/"
    assert page.get(there(page, wanted)).headers["location"] == "/"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"oidc_issuer": None}, "TUNESMITH_OIDC_ISSUER"),
        ({"ui_host": "0.0.0.0", "ui_url": None}, "TUNESMITH_UI_URL"),
    ],
)
def test_a_page_that_a_provider_knows_needs_its_provider_and_an_address_to_come_back_to(
    page: TestClient, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        oidc.routes(session.settings().model_copy(update=changes))


def test_what_says_that_it_has_expired_is_not_sent_again(provider: Provider) -> None:
    assert session.has_expired(provider.token(exp=int(time.time()) - 60))
    assert not session.has_expired(provider.token())
    assert not session.has_expired("ts_an_access_token")


def test_one_signs_in_with_the_provider_stays_so_and_signs_out(tmp_path: Path, see: Seen) -> None:
    # Another site than the page's, 127.0.0.1: cookies have to come through as they would outside.
    with (
        oidc_provider("localhost") as provider,
        stack(
            tmp_path / "stack",
            TUNESMITH_REQUIRE_TOKENS="true",
            TUNESMITH_OIDC_ISSUER=provider.issuer,
            TUNESMITH_OIDC_CLIENT_ID=CLIENT,
            TUNESMITH_OIDC_CLIENT_SECRET=SECRET,
        ) as made,
    ):
        made.start("api", "ui")
        provider.claims.update(tunesmith_role="member", name="Maria *Curie*")
        page = see(f"{made.url}/system")
        page.get_by_role("link", name="Sign in with localhost").click()
        page.wait_for_url("**prompt=select_account**")
        page.get_by_role("link", name="Continue").click()
        expect(page.get_by_text("Maria *Curie* · member")).to_be_visible()
        assert page.url == f"{made.url}/system"
        page.reload()
        expect(page.get_by_text("Maria *Curie* · member")).to_be_visible()
        settled(page)
        cookie = next(c for c in page.context.cookies() if c["name"] == TOKEN)
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        page.get_by_role("link", name="Sign out").click()
        expect(page.get_by_role("link", name="Sign in with localhost")).to_be_visible()
        assert not [c for c in page.context.cookies() if c["name"] == TOKEN]
        expired = cookie | {"value": provider.token(aud=CLIENT, exp=1)}
        page.context.add_cookies([expired])  # type: ignore[list-item]
        page.goto(f"{made.url}/experiments?status=failed")
        expect(page.get_by_text("Your sign-in has ended")).to_be_visible()
        settled(page)
        page.get_by_role("link", name="Sign in with localhost").click()
        assert "prompt=" not in page.url, "who was signed in isn't asked again who they are"
        page.get_by_role("link", name="Continue").click()
        expect(page.get_by_text("Maria *Curie* · member")).to_be_visible()
        assert page.url == f"{made.url}/experiments?status=failed"
        said = "".join(file.read_text() for file in made.folder.glob("*.txt"))
        assert str(cookie["value"]) not in said
