"""Answers of saved adapters: as when they were verified, on base models that they share."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tests.serving.conftest import train

from tunesmith.errors import AccessError, DataError, ModelError, NotFoundError, StateError
from tunesmith.experiments import TrainedExperiment
from tunesmith.files.copies import Copies
from tunesmith.schemas.enums import ExperimentStatus
from tunesmith.serving.adapters import SavedAdapter, locate_adapter
from tunesmith.serving.predictor import Predictor
from tunesmith.settings import Settings
from tunesmith.training.plan import make_plan

GOOD, BAD = "a superb film with a lovely plot", "a dull and awful story"


@pytest.fixture
def predictor(trained_settings: Settings) -> Predictor:
    return Predictor(trained_settings, device="cpu")


def saved(experiment: TrainedExperiment, settings: Settings) -> SavedAdapter:
    return locate_adapter(experiment.record, settings)


def test_held_out_rows_get_the_answers_that_were_verified(
    predictor: Predictor, classifier: TrainedExperiment, trained_settings: Settings
) -> None:
    recorded = classifier.predictions
    found = predictor.answer(
        saved(classifier, trained_settings), [row["text"] for row in recorded]
    ).answers
    assert [a.answer for a in found] == [row["predicted"] for row in recorded]
    for answer, row in zip(found, recorded, strict=True):
        assert answer.probabilities is not None
        assert set(answer.probabilities) == {"good", "bad"}
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert answer.probabilities[answer.answer] == pytest.approx(row["confidence"], abs=1e-2)


def test_a_new_head_has_no_base_answer_and_that_is_said(
    predictor: Predictor, classifier: TrainedExperiment, trained_settings: Settings
) -> None:
    found = predictor.answer(saved(classifier, trained_settings), [GOOD, BAD], base=True)
    assert [a.answer for a in found.answers] == ["good", "bad"]
    assert found.base is None
    assert found.base_reason is not None
    assert "classifier" in found.base_reason


def test_a_chat_model_answers_texts_columns_and_conversations_beside_its_base_model(
    predictor: Predictor, chatter: TrainedExperiment, trained_settings: Settings
) -> None:
    adapter = saved(chatter, trained_settings)
    turns = [{"role": "user", "content": BAD}]
    found = predictor.answer(
        adapter, [GOOD, {"review": BAD}, {"messages": turns}], base=True, max_new_tokens=3
    )
    assert [a.answer for a in found.answers] == ["good", "bad", "bad"]
    assert all(a.probabilities is None for a in found.answers)
    assert found.base is not None
    assert [a.answer for a in found.base] != ["good", "bad", "bad"]
    # Asking the base model left the adapter as it was.
    assert [a.answer for a in predictor.answer(adapter, [GOOD]).answers] == ["good"]


def test_what_is_too_long_is_cut_and_said(
    predictor: Predictor,
    classifier: TrainedExperiment,
    chatter: TrainedExperiment,
    trained_settings: Settings,
) -> None:
    for experiment in (classifier, chatter):
        adapter = saved(experiment, trained_settings)
        long = " ".join([BAD] * 30)
        found = predictor.answer(adapter, [GOOD, long])
        assert [a.cut for a in found.answers] == [False, True]
    earlier = [
        {"role": "user", "content": long},
        {"role": "assistant", "content": "bad"},
        {"role": "user", "content": GOOD},
    ]
    with pytest.raises(DataError, match="leave out earlier turns"):
        predictor.answer(adapter, [{"messages": earlier}])
    with pytest.raises(DataError, match="lower max_new_tokens"):
        predictor.answer(adapter, [GOOD], max_new_tokens=64)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"reviw": GOOD}, "input 2: there is no column 'review' among reviw"),
        ("  ", "input 2: there is no text in 'review'"),
    ],
)
def test_a_question_that_cant_be_asked_is_named(
    predictor: Predictor,
    classifier: TrainedExperiment,
    trained_settings: Settings,
    question: Any,
    said: str,
) -> None:
    with pytest.raises(DataError, match=said):
        predictor.answer(saved(classifier, trained_settings), [GOOD, question])


def test_a_base_model_that_a_member_had_loaded_answers_a_viewer(
    predictor: Predictor,
    classifier: TrainedExperiment,
    trained_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As docs/security.md says: gated or not, what is on the machine is there for all."""
    adapter = saved(classifier, trained_settings)
    answered = predictor.answer(adapter, [GOOD])

    def refuse(*_: Any) -> Any:
        raise AccessError("models of the hub are fetched for members and admins only")

    monkeypatch.setattr(SavedAdapter, "find_base", refuse)
    viewers = replace(adapter, may_fetch=False)
    assert predictor.answer(viewers, [GOOD]) == answered
    assert len(predictor._bases) == 1
    with pytest.raises(AccessError):
        Predictor(trained_settings, device="cpu").answer(viewers, [GOOD])


