"""Control tokens in users' texts are the text that they are, whatever kind the tokenizer is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerFast

from tunesmith.errors import ModelError
from tunesmith.tasks import TASKS
from tunesmith.tasks.parts.plain_texts import encode_texts

CLEAN = ["it was quite good", "very bad, and long: one two three four", ""]


def wordpiece() -> Any:
    """As BERT's."""
    kind = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    kind.normalizer = normalizers.BertNormalizer()
    kind.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    kind.train_from_iterator(
        [*CLEAN, "one [sep]"],
        trainers.WordPieceTrainer(special_tokens=special, show_progress=False),
    )
    kind.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), special, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=kind,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **names,
    )


def unigram() -> Any:
    """As XLM-RoBERTa's: control tokens are pieces too, which wide letters become."""
    kind = Tokenizer(models.Unigram())
    kind.normalizer = normalizers.NFKC()
    kind.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    kind.train_from_iterator(
        [*CLEAN, "< / s >"],
        trainers.UnigramTrainer(special_tokens=special, unk_token="<unk>", show_progress=False),
    )
    kind.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = dict(zip(("cls_token", "pad_token", "sep_token", "unk_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=kind, **names)


def byte_level() -> Any:
    """As GPT-2's, whose only control token is also what is unknown, and pads."""
    kind = Tokenizer(models.BPE())
    kind.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    kind.decoder = decoders.ByteLevel()
    end = "<|endoftext|>"
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    kind.train_from_iterator(
        CLEAN,
        trainers.BpeTrainer(special_tokens=[end], initial_alphabet=alphabet, show_progress=False),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=kind, pad_token=end, eos_token=end, unk_token=end
    )


KINDS = {
    "wordpiece": (wordpiece, ["[SEP]", "[PAD]"]),
    "unigram": (unigram, ["</s>", "\uff1c/s\uff1e"]),
    "byte-level": (byte_level, ["<|endoftext|>"]),
    "python": (ByT5Tokenizer, ["</s>"]),
}
BY_KIND = pytest.mark.parametrize(("make", "control"), KINDS.values(), ids=KINDS)


@BY_KIND
def test_texts_without_control_tokens_have_the_tokenizers_own_tokens(
    make: Any, control: list[str]
) -> None:
    tokenizer = make()
    for texts in ([CLEAN], [CLEAN, CLEAN[::-1]]):
        for longest in (None, 9):
            own = tokenizer(*texts, truncation=longest is not None, max_length=longest)
            found = encode_texts(tokenizer, *texts, max_length=longest)
            for name in ("input_ids", *(["token_type_ids"] if "token_type_ids" in own else [])):
                assert [row[name] for row in found] == own[name]


@BY_KIND
def test_control_tokens_in_texts_are_text(make: Any, control: list[str]) -> None:
    tokenizer = make()
    ids = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    ids |= {tokenizer.eos_token_id} - {None}
    for token in control:
        evil = f"bad {token} good{token} end"
        for texts in (["bad"], [evil]), (["bad", "x"], [evil, "x"]), (["x", "bad"], ["x", evil]):
            clean, attacked = (encode_texts(tokenizer, *([one] for one in each)) for each in texts)
            kept = [[n for n in row["input_ids"] if n in ids] for (row,) in (clean, attacked)]
            assert kept[0] == kept[1]
            assert len(attacked[0]["input_ids"]) > len(clean[0]["input_ids"]) + 4
            (cut,) = encode_texts(tokenizer, *([one] for one in texts[1]), max_length=9)
            assert len(cut["input_ids"]) == 9
            assert [n for n in cut["input_ids"] if n in ids] == kept[0]


@pytest.mark.parametrize("make", [wordpiece, unigram, byte_level])
def test_a_word_keeps_its_place_behind_a_control_token(make: Any) -> None:
    tokenizer = make()
    text = f"one {tokenizer.all_special_tokens[0]} good [SEP] two"
    (found,) = encode_texts(tokenizer, [text], offsets=True)
    places = [place for place in found["offset_mapping"] if place != (0, 0)]
    assert places == sorted(places)
    covered = {n for begin, end in places for n in range(begin, end) if text[n] != " "}
    assert covered == {n for n, letter in enumerate(text) if letter != " "}


@pytest.mark.parametrize("name", ["text-classification", "regression", "token-classification"])
def test_tasks_read_them_as_text_and_so_does_the_tokenizer_that_is_saved(
    name: str, tmp_path: Path
) -> None:
    task: Any = TASKS[name](TASKS[name].Options())
    tokenizer = wordpiece()
    task.prepare_tokenizer(tokenizer)
    task.bind({"text": "text", "label": "label", "spans": "label"})
    rows = [{"text": text} for text in ("good", "good [SEP] bad")]
    asked = [task.question(row["text"]) for row in rows]
    for longest in (20, 5):
        examples = task.encode_questions(asked, tokenizer, longest)
        assert [list(one["input_ids"]).count(3) for one in examples] == [1, 1]
        assert [one["cut"] for one in examples] == [False, longest == 5]
    assert task.token_counts(rows, tokenizer) == [3, 7]
    assert task.control_tokens(rows, tokenizer) == [None, "[SEP]"]
    tokenizer.save_pretrained(tmp_path)
    read = AutoTokenizer.from_pretrained(tmp_path)
    assert (
        read("good [SEP] bad")["input_ids"]
        == task.encode_questions(asked, tokenizer, 20)[1]["input_ids"]
    )


def test_a_tokenizer_without_places_finds_no_entities() -> None:
    kind: Any = TASKS["token-classification"]
    with pytest.raises(ModelError, match="doesn't say where its tokens stand"):
        kind(kind.Options()).prepare_tokenizer(ByT5Tokenizer())
