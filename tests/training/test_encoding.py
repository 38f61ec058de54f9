"""Encoded rows are kept for the next training, and encoded anew where anything is different."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.tasks.chats.chat_formats import CHATML, FORGETS, byte_tokenizer

from tunesmith import tasks
from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import read_draft
from tunesmith.errors import DataError
from tunesmith.experiments.lifecycle.prepare import prepare
from tunesmith.settings import Settings
from tunesmith.tasks.sft import SftOptions, SupervisedFineTuning
from tunesmith.training import encoding
from tunesmith.training.encoding import KEPT, encode
from tunesmith.training.plan import make_plan
from tunesmith.training.reporting.reporter import Reporter, TrainingData
from tunesmith.training.stages import Encoded, Training
from tunesmith.training.starting import begin

Encode = Callable[[dict[str, Any]], Encoded]


@pytest.fixture
def encoded(settings: Settings, tmp_path: Path) -> Encode:
    """Encodes the rows of a configuration, with the cache of the test's settings."""

    def build(asked: dict[str, Any]) -> Encoded:
        found = prepare(read_draft(asked), settings)
        rows = found.dataset
        work = Training(
            found.config,
            found.task,
            TrainingData(rows.train, rows.evaluation, {}),
            found.source,
            make_plan(found.config),
            tmp_path,
            Reporter(),
            settings.cache_dir,
        )
        return encode(work, begin(work))

    return build


def kept(settings: Settings) -> set[Path]:
    return set((settings.cache_dir / KEPT).glob("*"))


