"""A saved adapter, asked through the predictor what it was judged by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tests.architectures.families import POSITIONS, VOCABULARY
from tests.architectures.learning import configured, task_of
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tunesmith.models.adapter import save_adapter
from tunesmith.serving.adapters import SavedAdapter
from tunesmith.serving.predictor import Predictor
from tunesmith.settings import Settings
from tunesmith.tasks.base import Row
from tunesmith.tasks.results import same_answer

TEXTS = ["w8 w9 w10 w11 w12", "w13 w14 w8 w9 w10 w11 w12 w15 w16 w17", "w18 w19 w20"]
_TEMPLATE = (
    "{%- for message in messages %}{{- ' w4 ' + message['content'] + ' [END]' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- ' w4 ' }}{%- endif %}"
)
COLUMNS = {
    "text-classification": {"text": "text", "label": "label"},
    "regression": {"text": "text", "target": "label"},
    "token-classification": {"text": "text", "spans": "spans"},
    "sft": {"prompt": "text", "completion": "label"},
}


def asked_otherwise(folder: Path, task: str, model: Any) -> str:
    """Where the adapter of `model`, whose base lies in `folder`, answers otherwise than judged.

    Empty where it answers as it was judged.
    """
    tokenizer = save_words(folder, chat=task == "sft")
    config = configured(task)
    base = config.model.model_copy(update={"name": str(folder)})
    config = config.model_copy(update={"model": base})
    learned = task_of(config)
    learned.bind(COLUMNS[task])
    learned.prepare_tokenizer(tokenizer)
    if task == "token-classification":
        learned.restore({"labels": ["O", "B-0", "I-0"]})
    rows: list[Row] = [
        {"_row": n, "text": text, "label": str(n), "spans": []} for n, text in enumerate(TEXTS)
    ]
    model.eval()
    examples = learned.encode(rows, tokenizer, config.data.max_length)
    with torch.inference_mode():
        batch = learned.collate(examples, tokenizer.pad_token_id)
        judged = list(learned.predict(model, [(rows, batch)], tokenizer))
    place = folder / "adapter"
    save_adapter(model, tokenizer, place, str(folder))
    options = config.task.model_dump(mode="json")
    said = {"task": options, "facts": learned.facts(), "columns": learned.columns}
    (place / "tunesmith.json").write_text(json.dumps(said), encoding="utf-8")
    saved = SavedAdapter("tiny", place, config.model_dump(mode="json"), None)
    settings = Settings(_env_file=None, TUNESMITH_CACHE_DIR=folder / "cache")
    answers = Predictor(settings, device="cpu").answer(saved, TEXTS).answers
    differing = [
        f"{one.predicted!r}, and asked {_unscored(other.answer)!r}"
        for one, other in zip(judged, answers, strict=True)
        if not same_answer(one.predicted, _unscored(other.answer))
    ]
    return f"judged {differing[0]}" if differing else ""


def _unscored(answer: Any) -> Any:
    if not isinstance(answer, list):
        return answer
    return [{name: value for name, value in one.items() if name != "score"} for one in answer]


def save_words(folder: Path, *, chat: bool) -> Any:
    """Save a tokenizer of whole words, `w8` the token 8, that ends texts; give it as it is loaded.

    For some families transformers loads a class of their own that splits texts otherwise, whatever
    was saved; the words are added tokens, so that each class knows them.
    """
    names = ["[PAD]", "[BEGIN]", "[END]", *(f"w{n}" for n in range(3, VOCABULARY))]
    kind = Tokenizer(models.WordLevel({w: n for n, w in enumerate(names)}, unk_token="w3"))
    kind.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    if not chat:
        kind.post_processor = processors.TemplateProcessing(
            single="$A [END]", special_tokens=[("[END]", 2)]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=kind, pad_token="[PAD]", bos_token="[BEGIN]", eos_token="[END]",
        unk_token="w3", model_max_length=POSITIONS,
    )  # fmt: skip
    tokenizer.add_tokens(
        [
            AddedToken(f"w{n}", normalized=False, lstrip=True, single_word=True)
            for n in range(3, VOCABULARY)
        ]
    )
    if chat:
        tokenizer.chat_template = _TEMPLATE
    tokenizer.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)
