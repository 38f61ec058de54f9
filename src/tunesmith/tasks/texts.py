"""What tasks share that read a text, or a pair of texts, and answer it in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith.errors import ModelError
from tunesmith.tasks.base import Batch, Columns, Example, Row, Task
from tunesmith.tasks.columns import Wanted, asked_columns, at_least_float32, choose_columns, pad
from tunesmith.tasks.plain_texts import encode_texts, read_as_text

if TYPE_CHECKING:
    import torch

TEXT_NAMES = (
    "text", "sentence", "review", "content", "body", "sentence1", "premise", "question1",
    "question", "document", "tweet", "comment", "message", "title",
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
    """A task whose options have `text_column` and `text_pair_column`; targets are `labels`."""

    answer_wanted: ClassVar[Wanted]
    """The column with what is learned."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._pad_token_id: int | None = None

    def columns(self, available: Sequence[str], sample: Sequence[Row]) -> Columns:
        options: Any = self.options
        wanted = [Wanted("text", "text_column", TEXT_NAMES, holds=str), self.answer_wanted]
        if options.text_pair_column:
            wanted.append(Wanted("text_pair", "text_pair_column", ()))
        chosen = choose_columns(options, wanted, available, sample)
        if options.text_column is None and "text_pair" not in chosen:
            second = _PAIR_NAMES.get(chosen["text"], "")
            if second in available:
                chosen["text_pair"] = second
        return {**chosen, self.answer_wanted.role: chosen.pop(self.answer_wanted.role)}

    def text_columns(self, columns: Columns) -> list[str]:
        return [columns[role] for role in ("text", "text_pair") if role in columns]

    def key(self, row: Row, columns: Columns) -> str:
        return "\n".join(str(row[column] or "") for column in self.text_columns(columns))

    def prepare_tokenizer(self, tokenizer: Any) -> None:
        require_padding(tokenizer)
        read_as_text(tokenizer)
        self._pad_token_id = tokenizer.pad_token_id

    def model_arguments(self) -> dict[str, Any]:
        # A decoder finds the last token of each text, which it answers by, from the padding.
        return {} if self._pad_token_id is None else {"pad_token_id": self._pad_token_id}

    def inputs(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any, max_length: int
    ) -> list[Example]:
        """Token ids of the rows' texts, without targets."""
        texts = self._texts(rows, columns)
        examples = encode_texts(tokenizer, *texts, max_length=max_length)
        names = ("input_ids", "token_type_ids") if len(texts) > 1 else ("input_ids",)
        return [{name: one[name] for name in names if name in one} for one in examples]

    def _texts(self, rows: Sequence[Row], columns: Columns) -> list[list[str]]:
        return [[str(row[column] or "") for row in rows] for column in self.text_columns(columns)]

    def token_counts(self, rows: Sequence[Row], columns: Columns, tokenizer: Any) -> list[int]:
        examples = encode_texts(tokenizer, *self._texts(rows, columns))
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
        """The same of encoded questions, moved to where the model is."""
        batch = self.collate(examples, tokenizer.pad_token_id)
        device = next(model.parameters()).device
        return self.logits(model, {name: tensor.to(device) for name, tensor in batch.items()})

    def question(self, given: str | Mapping[str, Any], columns: Columns) -> Row:
        return asked_columns(given, self.text_columns(columns))

    def encode_questions(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any, max_length: int
    ) -> list[Example]:
        examples = self.inputs(rows, columns, tokenizer, max_length)
        full = [i for i, found in enumerate(examples) if len(found["input_ids"]) >= max_length]
        counts = self.token_counts([rows[i] for i in full], columns, tokenizer) if full else []
        cut = {i for i, count in zip(full, counts, strict=True) if count > max_length}
        return [{**example, "cut": i in cut} for i, example in enumerate(examples)]