@pytest.fixture
def asked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A classification or a chat."""
    found: dict[str, Any] = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("asked", ["classification", "chat"], indirect=True)
def test_the_second_time_rows_come_from_the_cache_as_they_were(
    asked: dict[str, Any], encoded: Encode, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encoded(asked)
    assert len(kept(settings)) == 2  # those that are trained on, and those held out
    monkeypatch.setattr(type(first.task), "encode", lambda *_: pytest.fail("encoded again"))
    again = encoded(asked)
    assert again.train_examples == first.train_examples
    assert again.eval_examples == first.eval_examples
    assert again.task.facts() == first.task.facts()  # of a chat the longest answer
    types = [
        [[type(value) for value in row.values()] for row in work.eval_examples]
        for work in (first, again)
    ]
    assert types[0] == types[1]


def test_a_change_of_the_tasks_code_in_any_of_its_folders_makes_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = shutil.copytree(Path(str(tasks.__file__)).parent, tmp_path / "tasks")
    monkeypatch.setattr(tasks, "__file__", str(code / "__init__.py"))
    before = encoding._code.__wrapped__()
    with (code / "chats" / "format.py").open("a", encoding="utf-8") as stream:
        stream.write("# another way to write a chat\n")
    assert encoding._code.__wrapped__() != before


def test_whatever_tokens_depend_on_makes_other_files(
    classification: dict[str, Any], encoded: Encode, settings: Settings, tmp_path: Path
) -> None:
    encoded(classification)
    before = kept(settings)
    classification["data"]["max_length"] = 16
    encoded(classification)
    shorter = kept(settings)
    assert len(shorter - before) == 2
    classification["task"]["labels"] = ["good", "bad"]
    encoded(classification)
    relabelled = kept(settings)
    assert len(relabelled - shorter) == 2
    model = tmp_path / "model"
    shutil.copytree(classification["model"]["name"], model)
    classification["model"]["name"] = str(model)
    encoded(classification)
    assert kept(settings) == relabelled  # the same tokenizer elsewhere
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["unheard"] = 1 + max(tokenizer["model"]["vocab"].values())
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    encoded(classification)
    assert len(kept(settings) - relabelled) == 2


def test_rows_are_numbered_by_what_batches_shall_hold_in_its_share(
    classification: dict[str, Any], chat: dict[str, Any], encoded: Encode, tmp_path: Path
) -> None:
    """A label, a short answer, a range of numbers; answers that are texts are all alike."""
    for asked, column in ((classification, "verdict"), (chat, "verdict")):
        work = encoded(asked)
        pairs = {
            (row[column], example["stratum"])
            for row, example in zip(work.train_rows, work.train_examples, strict=True)
        }
        assert sorted(number for _, number in pairs) == [0, 1]
    work = encoded({**chat, "task": {**chat["task"], "completion_column": "review"}})
    long = [len(row["review"]) > 20 for row in work.train_rows]
    numbers = [example["stratum"] for example in work.train_examples]
    assert len({number for number, is_long in zip(numbers, long, strict=True) if is_long}) == 1
    table = tmp_path / "numbers.csv"
    lines = [f"a film number {n},{n}" for n in range(100)]
    table.write_text("\n".join(["text,score", *lines]))
    work = encoded(
        {
            **classification,
            "task": {"name": "regression"},
            "data": {"dataset_name": str(table), "eval_samples": 10, "max_length": 32},
        }
    )
    scores: dict[int, list[int]] = {}
    for row, example in zip(work.train_rows, work.train_examples, strict=True):
        scores.setdefault(example["stratum"], []).append(int(row["score"]))
    assert len(scores) == 7  # uniform numbers end at 1.7 deviations, in halves of one
    assert all(max(each) - min(each) < 16 for each in scores.values())


@pytest.mark.parametrize("harm", ["not JSON\n", "", '{"input_ids": [1], "targets": 1}\n'])
def test_a_harmed_file_is_encoded_anew(
    harm: str, classification: dict[str, Any], encoded: Encode, settings: Settings
) -> None:
    first = encoded(classification)
    whole = {file: file.read_text() for file in kept(settings)}
    for file in whole:
        file.write_text(harm)
    again = encoded(classification)
    assert again.train_examples == first.train_examples
    assert {file: file.read_text() for file in kept(settings)} == whole


def test_a_cache_that_cannot_be_written_changes_nothing(
    classification: dict[str, Any], encoded: Encode, settings: Settings
) -> None:
    settings.cache_dir.mkdir()
    (settings.cache_dir / KEPT).write_text("in the way")
    assert encoded(classification).train_examples


def test_a_date_is_kept_for_a_template_that_writes_one_only(
    chat: dict[str, Any], settings: Settings
) -> None:
    chat["task"]["template_date"] = "2026-02-03"
    assert prepare(read_draft(chat), settings).config.task.template_date is None  # type: ignore[attr-defined]


# -- chats that don't fit ------------------------------------------------------------------------


class Hears(Reporter):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def chats(
    limit: int, *, template: str, answers: Sequence[str], short: str = "a", judged: int = 1
) -> tuple[Encoded, list[str]]:
    """Conversations of these answers, encoded with at most `limit` tokens each; the warnings."""
    tokenizer = byte_tokenizer(template)
    task = SupervisedFineTuning(SftOptions())
    task.prepare_tokenizer(tokenizer)
    turns = [
        turn
        for answer in answers[:-1]
        for turn in (
            {"role": "user", "content": "?"}, {"role": "assistant", "content": answer}
        )
    ]  # fmt: skip
    last = [{"role": "user", "content": "?"}, {"role": "assistant", "content": answers[-1]}]
    other = {"_row": 2, "messages": [last[0], {"role": "assistant", "content": short}]}
    rows = [{"_row": 1, "messages": [*turns, *last]}, other]
    reporter = Hears()
    config = ExperimentConfig.model_validate(
        {"model": {"name": "m"}, "task": {"name": "sft"}, "data": {"dataset_name": "d",
         "max_length": limit}}
    )  # fmt: skip
    task.bind({"messages": "messages"})
    data = TrainingData(rows, rows[judged:][:1], {})
    nothing: Any = None
    work = Training(config, task, data, nothing, nothing, Path(), reporter)
    return encode(work, tokenizer), reporter.warnings


def test_answers_that_lose_their_end_are_counted_with_the_length_to_set() -> None:
    work, warnings = chats(200, template=CHATML, answers=["x" * 50])
    assert not warnings
    whole = max(len(example["input_ids"]) for example in work.train_examples)
    work, warnings = chats(whole - 1, template=CHATML, answers=["x" * 50])
    assert warnings == [
        f"1 of 2 train rows lose the end of an answer to data.max_length={whole - 1} (rows 1): the "
        "adapter can't learn from these answers when to stop. "
        f"Set data.max_length={whole} to keep all of them whole."
    ]
    cut = max(work.train_examples, key=lambda example: len(example["input_ids"]))
    assert cut["labels"][-1] == ord("x") or cut["labels"][-1] == cut["labels"][-2]


def test_a_row_of_several_answers_is_learned_whole_where_the_format_rewrites_them() -> None:
    for template, examples in ((CHATML, 2), (FORGETS, 3)):
        work, warnings = chats(300, template=template, answers=["one", "two"])
        assert not warnings
        assert len(work.train_examples) == examples
        assert len(work.train_rows) == 2
        assert work.rows_per_example == 2 / examples
        assert sum(example["targets"] for example in work.train_examples) == 4 + 4 + 2


def test_a_row_that_lost_its_answer_is_not_said_to_lose_its_end_too() -> None:
    _, warnings = chats(60, template=CHATML, answers=["x" * 200, "two"])
    assert [" train rows lose the end" in warning for warning in warnings] == [True]
    tokenizer = byte_tokenizer(CHATML)
    (start,) = (
        SupervisedFineTuning(SftOptions())
        .format(tokenizer)
        .prompts([[{"role": "user", "content": "?"}]])
    )
    with pytest.raises(DataError, match="before its answer begins"):
        chats(len(start), template=CHATML, answers=["a"])


def test_on_the_held_out_side_only_what_a_row_is_judged_by_is_warned_of() -> None:
    """The short answer before the long one ends; the one that is judged does not."""
    for template, answers in ((CHATML, ["a", "b" * 90]), (FORGETS, ["a", "b" * 90])):
        whole, _ = chats(400, template=template, answers=answers, judged=0)
        limit = whole.eval_examples[0]["length"] - 1
        _, warnings = chats(limit, template=template, answers=answers, judged=0)
        assert [warning.rpartition(": ")[2].partition(".")[0] for warning in warnings] == [
            "the adapter can't learn from these answers when to stop",
            "they are judged by the whole answer",
        ]
        asked = whole.eval_examples[0]["prompt_length"]
        _, warnings = chats(asked, template=template, answers=answers, judged=0)
        assert [("count as wrong" in w, "lose the end" in w) for w in warnings] == [
            (False, True),
            (True, False),
        ]
    _, warnings = chats(300, template=FORGETS, answers=["x" * 400, "b"], judged=0)
    assert len(warnings) == 1  # the earlier answer is learned, and not judged


def test_an_adapter_that_sees_no_end_of_an_answer_is_said_not_to_learn_it() -> None:
    _, warnings = chats(30, template=CHATML, answers=["x" * 99], short="y" * 99)
    assert "the adapter won't learn to stop" in warnings[0]
