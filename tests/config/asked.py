"""Small configurations in whose data every option of the tasks and every rule finds something."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.conftest import BAD, CHAT_TEMPLATE, GOOD, WORDS, sentence, write_reviews

A, B = "a" * 40, "b" * 40
"""Commits of the hub's model and dataset."""
_DATED = "{{ strftime_now('%d %b %Y') }} " + CHAT_TEMPLATE
_STRICT = (
    "{% if messages[0]['role'] == 'assistant' %}{{ raise_exception('ask first') }}{% endif %}"
    + CHAT_TEMPLATE
)
_THOUGHT = "<think> not bad </think> fresh"


class Bases:
    """Configurations by name; what they name lies in `folder`, or in the hub's cache in it."""

    def __init__(self, folder: Path, classifier: Path, chat: Path) -> None:
        self.folder = folder
        self.hub = folder / "hub"
        self.models = {"tiny_distilbert": str(classifier), "tiny_chat": str(chat)}
        dated = folder / "dated"
        shutil.copytree(chat, dated)
        (dated / "chat_template.jinja").write_text(_DATED, encoding="utf-8")
        self.models["dated"] = str(dated)
        strict = folder / "strict"
        shutil.copytree(chat, strict)
        (strict / "chat_template.jinja").write_text(_STRICT, encoding="utf-8")
        self.models["strict"] = str(strict)
        for commit in (A, B):
            snapshot = _snapshot(self.hub / "models--owner--tiny", commit)
            shutil.copytree(classifier, snapshot)
            data = _snapshot(self.hub / "datasets--owner--film", commit)
            data.mkdir(parents=True)
            write_reviews(data / "train.csv", 60, seed=int(commit == A))
        self.asked = self._classifiers() | self._chats()
        self.datasets = {name: one["data"]["dataset_name"] for name, one in self.asked.items()}

    def _asked(self, task: str, data: str | Path, model: str, **options: Any) -> dict[str, Any]:
        return {
            "experiment_name": "one",
            "task": {"name": task, **options},
            "model": {"name": self.models[model]},
            "lora": {"r": 2},
            "data": {"dataset_name": str(data), "eval_samples": 12, "max_length": 32},
            "training": {
                "per_device_train_batch_size": 8, "max_steps": 2, "device": "cpu",
                "logging_steps": 5,
            },
        }  # fmt: skip

    def _classifiers(self) -> dict[str, dict[str, Any]]:
        rng = random.Random(0)
        folder = self.folder
        texts = [sentence(rng, good=n % 3 > 0) for n in range(60)]
        table = [
            {
                "text": text, "other": text[::-1], "label": "good" if n % 3 else "bad",
                "kind": "xy"[n % 2], "marks": ("a;b,c", "a", "b,c")[n % 3],
            }
            for n, text in enumerate(texts)
        ]  # fmt: skip
        spelled = [_spelled(n, text) for n, text in enumerate(texts)]
        numbers = [
            {"text": text, "other": text[::-1], "score": n % 5, "stars": n % 3}
            for n, text in enumerate(texts)
        ]
        words = [
            {
                "tokens": text.split(), "others": text.split()[::-1],
                "ner_tags": ["B-VIEW" if w in (*GOOD, *BAD) else "O" for w in text.split()],
                "marks": ["B-PART" if w == "plot" else "O" for w in text.split()],
            }
            for text in texts
        ]  # fmt: skip
        spans = [
            {
                "text": text, "other": f"{text} .",
                "spans": [{"start": 0, "end": len(text.split()[0]), "label": "FIRST"}],
                "marks": [{"start": 0, "end": len(text), "label": "ALL"}],
            }
            for text in texts
        ]  # fmt: skip
        broken = {**words[0], "ner_tags": ["O"]}
        spans[0]["spans"] = [{"start": 0, "end": 1, "label": "FIRST"}]
        self._folders()
        reviews = write_reviews(folder / "reviews.csv", 60)
        kind = ("text-classification", "tiny_distilbert")
        return {
            "reviews": self._asked(kind[0], reviews, kind[1]),
            "bare": {
                "model": {"name": self.models["tiny_chat"]}, "data": {"dataset_name": str(reviews)}
            },
            "table": self._asked(kind[0], _jsonl(folder / "table.jsonl", table), kind[1]),
            "spelled": self._asked(kind[0], _jsonl(folder / "spelled.jsonl", spelled), kind[1]),
            "splits": self._asked(kind[0], folder / "splits", kind[1]),
            "configs": self._asked(kind[0], folder / "configs", kind[1]),
            "hub": self._asked(kind[0], "owner/film", kind[1]),
            "faulty": self._asked(kind[0], _faulty(folder / "faulty.jsonl"), kind[1]),
            "numbers": self._asked(
                "regression", _jsonl(folder / "numbers.jsonl", numbers), kind[1]
            ),
            "words": self._asked(
                "token-classification", _jsonl(folder / "words.jsonl", [*words, broken]), kind[1]
            ),
            "spans": self._asked(
                "token-classification", _jsonl(folder / "spans.jsonl", spans), kind[1]
            ),
        }  # fmt: skip

    def _folders(self) -> None:
        """A folder with a file for each split, and one in the hub's format with two configs."""
        folder = self.folder
        for split, seed in (("train", 1), ("validation", 2), ("other", 3)):
            (folder / "splits").mkdir(exist_ok=True)
            write_reviews(folder / "splits" / f"{split}.csv", 40, seed=seed)
        with (folder / "splits" / "train.csv").open("a", encoding="utf-8") as stream:
            held_out = (folder / "splits" / "validation.csv").read_text(encoding="utf-8")
            stream.write(held_out.splitlines()[1] + "\n")
            stream.write(f"{LIKE} one,good\n")
        with (folder / "splits" / "validation.csv").open("a", encoding="utf-8") as stream:
            stream.write(f"{LIKE} two,good\n")
        for name in ("great", "dull"):
            (folder / "configs" / name).mkdir(parents=True)
            write_reviews(folder / "configs" / name / "rows.csv", 60, seed=len(name))
        (folder / "configs" / "README.md").write_text(_CONFIGS, encoding="utf-8")

    def _chats(self) -> dict[str, dict[str, Any]]:
        rng = random.Random(1)
        folder = self.folder
        texts = [sentence(rng, good=n % 2 > 0) for n in range(60)]
        chats = [
            {"messages": _chat(text, _THOUGHT), "later": _chat(text, "rotten")} for text in texts
        ]
        cut = [{"messages": _chat("is it good ?", " ".join(WORDS)), "later": _chat("?", "good")}]
        pairs = [
            {
                "prompt": text, "other": f"not {text}", "chosen": _THOUGHT, "rejected": "rotten .",
                "best": "good", "worst": "awful",
            }
            for text in texts
        ]  # fmt: skip
        asks = {"role": "user", "content": "is it good ?"}
        wrong: list[list[dict[str, Any]]] = [
            [{"role": "poet", "content": "a"}, {"role": "assistant", "content": "good"}],
            [{"role": "user", "content": ""}, {"role": "assistant", "content": "fine"}],
            [asks],
            [{"role": "assistant", "content": "superb"}, {"role": "assistant", "content": "bad"}],
            [{"role": "assistant", "content": "a"}, asks, {"role": "assistant", "content": "bad"}],
        ]
        instructions = [
            {"instruction": text, "input": "is it good ?", "output": "good"} for text in texts
        ]
        marked = [{**row, "weight": int(n > 0)} for n, row in enumerate(instructions)]
        faulty: list[Any] = [*(row["later"] for row in chats), *wrong, "no chat at all"]
        lines = [{"messages": json.dumps(one) if one != faulty[-1] else one} for one in faulty]
        preferences = self._asked(
            "dpo", _jsonl(folder / "pairs.jsonl", pairs), "tiny_chat", prompt_column="prompt",
            chosen_column="chosen", rejected_column="rejected",
        )  # fmt: skip
        preferences["data"]["validation_rules"] = {"control_tokens": "ignore"}
        offered = {"tools": [{"name": "look"}], "others": [{"name": "ask"}]}
        calling = _calling(offered, [row["later"][0] for row in chats])
        return {
            "chats": self._asked("sft", _jsonl(folder / "chats.jsonl", [*chats, *cut]), "tiny_chat",
                                 messages_column="messages"),
            "pairs": self._asked("sft", folder / "pairs.jsonl", "tiny_chat"),
            "marked": self._asked(
                "sft", _jsonl(folder / "marked.jsonl", marked), "tiny_chat"
            ),
            "instructions": self._asked(
                "sft", _jsonl(folder / "instructions.jsonl", instructions), "tiny_chat"
            ),
            "preferences": preferences,
            "calling chats": self._asked("sft", _jsonl(folder / "calling.jsonl", calling),
                                         "tiny_chat"),
            "calling pairs": self._asked(
                "dpo", _jsonl(folder / "both.jsonl", [{**offered, **row} for row in pairs]),
                "tiny_chat", prompt_column="prompt", chosen_column="chosen",
                rejected_column="rejected",
            ),
            "faulty chats": self._asked("sft", _jsonl(folder / "faulty chats.jsonl", lines),
                                        "tiny_chat"),
        }  # fmt: skip


