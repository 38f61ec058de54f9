"""Tool calls, from training to `tunesmith serve`: learned, asked for, given in OpenAI's form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from tests.chat_families import save_chat_model
from tests.serving.server import serving
from tests.tasks.chats.tool_templates import CALLING, TOOL_FAMILIES, TOOLS, tool_tokenizer

import tunesmith
from tunesmith.experiments import TrainedExperiment
from tunesmith.serving.adapters import locate_adapter
from tunesmith.serving.engine import Engine
from tunesmith.serving.predictor import Predictor
from tunesmith.settings import Settings

TOWNS = ("Taipei", "Oslo", "Lima", "Rome")


@dataclass(frozen=True)
class Trained:
    """An adapter that learned to call, and what answers with it."""

    one: TrainedExperiment
    settings: Settings
    client: httpx2.Client

    def completed(self, **fields: Any) -> httpx2.Response:
        body = {"model": "it", "messages": CALLING[:1], "tools": TOOLS, **fields}
        return self.client.post("/v1/chat/completions", json=body)


def conversation(number: int) -> dict[str, Any]:
    """A row in OpenAI's form for fine-tuning."""
    turns = json.loads(json.dumps(CALLING))
    turns[0]["content"] = f"Weather in {TOWNS[number % 4]}? {number // 4}"
    return {"messages": turns, "tools": TOOLS}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("calling")
    family = TOOL_FAMILIES["qwen-2.5"]
    rows = [json.dumps(conversation(number), ensure_ascii=False) for number in range(48)]
    data = folder / "calls.jsonl"
    data.write_text("\n".join(rows) + "\n", encoding="utf-8")
    model = save_chat_model(folder / "model", family, rows, architecture="llama")
    tool_tokenizer(family, rows).save_pretrained(model)
    settings = Settings(
        _env_file=None,
        TUNESMITH_RESULTS_DIR=folder / "results",
        TUNESMITH_DATABASE_URL=f"sqlite:///{folder / 'experiments.db'}",
        TUNESMITH_CACHE_DIR=folder / "cache",
    )
    one = tunesmith.train(
        {
            "experiment_name": "calling",
            "task": {"name": "sft"},
            "model": {"name": str(model)},
            "lora": {"r": 8},
            "data": {
                "dataset_name": str(data), "eval_samples": 4, "max_length": 500,
                "validation_rules": {"near_duplicates": "ignore", "near_leakage": "ignore"},
            },
            "training": {
                "learning_rate": 2e-2, "num_train_epochs": 8, "device": "cpu",
                "precision": "float32", "per_device_train_batch_size": 4,
            },
        },
        settings=settings,
    )  # fmt: skip
    engine = Engine(settings, {"it": (locate_adapter(one.record, settings), 0)}, device="cpu")
    with serving(engine, settings) as client:
        yield Trained(one, settings, client)


def test_a_call_is_given_in_openai_s_form(trained: Trained) -> None:
    answered = trained.completed()
    assert answered.status_code == 200, answered.text
    choice = answered.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"town": "台北"}

    again = [
        *CALLING[:1],
        choice["message"],
        {"role": "tool", "tool_call_id": call["id"], "content": "20"},
    ]
    said = trained.completed(messages=again).json()["choices"][0]
    assert said["finish_reason"] == "stop"
    assert said["message"] == {
        "role": "assistant", "content": "It is 20 degrees.", "refusal": None
    }  # fmt: skip


def test_a_stream_gives_the_same_call(trained: Trained) -> None:
    answered = trained.completed(stream=True)
    events = [line.removeprefix("data: ") for line in answered.text.splitlines() if line]
    assert events.pop() == "[DONE]"
    choices = [json.loads(event)["choices"][0] for event in events]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == ""
    (call,) = [one for choice in choices for one in choice["delta"].get("tool_calls", [])]
    assert call["index"] == 0
    assert json.loads(call["function"]["arguments"]) == {"town": "台北"}
    assert choices[-1]["finish_reason"] == "tool_calls"


def test_no_tools_are_shown_where_none_are_to_be_called(trained: Trained) -> None:
    shown, hidden, none = (
        trained.completed(**fields).json()["usage"]["prompt_tokens"]
        for fields in ({}, {"tool_choice": "none"}, {"tools": None})
    )
    assert hidden == none < shown


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tool_choice": "required"}, "tool_choice: isn't supported here; accepted: none or auto"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"messages": [{"role": "user"}]}, "needs a text as content, or tool_calls"),
        ({"messages": [{"role": "tool", "content": "20", "tool_calls": [
            {"id": "1", "function": {"name": "f", "arguments": "{}"}}]}]}, "the assistant's"),
        ({"messages": [CALLING[0], {"role": "assistant", "tool_calls": [
            {"id": "1", "function": {"name": "f", "arguments": "[1]"}}]}, CALLING[2]]},
         "the arguments of f are no JSON object"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(trained: Trained, fields: Any, said: str) -> None:
    answered = trained.completed(**fields)
    assert answered.status_code == 400
    assert said in answered.json()["error"]["message"]


def test_rows_with_tools_are_judged_and_predicted_alike(trained: Trained) -> None:
    adapter = locate_adapter(trained.one.record, trained.settings)
    question = {**conversation(1), "messages": conversation(1)["messages"][:1]}
    (answer,) = Predictor(trained.settings, device="cpu").answer(adapter, [question]).answers
    assert answer.answer == (
        '<tool_call>\n{"name": "get_weather", "arguments": {"town": "台北"}}\n</tool_call>'
    )
    asked = trained.client.post("/predict/it", json={"inputs": [question]})
    assert asked.json()["answers"][0]["answer"] == answer.answer
