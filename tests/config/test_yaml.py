"""Reading and writing configurations: what wins, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.config.schema import ExperimentConfig
from tunesmith.config.yaml import read_draft, to_yaml
from tunesmith.errors import ConfigError, Problem
from tunesmith.tasks import TASKS

START = "model: {name: m}\ndata: {dataset_name: d}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str, *assignments: str) -> list[str]:
    """What is said of a file with this text, each message less the path of the file."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        read_draft(path, assignments=assignments).config()
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return [str(problem).removeprefix(str(path)) for problem in caught.value.problems]


def problem(folder: Path, text: str, *assignments: str) -> Problem:
    """The only thing wrong with a file with this text."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        read_draft(path, assignments=assignments).config()
    (only,) = caught.value.problems
    return only


def test_five_mistakes_give_five_located_messages_in_the_order_of_the_lines(tmp_path: Path) -> None:
    text = """\
training:
  num_train_epochs: many
  learnig_rate: 1.0e-3
model:
  name: m
lora:
  r: 0
  bias: lora-only
data:
  dataset_name: d
trainig: {}
"""
    assert problems(tmp_path, text) == [
        ":2 training.num_train_epochs: must be a valid number, unable to parse string as a number; "
        "got 'many'; accepted: a number, above 0 and at most 10000",
        ":3 training.learnig_rate: unknown field; did you mean learning_rate?",
        ":7 lora.r: must be greater than or equal to 1; got 0; "
        "accepted: a whole number, at least 1 and at most 4096",
        ":8 lora.bias: unknown value; got 'lora-only'; accepted: none, all, lora_only; "
        "did you mean lora_only?",
        ":11 trainig: unknown field; did you mean training?",
    ]


@pytest.mark.parametrize(
    ("field", "accepted"),
    [
        ("training.logging_steps: often", "a whole number, at least 1"),
        ("training.max_steps: often", "a whole number, at least 1, or null"),
        ("lora.lora_dropout: high", "a number, at least 0 and below 1"),
        ("training.learning_rate: 2", "a number, above 0 and at most 1"),
        ("training.group_by_length: perhaps", "true or false"),
        ("model.num_labels: true", "a whole number, at least 1 and at most 10000, or null"),
        ("data.revision: 1234567", "text, or null"),
        ("lora.modules_to_save: head", "a list of text, or null"),
        ("lora.target_modules: 3", "a list of text, or text, or null"),
        (
            "lora.rank_pattern: 3",
            "name: value pairs, each value a whole number, at least 1 and at most 4096",
        ),
        ("lora.init_lora_weights: pisa", "true or false, or gaussian, olora, pissa, orthogonal"),
        ("training.device: gpu", "cpu, cuda, cuda:N or mps; null detects cuda, then mps, then cpu"),
        ("model: m", "{name: …}"),
        ("training: null", "{learning_rate: …}"),
    ],
)
def test_what_is_accepted_is_said_in_words(tmp_path: Path, field: str, accepted: str) -> None:
    path, _, value = field.partition(": ")
    found = problem(tmp_path, START, f"{path}={value}")
    assert (found.field, found.accepted, found.place) == (path, accepted, "command line")


def test_numbers_of_yaml_1_2_are_numbers(tmp_path: Path) -> None:
    text = f"{START}training: {{learning_rate: 1e-3, adam_epsilon: 1E-9}}\n"
    config = read_draft(write(tmp_path, text)).config()
    assert config.training.learning_rate == 0.001
    assert config.training.adam_epsilon == 1e-9


def test_yes_and_no_are_words_where_words_are_wanted(tmp_path: Path) -> None:
    text = (
        f"{START}task: {{name: text-classification, labels: [yes, no, Off, true]}}\n"
        "training: {eval_strategy: no, gradient_checkpointing: on}\nlora: {use_rslora: yes}\n"
    )
    config = read_draft(write(tmp_path, text), assignments=["training.save_strategy=no"]).config()
    assert config.model_dump()["task"]["labels"] == ["yes", "no", "Off", True]
    assert (config.training.eval_strategy, config.training.save_strategy) == ("no", "no")
    assert config.lora.use_rslora is True


def test_reading_leaves_the_mapping_given_as_it_was() -> None:
    given = {"data": {"dataset_name": "d"}, "model": {"name": "m"}}
    read_draft(given, {"model_name": "other"}, ["data.max_length=9"]).config()
    assert given == {"data": {"dataset_name": "d"}, "model": {"name": "m"}}


def test_a_key_written_twice_is_told_with_both_places(tmp_path: Path) -> None:
    text = f"{START}training:\n  seed: 1\n  logging_steps: 5\n  seed: 2\n"
    found = problem(tmp_path, text)
    path = tmp_path / "mine.yaml"
    assert str(found) == f"{path}:6 training.seed: written twice, first at {path}:4"


def test_keys_merged_from_an_anchor_may_be_overridden(tmp_path: Path) -> None:
    text = """\
