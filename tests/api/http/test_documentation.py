"""What the OpenAPI document announces: every error that a route may answer."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.serving import Api
from tests.api.test_train import problem

from tunesmith.api.http.bodies import MAX_JSON

PUBLIC = ("/health/live", "/health/ready")
"""Addresses that need no token, ask for nothing by name, and can't be forbidden."""


def operations(api: Api) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, address and description of every operation."""
    return [
        (method.upper(), path, operation)
        for path, methods in api.app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_operation_announces_what_it_may_answer(api: Api) -> None:
    missing = []
    for method, path, operation in operations(api):
        wanted = {"403", "413", "500"}
        if path not in PUBLIC:
            wanted |= {"401", "422", "429", "503"}
        if "{" in path:
            wanted.add("404")
        if "requestBody" in operation:
            wanted |= {"400", "408", "415"}
        if gone := sorted(wanted - operation["responses"].keys()):
            missing.append(f"{method} {path}: {', '.join(gone)}")
    assert missing == []


def test_what_no_route_answers_for_is_described_too(api: Api) -> None:
    described = api.get("/openapi.json").json()["info"]["description"]
    assert problem(api.get("/nowhere"), 404)["type"].endswith("not-found")
    assert problem(api.delete("/train"), 405)["type"].endswith("method")
    assert "404" in described
    assert "405" in described


def test_a_body_where_none_belongs_is_refused_as_announced(api: Api) -> None:
    for method, path in (("GET", "/experiments"), ("POST", "/experiments/abc/cancel")):
        answer = api.request(method, path, content=b" " * (MAX_JSON + 1))
        problem(answer, 413)
    problem(api.get("/health/live", headers={"Host": "evil.example"}), 403)


@pytest.mark.parametrize("route", ["validate", "check", "rejected", "estimate", "resolve"])
def test_a_version_that_is_not_there_is_answered_as_announced(
    api: Api, config: dict[str, Any], route: str
) -> None:
    config["data"] = {"dataset_name": "reviews@9"}
    assert api.post(f"/configuration/{route}", json=config).status_code < 500
