"""Text classification: columns, labels, the loss with its weights, the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tests.conftest import WORDS
from tests.tasks.chats.chat_formats import byte_tokenizer, tiny_llama
from tests.tasks.samples import bound
from transformers import BertConfig, BertForSequenceClassification, LlamaForSequenceClassification

from tunesmith.errors import ConfigError, DataError, ModelError
from tunesmith.tasks.base import Batch, Columns, Row
from tunesmith.tasks.text_classification import TextClassification, TextClassificationOptions

TEXT: Columns = {"text": "text", "label": "label"}


def task_with(columns: Columns = TEXT, **options: Any) -> TextClassification:
    return bound(TextClassification(TextClassificationOptions(**options)), columns)


def fitted(values: Sequence[Any], **options: Any) -> TextClassification:
    """A task that has seen a row with each of `values` as its label."""
    task = task_with(**options)
    task.fit(rows_of(values), [])
    return task


def rows_of(labels: Sequence[Any]) -> list[Row]:
    return [
        {"_row": number, "text": "ab" * number, "label": label}
        for number, label in enumerate(labels, 1)
    ]


def found(*available: str, sample: Sequence[Row] = (), **options: Any) -> Columns:
    """The columns chosen; where no sample is given, every value is a text."""
    rows = sample or [dict.fromkeys(available, "words")]
    return task_with(**options).find_columns(["_row", *available], rows)


def tiny_bert(task: TextClassification, tokenizer: Any) -> Any:
    """A BERT with random weights in float64, in evaluation mode."""
    torch.set_num_threads(1)  # matrices this small are slower on more
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=64, initializer_range=0.5,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    config.num_labels = len(task.labels)
    return BertForSequenceClassification(config).double().eval()


def batch_of(task: TextClassification, rows: Sequence[Row], columns: Columns = TEXT) -> Batch:
    tokenizer = byte_tokenizer()
    examples = bound(task, columns).encode(rows, tokenizer, 32)
    batch = task.collate(examples, tokenizer.pad_token_id)
    if task.options.multi_label:
        batch["labels"] = batch["labels"].double()
    return batch


# -- columns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("available", "text", "label"),
    [
        (("sentence", "label", "idx"), "sentence", "label"),
        (("Text", "Label"), "Text", "Label"),
        (("id", "review", "category", "score"), "review", "category"),
        (("title", "text", "stars"), "text", "stars"),
        (("label", "notes"), "notes", "label"),
    ],
)
def test_columns_are_known_by_their_names(
    available: tuple[str, ...], text: str, label: str
) -> None:
    row: Row = {name: 1 if name in {"id", "idx", "score", "stars"} else "w" for name in available}
    assert found(*available, sample=[row]) == {"text": text, "label": label}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("sentence1", "sentence2"),
        ("premise", "hypothesis"),
        ("question1", "question2"),
        ("question", "sentence"),
    ],
)
def test_glues_pairs_are_known_by_their_names(first: str, second: str) -> None:
    if first == "question":  # QNLI; `sentence` alone is a text
        columns = found(first, second, "label", text_column="question", text_pair_column="sentence")
    else:
        columns = found(first, second, "label", "idx")
    assert columns == {"text": first, "text_pair": second, "label": "label"}


def test_a_text_column_named_alone_is_not_paired() -> None:
    columns = found("sentence1", "sentence2", "label", text_column="sentence1")
    assert columns == {"text": "sentence1", "label": "label"}


def test_the_only_column_with_text_is_the_text() -> None:
    row: Row = {"gehalt": 3, "meinung": "gut", "note": 1}
    columns = found("gehalt", "meinung", "note", sample=[row], label_column="note")
    assert columns == {"text": "meinung", "label": "note"}


def test_a_usual_name_without_text_in_it_is_passed_over() -> None:
    row: Row = {"text": 17, "body": "words", "label": "x"}
    assert found("text", "body", "label", sample=[row])["text"] == "body"


def test_columns_that_cannot_be_guessed_are_asked_for_with_those_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        found("eins", "zwei", "drei")
    assert [str(problem) for problem in caught.value.problems] == [
        "task.text_column: no column is plainly the text: name it; accepted: eins, zwei, drei",
        "task.label_column: no column is plainly the label: name it; accepted: eins, zwei, drei",
    ]


def test_a_column_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        found("review", "verdict", text_column="reviews", label_column="_row")
    assert [str(problem) for problem in caught.value.problems] == [
        "task.text_column: no such column; got 'reviews'; accepted: review, verdict; "
        "did you mean review?",
        "task.label_column: no such column; got '_row'; accepted: review, verdict",
    ]


# -- labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "known"),
    [
        (["pos", "neg", "pos"], ["neg", "pos"]),
        ([10, 9, 1], ["1", "9", "10"]),
        (["10", "9", "1"], ["1", "9", "10"]),
        ([True, False], ["false", "true"]),
        ([1.0, 0.0, 0.5], ["0", "0.5", "1"]),
        ([1, 1.0, "1", 2], ["1", "2"]),
        (["1", "1.0", "0"], ["0", "1", "1.0"]),
        ([-1, 1], ["-1", "1"]),
    ],
)
def test_labels_of_every_type_are_ordered_by_number_or_by_name(
    labels: list[Any], known: list[str]
) -> None:
    assert fitted(labels).labels == known
    assert fitted(labels[::-1]).labels == known


def test_labels_that_are_named_keep_their_order() -> None:
    task = fitted(["a", "b", "c"], labels=["c", "a", "b"])
    assert task.labels == ["c", "a", "b"]
    assert task.model_arguments()["id2label"] == {0: "c", 1: "a", 2: "b"}
    assert batch_of(task, rows_of(["a", "b", "c"]))["labels"].tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("value", "separator", "labels"),
    [
        (["a", "b"], ",", ["a", "b"]),
        ([1, 2.0, True], ",", ["1", "2", "true"]),
        ('["a", "b"]', ",", ["a", "b"]),
        ("[a, b]", ",", ["a", "b"]),
        ("a, b ,", ",", ["a", "b"]),
        ("a;b", ";", ["a", "b"]),
        ("a,b", ";", ["a,b"]),
        ("[]", ",", []),
        ("", ",", []),
        ([], ",", []),
        (None, ",", []),
        (3, ",", ["3"]),
    ],
)
def test_several_labels_are_read_from_lists_and_strings(
    value: Any, separator: str, labels: list[str]
) -> None:
    others = [["1"], ["2"], ["3"], ["a"], ["b"], ["a,b"], ["true"]]
    task = fitted([*others, value], multi_label=True, label_separator=separator)
    (hot,) = batch_of(task, rows_of([value]))["labels"].tolist()
    assert [label for label, is_on in zip(task.labels, hot, strict=True) if is_on] == labels


def test_a_single_label_cannot_be_learned() -> None:
    with pytest.raises(DataError, match="holds a single label, 'a': there is nothing to tell"):
        fitted(["a", "a"])


def test_a_single_label_is_enough_where_a_text_may_have_none() -> None:
    assert fitted([["a"], []], multi_label=True).labels == ["a"]
    with pytest.raises(DataError, match="holds no label at all"):
        fitted([[], None], multi_label=True)


def test_a_label_that_no_training_row_has_is_refused() -> None:
    task = task_with()
    with pytest.raises(DataError, match="no row to train on has the label 'c'"):
        task.fit(rows_of(["a", "b"]), rows_of(["c"]))
    with pytest.raises(DataError, match="no row to train on has the label 'x', 'y'"):
        fitted(["a", "b"], labels=["a", "x", "b", "y"])


def test_labels_that_the_options_do_not_name_are_refused() -> None:
    with pytest.raises(DataError, match=r"labels that task\.labels doesn't name: 'c'"):
        fitted([["a"], ["b", "c"]], labels=["a", "b"], multi_label=True)


def test_balanced_weights_are_scikit_learns() -> None:
    # compute_class_weight("balanced"): 8 rows / (2 classes * count)
    assert fitted(["a"] * 6 + ["b"] * 2, class_weights="balanced").weights == [8 / 12, 8 / 4]


def test_weights_by_name_leave_the_others_at_one() -> None:
    assert fitted(["a", "b", "c"], class_weights={"b": 3}).weights == [1.0, 3.0, 1.0]
    with pytest.raises(DataError, match="class_weights names labels that the data don't have: d;"):
        fitted(["a", "b"], class_weights={"d": 3})


# -- the loss -----------------------------------------------------------------------------------

KINDS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "single": ({}, ["a", "b", "c", "a", "a", "b", "a", "c"]),
    "weighted": ({"class_weights": {"a": 0.5, "b": 4}}, ["a", "b", "c", "a", "a", "b", "a", "c"]),
    "balanced": ({"class_weights": "balanced"}, ["a", "b", "b", "a", "a", "b", "a", "a"]),
    "multi-label": ({"multi_label": True}, ["a,b", "", "c", "a", "a,c", "b", "a", "a,b,c"]),
    "weighted multi-label": (
        {"multi_label": True, "class_weights": {"a": 0.5, "c": 4}},
        ["a,b", "", "c", "a", "a,c", "b", "a", "a,b,c"],
    ),
}


def torchs_loss(task: TextClassification, logits: torch.Tensor, labels: torch.Tensor) -> Any:
    """The same loss as PyTorch's own modules compute it."""
    weights = None if task.weights is None else torch.tensor(task.weights, dtype=logits.dtype)
    if task.options.multi_label:
        return torch.nn.BCEWithLogitsLoss(weight=weights)(logits, labels)
    return torch.nn.CrossEntropyLoss(weight=weights)(logits, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_pytorchs_own(kind: str) -> None:
    options, labels = KINDS[kind]
    task = fitted(labels, **options)
    model, batch = tiny_bert(task, byte_tokenizer()), batch_of(task, rows_of(labels))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    expected = torchs_loss(task, model(**inputs).logits, batch["labels"])
    found = task.loss(model, batch)
    assert found.shape == ()
    # Class weights are summed in float32.
    tolerance = 1e-12 if task.weights is None else 1e-6
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_accumulated_batches_give_the_gradient_of_one_big_batch(kind: str) -> None:
    options, labels = KINDS[kind]
    task = fitted(labels, **options)
    rows, model = rows_of(labels), tiny_bert(task, byte_tokenizer())
    task.loss(model, batch_of(task, rows)).backward()
    whole = [
        parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None
    ]
    model.zero_grad()
    parts = [batch_of(task, rows[start:end]) for start, end in ((0, 1), (1, 4), (4, 8))]
    items = sum(task.count_items(part) for part in parts)
    for part in parts:
        task.loss(model, part, items).backward()
    summed = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(whole) == len(summed) > 10
    for one, other in zip(whole, summed, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-12)


# -- pairs, decoders ----------------------------------------------------------------------------


def test_pairs_tell_the_second_text_from_the_first(tiny_bert_tokenizer: Any) -> None:
    columns = {"text": "text", "text_pair": "other", "label": "label"}
    rows: list[Row] = [
        {"_row": 1, "text": "good film", "other": "bad plot", "label": "a"},
        {"_row": 2, "text": "the", "other": "story was great fine", "label": "b"},
    ]
    task = task_with(text_pair_column="other")
    bound(task, columns).fit(rows, [])
    examples = bound(task, columns).encode(rows, tiny_bert_tokenizer, 32)
    assert [example["token_type_ids"] for example in examples] == [
        [0, 0, 0, 0, 1, 1, 1],
        [0, 0, 0, 1, 1, 1, 1, 1],
    ]
    batch = task.collate(examples, 0)
    assert batch["token_type_ids"].tolist()[0] == [0, 0, 0, 0, 1, 1, 1, 0]
    model = tiny_bert(task, tiny_bert_tokenizer)
    (first, _) = bound(task, columns).predict(model, [(rows, batch)], tiny_bert_tokenizer)
    untold = {**batch, "token_type_ids": torch.zeros_like(batch["token_type_ids"])}
    (without, _) = bound(task, columns).predict(model, [(rows, untold)], tiny_bert_tokenizer)
    assert first.scores != pytest.approx(without.scores, rel=1e-3)
    assert first.text == "good film\nbad plot"
    assert bound(task, columns).key(rows[0]) != bound(task, columns).key({**rows[0], "other": "x"})
    single = task_with()
    single.fit(rows, [])
    assert "token_type_ids" not in single.encode(rows, tiny_bert_tokenizer, 32)[0]


@pytest.fixture
def tiny_bert_tokenizer() -> Any:
    """A tokenizer that writes [CLS] first [SEP] second [SEP], with BERT's token types."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", model_input_names=[
            "input_ids", "token_type_ids", "attention_mask"
        ],
    )  # fmt: skip


def test_a_decoder_without_a_padding_token_classifies_by_each_texts_last_token() -> None:
    tokenizer = byte_tokenizer(padding=False)
    task = fitted(["a", "b", "a", "b"])
    task.prepare_tokenizer(tokenizer)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    config = tiny_llama(tokenizer).config
    config.update(task.model_arguments())
    torch.manual_seed(0)
    model = LlamaForSequenceClassification(config).double().eval()
    rows = rows_of(["a", "b", "a", "b"])
    examples = task.encode(rows, tokenizer, 32)
    together = task.collate(examples, tokenizer.pad_token_id)
    many = list(task.predict(model, [(rows, together)], tokenizer))
    for row, example, among_others in zip(rows, examples, many, strict=True):
        alone = task.collate([example], tokenizer.pad_token_id)
        (prediction,) = task.predict(model, [([row], alone)], tokenizer)
        assert prediction.scores == pytest.approx(among_others.scores, rel=1e-9)


def test_a_tokenizer_that_cannot_pad_is_refused() -> None:
    with pytest.raises(ModelError, match="no padding and no end token"):
        task_with().prepare_tokenizer(byte_tokenizer(padding=False, end=None))
