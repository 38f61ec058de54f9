"""Supervised fine-tuning of a chat model: conversations, or prompts with their completions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.messages import say
from tunesmith.tasks.base import Batch, Batches, Columns, Example, Row
from tunesmith.tasks.chats.encoding import encode_turns
from tunesmith.tasks.chats.generation import surely_greedy
from tunesmith.tasks.chats.messages import (
    Message,
    chat_faults,
    head_only_at,
    parse_messages,
    with_tools,
)
from tunesmith.tasks.chats.task import (
    ANSWERS,
    CHATS,
    PROMPTS,
    TELLING,
    ChatOptions,
    ChatTask,
    short_answer,
)
from tunesmith.tasks.chats.template import said_after_thought
from tunesmith.tasks.options import column
from tunesmith.tasks.parts.columns import (
    IGNORED,
    PLACEHOLDER,
    Wanted,
    at_least_float32,
    choose_columns,
    pad,
    require_answers,
    require_placeholders,
)
from tunesmith.tasks.parts.packing import packed, packs, shared_length, shares
from tunesmith.tasks.results import LOSS, TOKEN_ACCURACY, Metric, Prediction, Score
from tunesmith.values import canonical

if TYPE_CHECKING:
    import torch


ENOUGH_ENDED = 0.99
"""Share of held-out answers that end by themselves, below which a user is warned."""

SAMPLED_EVERY = 8
"""Of the answers that are known without it, one in so many is generated all the same."""


class SftOptions(ChatOptions):
    """Options of `task: sft`."""

    name: Literal["sft"] = "sft"
    messages_column: str | None = column("Column with conversations: lists of {role, content}.")
    prompt_column: str | None = column(
        "Column with what is asked, where there are no conversations."
    )
    completion_column: str | None = column(
        "Column with the answer to learn, where there are no conversations."
    )


class SupervisedFineTuning(ChatTask):
    """Learn to answer as the examples do, in the model's own chat format, loss on answers only."""

    name = "sft"
    label = "chat fine-tuning"
    summary = say("Teach a chat model to answer as your examples do (loss on the answers only).")
    Options = SftOptions
    metrics = (
        Metric("exact_match", "exact match", is_share=True, is_quick=False),
        Metric("answers_ended", "answers that ended with their end token", is_share=True,
               is_quick=False),
        TOKEN_ACCURACY,
        LOSS,
        Metric("perplexity", "perplexity", lower_is_better=True),
    )  # fmt: skip
    main_metric = "exact_match"
    judged_by_text = True
    is_default = True
    column_names = MappingProxyType({"messages": CHATS, "prompt": PROMPTS, "completion": ANSWERS})
    telling_columns = TELLING
    examples = (
        {"prompt": "Where is my parcel?", "completion": "It is on its way, and comes tomorrow."},
        {"prompt": "May I return it?", "completion": "Yes, within thirty days."},
    )

    options: SftOptions

    # -- the data ---------------------------------------------------------------------------

    def find_columns(self, available: Sequence[str], sample: Sequence[Row]) -> Columns:
        options, names = self.options, self.column_names
        asked = options.prompt_column or options.prompt_template or options.completion_column
        chats = {name.casefold() for name in available} & {*names["messages"]}
        if options.messages_column or (chats and not asked):
            wanted = [Wanted("messages", names["messages"])]
            found = choose_columns(options, wanted, available, sample)
            return self.with_tools(found, available, sample)
        require_answers(options, available)
        wanted = [Wanted("completion", names["completion"])]
        if options.prompt_template is None:
            wanted.insert(0, Wanted("prompt", names["prompt"], holds=str, looks="text"))
        else:
            require_placeholders(options.prompt_template, "task.prompt_template", available)
        found = choose_columns(options, wanted, available, sample)
        return self.with_tools(found, available, sample)

    def text_columns(self) -> list[str]:
        if self.options.prompt_template is None or "messages" in self.columns:
            return [self.columns.get("messages") or self.columns["prompt"]]
        return sorted(set(PLACEHOLDER.findall(self.options.prompt_template)))

    def is_recorded_whole(self) -> bool:
        return not {"messages", "tools"} & set(self.columns) and len(self.text_columns()) == 1

    def answer_columns(self) -> list[str]:
        return [self.columns["completion"]] if "completion" in self.columns else []

    def faults(self, row: Row) -> Iterable[tuple[str, str]]:
        if "messages" in self.columns:
            faults = list(chat_faults(row[self.columns["messages"]]))
        elif not canonical(row[self.columns["completion"]]).strip():
            faults = [("missing_answers", say("write the answer, or remove the row"))]
        else:
            faults = []
        faults += self.tool_faults(row)
        return faults or self.answer_faults(self._turns(row))

    def key(self, row: Row) -> str:
        turns = self.messages(row)
        return "\n".join(turn["content"] for turn in turns if turn["role"] == "user")

    def stratum(self, row: Row) -> str:
        """The answer, where it is as short as a label."""
        column = self.columns.get("completion")
        return short_answer(canonical(row[column])) if column else ""

    def batch_stratum(self, row: Row) -> str:
        """The last answer, where it is as short as a label."""
        return short_answer(self.messages(row)[-1]["content"])

    def messages(self, row: Row) -> list[Message]:
        """The conversation of `row`, ending with the answer to learn.

        Raises DataError when the row holds no such conversation.
        """
        return self.with_system(self._turns(row))

    def _turns(self, row: Row) -> list[Message]:
        """The turns that `row` itself holds."""
        if "messages" in self.columns:
            where = say(
                "row {row}, column {messages}",
                row=row.get("_row", "?"),
                messages=repr(self.columns["messages"]),
            )
            turns = parse_messages(row[self.columns["messages"]], where)
        else:
            turns = [
                {"role": "user", "content": self.prompt(row)},
                {"role": "assistant", "content": canonical(row[self.columns["completion"]])},
            ]
        return with_tools(turns, self.tools(row))

    def turns_asked(self, row: Row) -> list[Message]:
        return self._turns(row)[:-1] if "messages" in self.columns else super().turns_asked(row)

    def fit(self, train: Sequence[Row], evaluation: Sequence[Row]) -> None:
        for row in (*train, *evaluation):
            self.require_answers(row, self._turns(row))

    # -- the model --------------------------------------------------------------------------

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[Example]:
        conversations = [self.messages(row) for row in rows]
        found = []
        for turns in self.format(tokenizer).answers(conversations):
            *earlier, example = encode_turns(turns, max_length)
            for one in (*earlier, example):
                self.longest_answer = max(self.longest_answer, one.pop("answer_length"))
            found.append({**example, "earlier": earlier} if earlier else example)
        return found

    def conversations(self, row: Row) -> Sequence[list[Message]]:
        return [self.messages(row)]

    def collate(self, examples: Sequence[Example], pad_token_id: int, width: int = 0) -> Batch:
        batch = pad(examples, {"input_ids": pad_token_id, "labels": IGNORED}, width=width)
        import torch

        for name in ("prompt_length", "whole"):
            batch[name] = torch.tensor([example[name] for example in examples])
        return batch

    def loss(self, model: Any, batch: Batch, num_items: torch.Tensor | int | None = None) -> Any:
        from torch.nn import functional

        logits, targets, _ = self._answer_logits(model, batch)
        losses = functional.cross_entropy(at_least_float32(logits), targets, reduction="none")
        return losses.sum() / (len(losses) if num_items is None else num_items)

    def count_items(self, batch: Batch) -> torch.Tensor | int:
        return (batch["labels"][:, 1:] != IGNORED).sum()  # type: ignore[no-any-return]

    def _answer_logits(
        self, model: Any, batch: Batch
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits of each answer token, (answer tokens in the batch, vocabulary); its id; its row.

        Logits are made at these positions only: the vocabulary is the largest matrix of a small
        model.
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
        return output.logits, targets[wanted], torch.nonzero(wanted)[:, 0]

    # -- the score --------------------------------------------------------------------------

    def predict(
        self, model: Any, batches: Batches, tokenizer: Any, *, generate: bool = True
    ) -> Iterator[Prediction]:
        from torch.nn import functional

        trusted = True
        for rows, batch in batches:
            logits, targets, owners = self._answer_logits(model, batch)
            losses = functional.cross_entropy(at_least_float32(logits), targets, reduction="none")
            hits, sure = surely_greedy(logits, targets)
            answers: list[list[int]] | None = None
            if generate:
                known = self._known(batch, tokenizer, sure & hits, owners) if trusted else {}
                answers, right = self._answers(model, batch, tokenizer, known)
                trusted = trusted and right
            for number, row in enumerate(rows):
                mine = owners == number
                yield self._prediction(
                    row,
                    tokenizer,
                    None if answers is None else answers[number],
                    losses[mine],
                    hits[mine],
                    judged=bool((self._expected(batch, number) != IGNORED).any()),
                )

    def _prediction(
        self,
        row: Row,
        tokenizer: Any,
        answer: list[int] | None,
        losses: torch.Tensor,
        hits: torch.Tensor,
        *,
        judged: bool,
    ) -> Prediction:
        """What is said of a row, of whose learned tokens `losses` and `hits` are.

        It isn't `judged`, and wrong, where the length limit left nothing of its answer.
        """
        chat_format = self.format(tokenizer)
        expected = chat_format.said(self.messages(row))
        predicted = None if answer is None else chat_format.texts([answer])[0]
        total = float(losses.sum())
        return Prediction(
            row=int(row.get("_row", 0)),
            text=self.asked(row),
            expected=expected,
            predicted=predicted,
            # What is thought before an answer may be thought in other words.
            correct=judged
            and predicted is not None
            and chat_format.meaning(predicted) == chat_format.meaning(expected),
            confidence=math.exp(-total) if judged else None,
            loss=total / max(len(losses), 1),
            tokens=len(losses),
            tokens_correct=int(hits.sum()),
            scores=(total,),
            ended=None if answer is None else chat_format.ended(answer),
        )

    def _expected(self, batch: Batch, number: int) -> torch.Tensor:
        """Labels of the answer that a row of the batch is judged by, and of its padding."""
        labels: torch.Tensor = batch["labels"][number]
        return labels[batch["prompt_length"][number] :]

    def _known(
        self, batch: Batch, tokenizer: Any, sure: torch.Tensor, owners: torch.Tensor
    ) -> dict[int, list[int]]:
        """Row of the batch → its greedy answer, of the rows for which that needs no generating.

        Where every token of the expected answer is the likeliest one after those before it, by a
        margin that no rounding bridges, and the last of them ends an answer, greedy decoding gives
        exactly these tokens: the prompt is the very one that would be asked.
        """
        limit, end = self.longest_generated(), self.format(tokenizer).end
        known: dict[int, list[int]] = {}
        for number in range(len(batch["input_ids"])):
            labels = self._expected(batch, number)
            expected = labels[labels != IGNORED].tolist()
            ended = bool(batch["whole"][number]) and expected and expected[-1] == end
            last = sure[owners == number][-len(expected) :]
            if ended and bool(last.all()) and len(expected) <= limit:
                known[number] = expected
        return known

    def _answers(
        self, model: Any, batch: Batch, tokenizer: Any, known: dict[int, list[int]]
    ) -> tuple[list[list[int]], bool]:
        """Tokens of the greedy answer to each conversation of the batch; whether `known` was right.

        A sample of the `known` answers is generated like the unknown ones: where one of them comes
        out otherwise, all are.
        """
        count = len(batch["input_ids"])
        sample = [n for n in known if n % SAMPLED_EVERY == 0] or [*known][:1]
        wanted = [n for n in range(count) if n not in known or n in sample]
        found = dict(zip(wanted, self._generate(model, batch, wanted, tokenizer), strict=True))
        right = all(found[number] == known[number] for number in sample)
        others = [] if right else [n for n in range(count) if n not in found]
        found |= dict(zip(others, self._generate(model, batch, others, tokenizer), strict=True))
        return [{**known, **found}[number] for number in range(count)], right

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
        return self.generate(model, prompts, tokenizer)

    def score(self, predictions: Sequence[Prediction]) -> Score:
        tokens = max(sum(p.tokens for p in predictions), 1)
        loss = sum((p.loss or 0.0) * p.tokens for p in predictions) / tokens
        metrics = {
            "token_accuracy": sum(p.tokens_correct for p in predictions) / tokens,
            "loss": loss,
            "perplexity": math.exp(min(loss, 700.0)),
        }
        total = max(len(predictions), 1)
        if all(p.ended is not None for p in predictions):
            metrics = {"answers_ended": sum(bool(p.ended) for p in predictions) / total, **metrics}
        if all(p.predicted is not None for p in predictions):
            metrics = {"exact_match": sum(p.correct for p in predictions) / total, **metrics}
        return Score(metrics=metrics, main=self.main_metric)

    def baseline(self, train: Sequence[Row], evaluation: Sequence[Row]) -> dict[str, Any]:
        def said(row: Row) -> str:
            return said_after_thought(self.messages(row)[-1]["content"])

        counts = Counter(map(said, train))
        answer = max(sorted(counts), key=counts.__getitem__)
        hits = sum(said(row) == answer for row in evaluation)
        shown = answer if len(answer) <= 30 else answer[:29] + "…"
        return {
            "name": say("always {label}, the most frequent answer", label=repr(shown)),
            "metric": "exact_match",
            "value": hits / max(len(evaluation), 1),
        }

    def cautions(self, score: Score) -> list[str]:
        ended = score.metrics.get("answers_ended", 1.0)
        if ended >= ENOUGH_ENDED:
            return []
        return [
            say(
                "only {share:.1%} of the held-out answers ended with their end token; "
                "the others ran to the most tokens allowed. Look for answers that "
                "data.max_length cuts, train longer, or raise task.max_new_tokens.",
                share=ended,
            )
        ]
