"""One experiment from the first check to the verified adapter, and what may go wrong on the way."""

from __future__ import annotations

import io
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.conftest import write_reviews
from tests.languages import is_translated
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import tunesmith
from tunesmith.cli.console.summary import print_summary
from tunesmith.cli.console.terminal import Terminal
from tunesmith.errors import (
    NonFiniteLossError,
    StorageError,
    VerificationError,
)
from tunesmith.models import adapter
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import Filters
from tunesmith.store.store import Store
from tunesmith.training import engine

Asked = dict[str, Any]


def adapter_bytes(experiment: tunesmith.experiments.TrainedExperiment) -> bytes:
    return (experiment.adapter / "adapter_model.safetensors").read_bytes()


def only(store: Store) -> Any:
    (experiment,) = store.list(Filters())
    return experiment


def test_training_ends_with_a_verified_adapter_and_every_promised_file(
    classification: Asked, settings: Settings
) -> None:
    experiment = tunesmith.train(classification, settings=settings)
    assert experiment.status == "succeeded"
    assert experiment.metrics["reload_verified"] is True
    assert experiment.metrics["eval_accuracy"] > 0.9
    assert experiment.path.name.startswith("reviews_2")
    there = {str(p.relative_to(experiment.path)) for p in experiment.path.rglob("*") if p.is_file()}
    assert there - {"artifacts/label_errors.csv"} == {  # there where a label looks wrong
        "logs.txt", "config.yaml", "metrics.json", "experiment.json", "history.jsonl",
        "data_report.json", "artifacts/predictions.jsonl",
        *(f"artifacts/final_model/{name}" for name in (
            "adapter_model.safetensors", "adapter_config.json", "tokenizer.json",
            "tokenizer_config.json", "README.md", "tunesmith.json",
        )),
    }  # fmt: skip
    metrics = json.loads((experiment.path / "metrics.json").read_text())
    for name in ("train_runtime", "train_loss", "eval_accuracy", "eval_loss"):
        assert isinstance(metrics[name], float)
    assert metrics["dataset"]["hash"].startswith("sha256:")
    assert metrics["score"]["interval"]["low"] < metrics["eval_accuracy"]
    assert metrics["score"]["baseline"]["value"] == pytest.approx(0.5, abs=0.1)
    assert len(experiment.predictions) == 40


def test_the_store_holds_configuration_data_environment_and_the_metrics_over_steps(
    classification: Asked, settings: Settings, store: Store
) -> None:
    tunesmith.train(classification, settings=settings)
    experiment = only(store)
    assert experiment.config["lora"]["target_modules"]  # null was resolved
    assert experiment.config["task"]["text_column"] == "review"
    assert experiment.data["splits"]["evaluation"]["rows"] == 40
    assert experiment.environment["packages"]["peft"]
    assert experiment.environment["base_model"]["identity"].startswith("sha256:")
    assert experiment.plan["device"] == "cpu"
    losses = store.metrics(experiment.id, "loss")
    assert losses[-1].step == 110  # 170 rows in batches of 8, five times
    assert losses[-1].value < losses[0].value
    assert store.metrics(experiment.id, "eval_accuracy")[-1].step == 110
    assert [version.hash for version in store.datasets()] == [experiment.dataset_hash]
    # What it cost stands beside each loss, and in the results; the log is about what was learned.
    for name in ("cpu_percent", "memory_mb", "train_tokens_per_second", "time_share_forward"):
        points = store.metrics(experiment.id, name)
        # An epoch that ends between two logs has a loss of its own.
        every = experiment.config["training"]["logging_steps"]
        steps = [loss.step for loss in losses if not loss.step % every or loss is losses[-1]]
        assert [point.step for point in points] == steps, name
        assert all(point.value and point.value > 0 for point in points), name
    resources = experiment.metrics["resources"]
    assert sum(resources["time_shares"].values()) == pytest.approx(1.0)
    assert resources["memory_mb"]["peak"] > 100
    assert "cpu_percent" not in (Path(experiment.directory) / "logs.txt").read_text()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(
    classification: Asked, settings: Settings, store: Store
) -> None:
    first = tunesmith.train(classification, settings=settings)
    again = tunesmith.train(classification, settings=settings)
    other = tunesmith.train(classification, settings=settings, seed=7)
    assert adapter_bytes(first) == adapter_bytes(again)
    assert adapter_bytes(first) != adapter_bytes(other)
    values = [[m.value for m in store.metrics(e.id, "loss")] for e in (first, again)]
    assert values[0] == values[1]
    assert first.record.config["data"] == other.record.config["data"]
    assert [p["row"] for p in first.predictions] == [p["row"] for p in other.predictions]


