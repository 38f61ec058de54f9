"""Models of the hub, searched through the API: what is asked, given, and not waited for."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from huggingface_hub import constants
from tests.api.serving import Api
from tests.api.test_train import problem
from tests.servers.hub_server import hub_server

from tunesmith.models import hub_search
from tunesmith.schemas.enums import Role


def model(
    name: str, kind: str | None, library: str = "transformers", *tags: str, **more: Any
) -> Any:
    """A model as https://huggingface.co/api/models lists it."""
    return {
        "_id": "621ffdc136468d709f17adb4", "id": name, "modelId": name, "pipeline_tag": kind,
        "library_name": library, "tags": [library, "safetensors", "en", *tags], "gated": False,
        **more,
    }  # fmt: skip


MODELS = [
    model("distilbert/distilbert-base-uncased", "fill-mask", "transformers", "license:apache-2.0",
          safetensors={"parameters": {"F32": 66985530}, "total": 66985530}),
    model("meta-llama/Llama-3.2-1B", "text-generation", "transformers", "license:llama3.2",
          gated="manual", safetensors={"parameters": {"BF16": 1235814400}, "total": 1235814400}),
    model("sentence-transformers/all-MiniLM-L6-v2", "sentence-similarity", "sentence-transformers"),
    model("someone/an-adapter", "text-generation", "peft"),
    model("someone/packed", "text-generation", "transformers", "gptq"),
    model("someone/pictures", "text-to-image", "diffusers"),
    model("someone/unsaid", None),
]  # fmt: skip


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is asked unless a test says otherwise."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def search(api: Api, text: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/configuration/models", params={"search": text}).json()["hub"]
    return found


def test_a_member_finds_models_that_can_be_adapted_and_the_hub_is_asked_once(
    guarded: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub_server({}, MODELS) as (address, paths):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        member = guarded.as_(guarded.token("maria"))
        found = search(member, "../../datasets?x=1&filter=gguf#")
        assert search(guarded, " ../../Datasets?x=1&filter=gguf# ") == found
        viewer = guarded.as_(guarded.token("vera", Role.VIEWER))
        problem(viewer.get("/configuration/models", params={"search": "bert"}), 403)
        assert viewer.get("/configuration/models").json()["hub"] is None
    assert found["state"] == "answered"
    assert found["items"] == [
        {"name": "distilbert/distilbert-base-uncased", "generates": False, "parameters": 66985530,
         "licence": "apache-2.0", "gated": False},
        {"name": "meta-llama/Llama-3.2-1B", "generates": True, "parameters": 1235814400,
         "licence": "llama3.2", "gated": True},
        {"name": "sentence-transformers/all-MiniLM-L6-v2", "generates": False, "parameters": None,
         "licence": "", "gated": False},
    ]  # fmt: skip
    assert [urlsplit(path).path for path in paths] == ["/api/models"]
    sent = parse_qs(urlsplit(paths[0]).query)
    assert sent["search"] == ["../../datasets?x=1&filter=gguf#"]
    assert sent["filter"] == ["safetensors"]


def test_where_the_hub_may_not_be_asked_it_is_not(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub_server({}, MODELS) as (address, paths):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert search(api, "bert") == {"state": "offline", "items": []}
    assert paths == []


def test_a_hub_that_sends_elsewhere_is_not_followed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        hub_server({}, MODELS) as (elsewhere, never),
        hub_server({}, moved=f"{elsewhere}/api/models?search=bert") as (address, paths),
    ):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        assert search(api, "bert")["state"] == "unreachable"
    assert (len(paths), never) == (1, [])


def test_a_hub_that_does_not_answer_is_not_waited_for_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_search, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert search(api, "bert") == {"state": "unreachable", "items": []}
    with hub_server({}, MODELS) as (address, paths):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        assert search(api, "another")["state"] == "unreachable"
    assert paths == []
