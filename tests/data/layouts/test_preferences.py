"""Preference pairs in every layout that people bring become a prompt and two answers, as turns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.data.layouts.laid import laid, task, usage

from tunesmith.data.layouts.laying import laid_question
from tunesmith.data.sources import read_source

CASES = Path(__file__).parents[1] / "cases"
Row = Mapping[str, Any]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def human(text: str) -> dict[str, str]:
    return {"from": "human", "value": text}


def gpt(text: str) -> dict[str, str]:
    return {"from": "gpt", "value": text}


def dpo(*rows: Row, **options: Any) -> tuple[Any, list[dict[str, Any]]]:
    """The task, bound, and the rows as it gets them."""
    train = laid(*rows, name="dpo", **options).tables["train"]
    one = task("dpo")
    one.bind(one.find_columns(train.column_names, train.slice(0, 100).to_pylist()))
    return one, train.to_pylist()


def pair(*rows: Row) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """The prompt of the first row, and what its better and its worse answer say after it."""
    one, found = dpo(*rows)
    assert not list(one.faults(found[0]))
    start, (better, worse) = one.pair(found[0])
    prompt = [(turn["role"], turn["content"]) for turn in better[:start]]
    good, bad = ([turn["content"] for turn in each[start:]] for each in (better, worse))
    return prompt, good, bad


def case(name: str) -> list[Row]:
    rows = read_source(str(CASES / name)).tables["train"].to_pylist()
    return [{key: value for key, value in row.items() if key != "_row"} for row in rows]


ASKED = [("user", "p?")]
HH = "\n\nHuman: p?\n\nAssistant: x\n\nHuman: q?\n\nAssistant:"
LONGER = [("user", "p?"), ("assistant", "x"), ("user", "q?")]
ANSWERS = {"chosen": [said("c")], "rejected": [said("r")]}
TEXTS = {"chosen": "c", "rejected": "r"}
LAYOUTS: dict[str, tuple[Row, list[tuple[str, str]]]] = {
    "texts": ({"prompt": "p?", **TEXTS}, ASKED),
    "turns": ({"prompt": [user("p?")], **ANSWERS}, ASKED),
    "turns as JSON": (
        {name: json.dumps(turns) for name, turns in {"prompt": [user("p?")], **ANSWERS}.items()},
        ASKED,
    ),
    "TRL, implicit": (
        {name: [user("p?"), *answer] for name, answer in ANSWERS.items()}, ASKED
    ),
    "UltraFeedback, binarized": (
        {
            "prompt": "p?", "prompt_id": "7", "messages": [user("p?"), said("c")],
            **{name: [user("p?"), *answer] for name, answer in ANSWERS.items()},
            "score_chosen": 8.5, "score_rejected": 7.0,
        },
        ASKED,
    ),
    "Anthropic HH": ({"chosen": f"{HH} c", "rejected": f"{HH} r"}, LONGER),
    "HH with a prompt": ({"prompt": HH, "chosen": " c", "rejected": " r"}, LONGER),
    "OpenAI": (
        {
            "input": {"messages": [user("p?")], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [said("c")], "non_preferred_output": [said("r")],
        },
        ASKED,
    ),
    "Alpaca": ({"instruction": "p?", "input": "of it", **TEXTS}, [("user", "p?\nof it")]),
    "Alpaca with history": (
        {"instruction": "q?", "input": "", "system": "S", "history": [["p?", "x"]], **TEXTS},
        [("system", "S"), *LONGER],
    ),
    "Orca": ({"system": "S", "question": "p?", **TEXTS}, [("system", "S"), *ASKED]),
    "ShareGPT": (
        {"conversations": [human("p?"), gpt("x"), human("q?")], "chosen": gpt("c"),
         "rejected": gpt("r")},
        LONGER,
    ),
    "LLaMA-Factory, lists": ({"instruction": "p?", "input": "", "output": ["c", "r"]}, ASKED),
    "answers": ({"question": "p?", "answers": ["c", "r"]}, ASKED),
    "UltraFeedback": (
        {
            "instruction": "p?", "models": ["a", "b", "d"],
            "completions": [
                {"model": "a", "response": "m", "overall_score": 9.0, "fine-grained_score": 3.0},
                {"model": "b", "response": "c", "overall_score": 1.0, "fine-grained_score": 4.5},
                {"model": "d", "response": "r", "overall_score": 10.0, "fine-grained_score": 1.0},
            ],
        },
        ASKED,
    ),
    "UltraFeedback, aspects": (
        {
            "instruction": "p?",
            "completions": [
                {"response": said, "annotations": {
                    "honesty": {"Rating": rating}, "helpfulness": {"Rating": "3"}}}
                for said, rating in (("r", "1"), ("c", "5"), ("m", "N/A"))
            ],
        },
        ASKED,
    ),
    "distilabel": (
        {"system_prompt": "S", "instruction": "p?", "generations": ["m", "c", "r"],
         "ratings": [3.0, 5.0, 1.0]},
        [("system", "S"), *ASKED],
    ),
    "Nectar": (
        {"prompt": HH, "answers": [
            {"answer": said, "model": "m", "rank": rank}
            for said, rank in (("m", 2.0), ("r", 3.0), ("c", 1.0))]},
        LONGER,
    ),
    "PKU-SafeRLHF": (
        {"prompt": "p?", "response_0": "r", "response_1": "c", "is_response_0_safe": True,
         "better_response_id": 1, "safer_response_id": 0},
        ASKED,
    ),
    "Chatbot Arena": (
        {"model_a": "x", "model_b": "y", "winner": "model_b",
         "conversation_a": [user("p?"), said("r")], "conversation_b": [user("p?"), said("c")]},
        ASKED,
    ),
    "SHP": (
        {"history": "p?", "human_ref_A": "c", "human_ref_B": "r", "labels": 1,
         "score_A": 8, "score_B": 3},
        ASKED,
    ),
    "ranks": ({"prompt": "p?", "responses": ["m", "r", "c"], "ranks": [2, 3, 1]}, ASKED),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_pair_is_the_same_in_every_layout(name: str) -> None:
    row, prompt = LAYOUTS[name]
    assert pair(row) == (prompt, ["c"], ["r"])


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_adapter_is_asked_with_rows_of_the_same_layout(name: str) -> None:
    row, prompt = LAYOUTS[name]
    layout = laid(row, name="dpo").layout
    assert layout is not None
    one, _ = dpo(row)
    asked = one.question(laid_question(row, one, layout.name))
    assert [(turn["role"], turn["content"]) for turn in asked["messages"]] == prompt


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_column_is_used_or_named(name: str) -> None:
    row, _ = LAYOUTS[name]
    found = usage(row, name="dpo")
    assert {*found.uses} | {each.name for each in found.unused if each.rows is None} == {*row}


@pytest.mark.parametrize("file", ["dpo_hh.jsonl", "dpo_implicit_conv.jsonl"])
def test_without_a_prompt_column_it_is_what_both_answers_begin_with(file: str) -> None:
    rows = case(f"crash-dpo-no-prompt-column/{file}")
    one, found = dpo(*rows)
    assert len(found) == 20
    for row in found:
        assert not list(one.faults(row))
        assert row["prompt"][-1]["role"] == "user"
        assert [turn["role"] for turn in row["chosen"]] == ["assistant"]
        assert one.stratum(row) == one.stratum({"chosen": row["chosen"]})
    first = {"dpo_hh.jsonl": "I think a wren is small."}.get(file, "Wren 0")
    assert found[0]["chosen"][0]["content"] == first


def test_keys_of_answers_that_are_not_used_are_named() -> None:
    (row, _), (openai, _) = LAYOUTS["UltraFeedback"], LAYOUTS["OpenAI"]
    assert "not used: models, completions[].model (3)" in usage(row, name="dpo").lines()
    assert "not used: input.parallel_tool_calls (1)" in usage(openai, name="dpo").lines()


def test_answers_of_which_none_is_better_are_left_out_and_said() -> None:
    rows = [
        {"prompt": "p?", "responses": ["a", "b"], "scores": scores}
        for scores in ([1.0, 2.0], [2.0, 2.0], [1.0])
    ]
    found = laid(*rows, name="dpo")
    assert found.tables["train"].num_rows == 1
    assert [(each.row, each.reason) for each in found.excluded["train"]] == [
        (2, "no answer is rated higher than another"),
        (3, "not every answer has a rating"),
    ]


def test_compared_answers_of_which_neither_is_better_are_left_out_and_said() -> None:
    rows = [
        {"prompt": "p?", "answer_a": "1", "answer_b": "2", "winner": winner}
        for winner in ("model_a", "tie", None, "answer_b")
    ]
    found = laid(*rows, name="dpo")
    chosen = [row["chosen"] for row in found.tables["train"].to_pylist()]
    assert chosen == ["1", "2"]
    assert {(each.row, each.reason) for each in found.excluded["train"]} == {
        (2, "neither answer is said to be better"),
        (3, "neither answer is said to be better"),
    }


def test_two_answers_without_a_word_on_which_is_better_are_no_pairs() -> None:
    row = {"prompt": "p?", "answer_a": "1", "answer_b": "2", "score": 3}
    assert laid(row, name="dpo").layout is None


def test_for_sft_the_better_answer_is_learned_and_the_worse_one_said_not_to_be() -> None:
    for name in ("TRL, implicit", "Anthropic HH", "OpenAI"):
        row, prompt = LAYOUTS[name]
        (found,) = laid(row, name="sft").tables["train"].to_pylist()
        turns = [(turn["role"], turn["content"]) for turn in found["messages"]]
        assert turns == [*prompt, ("assistant", "c")]
        assert "worse answer, which is not learned" in "\n".join(usage(row, name="sft").lines())


def test_what_cannot_be_read_stays_for_the_rules_to_report() -> None:
    good = {"prompt": [user("p?")], **ANSWERS}
    odd = {"prompt": [user("p?")], "chosen": None, "rejected": [said("r")]}
    one, found = dpo(good, odd)
    assert not list(one.faults(found[0]))
    assert [rule for rule, _ in one.faults(found[1])]


def test_text_that_only_looks_like_a_transcript_within_stays_whole() -> None:
    prompt, better, _ = pair({"prompt": "p?", "chosen": "Write:\n\nHuman: hi", "rejected": "r"})
    assert (prompt, better) == (ASKED, ["Write:\n\nHuman: hi"])


def test_a_lone_text_that_begins_with_a_speaker_stays_what_it_is() -> None:
    rows = [{"prompt": f"p{n}?", **TEXTS} for n in range(4)]
    _, found = dpo({"prompt": "User: my parcel is late", **TEXTS}, *rows)
    assert found[0]["prompt"] == "User: my parcel is late"


def test_pairs_that_are_marked_are_not_learned_but_can_be_asked() -> None:
    rows = [{"prompt": "p?", **TEXTS, "weight": weight} for weight in (1, 0)]
    found = laid(*rows, name="dpo")
    assert [each.row for each in found.excluded["train"]] == [2]
    one, _ = dpo(*rows)
    asked = one.question(laid_question(rows[1], one, "preferences"))
    assert asked["messages"] == [user("p?")]


@pytest.mark.parametrize("place", ["input", "row"])
def test_tools_of_openais_pairs_may_first_stand_in_a_late_row(place: str) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    row: dict[str, Any] = {
        "input": {"messages": [user("p?")]},
        "preferred_output": [said("a")],
        "non_preferred_output": [said("b")],
        **({"tools": None} if place == "row" else {}),
    }
    late = {**row, "input": {**row["input"], "tools": tools}}
    late = late if place == "input" else {**row, "tools": json.dumps(tools)}
    _, found = dpo(*[row] * 150, late)
    assert found[0]["tools"] is None
    assert json.loads(found[-1]["tools"])[0]["function"]["name"] == "f"
    assert "tools" not in dpo(row)[1][0]
