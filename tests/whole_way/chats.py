"""Conversations and pairs in every layout, written as their tools and datasets have them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tests.tasks.chats.tool_templates import CALLING, TOOLS
from tests.whole_way.case import OTHER, ROWS, TEXTS, VERDICTS, Case, asks, lines

PAIRS = list(zip(TEXTS, VERDICTS, strict=True))
ASK = "fresh or rotten ?"
SYSTEM = "answer in one word"

Row = dict[str, Any]
Written = Callable[[str, str], Row]
"""A text and its verdict → a row."""

PLAIN = asks(TEXTS[0], VERDICTS[0])
WITH_ASK = asks(f"{ASK}\n{TEXTS[0]}", VERDICTS[0])
WITH_SYSTEM = asks(TEXTS[0], VERDICTS[0], system=SYSTEM)
PREFERRED = [PLAIN, asks(TEXTS[0], OTHER[VERDICTS[0]])]


def jsonl(written: Written) -> Callable[[Path], object]:
    return lambda path: lines(path, (written(*pair) for pair in PAIRS))


def said(role: str, text: str, *keys: str) -> Row:
    name, content = keys or ("role", "content")
    return {name: role, content: text}


def chat(text: str, answer: str, *more: str) -> list[Row]:
    """OpenAI's turns."""
    user, assistant, *keys = more or ("user", "assistant")
    return [said(user, text, *keys), said(assistant, answer, *keys)]


def openai(text: str, answer: str) -> Row:
    return {"messages": chat(text, answer)}


def openai_parts(text: str, answer: str) -> Row:
    """As the API's requests and `developer` of the newer models have it."""
    turns = [said("developer", SYSTEM), *chat(text, answer)]
    turns[1]["content"] = [{"type": "text", "text": text}]
    return {"messages": turns}


def openai_weights(text: str, answer: str) -> Row:
    turns = [*chat(text, OTHER[answer]), *chat("not it", answer)]
    turns[1]["weight"] = 0
    turns[3]["weight"] = 1
    return {"messages": turns}


def calls(path: Path) -> None:
    """As https://platform.openai.com/docs/guides/fine-tuning has function calling."""
    rows = json.loads(json.dumps([CALLING] * ROWS))
    for number, turns in enumerate(rows):
        turns[0]["content"] = f"{turns[0]['content']} {number}"
    lines(path, ({"messages": turns, "tools": TOOLS} for turns in rows))


def alpaca(path: Path) -> None:
    """As https://github.com/tatsu-lab/stanford_alpaca has alpaca_data.json."""
    rows = [{"instruction": ASK, "input": text, "output": said} for text, said in PAIRS]
    path.write_text(json.dumps(rows, indent=4), "utf-8")


def llama_factory(text: str, answer: str) -> Row:
    return {"instruction": ASK, "input": text, "output": answer, "system": SYSTEM,
            "history": [["a film", "fine"]]}  # fmt: skip


def hh(text: str, answer: str) -> Row:
    """As Anthropic/hh-rlhf has it."""
    asked = f"\n\nHuman: {text}\n\nAssistant: "
    return {"chosen": asked + answer, "rejected": asked + OTHER[answer]}


def guanaco(text: str, answer: str) -> Row:
    """As timdettmers/openassistant-guanaco has it."""
    return {"text": f"### Human: {text}### Assistant: {answer}"}


def filled_template(text: str, answer: str) -> Row:
    """Alpaca's template, filled in."""
    before = "Below is an instruction that describes a task, paired with an input."
    return {"text": f"{before}\n\n### Instruction:\n{ASK}\n\n### Input:\n{text}\n\n"
            f"### Response:\n{answer}"}  # fmt: skip


def plain_lines(path: Path) -> None:
    texts = (guanaco(*pair)["text"] for pair in PAIRS)
    path.write_text("\n".join(texts) + "\n", "utf-8")


