"""Tokens of an OpenID Connect provider: a small one of our own, with real keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.api.serving import Api, serving
from tests.api.test_train import problem
from tests.servers.oidc_provider import CLIENT, Provider, oidc_provider

from tunesmith.api.access.oidc import OidcVerifier
from tunesmith.errors import ConfigError
from tunesmith.settings import Settings


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with oidc_provider() as made:
        yield made


@pytest.fixture
def api(settings: Settings, provider: Provider) -> Iterator[Api]:
    changes = {"oidc_issuer": provider.issuer, "require_tokens": True}
    with serving(settings.model_copy(update=changes)) as running:
        yield running


@pytest.mark.parametrize("kid", ["rsa", "ec"])
def test_an_account_of_the_provider_has_the_role_of_its_claim(
    api: Api, provider: Provider, kid: str
) -> None:
    token = provider.token(kid, tunesmith_role="member")
    body = api.as_(token).get("/whoami").json()
    assert body == {"name": "oidc:42", "role": "member", "via": "oidc", "display_name": ""}
    several = provider.token(kid, tunesmith_role=["viewer", "admin", "king"])
    assert api.as_(several).get("/whoami").json()["role"] == "admin"


@pytest.mark.parametrize("claim", [None, "king", 7, {"admin": True}, "ADMIN"])
def test_an_account_without_a_known_role_only_looks(
    api: Api, provider: Provider, claim: Any
) -> None:
    token = provider.token(tunesmith_role=claim)
    assert api.as_(token).get("/whoami").json()["role"] == "viewer"


@pytest.mark.parametrize(
    "claims",
    [{"exp": 1}, {"exp": None}, {"aud": "another"}, {"aud": None}, {"iss": "http://127.0.0.1:1"},
     {"sub": None}, {"sub": ""}, {"nbf": 2**40}],
)  # fmt: skip
def test_a_token_that_is_not_for_here_and_now_is_refused(
    api: Api, provider: Provider, claims: dict[str, Any]
) -> None:
    problem(api.as_(provider.token(**claims)).get("/whoami"), 401)


def test_a_token_made_for_the_web_page_is_taken_where_it_is_named_and_says_how_to_call_who_came(
    settings: Settings, provider: Provider
) -> None:
    changes = {
        "oidc_issuer": provider.issuer, "require_tokens": True, "oidc_client_id": CLIENT,
    }  # fmt: skip
    token = provider.token(aud=CLIENT, name=7, preferred_username="maria")
    with serving(settings.model_copy(update=changes)) as api:
        body = api.as_(token).get("/whoami").json()
    assert (body["name"], body["display_name"]) == ("oidc:42", "maria")


@pytest.mark.parametrize("issuer", ["http://login.example.com", "http://127.0.0.1.example.com"])
def test_a_provider_whose_keys_others_could_change_on_their_way_is_refused(
    settings: Settings, issuer: str
) -> None:
    with pytest.raises(ConfigError, match="begins with https://"):
        OidcVerifier(settings.model_copy(update={"oidc_issuer": issuer}))


def test_a_token_that_the_provider_did_not_sign_is_refused(api: Api, provider: Provider) -> None:
    forged = rsa.generate_private_key(65537, 2048)
    problem(api.as_(provider.token(key=forged)).get("/whoami"), 401)
    problem(api.as_(provider.token(kid="other", key=forged, alg="RS256")).get("/whoami"), 401)
    unsigned = provider.token(key="", alg="none")
    problem(api.as_(unsigned).get("/whoami"), 401)
    secret = provider.token(key="a shared secret of thirty-two bytes", alg="HS256")
    problem(api.as_(secret).get("/whoami"), 401)


def test_wrong_tokens_from_an_address_lock_out_none_that_is_valid(
    api: Api, provider: Provider
) -> None:
    used, expired = provider.token(sub="1"), provider.token(exp=1)
    assert api.as_(used).get("/whoami").status_code == 200
    wrong = [api.as_(expired).get("/whoami").status_code for _ in range(12)]
    assert wrong == [401] * 10 + [429] * 2
    assert api.as_(provider.token(sub="2")).get("/whoami").status_code == 200
    client = api.as_(None)
    for n in range(100):
        client.get("/whoami", headers={"Authorization": f"Bearer x.y.{n}"})
    assert client.get("/whoami", headers={"Authorization": "Bearer x.y.z"}).status_code == 429
    assert api.as_(provider.token(sub="3")).get("/whoami").status_code == 200
    assert api.as_(used).get("/whoami").status_code == 200


def test_a_provider_that_does_not_answer_is_a_problem_for_later(
    settings: Settings, provider: Provider
) -> None:
    gone = settings.model_copy(
        update={"oidc_issuer": f"{provider.issuer}/elsewhere", "require_tokens": True}
    )
    with serving(gone) as api:
        response = api.as_(provider.token()).get("/whoami")
    problem(response, 503)
    assert response.headers["retry-after"]