def test_training_on_the_recorded_configuration_repeats_the_experiment(
    classification: Asked, settings: Settings
) -> None:
    first = tunesmith.train(classification, settings=settings, train_samples=50)
    again = tunesmith.train(first.path / "config.yaml", settings=settings)
    assert adapter_bytes(first) == adapter_bytes(again)
    assert again.record.config == first.record.config


def test_a_chat_model_learns_to_answer(chat: Asked, settings: Settings) -> None:
    experiment = tunesmith.train(chat, settings=settings, epochs=3)
    assert experiment.metrics["eval_exact_match"] > 0.8
    assert experiment.metrics["score"]["untrained"]["exact_match"] == 0
    assert {"eval_perplexity", "eval_token_accuracy", "eval_loss"} <= set(experiment.metrics)


def test_an_adapter_that_changes_no_answer_says_so(chat: Asked, settings: Settings) -> None:
    training = {**chat["training"], "learning_rate": 1e-9, "max_steps": 1}
    metrics = tunesmith.train({**chat, "training": training}, settings=settings).metrics
    assert metrics["answers_changed"] == 0
    assert any(said.startswith("The adapter has no effect") for said in metrics["cautions"])


def test_what_was_not_seen_and_what_was_not_judged_is_said(
    classification: Asked, settings: Settings, reviews: Path, tmp_path: Path
) -> None:
    data = tmp_path / "three.csv"
    odd = "a very odd film,odd\n"
    data.write_text(reviews.read_text(encoding="utf-8") + odd, encoding="utf-8")
    classification["data"] |= {"dataset_name": str(data)}
    classification["training"] |= {"max_steps": 1}
    found = tunesmith.train(classification, settings=settings)
    metrics = found.metrics
    assert metrics["train_examples_seen"] == 8 < metrics["train_samples"]
    note = "no held-out row has the label 'odd': the score says nothing about it"
    assert metrics["cautions"][0] == note
    assert "odd" not in metrics["per_class"]
    card = (found.path / "artifacts/final_model/README.md").read_text()
    assert f"8 of {metrics['train_samples']:,} rows trained on" in card
    assert "No held-out row has the label 'odd'" in card
    console = Terminal(file=io.StringIO(), width=100)
    print_summary(console, found.record)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"Trained on 8 of {metrics['train_samples']:,} rows" in said
    assert "No held-out row has the label 'odd'" in said
    assert "may be wrong" not in said
    report = json.loads((found.path / "data_report.json").read_text())
    assert "label_imbalance" in report["counts"]


def test_a_base_classifier_is_judged_by_the_names_of_its_own_labels(
    classification: Asked, settings: Settings, reviews: Path, tmp_path: Path
) -> None:
    header, *rows = reviews.read_text(encoding="utf-8").splitlines()
    good = [row for row in rows if row.endswith(",good")][:90]
    bad = [row for row in rows if row.endswith(",bad")][:30]
    data, base = tmp_path / "uneven.csv", tmp_path / "base"
    data.write_text("\n".join([header, *good, *bad, ""]), encoding="utf-8")
    kept = classification["model"]["name"]
    model = AutoModelForSequenceClassification.from_pretrained(
        kept, id2label={0: "GOOD", 1: "BAD"}, label2id={"GOOD": 0, "BAD": 1}
    )
    torch.nn.init.zeros_(model.classifier.weight)
    model.classifier.bias.data = torch.tensor([5.0, 0.0])  # all is good
    model.save_pretrained(base)
    AutoTokenizer.from_pretrained(kept).save_pretrained(base)
    classification["model"] |= {"name": str(base)}
    classification["data"] |= {"dataset_name": str(data)}
    classification["training"] |= {"max_steps": 1}
    found = tunesmith.train(classification, settings=settings)
    shares = found.metrics["score"]
    assert shares["untrained"]["accuracy"] == shares["baseline"]["value"] > 0.7


def test_the_best_checkpoint_is_kept_and_patience_ends_training(
    classification: Asked, settings: Settings, store: Store
) -> None:
    chosen: Asked = {
        "training.load_best_model_at_end": True,
        "training.early_stopping_patience": 2,
        "training.save_total_limit": 1,
    }
    experiment = tunesmith.train(classification, settings=settings, epochs=30, **chosen)
    seen = [m.value for m in store.metrics(experiment.id, "validation_accuracy")]
    assert experiment.metrics["train_steps"] < 30 * 22
    assert experiment.metrics["validation_accuracy"] == max(seen)
    assert experiment.metrics["validation"]["interval"]["rows"] == 30
    # The rows that judge are asked once, at the end.
    assert len(store.metrics(experiment.id, "eval_accuracy")) == 1
    assert not experiment.record.picked_by_test
    assert experiment.metrics["cautions"] == []
    ending = experiment.metrics["ending"]
    assert ending["stopped_early"]
    assert ending["planned"] == 30 * 22 > ending["step"] == experiment.metrics["train_steps"]
    assert ending["kept"] == ending["best_step"] < ending["step"]
    early, kept = ending["notes"]
    assert f"ended training at step {ending['step']} of 660" in early
    assert f"step {ending['kept']}, the best checkpoint (validation_" in kept
    log = (experiment.path / "logs.txt").read_text()
    card = (experiment.path / "artifacts" / "final_model" / "README.md").read_text()
    shown = Terminal(file=StringIO(), width=300)
    print_summary(shown, experiment.record)
    for note in (early, kept):
        assert note in log
        assert note[1:] in card
        assert note[1:] in shown.file.getvalue()  # type: ignore[attr-defined]
        assert is_translated(note)


