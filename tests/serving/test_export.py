"""Exports: each answers the held-out rows as the adapter does, or nothing is left of it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import SecretStr
from safetensors.torch import load_file, save_file
from tests.conftest import CHAT_TEMPLATE
from tests.servers import hub_server
from tests.servers.hub_server import tree_entry, uploading_hub
from tests.serving.conftest import train

from tunesmith.errors import ModelError, StorageError, UserError, VerificationError
from tunesmith.experiments import TrainedExperiment
from tunesmith.serving.exporters.base import Exported
from tunesmith.serving.exporters.gguf import Gguf
from tunesmith.serving.exporters.hub import HubRepository
from tunesmith.serving.exporters.merged import Merged
from tunesmith.serving.exporters.onnx import Onnx
from tunesmith.serving.exporters.package import Package
from tunesmith.serving.exporters.parts.agreement import TOLERANCES, compare
from tunesmith.serving.exporters.parts.work import Work, begin
from tunesmith.settings import Settings
from tunesmith.tasks.results import Prediction

ANY = Settings(_env_file=None)
"""What most exporters need nothing of."""


@pytest.fixture
def work(classifier: TrainedExperiment, trained_settings: Settings) -> Work:
    return begin(classifier.record, trained_settings)


@pytest.fixture(scope="module")
def byte_chat(tmp_path_factory: pytest.TempPathFactory, reviews: Path) -> Path:
    """A Llama of two layers whose tokenizer is a byte-level BPE, as llama.cpp reads them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "byte-chat"
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train([str(reviews)], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model, bos_token=special[1], eos_token=special[2], pad_token=special[2],
        unk_token=special[0], model_max_length=96,
    )  # fmt: skip
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=432, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=96,
            bos_token_id=1, eos_token_id=2, pad_token_id=2, initializer_range=0.3,
        )
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def byte_chatter(
    byte_chat: Path, chat_config: dict[str, Any], trained_settings: Settings
) -> TrainedExperiment:
    return train(
        {
            **chat_config,
            "model": {"name": str(byte_chat)},
            "data": {**chat_config["data"], "max_length": 80},
        },
        trained_settings,
    )


