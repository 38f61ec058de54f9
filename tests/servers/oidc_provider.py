"""A small OpenID Connect provider with real keys: what it says of itself, its page, its tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

CLIENT, SECRET = "the-page", "what only the page knows"


@dataclass
class Provider:
    """The document, the keys, and the tokens that it signs."""

    issuer: str = ""
    documents: dict[str, Any] = field(default_factory=dict)
    rsa_key: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    ec_key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    claims: dict[str, Any] = field(default_factory=dict)
    """What the next ID tokens say, besides or instead of what they should."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    """Code → the request that it answers; each is good once."""

    def publish(self) -> None:
        keys = [
            json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa_key.public_key()))
            | {"kid": "rsa", "use": "sig", "alg": "RS256"},
            json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.ec_key.public_key()))
            | {"kid": "ec", "use": "sig", "alg": "ES256"},
        ]
        self.documents = {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/keys",
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            },
            "/keys": {"keys": keys},
        }

    def token(self, kid: str = "rsa", key: Any = None, alg: str = "", **claims: Any) -> str:
        now = int(time.time())
        defaults = {"iss": self.issuer, "aud": "tunesmith", "sub": "42", "exp": now + 600}
        payload = {k: v for k, v in (defaults | claims).items() if v is not None}
        own = self.rsa_key if kid == "rsa" else self.ec_key
        algorithm = alg or ("RS256" if kid == "rsa" else "ES256")
        return jwt.encode(payload, own if key is None else key, algorithm, headers={"kid": kid})

    def page(self, asked: dict[str, str]) -> str:
        """What somebody sees who is sent here: one link, back to where they came from."""
        assert asked["client_id"] == CLIENT
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        back = f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
        return f'<a href="{back.replace("&", "&amp;")}">Continue</a>'

    def exchange(self, given: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """The ID token for a code; None for a code, a verifier or a client that is wrong."""
        asked = self.codes.pop(given.get("code", ""), None)
        known = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        verifier = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        if (
            asked is None
            or authorization != f"Basic {known}"
            or challenge != asked["code_challenge"]
            or given.get("redirect_uri") != asked["redirect_uri"]
        ):
            return None
        said: dict[str, Any] = {
            "aud": CLIENT,
            "nonce": asked["nonce"],
            "iat": int(time.time()),
            "name": "Maria",
        }
        token = self.token(**(said | self.claims))
        return {"access_token": "opaque", "token_type": "Bearer", "id_token": token}


@contextmanager
def oidc_provider(host: str = "127.0.0.1") -> Iterator[Provider]:
    """A provider that listens on this machine; browsers and servers find it under `host`."""
    made = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if address.path == "/authorize":
                asked = {k: v[0] for k, v in parse_qs(address.query).items()}
                self.send(200, made.page(asked).encode(), "text/html")
                return
            found = made.documents.get(self.path)
            self.send(200 if found else 404, json.dumps(found).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            given = {k: v[0] for k, v in parse_qs(body).items()}
            answer = made.exchange(given, self.headers.get("Authorization", ""))
            said = answer or {"error": "invalid_grant"}
            self.send(200 if answer else 400, json.dumps(said).encode())

        def send(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.issuer = f"http://{host}:{server.server_address[1]}"
        made.publish()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
