"""Tokens of an OpenID Connect provider: a small one of our own, with real keys."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.api.serving import Api, serving
from tests.api.test_train import problem

from tunesmith.settings import Settings


@dataclass
class Provider:
    """An OpenID Connect provider: its discovery document, its keys, and tokens that it signs."""

    issuer: str = ""
    documents: dict[str, Any] = field(default_factory=dict)
    rsa_key: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    ec_key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def publish(self) -> None:
        keys = [
            json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa_key.public_key()))
            | {"kid": "rsa", "use": "sig", "alg": "RS256"},
            json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.ec_key.public_key()))
            | {"kid": "ec", "use": "sig", "alg": "ES256"},
        ]
        self.documents = {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys",
            },
            "/keys": {"keys": keys},
        }  # fmt: skip

    def token(self, kid: str = "rsa", key: Any = None, alg: str = "", **claims: Any) -> str:
        now = int(time.time())
        defaults = {"iss": self.issuer, "aud": "tunesmith", "sub": "42", "exp": now + 600}
        payload = {k: v for k, v in (defaults | claims).items() if v is not None}
        own = self.rsa_key if kid == "rsa" else self.ec_key
        algorithm = alg or ("RS256" if kid == "rsa" else "ES256")
        return jwt.encode(payload, own if key is None else key, algorithm, headers={"kid": kid})


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = made.documents.get(self.path)
            body = json.dumps(found).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    made.publish()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


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
    assert body == {"name": "oidc:42", "role": "member", "via": "oidc"}
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


def test_a_token_that_the_provider_did_not_sign_is_refused(api: Api, provider: Provider) -> None:
    forged = rsa.generate_private_key(65537, 2048)
    problem(api.as_(provider.token(key=forged)).get("/whoami"), 401)
    problem(api.as_(provider.token(kid="other", key=forged, alg="RS256")).get("/whoami"), 401)
    unsigned = provider.token(key="", alg="none")
    problem(api.as_(unsigned).get("/whoami"), 401)
    secret = provider.token(key="a shared secret of thirty-two bytes", alg="HS256")
    problem(api.as_(secret).get("/whoami"), 401)


def test_wrong_tokens_from_an_address_lock_out_none_that_was_valid_before(
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
    assert api.as_(provider.token(sub="3")).get("/whoami").status_code == 429
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