def test_the_merged_model_is_loaded_by_transformers_alone_and_answers_as_the_adapter(
    work: Work, classifier: TrainedExperiment, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, pipeline

    done = Merged(ANY).export(work, tmp_path / "merged", force=False)
    assert (done.agreement.rows, done.agreement.same) == (40, 40)
    assert done.agreement.largest < 1e-3
    classify = pipeline(
        "text-classification",
        model=str(tmp_path / "merged"),
        tokenizer=AutoTokenizer.from_pretrained(tmp_path / "merged"),
    )
    texts = [row["text"] for row in classifier.predictions]
    assert [found["label"] for found in classify(texts)] == [
        row["predicted"] for row in classifier.predictions
    ]
    told = json.loads((tmp_path / "merged" / "export.json").read_text())
    assert told["experiment"] == classifier.id
    assert told["verified"]["tolerance"]["answers"] == 1.0
    assert set(done.files) == {p.name for p in (tmp_path / "merged").iterdir()}


def test_a_merged_chat_model_answers_as_the_adapter_also_in_sixteen_bits(
    chatter: TrainedExperiment, trained_settings: Settings, tmp_path: Path
) -> None:
    work = begin(chatter.record, trained_settings, weights="bfloat16")
    done = Merged(ANY).export(work, tmp_path / "merged", force=False)
    assert done.agreement.rows == 24
    weights = load_file(tmp_path / "merged" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}


def test_the_cards_of_exports_say_what_lies_there_and_their_code_gives_the_same_answers(
    work: Work, classifier: TrainedExperiment, tmp_path: Path
) -> None:
    Merged(ANY).export(work, tmp_path / "merged", force=False)
    Onnx(ANY).export(work, tmp_path / "graph", force=False)
    for name, library in (("merged", "transformers"), ("graph", "onnx")):
        card = (tmp_path / name / "README.md").read_text(encoding="utf-8")
        assert f"library_name: {library}" in card
        assert "final_model" not in card
        assert "PeftModel" not in card
        (code,) = re.findall(r"```python\n(.*?)```", card, re.S)
        for row in classifier.predictions[:3]:
            asked = code.replace('"A text of your own"', repr(row["text"]))
            with contextlib.chdir(tmp_path), contextlib.redirect_stdout(io.StringIO()) as said:
                exec(compile(asked, name, "exec"), {})  # noqa: S102 (our own card)
            assert row["predicted"] in said.getvalue()


def test_the_graph_answers_in_onnx_runtime_without_torch(
    work: Work, classifier: TrainedExperiment, tmp_path: Path
) -> None:
    done = Onnx(ANY).export(work, tmp_path / "graph", force=False)
    assert (done.agreement.rows, done.agreement.same) == (40, 40)
    assert done.agreement.largest < 1e-3
    rows = classifier.predictions[:5]
    program = f"""
import json, sys
import numpy, onnxruntime, tokenizers
read = tokenizers.Tokenizer.from_file("tokenizer.json")
read.enable_padding()
found = read.encode_batch({[row["text"] for row in rows]!r})
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
names = [one.name for one in session.get_inputs()]
given = {{"input_ids": [f.ids for f in found], "attention_mask": [f.attention_mask for f in found]}}
(logits,) = session.run(None, {{name: numpy.array(given[name], numpy.int64) for name in names}})
labels = json.load(open("config.json"))["id2label"]
print(json.dumps([labels[str(best)] for best in logits.argmax(axis=1)]), "torch" in sys.modules)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "graph", capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split("]")[0] + "]" == json.dumps([row["predicted"] for row in rows])
    assert ran.stdout.endswith("False\n")


def test_the_loader_of_a_package_needs_nothing_of_this_machine_with_the_base_model_in_it(
    chatter: TrainedExperiment, trained_settings: Settings, tmp_path: Path
) -> None:
    work = begin(chatter.record, trained_settings)
    done = Package(ANY, with_base=True).export(work, tmp_path / "chat.zip", force=False)
    assert (done.agreement.same, done.agreement.same_chats) == (24, 24)
    assert "--with-base" not in done.note
    with zipfile.ZipFile(tmp_path / "chat.zip") as archive:
        names = archive.namelist()
        loader = archive.read("chat/load.py").decode()
    assert {"chat/adapter/adapter_model.safetensors", "chat/base/config.json"} <= set(names)
    assert "chat/export.json" in names
    assert str(tmp_path) not in loader
    assert str(trained_settings.cache_dir) not in loader
    without = Package(ANY, with_base=False).export(work, tmp_path / "small.zip", force=False)
    assert "--with-base" in without.note


@pytest.mark.parametrize("form", ["float32", "q8_0"])
def test_the_gguf_file_answers_in_llama_cpp_as_the_adapter_does(
    byte_chatter: TrainedExperiment, trained_settings: Settings, tmp_path: Path, form: str
) -> None:
    import xllamacpp

    work = begin(byte_chatter.record, trained_settings, weights="float32")
    done = Gguf(ANY, form).export(work, tmp_path / "chat.gguf", force=False)
    assert done.agreement.rows == 24
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(tmp_path / "chat.gguf")
    parameters.n_ctx = 96
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1
    parameters.warmup = False
    server = xllamacpp.Server(parameters)
    rows = work.own[:8]
    answers = []
    for row in rows:
        # The file's own template fills the prompt template; its settings are greedy.
        found = server.handle_chat_completions(
            {"messages": [{"role": "user", "content": row.text}], "max_tokens": 8}
        )
        answers.append(found["choices"][0]["message"]["content"].strip())
    same = sum(one == row.predicted for one, row in zip(answers, rows, strict=True))
    assert same >= (8 if form == "float32" else 7)  # llama.cpp rounds what it multiplies q8_0 by


def test_the_hub_gets_the_adapter_with_its_card_and_lists_what_was_sent(
    work: Work,
    trained_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    def settings(token: str | None) -> Settings:
        given = SecretStr(token) if token else None
        return trained_settings.model_copy(update={"hf_token": given})

    def send(token: str | None, *, force: bool = False) -> Exported:
        hub = HubRepository(settings(token), repo="us/reviews", private=True)
        return hub.export(work, Path(), force=force)

    with pytest.raises(UserError, match="needs HF_TOKEN"):
        send(None)
    with uploading_hub("hf_right") as (address, repositories):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        with pytest.raises(UserError, match="doesn't let HF_TOKEN write"):
            send("hf_wrong")
        assert repositories == {}
        done = send("hf_right")
        sent = repositories["us/reviews"]
        with pytest.raises(UserError, match="has us/reviews already"):
            send("hf_right")
        assert send("hf_right", force=True).files == done.files
        # A hub that keeps something else than it was given is found out.
        monkeypatch.setattr(hub_server, "tree_entry", lambda path, _: tree_entry(path, b"other"))
        with pytest.raises(VerificationError, match="otherwise than it was sent"):
            send("hf_right", force=True)
    assert done.place == f"{address}/us/reviews"
    assert set(sent) == set(done.files)
    own = (work.adapter.folder / "adapter_model.safetensors").read_bytes()
    assert sent["adapter_model.safetensors"] == own
    assert b"A LoRA adapter for" in sent["README.md"]
    assert str(work.source.folder) not in sent["adapter_config.json"].decode()


def test_the_adapters_folder_is_what_vllm_loads(byte_chatter: TrainedExperiment) -> None:
    # https://docs.vllm.ai/en/latest/features/lora.html: PEFT's own two files, weights of A and B
    # alone, named after the layers, no DoRA, no biases, no layers saved whole.
    told = json.loads((byte_chatter.adapter / "adapter_config.json").read_text())
    assert (told["peft_type"], told["bias"], told["use_dora"]) == ("LORA", "none", False)
    assert told["modules_to_save"] is None
    assert {"r", "lora_alpha", "target_modules", "base_model_name_or_path"} <= set(told)
    names = load_file(byte_chatter.adapter / "adapter_model.safetensors")
    pattern = r"base_model\.model\.model\.layers\.\d+\.\w+\.\w+\.lora_[AB]\.weight"
    assert all(re.fullmatch(pattern, name) for name in names)
    assert (byte_chatter.adapter / "tokenizer.json").is_file()


def test_what_cant_be_written_as_onnx_or_gguf_is_refused_with_what_can(
    work: Work, chatter: TrainedExperiment, trained_settings: Settings, tmp_path: Path
) -> None:
    chat = begin(chatter.record, trained_settings)
    with pytest.raises(ModelError, match=r"writes its answers word by word.*--to gguf"):
        Onnx(ANY).export(chat, tmp_path / "graph", force=False)
    with pytest.raises(ModelError, match=r"WordLevel of another kind.*convert_hf_to_gguf"):
        Gguf(ANY, "float16").export(chat, tmp_path / "chat.gguf", force=False)
    with pytest.raises(ModelError, match="is for chat models"):
        Gguf(ANY, "float16").export(work, tmp_path / "reviews.gguf", force=False)
    assert not list(tmp_path.iterdir())


def test_what_is_there_already_stays_unless_its_replacement_is_asked_for(
    work: Work, tmp_path: Path
) -> None:
    place = tmp_path / "there"
    place.mkdir()
    (place / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="--force replaces it"):
        Merged(ANY).export(work, place, force=False)
    assert [p.name for p in place.iterdir()] == ["mine.txt"]
    Merged(ANY).export(work, place, force=True)
    assert not (place / "mine.txt").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        Merged(ANY).export(work, tmp_path / "file" / "below", force=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "there"]


def test_an_adapter_that_is_not_what_it_was_is_not_exported(work: Work, tmp_path: Path) -> None:
    weights = load_file(work.adapter.folder / "adapter_model.safetensors")
    folder = tmp_path / "changed"
    folder.mkdir()
    for file in work.adapter.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    changed = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    save_file(changed, folder / "adapter_model.safetensors", {"format": "pt"})
    work.adapter = replace(work.adapter, folder=folder)
    with pytest.raises(VerificationError, match="isn't here what it was when it was"):
        Merged(ANY).export(work, tmp_path / "merged", force=False)
    assert [p.name for p in tmp_path.iterdir()] == ["changed"]


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({"scores": (1.0, 2.0005)}, False),
        ({"scores": (1.0, 2.1)}, True),
        ({"scores": (1.0, float("nan"))}, True),
        ({"predicted": "bad"}, True),
    ],
)
def test_an_export_that_differs_by_more_than_the_tolerance_is_refused(
    changes: dict[str, Any], fails: bool
) -> None:
    own = Prediction(1, "text", "good", "good", True, scores=(1.0, 2.0))
    recorded = [{"predicted": "good"}]
    other = replace(own, **changes)
    if fails:
        with pytest.raises(VerificationError, match="Nothing was exported"):
            compare([own], [other], recorded, TOLERANCES["float32"], generated=False)
    else:
        found = compare([own], [other], recorded, TOLERANCES["float32"], generated=False)
        assert found.largest == pytest.approx(0.0005)