def test_adapters_share_one_base_model_and_answer_as_they_do_alone(
    predictor: Predictor,
    classifier: TrainedExperiment,
    other_classifier: TrainedExperiment,
    trained_settings: Settings,
) -> None:
    one, other = (saved(e, trained_settings) for e in (classifier, other_classifier))
    texts = [row["text"] for row in classifier.predictions]
    alone = predictor.answer(one, texts)
    size = predictor.size
    predictor.answer(other, texts)
    assert (len(predictor._bases), predictor.loaded) == (1, [classifier.id, other_classifier.id])
    assert predictor.size - size < size / 2
    assert predictor.answer(one, texts) == alone
    by_itself = Predictor(trained_settings, device="cpu").answer(other, texts)
    assert predictor.answer(other, texts) == by_itself


def test_matrices_kept_in_the_format_of_their_products_change_no_bit_of_an_answer(
    predictor: Predictor,
    classifier: TrainedExperiment,
    trained_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    adapter = saved(classifier, trained_settings)
    texts = [row["text"] for row in classifier.predictions]
    kept = predictor.answer(adapter, texts)
    monkeypatch.setattr("tunesmith.serving.predictor.lighten", lambda *_: None)
    as_saved = Predictor(trained_settings, device="cpu")
    assert as_saved.answer(adapter, texts) == kept
    if make_plan(adapter.read_config()).precision == "bfloat16":
        assert predictor.size < as_saved.size


def test_the_least_recently_used_adapter_goes_first(
    classifier: TrainedExperiment,
    other_classifier: TrainedExperiment,
    chatter: TrainedExperiment,
    trained_settings: Settings,
) -> None:
    predictor = Predictor(trained_settings, device="cpu", most_adapters=2)
    one, other, chat = (saved(e, trained_settings) for e in (classifier, other_classifier, chatter))
    for adapter in (one, other, one):
        predictor.answer(adapter, [GOOD])
    predictor.answer(chat, [GOOD])
    assert predictor.loaded == [classifier.id, chatter.id]
    assert len(predictor._bases) == 2
    before = predictor.answer(one, [GOOD, BAD])
    predictor.answer(other, [GOOD])
    assert predictor.loaded == [classifier.id, other_classifier.id]
    assert len(predictor._bases) == 1
    assert predictor.answer(one, [GOOD, BAD]) == before


def test_a_bound_on_memory_keeps_the_newest_alone(
    classifier: TrainedExperiment, chatter: TrainedExperiment, trained_settings: Settings
) -> None:
    predictor = Predictor(trained_settings, device="cpu", most_bytes=1)
    for experiment in (classifier, chatter, classifier):
        predictor.answer(saved(experiment, trained_settings), [GOOD])
        assert predictor.loaded == [experiment.id]
        assert len(predictor._bases) == 1


def test_an_adapter_that_changes_its_base_model_shares_it_with_none(
    predictor: Predictor,
    chat_config: dict[str, Any],
    chatter: TrainedExperiment,
    trained_settings: Settings,
) -> None:
    olora = train(chat_config, trained_settings, **{"lora.init_lora_weights": "olora"})
    plain = predictor.answer(saved(chatter, trained_settings), [GOOD, BAD], base=True)
    found = predictor.answer(saved(olora, trained_settings), [GOOD, BAD], base=True)
    texts = [row["text"] for row in olora.predictions]
    again = predictor.answer(saved(olora, trained_settings), texts).answers
    assert [a.answer for a in again] == [row["predicted"] for row in olora.predictions]
    assert found.base == plain.base
    assert len(predictor._bases) == 2
    assert predictor.answer(saved(chatter, trained_settings), [GOOD, BAD], base=True) == plain


def test_several_labels_and_pairs_are_answered(
    predictor: Predictor, tiny_distilbert: Path, trained_settings: Settings, tmp_path: Path
) -> None:
    data = tmp_path / "pairs.jsonl"
    words = ("good", "bad", "dull", "fine", "great", "poor", "awful", "lovely", "superb", "fresh")
    rows = [
        {"one": f"a {a} film", "two": f"the {b} plot", "label": [a, "x"] if n % 2 else ["x"]}
        for n, (a, b) in enumerate((a, b) for a in words for b in words)
    ]
    rows = [{**row, "label": [x if x == "x" else "y" for x in row["label"]]} for row in rows]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    experiment = train(
        {
            "task": {
                "name": "text-classification",
                "text_column": "one",
                "text_pair_column": "two",
                "multi_label": True,
            },
            "model": {"name": str(tiny_distilbert)},
            "data": {"dataset_name": str(data), "max_length": 32},
            "training": {"device": "cpu"},
        },
        trained_settings,
    )
    adapter = saved(experiment, trained_settings)
    (found,) = predictor.answer(adapter, [{"one": GOOD, "two": BAD}]).answers
    assert found.probabilities is not None
    assert found.answer == [label for label, p in found.probabilities.items() if p > 0.5]
    with pytest.raises(DataError, match="give the columns 'one' and 'two'"):
        predictor.answer(adapter, [GOOD])


def test_a_changed_or_missing_base_model_is_one_clear_paragraph(
    reviews_config: dict[str, Any],
    tiny_distilbert: Path,
    trained_settings: Settings,
    tmp_path: Path,
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_distilbert, base)
    config = {**reviews_config, "model": {"name": str(base)}}
    experiment = train(config, trained_settings, epochs=1)
    adapter = saved(experiment, trained_settings)
    predictor = Predictor(trained_settings, device="cpu")
    weights = load_file(base / "model.safetensors")
    changed = {name: tensor + 1 for name, tensor in weights.items()}
    save_file(changed, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"is not the one that experiment .* was trained on"):
        predictor.answer(adapter, [GOOD])
    shutil.rmtree(base)
    with pytest.raises(ModelError, match=r"was trained on the base model .*which can't be used"):
        predictor.answer(adapter, [GOOD])


def test_an_adapter_that_does_not_fit_leaves_the_others_as_they_were(
    predictor: Predictor,
    classifier: TrainedExperiment,
    trained_settings: Settings,
    tmp_path: Path,
) -> None:
    adapter = saved(classifier, trained_settings)
    before = predictor.answer(adapter, [GOOD, BAD])
    broken = tmp_path / "broken"
    shutil.copytree(adapter.folder, broken)
    (broken / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="can't be loaded onto"):
        predictor.answer(replace(adapter, folder=broken), [GOOD])
    assert predictor.loaded == [classifier.id]
    assert predictor.answer(adapter, [GOOD, BAD]) == before


def test_only_what_succeeded_answers_and_its_files_come_from_the_object_store(
    predictor: Predictor,
    classifier: TrainedExperiment,
    trained_settings: Settings,
    tmp_path: Path,
) -> None:
    record = classifier.record
    with pytest.raises(StateError, match="it is being trained"):
        locate_adapter(replace(record, status=ExperimentStatus.RUNNING), trained_settings)
    gone = replace(record, directory=str(tmp_path / Path(str(record.directory)).name))
    elsewhere = trained_settings.model_copy(update={"results_dir": tmp_path / "results"})
    with pytest.raises(NotFoundError, match="TUNESMITH_ARTIFACTS names no store"):
        locate_adapter(gone, elsewhere)
    address = f"file://{tmp_path / 'store'}"
    copies = Copies(address)
    for file in classifier.path.rglob("*"):
        if file.is_file():
            copies.write(classifier.path, str(file.relative_to(classifier.path)))
    there = elsewhere.model_copy(update={"artifacts": address, "cache_dir": tmp_path / "cache"})
    fetched = locate_adapter(gone, there)
    assert fetched.folder == tmp_path / "cache" / "adapters" / record.id
    assert not (fetched.folder / "checkpoints").exists()
    assert predictor.answer(fetched, [GOOD, BAD]) == predictor.answer(
        saved(classifier, trained_settings), [GOOD, BAD]
    )