def test_patience_without_the_best_checkpoint_says_that_the_last_one_is_kept(
    classification: Asked, settings: Settings
) -> None:
    asked: Asked = {"training.early_stopping_patience": 1, "training.learning_rate": 0.3}
    experiment = tunesmith.train(classification, settings=settings, epochs=20, **asked)
    ending = experiment.metrics["ending"]
    assert ending["best_step"] < ending["kept"] == ending["step"] < ending["planned"]
    assert "training.load_best_model_at_end: true keeps the best" in ending["notes"][1]
    assert all(is_translated(note) for note in ending["notes"])


def test_a_training_that_ended_after_its_last_step_says_nothing_of_its_end(
    classification: Asked, settings: Settings
) -> None:
    asked: Asked = {"training.max_steps": 2, "training.eval_strategy": "no"}
    ending = tunesmith.train(classification, settings=settings, **asked).metrics["ending"]
    assert (ending["stopped_early"], ending["notes"]) == (False, [])


def test_several_labels_at_once_and_pairs_are_learned(
    tiny_distilbert: Path, settings: Settings, tmp_path: Path
) -> None:
    lines = []
    for number, line in enumerate(
        write_reviews(tmp_path / "r.csv", 120).read_text().splitlines()[1:]
    ):
        text, verdict = line.rsplit(",", 1)
        extra = ["long"] if len(text.split()) > 7 else []
        lines.append({"text": text, "second": f"plot {number % 7}", "label": [verdict, *extra]})
    path = tmp_path / "multi.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    experiment = tunesmith.train(
        {
            "task": {
                "name": "text-classification",
                "multi_label": True,
                "text_pair_column": "second",
                "class_weights": "balanced",
            },
            "model": {"name": str(tiny_distilbert)},
            "data": {"dataset_name": str(path), "eval_samples": 30, "max_length": 32},
            "training": {"learning_rate": 1e-2, "num_train_epochs": 12, "device": "cpu"},
        },
        settings=settings,
    )
    assert experiment.metrics["per_class"]["good"]["f1"] > 0.6
    assert experiment.metrics["reload_verified"] is True


def test_a_loss_that_is_not_a_number_fails_the_experiment_and_says_where(
    classification: Asked, tiny_distilbert: Path, settings: Settings, store: Store, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_distilbert.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    tensors = load_file(broken / "model.safetensors")
    tensors["transformer.layer.0.ffn.lin1.weight"][0, 0] = float("nan")
    save_file(tensors, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(NonFiniteLossError, match=r"nan at step 1 .*learning_rate"):
        tunesmith.train(classification, settings=settings, model_name=str(broken))
    experiment = only(store)
    assert experiment.status is ExperimentStatus.FAILED
    assert "nan at step 1" in experiment.reason


@pytest.mark.parametrize("fault", ["lost", "changed"])
def test_an_adapter_that_answers_otherwise_after_loading_fails_the_experiment(
    fault: str,
    classification: Asked,
    settings: Settings,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forget_the_head(model: Any, tokenizer: Any, folder: Path, base: str) -> None:
        # A real fault of others' code, made on purpose: nothing here loses the head by itself.
        adapter.save_adapter(model, tokenizer, folder, base)
        file = folder / "adapter_model.safetensors"
        kept = load_file(file)
        for name in [name for name in kept if "pre_classifier" in name]:
            weight = kept.pop(name)
            if fault == "changed":
                kept[name] = weight * -1
        save_file(kept, file, {"format": "pt"})

    monkeypatch.setattr(engine, "save_adapter", forget_the_head)
    with pytest.raises(VerificationError, match=r"was not saved|is not whole"):
        tunesmith.train(classification, settings=settings)
    experiment = only(store)
    assert experiment.status is ExperimentStatus.FAILED
    assert not (Path(experiment.directory) / "artifacts" / "final_model").exists()


def test_results_that_cannot_be_written_are_one_clear_error(
    classification: Asked, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(StorageError, match="TUNESMITH_RESULTS_DIR"):
        tunesmith.train(classification, settings=settings)