def ultrafeedback(text: str, answer: str) -> Row:
    """As openbmb/UltraFeedback has it, without the aspects' rationales."""

    def rated(response: str, rating: str) -> Row:
        return {"annotations": {"helpfulness": {"Rating": rating, "Rationale": "so"}},
                "custom_system_prompt": "", "model": "a", "principle": "honesty",
                "response": response, "fine-grained_score": float(rating)}  # fmt: skip

    return {"source": "s", "instruction": text, "models": ["a", "b"],
            "completions": [rated(OTHER[answer], "1"), rated(answer, "5")]}  # fmt: skip


def distilabel(text: str, answer: str) -> Row:
    return {"instruction": text, "generations": [OTHER[answer], answer], "ratings": [1.0, 4.0]}


def preferred_by_openai(text: str, answer: str) -> Row:
    """As https://platform.openai.com/docs/guides/direct-preference-optimization has it."""
    return {"input": {"messages": [said("user", text)], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [said("assistant", answer)],
            "non_preferred_output": [said("assistant", OTHER[answer])]}  # fmt: skip


def sharegpt_pairs(text: str, answer: str) -> Row:
    """LLaMA-Factory's preferences in ShareGPT's format."""
    return {"conversations": [said("human", text, "from", "value")],
            "chosen": said("gpt", answer, "from", "value"),
            "rejected": said("gpt", OTHER[answer], "from", "value")}  # fmt: skip


def kto(path: Path) -> None:
    """As trl-lib/kto-mix-14k has it, every fourth answer a bad one."""
    rows = [
        {"prompt": [said("user", text)], "completion": [said("assistant", answer)],
         "label": n % 4 > 0 or n == 0}
        for n, (text, answer) in enumerate(PAIRS)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), path)


def kto_pairs(path: Path) -> None:
    """The same with both kinds of answers to each question."""
    rows = [
        {"prompt": text, "completion": answer if good else OTHER[answer], "label": good}
        for text, answer in PAIRS for good in (True, False)
    ]  # fmt: skip
    lines(path, rows)


def safe_rlhf(text: str, answer: str) -> Row:
    """As PKU-Alignment/PKU-SafeRLHF has it, without its marks of safety."""
    return {"prompt": text, "response_0": OTHER[answer], "response_1": answer,
            "better_response_id": 1}  # fmt: skip


def ultrachat(text: str, answer: str) -> Row:
    """As openbmb/UltraChat has it."""
    return {"id": text, "data": [text, answer]}


def cells(path: Path) -> None:
    """Conversations in a CSV as pandas leaves them: Python's own writing of lists."""
    frame = pd.DataFrame({"messages": [chat(*pair) for pair in PAIRS]})
    frame.to_csv(path, index=False)


def questions(path: Path) -> None:
    pd.DataFrame(PAIRS, columns=["問題", "回答"]).to_excel(path, index=False)


def _sft(
    name: str,
    write: Callable[[Path], object],
    layout: str | None,
    first: Any = PLAIN,
    form: str = "jsonl",
    **more: Any,
) -> Case:
    return Case(name, write, "sft", first, form, layout, **more)


def _conversations() -> Iterator[Case]:
    turns = ("human", "gpt", "from", "value")
    yield _sft("messages.jsonl", jsonl(openai), "openai")
    yield _sft("parts.jsonl", jsonl(openai_parts), "openai", WITH_SYSTEM)
    yield _sft(
        "weights.jsonl", jsonl(openai_weights), "openai",
        [*asks(TEXTS[0], OTHER[VERDICTS[0]]), *asks("not it", VERDICTS[0])],
    )  # fmt: skip
    called = [(turn["role"], turn.get("content") or "") for turn in CALLING]
    yield _sft(
        "calls.jsonl", calls, "openai",
        [("user", f"{CALLING[0]['content']} 0"), *called[1:]], model="calling_chat",
    )  # fmt: skip
    yield _sft("cells.csv", cells, "openai", form="csv")
    yield _sft(
        "claude.jsonl",
        jsonl(lambda text, answer: {"system": SYSTEM, "messages": chat(text, answer)}),
        "anthropic", WITH_SYSTEM,
    )  # fmt: skip
    yield _sft(
        "sharegpt.jsonl",
        jsonl(lambda text, answer: {"id": text, "conversations": chat(text, answer, *turns)}),
        "sharegpt",
    )
    yield _sft(
        "lines.jsonl",
        jsonl(lambda text, answer: {"conversation": [{"human": text, "assistant": answer}]}),
        "sharegpt",
    )
    yield _sft("ultrachat.jsonl", jsonl(ultrachat), "texts-in-turn")


