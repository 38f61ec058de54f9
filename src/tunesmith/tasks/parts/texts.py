"""What tasks share that read a text, or a pair of texts, and answer it in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith.errors import ModelError
from tunesmith.tasks.base import Batch, Columns, Example, Row, Task
from tunesmith.tasks.parts.columns import (
    Wanted,
    asked_columns,
    at_least_float32,
    choose_columns,
    pad,
)
from tunesmith.tasks.parts.label_texts import MARKED
from tunesmith.tasks.parts.plain_texts import encode_texts, read_as_text

if TYPE_CHECKING:
    import torch

TEXT_NAMES = (
    "text", "sentence", "review", "content", "body", "sentence1", "premise", "question1",
    "question", "document", "tweet", "comment", "comment_text", "review_text", "message",
    "utterance", "內容", "内容", "文字", "文本", "評論", "评论", "留言", "評價", "评价", "句子",
    "訊息", "消息", "推文", "文章", "正文", "描述", "問題", "问题", "題目", "题目", "title", "標題",
    "标题",
)  # fmt: skip
"""Usual names of the column with the text."""

_PAIR_NAMES: Mapping[str, str] = {
    "sentence1": "sentence2",
    "premise": "hypothesis",
    "question1": "question2",
    "question": "sentence",
}


def require_padding(tokenizer: Any) -> None:
    """Give `tokenizer` a padding token where it lacks one. Raises ModelError where it can't."""
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise ModelError("the base model's tokenizer has no padding and no end token.")
        tokenizer.pad_token = tokenizer.eos_token


def _reads_the_last(model: Any) -> bool:
    """Whether the head of `model` reads what stands last in a row, padding or not (XLNet's)."""
    return getattr(getattr(model, "sequence_summary", None), "summary_type", None) == "last"


def _padded_on_the_left(batch: Batch) -> Batch:
    """The same rows with their padding, on the right till now, before their texts."""
    import torch

    mask = batch["attention_mask"]
    places = torch.arange(mask.shape[1], device=mask.device)
    order = (places - (mask == 0).sum(dim=1, keepdim=True)) % mask.shape[1]
    return {name: tensor.gather(1, order) for name, tensor in batch.items()}


class TextTask(Task):
    """A task whose options have `text_column` and `text_pair_column`; targets are `labels`.

    `column_names` are those of `text` and, last, of what is learned.
    """

    answer_looks: ClassVar[Literal["label", "number"] | None] = None
    """What the values of the column that is learned look like; None: like anything."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._pad_token_id: int | None = None

    def find_columns(self, available: Sequence[str], sample: Sequence[Row]) -> Columns:
        options: Any = self.options
        names = self.column_names
        answer = [*names][-1]
        wanted = [Wanted("text", names["text"], holds=str, looks="text")]
        if not self.mark_columns():
            wanted.append(Wanted(answer, names[answer], looks=self.answer_looks))
        if options.text_pair_column:
            wanted.append(Wanted("text_pair", ()))
        free = [name for name in available if name not in self.mark_columns()]
        chosen = choose_columns(options, wanted, free, sample)
        learned = chosen.pop(answer, MARKED)
        if options.text_column is None and "text_pair" not in chosen:
            second = _PAIR_NAMES.get(chosen["text"], "")
            if second in available:
                chosen["text_pair"] = second
        return {**chosen, answer: learned}

    def mark_columns(self) -> Sequence[str]:
        """Columns of 0 and 1, one for each label, where there are such instead of one of labels."""
        return ()

    def text_columns(self) -> list[str]:
        return [self.columns[role] for role in ("text", "text_pair") if role in self.columns]

    def is_recorded_whole(self) -> bool:
        return len(self.columns) == 2

    def key(self, row: Row) -> str:
        return "\n".join(str(row[column] or "") for column in self.text_columns())

    def prepare_tokenizer(self, tokenizer: Any) -> None:
        require_padding(tokenizer)
        read_as_text(tokenizer)
        self._pad_token_id = tokenizer.pad_token_id

    def model_arguments(self) -> dict[str, Any]:
        # A decoder finds the last token of each text, which it answers by, from the padding.
        return {} if self._pad_token_id is None else {"pad_token_id": self._pad_token_id}

    def inputs(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[Example]:
        """Token ids of the rows' texts, without targets."""
        texts = self._texts(rows)
        examples = encode_texts(tokenizer, *texts, max_length=max_length)
        names = ("input_ids", "token_type_ids") if len(texts) > 1 else ("input_ids",)
        return [{name: one[name] for name in names if name in one} for one in examples]

    def _texts(self, rows: Sequence[Row]) -> list[list[str]]:
        return [[str(row[column] or "") for row in rows] for column in self.text_columns()]

    def token_counts(self, rows: Sequence[Row], tokenizer: Any) -> list[int]:
        examples = encode_texts(tokenizer, *self._texts(rows))
        return [len(example["input_ids"]) for example in examples]

    def collate(self, examples: Sequence[Example], pad_token_id: int, width: int = 0) -> Batch:
        import torch

        batch = pad(examples, {"input_ids": pad_token_id, "token_type_ids": 0}, width=width)
        if "labels" in examples[0]:
            batch["labels"] = torch.tensor([example["labels"] for example in examples])
        return batch

    def logits(self, model: Any, batch: Batch) -> torch.Tensor:
        """What the model says of each text of the batch, (rows, outputs) in float32."""
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        if _reads_the_last(model):
            inputs = _padded_on_the_left(inputs)
        found: torch.Tensor = model(**inputs).logits
        return at_least_float32(found)

    def asked_logits(self, model: Any, examples: Sequence[Example], tokenizer: Any) -> torch.Tensor:
        """The same of encoded questions."""
        return self.logits(model, self.collate_for(model, examples, tokenizer))

    def question(self, given: str | Mapping[str, Any]) -> Row:
        return asked_columns(given, self.text_columns())

    def encode_questions(
        self, rows: Sequence[Row], tokenizer: Any, max_length: int
    ) -> list[Example]:
        examples = self.inputs(rows, tokenizer, max_length)
        full = [i for i, found in enumerate(examples) if len(found["input_ids"]) >= max_length]
        counts = self.token_counts([rows[i] for i in full], tokenizer) if full else []
        cut = {i for i, count in zip(full, counts, strict=True) if count > max_length}
        return [{**example, "cut": i in cut} for i, example in enumerate(examples)]
