"""The starter's own models and data, which come with the installation; and the hub's formats."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from tests.conftest import write_reviews

import tunesmith
from tunesmith.config.yaml import read_draft
from tunesmith.experiments import TrainedExperiment
from tunesmith.experiments.lifecycle.prepare import check, prepare
from tunesmith.serving.exporters.gguf import Gguf
from tunesmith.serving.exporters.merged import Merged
from tunesmith.serving.exporters.onnx import Onnx
from tunesmith.serving.exporters.parts.work import begin
from tunesmith.settings import Settings

CONFIG = Path(__file__).parent.parent / "config"


@pytest.fixture(scope="module")
def both_cores() -> Any:
    """The real models are large enough for every core."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the machine that trains the real models."""
    folder = tmp_path_factory.mktemp("starter")
    return Settings(
        _env_file=None,
        TUNESMITH_RESULTS_DIR=folder / "results",
        TUNESMITH_DATABASE_URL=f"sqlite:///{folder / 'experiments.db'}",
        TUNESMITH_CACHE_DIR=folder / "cache",
    )


@pytest.fixture(scope="module")
def starter(kept: Settings, both_cores: None) -> TrainedExperiment:
    return tunesmith.train(
        CONFIG / "default.yaml", settings=kept, train_samples=960, eval_samples=300
    )


@pytest.fixture(scope="module")
def smollm(kept: Settings, both_cores: None) -> TrainedExperiment:
    return tunesmith.train(
        CONFIG / "smollm2-sft.yaml", settings=kept, train_samples=64, eval_samples=12
    )


@pytest.mark.parametrize("name", ["default.yaml", "smollm2-sft.yaml"])
def test_a_recipe_is_valid_with_its_model_and_data(name: str, settings: Settings) -> None:
    assert all("converted" in line for line in check(read_draft(CONFIG / name), settings))


def test_the_recipe_for_preferences_is_valid_with_the_pairs_of_its_script(
    settings: Settings, tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.jsonl"
    script = CONFIG.parent / "scripts" / "preference_pairs.py"
    subprocess.run([sys.executable, str(script), str(pairs)], check=True, capture_output=True)
    draft = read_draft(CONFIG / "smollm2-dpo.yaml", fields={"data.dataset_name": str(pairs)})
    assert all("converted" in line for line in check(draft, settings))
    first = json.loads(pairs.read_text(encoding="utf-8").splitlines()[0])
    assert first["prompt"].endswith("A three-hour cinema master class.")
    assert (first["chosen"], first["rejected"]) == ("fresh", "rotten")


def test_the_starter_drops_plot_summaries_and_keeps_every_text_on_one_side(
    settings: Settings,
) -> None:
    rules = "data.validation_rules"
    everything = [f"{rules}.{rule}" for rule in ("max_text_length=null", "allow_empty=true")]
    prepared = prepare(read_draft(CONFIG / "default.yaml", assignments=everything), settings)
    dataset = prepared.dataset
    assert dataset.report.counts["unknown_labels"] == 1097
    assert (len(dataset.train), len(dataset.evaluation)) == (4000, 1200)
    train = {" ".join(row["text"].casefold().split()) for row in dataset.train}
    assert not any(" ".join(row["text"].casefold().split()) in train for row in dataset.evaluation)


def test_a_short_starter_training_beats_the_untrained_model(starter: TrainedExperiment) -> None:
    score = starter.metrics["score"]
    assert starter.metrics["reload_verified"] is True
    assert starter.metrics["eval_accuracy"] > score["untrained"]["accuracy"] + 0.1
    assert starter.metrics["eval_accuracy"] > score["baseline"]["value"]


@pytest.mark.slow
def test_the_starters_merged_model_and_graph_agree_with_the_adapter_on_every_held_out_label(
    starter: TrainedExperiment, kept: Settings, tmp_path: Path
) -> None:
    for name, exporter in (("merged", Merged), ("graph", Onnx)):
        done = exporter(kept).export(begin(starter.record, kept), tmp_path / name, force=False)
        assert (done.agreement.rows, done.agreement.same) == (300, 300)
        assert done.agreement.largest < 1e-3


@pytest.mark.slow
def test_the_gguf_chat_model_is_converted_once_and_learns(
    smollm: TrainedExperiment, kept: Settings
) -> None:
    (converted,) = (kept.cache_dir / "models").iterdir()
    assert (converted / "model.safetensors").is_file()
    assert smollm.metrics["score"]["untrained"]["exact_match"] == 0
    assert smollm.metrics["eval_exact_match"] > 0
    assert smollm.metrics["reload_verified"] is True


@pytest.mark.slow
def test_the_chat_adapters_gguf_answers_in_llama_cpp_as_the_adapter_does(
    smollm: TrainedExperiment, kept: Settings, tmp_path: Path
) -> None:
    import xllamacpp

    work = begin(smollm.record, kept, weights="float32")
    Gguf(kept, "float16").export(work, tmp_path / "reviews.gguf", force=False)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(tmp_path / "reviews.gguf")
    parameters.n_ctx = 512
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 2
    parameters.warmup = False
    server = xllamacpp.Server(parameters)
    template = str(smollm.record.config["task"]["prompt_template"])
    answers = []
    for row in work.own[:4]:
        turns = [{"role": "user", "content": template.replace("{text}", row.text)}]
        asked = {"messages": turns, "max_tokens": 8, "temperature": 0}
        found = server.handle_chat_completions(asked)
        answers.append(found["choices"][0]["message"]["content"].strip())
    assert answers == [row.predicted for row in work.own[:4]]


def test_the_contracts_recipe_trains_on_what_the_hubs_cache_holds(
    tiny_distilbert: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`config/distilbert-sst2.yaml` itself, on a small DistilBERT and a small SST-2 of ours."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = _in_cache(cache, "models--distilbert-base-uncased")
    shutil.copytree(tiny_distilbert, model, dirs_exist_ok=True)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 128}))
    (model / "tokenizer_config.json").write_text(
        (model / "tokenizer_config.json")
        .read_text()
        .replace('"model_max_length": 64', '"model_max_length": 128')
    )
    _widen_positions(model, 128)
    _write_sst2(_in_cache(cache, "datasets--glue"), tmp_path)
    experiment = tunesmith.train(CONFIG / "distilbert-sst2.yaml", settings=settings)
    assert experiment.record.config["task"]["labels"] == ["negative", "positive"]
    assert experiment.record.config["task"]["text_column"] == "sentence"
    assert experiment.record.data["splits"]["evaluation"]["from"] == "validation"
    assert (experiment.metrics["train_samples"], experiment.metrics["eval_samples"]) == (100, 50)
    assert experiment.record.environment["base_model"]["identity"] == "c" * 40
    assert experiment.metrics["reload_verified"] is True
    card = yaml.safe_load((experiment.adapter / "README.md").read_text().split("---")[1])
    assert card["base_model"] == "distilbert-base-uncased"