LIKE = "the scene with the actor was a very fresh story and not quite of this film but rather"
_CONFIGS = """---
configs:
- {config_name: great, data_files: great/rows.csv}
- {config_name: dull, data_files: dull/rows.csv}
---
"""


def _spelled(n: int, text: str) -> dict[str, Any]:
    """A row whose label is written in several ways, and whose other columns are 0 and 1."""
    label = ("good", "Good", "bad", "good", "-1", "bad")[n % 6]
    return {
        "text": text, "label": label, "author": f"a{n % 7}", "hot": n % 2, "cold": int(n % 3 > 0)
    }  # fmt: skip


def _calling(offered: dict[str, Any], questions: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """A chat for each question: one with a call, one with a broken call, the others without."""
    answers: list[dict[str, Any]] = [
        {"tool_calls": [{"name": "look", "arguments": "{}"}]},
        {"content": "good", "tool_calls": [{"name": "look", "arguments": "{"}]},
        *[{"content": "good"}] * (len(questions) - 2),
    ]
    return [
        {**offered, "messages": [question, {"role": "assistant", **said}]}
        for question, said in zip(questions, answers, strict=True)
    ]


def _chat(asked: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def _snapshot(folder: Path, commit: str) -> Path:
    (folder / "snapshots").mkdir(parents=True, exist_ok=True)
    return folder / "snapshots" / commit


def _jsonl(file: Path, rows: Sequence[Mapping[str, Any]], *broken: str) -> Path:
    file.write_text("\n".join([*map(json.dumps, rows), *broken]) + "\n", encoding="utf-8")
    return file


def _faulty(file: Path) -> Path:
    """Reviews, and for each rule about texts and labels a row that breaks it."""
    rng = random.Random(2)
    rows: list[dict[str, Any]] = [
        {"text": sentence(rng, good=n % 5 > 0), "label": "good" if n % 5 else "bad"}
        for n in range(150)
    ]
    for text, label in (
        ("", "good"), ("dull", "bad"), (" ".join(WORDS), "good"), ("a [SEP] fine film", "good"),
        ("a <b>lovely</b> film", "good"), ("a cafÃ© scene", "good"), ("a\u200b poor scene", "bad"),
        ("a story of one film", None), ("a story of one word", "odd"),
        (LIKE, "good"), (LIKE, "good"), (f"{LIKE} one", "good"),
        ("it was a fine plot", "good"), ("it was a fine plot", "bad"),
        ("the key is AKIAIOSFODNN7EXAMPLQ .", "good"), ("write to jo@example.org .", "bad"),
    ):  # fmt: skip
        rows.append({"text": text, "label": label})
    return _jsonl(file, rows, '{"text": "broken')
