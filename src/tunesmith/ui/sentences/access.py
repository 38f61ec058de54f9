"""Who may do what."""

from __future__ import annotations

from tunesmith.ui.language import N_

SENTENCES = N_(
    "{name} is {role}; this needs the role {needed}. An admin makes tokens with: tunesmith "
    "tokens create NAME --role ROLE",
    "experiment {id} belongs to {who}; {name} may change only experiments of their own.",
    "whoever is at the machine itself",
    "This needs an access token. It is sent as Authorization: Bearer ts_…; an admin makes one "
    "with: tunesmith tokens create NAME",
    "Only the account that started Tunesmith needs no access token, in requests of its own "
    "programs on the same machine. It is sent as Authorization: Bearer ts_…; an admin makes one "
    "with: tunesmith tokens create NAME",
    "This access token is unknown, has expired or was revoked.",
    "Too many wrong tokens came from this address; try again later.",
    "There is a token {name} already, or was one.",
    "There is no token called {name}",
    "no token can be called so",
    "1 to 64 letters, digits, _ . @ -, beginning with a letter or digit",
    "{name} stands for whoever is at this machine; choose another name.",
    "holds a character that no access token has (its value isn't shown)",
    "ts_… as it was shown when made",
    "{what} is not this machine's own address: open http://127.0.0.1 or http://localhost, or "
    "ask for tokens (TUNESMITH_REQUIRE_TOKENS=1).",
    "A request without a Host",
    "Pages of {origin} may not change anything here.",
    "The token {name} was revoked; make another one, of another name.",
    "the keys of {issuer} can't be read: {error}",
    "{address} is not the document of {issuer}.",
    "The body of the request is larger than the {n} MiB that are accepted.",
    "The body of the request comes too slowly.",
    "The connection ended before the body did.",
    "The connection ended before the upload did.",
    "{url} answered {status}, not as the API does.",
    "{url} answered, but not as the API of this version does; the answer began: {value}. Is "
    "the address that of tunesmith api?",
    "{method} can't be used here; accepted: {names}.",
)