def _in_cache(cache: Path, name: str) -> Path:
    """A snapshot's folder in the hub's cache format."""
    commit = "c" * 40
    (cache / name / "refs").mkdir(parents=True)
    (cache / name / "refs" / "main").write_text(commit)
    folder = cache / name / "snapshots" / commit
    folder.mkdir(parents=True)
    return folder


def _widen_positions(model: Path, length: int) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(model / "model.safetensors")
    name = "embeddings.position_embeddings.weight"
    tensors[name] = tensors[name].repeat(length // tensors[name].shape[0], 1)
    save_file(tensors, model / "model.safetensors", {"format": "pt"})


def _write_sst2(folder: Path, scratch: Path) -> None:
    """A dataset with GLUE's layout: configuration sst2, ClassLabel, a test split without labels."""
    lines = write_reviews(scratch / "reviews.csv", 220).read_text().splitlines()[1:]
    rows = [line.rsplit(",", 1) for line in lines]
    sides = {"train": rows[:150], "validation": rows[150:210], "test": rows[210:]}
    (folder / "sst2").mkdir()
    for side, part in sides.items():
        labels = [-1 if side == "test" else int(verdict == "good") for _, verdict in part]
        table = pa.table(
            {
                "sentence": [text for text, _ in part],
                "label": pa.array(labels, pa.int64()),
                "idx": pa.array(range(len(part)), pa.int32()),
            }
        )
        pq.write_table(table, folder / "sst2" / f"{side}-00000-of-00001.parquet")
    names = {"0": "negative", "1": "positive"}
    described = {
        "dataset_info": [
            {
                "config_name": "sst2",
                "features": [
                    {"name": "sentence", "dtype": "string"},
                    {"name": "label", "dtype": {"class_label": {"names": names}}},
                    {"name": "idx", "dtype": "int32"},
                ],
                "splits": [
                    {"name": side, "num_examples": len(part)} for side, part in sides.items()
                ],
            }
        ],
        "configs": [
            {
                "config_name": "sst2",
                "data_files": [{"split": side, "path": f"sst2/{side}-*"} for side in sides],
            }
        ],
    }
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(described)}---\n# GLUE\n")
