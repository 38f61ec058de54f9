"""Supervised fine-tuning of a chat model: conversations, or prompts with their completions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tunesmith.errors import DataError
from tunesmith.tasks.base import (
    Batch,
    Columns,
    Example,
    Prediction,
    Row,
    Score,
)
from tunesmith.tasks.chat import (
    Message,
    chat_faults,
    end_tokens,
    generate,
    head_only_at,
    parse_messages,
    render,
)
from tunesmith.tasks.chat_task import PROMPTS, ChatOptions, ChatTask, encode_answers
from tunesmith.tasks.columns import (
    IGNORED,
    PLACEHOLDER,
    Wanted,
    at_least_float32,
    choose_columns,
    pad,
    require_placeholders,
)
from tunesmith.tasks.packing import packed, packs, shared_length, shares
from tunesmith.tasks.values import canonical

if TYPE_CHECKING:
    import torch


CHAT_COLUMNS = ("messages", "conversations", "conversation", "chat", "dialog")


class SftOptions(ChatOptions):
    """Options of `task: sft`."""

    name: Literal["sft"] = "sft"
    messages_column: str | None = Field(
        None, description="Column with conversations: lists of {role, content}."
    )
    prompt_column: str | None = Field(
        None, description="Column with what is asked, where there are no conversations."
    )
    completion_column: str | None = Field(
        None, description="Column with the answer to learn, where there are no conversations."
    )
    prompt_template: str | None = Field(
        None, pattern=PLACEHOLDER.pattern, description="User's turn; {column}: that column's value."
    )
    system_prompt: str | None = Field(
        None, description="System turn put before conversations that have none."
    )
    max_new_tokens: int | None = Field(
        None, ge=1, description="Longest generated answer in tokens; null: the longest in the data."
    )


class SupervisedFineTuning(ChatTask):
    """Learn to answer as the examples do, in the model's own chat format, loss on answers only."""

    name = "sft"
    summary = "Teach a chat model to answer as your examples do (loss on the answers only)."
    Options = SftOptions
    main_metric = "exact_match"
    quick_metrics = ("token_accuracy", "loss", "perplexity")
    lower_is_better = frozenset({"loss", "perplexity"})
    is_default = True
    telling_columns = frozenset((*CHAT_COLUMNS, "prompt", "completion", "response", "answer"))

    options: SftOptions

    # -- the data ---------------------------------------------------------------------------

    def columns(self, available: Sequence[str], sample: Sequence[Row]) -> Columns:
        answers = ("completion", "response", "answer", "output", "chosen", "label", "category")
        options = self.options
        asked = options.prompt_column or options.prompt_template or options.completion_column
        chats = {name.casefold() for name in available} & set(CHAT_COLUMNS)
        if options.messages_column or (chats and not asked):
            wanted = [Wanted("messages", "messages_column", CHAT_COLUMNS)]
            return choose_columns(options, wanted, available, sample)
        wanted = [Wanted("completion", "completion_column", answers)]
        if options.prompt_template is None:
            wanted.insert(0, Wanted("prompt", "prompt_column", PROMPTS, holds=str))
        else:
            require_placeholders(options.prompt_template, "task.prompt_template", available)
        return choose_columns(options, wanted, available, sample)

    def text_columns(self, columns: Columns) -> list[str]:
        if self.options.prompt_template is None or "messages" in columns:
            return [columns.get("messages") or columns["prompt"]]
        return sorted(set(PLACEHOLDER.findall(self.options.prompt_template)))

    def answer_columns(self, columns: Columns) -> list[str]:
        return [columns["completion"]] if "completion" in columns else []

    def faults(self, row: Row, columns: Columns) -> Iterable[tuple[str, str]]:
        if "messages" in columns:
            return chat_faults(row[columns["messages"]])
        if not canonical(row[columns["completion"]]).strip():
            return [("missing_answers", "write the answer, or remove the row")]
        return ()

    def key(self, row: Row, columns: Columns) -> str:
        turns = self.messages(row, columns)
        return "\n".join(turn["content"] for turn in turns if turn["role"] == "user")

    def stratum(self, row: Row, columns: Columns) -> str:
        """The answer, where it is as short as a label."""
        answer = canonical(row[columns["completion"]]) if "completion" in columns else ""
        return answer if len(answer) <= 20 else ""

    def batch_stratum(self, row: Row, columns: Columns) -> str:
        """The last answer, where it is as short as a label."""
        answer = canonical(self.messages(row, columns)[-1]["content"])
        return answer if len(answer) <= 20 else ""

    def messages(self, row: Row, columns: Columns) -> list[Message]:
        """The conversation of `row`, ending with the answer to learn.

        Raises DataError when the row holds no such conversation.
        """
        if "messages" in columns:
            where = f"row {row.get('_row', '?')}, column {columns['messages']!r}"
            turns = parse_messages(row[columns["messages"]], where)
        else:
            turns = [
                {"role": "user", "content": self.prompt(row, columns)},
                {"role": "assistant", "content": canonical(row[columns["completion"]])},
            ]
        return self.with_system(turns)

    def fit(self, train: Sequence[Row], evaluation: Sequence[Row], columns: Columns) -> None:
        for row in (*train, *evaluation):
            answer = self.messages(row, columns)[-1]["content"]
            if not answer.strip():
                raise DataError(
                    f"row {row.get('_row', '?')} has an empty answer: fill it in or remove the row."
                )

    # -- the model --------------------------------------------------------------------------

    def encode(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any, max_length: int
    ) -> list[Example]:
        conversations = [self.messages(row, columns) for row in rows]
        examples = encode_answers(conversations, tokenizer, max_length)
        for example in examples:
            self.longest_answer = max(self.longest_answer, example.pop("answer_length"))
        return examples

    def token_counts(self, rows: Sequence[Row], columns: Columns, tokenizer: Any) -> list[int]:
        texts = [render(self.messages(row, columns), tokenizer)[0] for row in rows]
        encoded = tokenizer(texts, add_special_tokens=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def collate(self, examples: Sequence[Example], pad_token_id: int, width: int = 0) -> Batch:
        batch = pad(examples, {"input_ids": pad_token_id, "labels": IGNORED}, width=width)
        import torch

        for name in ("prompt_length", "whole"):
            batch[name] = torch.tensor([example[name] for example in examples])
        return batch

    def loss(self, model: Any, batch: Batch, num_items: torch.Tensor | int | None = None) -> Any:
        losses, _, _ = self._token_losses(model, batch)
        return losses.sum() / (len(losses) if num_items is None else num_items)

    def count_items(self, batch: Batch) -> torch.Tensor | int:
        return (batch["labels"][:, 1:] != IGNORED).sum()  # type: ignore[no-any-return]

    def _token_losses(
        self, model: Any, batch: Batch
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Loss of each answer token (nats), whether it is the likeliest one, and the row it is in.

        All three have shape (answer tokens in the batch,). Logits are made at these positions only:
        the vocabulary is the largest matrix of a small model.
        """
        import torch
        from torch.nn import functional

        targets = batch["labels"][:, 1:]
        wanted = targets != IGNORED
        positions = functional.pad(wanted, (0, 1))
        ids = batch["input_ids"]
        if packs(model):
            shared = shared_length(ids, positions) if shares(model) else 0
            inputs = packed(ids, shared)
            nothing = positions.new_zeros(1, shared)
            seen = torch.cat([nothing, positions[:, shared:].reshape(1, -1)], dim=1)
        else:
            inputs = {
                "input_ids": ids, "attention_mask": batch["attention_mask"], "use_cache": False
            }  # fmt: skip
            seen = positions
        with head_only_at(model, seen):
            output = model(**inputs)
        logits = at_least_float32(output.logits)
        losses = functional.cross_entropy(logits, targets[wanted], reduction="none")
        hits = logits.detach().argmax(dim=-1) == targets[wanted]
        return losses, hits, torch.nonzero(wanted)[:, 0]

    # -- the score --------------------------------------------------------------------------

    def predict(
        self,
        model: Any,
        batches: Iterable[tuple[Sequence[Row], Batch]],
        columns: Columns,
        tokenizer: Any,
        *,
        generate: bool = True,
    ) -> Iterator[Prediction]:
        for rows, batch in batches:
            losses, hits, owners = self._token_losses(model, batch)
            expectations = [self.messages(row, columns)[-1]["content"].strip() for row in rows]
            answers: Sequence[str | None] = [None] * len(rows)
            if generate:
                answers = self._answers(model, batch, tokenizer, hits, owners)
            for number, row in enumerate(rows):
                mine = owners == number
                count, total = int(mine.sum()), float(losses[mine].sum())
                expected = expectations[number]
                yield Prediction(
                    row=int(row.get("_row", 0)),
                    text=self.asked(row, columns),
                    expected=expected,
                    predicted=answers[number],
                    correct=answers[number] == expected,
                    confidence=math.exp(-total),
                    loss=total / max(count, 1),
                    tokens=count,
                    tokens_correct=int(hits[mine].sum()),
                    scores=(total,),
                )

    def _answers(
        self, model: Any, batch: Batch, tokenizer: Any, hits: torch.Tensor, owners: torch.Tensor
    ) -> list[str]:
        """The greedy answer to each conversation of the batch, stripped of surrounding space.

        Where every token of the expected answer is the likeliest one after those before it, and the
        last of them ends an answer, greedy decoding gives exactly these tokens: only the other rows
        are generated.
        """
        limit, ends = self.longest_generated(), end_tokens(model, tokenizer)
        tokens: dict[int, list[int]] = {}
        for number in range(len(batch["input_ids"])):
            mine = hits[owners == number]
            answer = batch["labels"][number, batch["prompt_length"][number] :]
            expected = answer[answer != IGNORED].tolist()
            ended = bool(batch["whole"][number]) and expected and expected[-1] in ends
            if ended and bool(mine.all()) and len(expected) <= limit:
                tokens[number] = expected
        unknown = [n for n in range(len(batch["input_ids"])) if n not in tokens]
        generated = self._generate(model, batch, unknown, tokenizer)
        tokens |= dict(zip(unknown, generated, strict=True))
        texts = tokenizer.batch_decode(
            [tokens[number] for number in range(len(tokens))], skip_special_tokens=True
        )
        return [text.strip() for text in texts]

    def _generate(
        self, model: Any, batch: Batch, wanted: Sequence[int], tokenizer: Any
    ) -> list[list[int]]:
        """Tokens of the greedy answers to the conversations of the batch's rows `wanted`."""
        if not wanted:
            return []
        prompts = [
            batch["input_ids"][number, : batch["prompt_length"][number]].tolist()
            for number in wanted
        ]
        return generate(model, prompts, tokenizer, self.longest_generated())

    def score(self, predictions: Sequence[Prediction]) -> Score:
        tokens = max(sum(p.tokens for p in predictions), 1)
        loss = sum((p.loss or 0.0) * p.tokens for p in predictions) / tokens
        metrics = {
            "token_accuracy": sum(p.tokens_correct for p in predictions) / tokens,
            "loss": loss,
            "perplexity": math.exp(min(loss, 700.0)),
        }
        if all(p.predicted is not None for p in predictions):
            correct = sum(p.correct for p in predictions)
            metrics = {"exact_match": correct / max(len(predictions), 1), **metrics}
        return Score(metrics=metrics, main=self.main_metric)

    def baseline(
        self, train: Sequence[Row], evaluation: Sequence[Row], columns: Columns
    ) -> dict[str, Any]:
        counts = Counter(self.messages(row, columns)[-1]["content"].strip() for row in train)
        answer = max(sorted(counts), key=counts.__getitem__)
        hits = sum(
            self.messages(row, columns)[-1]["content"].strip() == answer for row in evaluation
        )
        shown = answer if len(answer) <= 30 else answer[:29] + "…"
        return {
            "name": f"always {shown!r}, the most frequent answer",
            "metric": "exact_match",
            "value": hits / max(len(evaluation), 1),
        }