def _questions_and_transcripts() -> Iterator[Case]:
    yield _sft("alpaca.json", alpaca, "alpaca", WITH_ASK, "json")
    yield _sft(
        "history.jsonl", jsonl(llama_factory), "alpaca",
        [("system", SYSTEM), *asks("a film", "fine"), *WITH_ASK],
    )  # fmt: skip
    yield _sft(
        "swift.jsonl",
        jsonl(lambda text, answer: {"system": SYSTEM, "query": text, "response": answer,
                                    "history": [["a film", "fine"]]}),
        "swift", [("system", SYSTEM), *asks("a film", "fine"), *PLAIN],
    )  # fmt: skip
    yield _sft(
        "squad.jsonl",
        jsonl(lambda text, answer: {"question": ASK, "context": text, "answer": answer}),
        "pairs", WITH_ASK,
    )  # fmt: skip
    yield _sft("questions.xlsx", questions, None, form="spreadsheet")
    yield _sft(
        "prompts.jsonl",
        jsonl(lambda text, answer: {"prompt": text, "completion": answer}), None,
    )  # fmt: skip
    yield _sft("kto.parquet", kto, "kto", form="parquet", learned=ROWS - (ROWS - 1) // 4)
    yield _sft("guanaco.jsonl", jsonl(guanaco), "transcripts")
    yield _sft("plain.txt", plain_lines, "transcripts", form="text")
    before = "Below is an instruction that describes a task, paired with an input."
    yield _sft(
        "template.jsonl", jsonl(filled_template), "transcripts", [("system", before), *WITH_ASK]
    )  # fmt: skip


def _dpo() -> Iterator[Case]:
    def case(name: str, written: Written, layout: str | None, first: Any = PREFERRED) -> Case:
        return Case(name, jsonl(written), "dpo", first, "jsonl", layout)

    def trl(text: str, answer: str) -> Row:
        return {"prompt": text, "chosen": answer, "rejected": OTHER[answer]}

    def orca(text: str, answer: str) -> Row:
        return {"system": SYSTEM, "question": text, "chosen": answer, "rejected": OTHER[answer]}

    def best_first(text: str, answer: str) -> Row:
        return {"prompt": text, "answers": [answer, OTHER[answer]]}

    def implicit(text: str, answer: str) -> Row:
        return {"chosen": chat(text, answer), "rejected": chat(text, OTHER[answer])}

    both = [asks(TEXTS[0], said, system=SYSTEM) for said in (VERDICTS[0], OTHER[VERDICTS[0]])]
    yield case("trl.jsonl", trl, "preferences")
    yield case("orca.jsonl", orca, "preferences", both)
    yield case("sharegpt pairs.jsonl", sharegpt_pairs, "preferences")
    yield case("implicit.jsonl", implicit, "implicit-prompt")
    yield case("hh.jsonl", hh, "implicit-prompt")
    yield case("preferred.jsonl", preferred_by_openai, "openai-preferences")
    yield case("ultrafeedback.jsonl", ultrafeedback, "rated-answers")
    yield case("distilabel.jsonl", distilabel, "rated-answers")
    yield case("safe.jsonl", safe_rlhf, "compared-answers")
    yield Case("kto pairs.jsonl", kto_pairs, "dpo", PREFERRED, "jsonl", "kto-pairs", rows=2 * ROWS)
    yield case("two.jsonl", best_first, "rated-answers")
    yield Case("hh chosen.jsonl", jsonl(hh), "sft", PLAIN, "jsonl", "implicit-prompt")


CHATS = [*_conversations(), *_questions_and_transcripts(), *_dpo()]