model: {name: m}
data: &data {dataset_name: d, max_length: 16}
lora: &lora {r: 2, lora_alpha: 4}
"""
    merged = "lora: {<<: {r: 2, lora_alpha: 4}, r: 3}\n"
    config = read_draft(
        write(tmp_path, text.replace("lora: &lora {r: 2, lora_alpha: 4}\n", merged))
    )
    assert (config.config().lora.r, config.config().lora.lora_alpha) == (3, 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: {name: m\nlora: [", ":2 not valid YAML: while parsing a flow mapping expected"),
        ("model:\n\tname: m\n", ":2 not valid YAML: while scanning for the next token found"),
        ("", " the file is empty"),
        ("# nothing but a comment\n", " the file is empty"),
        ("- a\n- b\n", " must be sections of fields, as in model: {name: …}; got ['a', 'b']"),
        ("just words\n", " must be sections of fields"),
        ("experiment_name: \x01\n", " not valid YAML: unacceptable character"),
        ("experiment_name: 2024-13-45\n", " not valid YAML: month must be in 1..12"),
        ("? [a]\n: b\n", ":1 not valid YAML: while constructing a mapping found unhashable key"),
        ("data: &a {where: *a}\n", ":1 data.where: refers to what it is in itself"),
        ("a: " + "[" * 5000 + "]" * 5000, " nested too deeply"),
        ("a: !!python/object/apply:os.getcwd []\n", ":1 not valid YAML: could not determine a"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_message(
    tmp_path: Path, text: str, said: str
) -> None:
    (message,) = problems(tmp_path, text)
    assert message.startswith(said)


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + START.encode())
    assert read_draft(path).config().model.name == "m"


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(START.encode("utf-16"))
    with pytest.raises(ConfigError, match="can't read"):
        read_draft(path)


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    path = write(tmp_path, START)
    with pytest.raises(ConfigError, match=f"no such file: .*mine.yml; did you mean {path}"):
        read_draft(tmp_path / "mine.yml")
    for far in (tmp_path / "not" / "there.yaml", tmp_path / "other.yaml"):
        with pytest.raises(ConfigError) as caught:
            read_draft(far)
        assert str(caught.value) == f"no such file: {far}"
    with pytest.raises(ConfigError, match="can't read"):
        read_draft(tmp_path)


@pytest.mark.parametrize(
    ("field", "ours"),
    [
        ("training.epochs", "num_train_epochs"),
        ("training.lr", "learning_rate"),
        ("training.warmup_ratio", "warmup_steps"),
        ("training.evaluation_strategy", "eval_strategy"),
        ("training.bf16", "precision"),
        ("lora.dropout", "lora_dropout"),
        ("lora.rank", "r"),
        ("model.model_name_or_path", "name"),
        ("data.max_seq_length", "max_length"),
        ("lr", "training.learning_rate"),
        ("epochs", "training.num_train_epochs"),
        ("model_name", "model.name"),
        ("learning_rate", "training.learning_rate"),
        ("lora.max_length", "data.max_length"),
        ("task.text_colum", "text_column"),
        ("training.num_train_epoch", "num_train_epochs"),
        ("zzzzqqqq", None),
    ],
)
def test_unknown_names_are_pointed_to_ours(tmp_path: Path, field: str, ours: str | None) -> None:
    found = problem(tmp_path, START, f"{field}=1")
    assert (found.field, found.message, found.suggestion) == (field, "unknown field", ours)


def test_a_section_in_the_wrong_place_is_pointed_to_its_own(tmp_path: Path) -> None:
    found = problem(tmp_path, f"{START}training:\n  lora: {{r: 4}}\n")
    assert (found.field, found.place) == ("training.lora", f"{tmp_path / 'mine.yaml'}:4")


def test_every_required_field_that_is_missing_is_told(tmp_path: Path) -> None:
    assert problems(tmp_path, "model: {}\n") == [
        ":1 model.name: required, and not given; "
        "accepted: Hub id, folder, or package:NAME/path of a model folder or GGUF file",
        " data: required, and not given; accepted: {dataset_name: …}",
    ]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("task=sftt", "unknown task; got 'sftt'; accepted: {all}; did you mean sft?"),
        ("task.name=rlhf", "unknown task; got 'rlhf'; accepted: {all}"),
        ("task=5", "is a section of fields; got 5; accepted: {all}"),
        ("task={name: null}", "unknown task; got None; accepted: {all}"),
    ],
)
def test_an_unknown_task_lists_those_there_are(tmp_path: Path, task: str, message: str) -> None:
    found = problem(tmp_path, START, task)
    assert found.field == "task"
    assert str(found).endswith(f"task: {message}".replace("{all}", ", ".join(TASKS)))


@pytest.mark.parametrize(
    ("task", "option", "owner"),
    [
        ("sft", "label_column", "text-classification"),
        ("text-classification", "messages_column", "sft"),
    ],
)
def test_an_option_of_another_task_says_whose_it_is(
    tmp_path: Path, task: str, option: str, owner: str
) -> None:
    found = problem(tmp_path, f"{START}task: {{name: {task}, {option}: a}}\n")
    assert found.field == f"task.{option}"
    assert found.message == f"is an option of task {owner}, not of {task}"


def test_what_is_right_in_a_wrong_configuration_can_still_be_checked(tmp_path: Path) -> None:
    draft = read_draft(write(tmp_path, f"{START}lora: {{r: 0, lora_alpha: 3}}\n"))
    assert draft.partial is not None
    assert (draft.partial.lora.r, draft.partial.lora.lora_alpha) == (8, 3)
    assert read_draft(write(tmp_path, "lora: {r: 0}\n")).partial is None


def test_written_and_read_again_a_configuration_is_the_same(tmp_path: Path) -> None:
    config = ExperimentConfig.model_validate(
        {
            "experiment_name": "實驗_1",
            "task": {
                "name": "text-classification",
                "labels": ["yes", "no", "1e3", 1, 2.5, True, "null"],
                "class_weights": {"yes": 1e-7},
                "label_separator": "\n",
            },
            "model": {"name": "package:a/b", "revision": "1234567"},
            "lora": {"target_modules": r".*\.(q|v)_lin", "init_lora_weights": "pissa"},
            "data": {"dataset_name": "~/x: y #z.csv", "where": {"on": ["a", 1, 1.5, False]}},
            "training": {"learning_rate": 1e-7, "adam_epsilon": 3e-12, "device": "cuda:1"},
        }
    )
    text = to_yaml(config)
    again = read_draft(write(tmp_path, text)).config()
    assert again == config
    assert again.model_dump() == config.model_dump()
    assert to_yaml(again) == text
    assert "實驗_1" in text
    assert text.startswith("experiment_name:")


@pytest.mark.parametrize("task", TASKS)
def test_the_defaults_of_every_task_survive_writing(tmp_path: Path, task: str) -> None:
    config = read_draft({"data": {"dataset_name": "d"}, "model": {"name": "m"}, "task": task})
    path = write(tmp_path, to_yaml(config.config()))
    assert read_draft(path).config() == config.config()


def test_flags_win_over_the_file_and_assignments_over_flags(tmp_path: Path) -> None:
    text = f"{START}training: {{learning_rate: 0.1, seed: 1, logging_steps: 7}}\n"
    config = read_draft(
        write(tmp_path, text),
        {"learning_rate": "0.2", "seed": "2", "epochs": None, "model_name": "other"},
        ["training.learning_rate=0.3"],
    ).config()
    assert config.training.learning_rate == 0.3
    assert config.training.seed == 2
    assert config.training.logging_steps == 7
    assert config.training.num_train_epochs == 1
    assert config.model.name == "other"
