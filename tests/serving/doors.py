"""Every way to ask one chat adapter, each as those use it who have nothing else of ours."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import torch
from tests.chat_families import Family, save_chat_model
from tests.conftest import BAD, GOOD, WORDS
from tests.serving.server import serving

import tunesmith
from tunesmith.experiments import TrainedExperiment
from tunesmith.serving.adapters import locate_adapter
from tunesmith.serving.engine import Engine
from tunesmith.serving.exporters.gguf import Gguf
from tunesmith.serving.exporters.merged import Merged
from tunesmith.serving.exporters.package import Package
from tunesmith.serving.exporters.parts.work import begin
from tunesmith.serving.predictor import Predictor
from tunesmith.settings import Settings

SYSTEM = "Say \"which\" 'word' it is:\n\tone of {ten}. é 😀 {{ x }} {% y %}"
TEMPLATE = '  "Review": {review}\n  which \\n word? %} é  '
"""Both odd: quotes, braces, tags of Jinja, spaces at the ends."""

Ask = Callable[[str], str]
"""A text to the answer to it."""


def write_questions(path: Path, rows: int) -> Path:
    """A file of `rows` different texts, each with an answer that one of its words decides."""
    rng = random.Random(0)
    texts: dict[str, str] = {}
    while len(texts) < rows:
        word = rng.choice(GOOD + BAD)
        others = [rng.choice(WORDS[10:30]) for _ in range(rng.randint(2, 5))]
        text = " ".join([*others, word, rng.choice(["", "é", "資料", "!", "\n"])])
        texts[text] = f"{word}, {'yes' if word in GOOD else 'no'}!"
    lines = [json.dumps({"review": text, "verdict": said}) for text, said in texts.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def train_family(
    family: Family, folder: Path, settings: Settings, *, rows: int, judged: int, **options: Any
) -> TrainedExperiment:
    """An adapter on a tiny model of `family`, with a system prompt and a prompt template.

    The model is a Llama, which GGUF files are written of; tokenizer and template are the family's.
    """
    data = write_questions(folder / "questions.jsonl", rows + judged)
    texts = [data.read_text(encoding="utf-8"), SYSTEM, TEMPLATE]
    model = save_chat_model(folder / "model", family, texts, architecture="llama")
    return tunesmith.train(
        {
            # llama.cpp would read texts otherwise for a model of this name.
            "experiment_name": f"{family.name}-not-phi-3",
            "task": {
                "name": "sft",
                "system_prompt": SYSTEM,
                "prompt_template": TEMPLATE,
                "completion_column": "verdict",
                "max_new_tokens": 16,
                **options,
            },
            "model": {"name": str(model)},
            "lora": {"r": 8},
            "data": {
                "dataset_name": str(data), "eval_samples": judged, "train_samples": rows,
                "max_length": 256,
            },
            "training": {
                "learning_rate": 1e-2, "num_train_epochs": 4, "device": "cpu",
                "precision": "float32", "logging_steps": 50,
            },
        },
        settings=settings,
    )  # fmt: skip


def by_predict(one: TrainedExperiment, settings: Settings, texts: Sequence[str]) -> list[str]:
    """As `tunesmith predict` answers."""
    adapter = locate_adapter(one.record, settings)
    found = Predictor(settings, device="cpu").answer(adapter, list(texts))
    return [str(answer.answer) for answer in found.answers]


def by_serve(one: TrainedExperiment, settings: Settings, texts: Sequence[str]) -> list[str]:
    """As a client of OpenAI's gets it from `tunesmith serve`: one user's turn, over HTTP."""
    adapter = locate_adapter(one.record, settings)
    engine = Engine(settings, {"it": (adapter, 0)}, device="cpu")
    with serving(engine, settings) as client:
        return [_completed(client, text) for text in texts]


def _completed(client: httpx2.Client, text: str) -> str:
    body = {"model": "it", "messages": [{"role": "user", "content": text}]}
    answered = client.post("/v1/chat/completions", json=body)
    assert answered.status_code == 200, answered.text
    return str(answered.json()["choices"][0]["message"]["content"])


def by_card(folder: Path) -> Ask:
    """As the code in the card of `folder` answers, run from where that stands."""
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.S)[0]
    loading, asking = code.split("chat = ", 1)
    names: dict[str, Any] = {}
    with contextlib.chdir(folder.parent):
        exec(compile(loading, "the card", "exec"), names)  # noqa: S102 (our own card)

    def ask(text: str) -> str:
        asked = "chat = " + asking.replace('"A question of your own"', repr(text))
        with contextlib.redirect_stdout(io.StringIO()) as said, torch.inference_mode():
            exec(compile(asked, "the card", "exec"), names)  # noqa: S102 (our own card)
        return said.getvalue().removesuffix("\n")

    return ask


def by_llama_cpp(file: Path) -> Ask:
    """As llama.cpp answers: its server's chat completions, with the settings of the file."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.n_ctx = 512
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1
    parameters.warmup = False
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    # Its flash attention rounds to 16 bits, and turns answers that are nearly even.
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(parameters)

    def ask(text: str) -> str:
        messages = [{"role": "user", "content": text}]
        found = server.handle_chat_completions({"messages": messages, "max_tokens": 16})
        said = found["choices"][0]["message"]
        thought = said.get("reasoning_content")
        return (f"<think>\n{thought}\n</think>\n\n" if thought else "") + str(said["content"])

    return ask


def exported(one: TrainedExperiment, settings: Settings, folder: Path) -> dict[str, Ask]:
    """Ways to ask the exports of an adapter, by their names."""
    work = begin(one.record, settings, weights="float32")
    Merged(settings).export(work, folder / "merged", force=False)
    Package(settings, with_base=True).export(work, folder / "package.zip", force=False)
    Gguf(settings, "float32").export(work, folder / "model.gguf", force=False)
    with zipfile.ZipFile(folder / "package.zip") as archive:
        archive.extractall(folder)
    return {
        "merged": by_card(folder / "merged"),
        "package": by_card(folder / "package" / "adapter"),
        "llama.cpp": by_llama_cpp(folder / "model.gguf"),
        "plain PEFT": by_card(one.adapter),
    }


def disagreements(
    one: TrainedExperiment, settings: Settings, folder: Path
) -> dict[str, list[tuple[str, str, str]]]:
    """By the way it was asked: each text that isn't answered as when it was judged, with both."""
    texts = [str(row["text"]) for row in one.predictions]
    judged = [str(row["predicted"]) for row in one.predictions]
    answers = {
        "predict": by_predict(one, settings, texts),
        "serve": by_serve(one, settings, texts),
        **{
            name: [ask(text).strip() for text in texts]
            for name, ask in exported(one, settings, folder).items()
        },
    }
    return {
        name: [
            (text, own, other)
            for text, own, other in zip(texts, judged, found, strict=True)
            if own != other
        ]
        for name, found in answers.items()
    }
