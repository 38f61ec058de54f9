"""Direct preference optimization: of two answers to one prompt, prefer the chosen one.

Rafailov et al. 2023, https://arxiv.org/abs/2305.18290. The reward of an answer is `beta` times how
much likelier it is than under the reference, the base model without the adapter, in nats; the loss
compares the rewards of the two. Metrics are those of TRL's `DPOTrainer` (rewards/accuracies as
`accuracy`, rewards/margins, rewards/chosen, rewards/rejected).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from tunesmith.errors import DataError
from tunesmith.tasks.base import Batch, Columns, Example, Prediction, Row, Score
from tunesmith.tasks.chat import (
    Message,
    as_base_model,
    as_turns,
    chat_faults,
    common_turns,
    head_only_at,
    parse_messages,
    plain_turns,
)
from tunesmith.tasks.chat_task import PROMPTS, ChatOptions, ChatTask, encode_turns, short_answer
from tunesmith.tasks.columns import (
    IGNORED,
    PLACEHOLDER,
    Wanted,
    at_least_float32,
    choose_columns,
    pad,
    require_placeholders,
)
from tunesmith.tasks.packing import packs, paired, shares, stacked
from tunesmith.tasks.values import canonical

if TYPE_CHECKING:
    import torch

_PROMPTS = (*PROMPTS, "messages", "conversations")
REFERENCES = ("reference_chosen", "reference_rejected")
"""Fields with the log-probability (nats) of each answer under the base model."""


class DpoOptions(ChatOptions):
    """Options of `task: dpo`."""

    name: Literal["dpo"] = "dpo"
    prompt_column: str | None = Field(
        None, description="Column with what is asked; null: what both answers begin with is it."
    )
    chosen_column: str | None = Field(None, description="Column with the better answer.")
    rejected_column: str | None = Field(None, description="Column with the worse answer.")
    prompt_template: str | None = Field(
        None, pattern=PLACEHOLDER.pattern, description="User's turn; {column}: that column's value."
    )
    system_prompt: str | None = Field(
        None, description="System turn put before conversations that have none."
    )
    beta: float = Field(
        0.1, gt=0.0, description="How strongly it is held to the base model; more: closer to it."
    )
    loss_type: Literal["sigmoid", "ipo"] = Field(
        "sigmoid", description="sigmoid: DPO's own; ipo: a bounded margin, against overfitting."
    )
    label_smoothing: float = Field(
        0.0, ge=0.0, lt=0.5, description="Share of pairs that may be the wrong way round (sigmoid)."
    )
    max_new_tokens: int | None = Field(
        None, ge=1, description="Longest generated answer in tokens; null: the longest in the data."
    )

    @model_validator(mode="after")
    def _smoothed_sigmoid(self) -> DpoOptions:
        if self.label_smoothing and self.loss_type != "sigmoid":
            raise ValueError("label_smoothing is for loss_type sigmoid; leave it out for ipo")
        return self


class DirectPreferenceOptimization(ChatTask):
    """Learn to prefer the chosen answer of a pair to the rejected one."""

    name = "dpo"
    summary = "Teach a chat model which of two answers is better (preference pairs)."
    Options = DpoOptions
    main_metric = "accuracy"
    quick_metrics = (
        "accuracy", "loss", "reward_margin", "reward_chosen", "reward_rejected"
    )  # fmt: skip
    lower_is_better = frozenset({"loss", "reward_rejected"})
    telling_columns = frozenset({"rejected"})
    needs_reference = True
    texts_per_row = 2

    options: DpoOptions

    # -- the data ---------------------------------------------------------------------------

    def columns(self, available: Sequence[str], sample: Sequence[Row]) -> Columns:
        options = self.options
        wanted = [
            Wanted("chosen", "chosen_column", ("chosen", "preferred", "better")),
            Wanted("rejected", "rejected_column", ("rejected", "dispreferred", "worse")),
        ]
        if options.prompt_template is not None:
            require_placeholders(options.prompt_template, "task.prompt_template", available)
            return choose_columns(options, wanted, available, sample)
        # Not any column that is left: without one for the prompt, both answers begin with it.
        if options.prompt_column or {name.casefold() for name in available} & set(_PROMPTS):
            wanted.insert(0, Wanted("prompt", "prompt_column", _PROMPTS))
        return choose_columns(options, wanted, available, sample)

    def text_columns(self, columns: Columns) -> list[str]:
        if self.options.prompt_template is not None:
            return sorted(set(PLACEHOLDER.findall(self.options.prompt_template)))
        return [columns.get("prompt") or columns["chosen"]]

    def answer_columns(self, columns: Columns) -> list[str]:
        read = self.text_columns(columns)
        return [columns[side] for side in ("chosen", "rejected") if columns[side] not in read]

    def chat_columns(self, columns: Columns) -> list[str]:
        return list(columns.values())

    def faults(self, row: Row, columns: Columns) -> Iterable[tuple[str, str]]:
        prompt, chosen, rejected = self._parts(row, columns)
        if chosen == rejected:
            yield "missing_answers", "the answers are the same: write another, or remove the row"
            return
        if not prompt:
            yield "wrong_order", "the answers have no prompt in common: name one in prompt_column"
            return
        told = set()
        for side, answer in (("chosen", chosen), ("rejected", rejected)):
            turns = [*prompt, *answer]
            for rule, advice in list(chat_faults(turns)) or self.answer_faults(turns):
                if rule not in told:
                    told.add(rule)
                    yield rule, f"{side}: {advice}"

    def key(self, row: Row, columns: Columns) -> str:
        prompt = self._parts(row, columns)[0]
        return "\n".join(canonical(turn["content"]) for turn in prompt if turn["role"] == "user")

    def stratum(self, row: Row, columns: Columns) -> str:
        """The chosen answer, where it is as short as a label."""
        answer = as_turns(row[columns["chosen"]], "assistant")
        return short_answer(canonical(answer[-1]["content"])) if answer else ""

    def _parts(
        self, row: Row, columns: Columns
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
        """The turns of the prompt, of the chosen and of the rejected answer, unchecked."""
        chosen, rejected = (
            as_turns(row[columns[side]], "assistant") for side in ("chosen", "rejected")
        )
        if self.options.prompt_template is not None:
            return [{"role": "user", "content": self.prompt(row, columns)}], chosen, rejected
        begins = {turns[0]["role"] for turns in (chosen, rejected) if turns}
        if "prompt" in columns and "user" not in begins:
            return as_turns(row[columns["prompt"]], "user"), chosen, rejected
        return common_turns(chosen, rejected)  # the prompt stands in the answers, too

    def pair(self, row: Row, columns: Columns) -> tuple[int, tuple[list[Message], list[Message]]]:
        """Both conversations of `row`, and how many turns of the prompt they begin with.

        Raises DataError when the row holds no such pair.
        """
        where = f"row {row.get('_row', '?')}"
        prompt, chosen, rejected = self._parts(row, columns)
        if not prompt:
            raise DataError(f"{where}: the answers have no prompt in common.")
        one, other = (
            self.with_system(parse_messages([*prompt, *answer], f"{where}, {side} answer"))
            for side, answer in (("chosen", chosen), ("rejected", rejected))
        )
        return len(one) - len(chosen), (one, other)

    def turns_asked(self, row: Row, columns: Columns) -> list[Message]:
        if self.options.prompt_template is not None:
            return super().turns_asked(row, columns)
        return plain_turns(self._parts(row, columns)[0], f"row {row.get('_row', '?')}")

    def fit(self, train: Sequence[Row], evaluation: Sequence[Row], columns: Columns) -> None:
        for row in (*train, *evaluation):
            for turns in self.pair(row, columns)[1]:
                self.require_answers(row, turns)

    # -- the model --------------------------------------------------------------------------

    def encode(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any, max_length: int
    ) -> list[Example]:
        pairs = [self.pair(row, columns) for row in rows]
        chat_format = self.format(tokenizer)
        chosen, rejected = (
            [
                encode_turns(turns, max_length)
                for turns in chat_format.answers(
                    [both[side] for _, both in pairs],
                    [_answers(both[side], start) for start, both in pairs],
                )
            ]
            for side in (0, 1)
        )
        return [self._example(*sides) for sides in zip(chosen, rejected, strict=True)]

    def _example(self, chosen: Sequence[Example], rejected: Sequence[Example]) -> Example:
        """A pair as one example, of what both sides were encoded to."""
        better, worse = chosen[-1], rejected[-1]
        self.longest_answer = max(self.longest_answer, better["answer_length"])
        both = better["targets"] and worse["targets"]
        return {
            "input_ids": better["input_ids"],
            "labels": better["labels"],
            "rejected_ids": worse["input_ids"],
            "rejected_labels": worse["labels"],
            # With one answer cut off there is nothing to compare.
            "targets": better["targets"] + worse["targets"] if both else 0,
            "length": max(better["length"], worse["length"]),
            "lost_ends": better["lost_ends"] + worse["lost_ends"],
            "kept_ends": better["kept_ends"],
            # A format that rewrites earlier turns leaves one answer to compare in one text.
            "left_out": len(chosen) + len(rejected) - 2,
        }

    def conversations(self, row: Row, columns: Columns) -> Sequence[list[Message]]:
        return self.pair(row, columns)[1]

    def collate(self, examples: Sequence[Example], pad_token_id: int, width: int = 0) -> Batch:
        import torch

        padding = {"input_ids": pad_token_id, "labels": IGNORED}
        batch = pad(examples, padding, width=width)
        rejected = pad(
            [{"input_ids": e["rejected_ids"], "labels": e["rejected_labels"]} for e in examples],
            padding,
        )
        batch["rejected_ids"] = rejected["input_ids"]
        batch["rejected_labels"] = rejected["labels"]
        batch["rejected_mask"] = rejected["attention_mask"]
        for name in REFERENCES:
            if name in examples[0]:
                batch[name] = torch.tensor([e[name] for e in examples], dtype=torch.float32)
        return batch

    def count_tokens(self, batch: Batch) -> int:
        return int(batch["attention_mask"].sum() + batch["rejected_mask"].sum())

    def loss(self, model: Any, batch: Batch, num_items: torch.Tensor | int | None = None) -> Any:
        losses = self._losses(self._judged(model, batch))
        return losses.sum() / (len(losses) if num_items is None else num_items)

    def reference(self, model: Any, batch: Batch) -> list[Example]:
        found, _ = self._log_probabilities(model, batch)
        return [dict(zip(REFERENCES, values, strict=True)) for values in found.T.tolist()]

    def _judged(self, model: Any, batch: Batch) -> _Judged:
        """What `model` makes of the pairs of `batch`, beside what the base model made of them."""
        import torch

        found, hits = self._log_probabilities(model, batch)
        if REFERENCES[0] in batch:
            reference = torch.stack([batch[name] for name in REFERENCES])
        else:
            with torch.no_grad(), as_base_model(model):
                reference, _ = self._log_probabilities(model, batch)
        counts = [(batch[name] != IGNORED).sum(dim=1) for name in ("labels", "rejected_labels")]
        return _Judged(found, found - reference, hits, torch.stack(counts))

    def _log_probabilities(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probability (nats) of each answer, and how many of its tokens are the likeliest ones.

        Both have shape (2, rows), the chosen answers first. Logits are made where an answer's token
        is predicted only.
        """
        from torch.nn import functional

        texts = (paired if packs(model) and shares(model) else stacked)(batch)
        with head_only_at(model, texts.seen):
            output = model(**texts.inputs)
        logits = at_least_float32(output.logits)
        found = -functional.cross_entropy(logits, texts.targets, reduction="none")
        hits = logits.detach().argmax(dim=-1) == texts.targets
        return texts.summed(found), texts.summed(hits)

    def _losses(self, judged: _Judged) -> torch.Tensor:
        """Loss of each pair: shape (rows,)."""
        from torch.nn import functional

        beta, doubt = self.options.beta, self.options.label_smoothing
        if self.options.loss_type == "ipo":
            # Per token, as the authors of IPO (Azar et al. 2023, eq. 17) confirmed to TRL's.
            mean = judged.ratios / judged.counts.clamp(min=1)
            return (mean[0] - mean[1] - 1 / (2 * beta)) ** 2
        margin = beta * (judged.ratios[0] - judged.ratios[1])
        right, wrong = functional.logsigmoid(margin), functional.logsigmoid(-margin)
        return -(1 - doubt) * right - doubt * wrong

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
            judged = self._judged(model, batch)
            losses = self._losses(judged).tolist()
            found = judged.found.T.tolist()
            rewards = (self.options.beta * judged.ratios).T.tolist()
            counts, hits = judged.counts.T.tolist(), judged.hits.T.tolist()
            for number, row in enumerate(rows):
                whole = min(counts[number]) > 0
                yield self._prediction(
                    row,
                    columns,
                    whole=whole,
                    margin=rewards[number][0] - rewards[number][1] if whole else 0.0,
                    loss=losses[number],
                    tokens=sum(counts[number]),
                    tokens_correct=int(sum(hits[number])),
                    scores=(*found[number], *rewards[number]),
                )

    def _prediction(
        self, row: Row, columns: Columns, *, whole: bool, margin: float, **figures: Any
    ) -> Prediction:
        start, conversations = self.pair(row, columns)
        chosen, rejected = (
            "\n".join(turn["content"].strip() for turn in turns[start:]) for turns in conversations
        )
        return Prediction(
            row=int(row.get("_row", 0)),
            text=self.asked(row, columns),
            expected=chosen,
            # Neither, where the two rewards are the same, as under an untrained adapter.
            predicted=chosen if margin > 0 else rejected if margin < 0 else None,
            correct=margin > 0,
            confidence=1 / (1 + math.exp(-min(abs(margin), 700.0))) if whole else None,
            **figures,
        )

    def score(self, predictions: Sequence[Prediction]) -> Score:
        total = max(len(predictions), 1)
        chosen = sum(p.scores[2] for p in predictions) / total
        rejected = sum(p.scores[3] for p in predictions) / total
        metrics = {
            "accuracy": sum(p.correct for p in predictions) / total,
            "loss": sum(p.loss or 0.0 for p in predictions) / total,
            "reward_margin": chosen - rejected,
            "reward_chosen": chosen,
            "reward_rejected": rejected,
        }
        ties = sum(p.predicted is None for p in predictions)
        return Score(metrics=metrics, main=self.main_metric, details={"ties": ties})

    def baseline(
        self, train: Sequence[Row], evaluation: Sequence[Row], columns: Columns
    ) -> dict[str, Any]:
        return {"name": "either answer at random", "metric": "accuracy", "value": 0.5}

    # -- answers to something new ------------------------------------------------------------

    def question(self, given: str | Mapping[str, Any], columns: Columns) -> Row:
        name = columns.get("prompt", "prompt")
        if isinstance(given, Mapping) and isinstance(given.get(name), list):
            given = {"messages": given[name]}
        return super().question(given, {"prompt": name, **columns})


def _answers(turns: Sequence[Message], start: int) -> int:
    """How many answers there are from turn `start` on."""
    return sum(turn["role"] == "assistant" for turn in turns[start:])


@dataclass(frozen=True)
class _Judged:
    """What a model makes of pairs; shapes (2, rows), the chosen answers first."""

    found: torch.Tensor
    """Log-probabilities of the answers, in nats."""
    ratios: torch.Tensor
    """The same less those under the base model."""
    hits: torch.Tensor
    """Tokens that are the likeliest ones after those before them."""
    counts: torch.Tensor
    """Tokens of the answers."""
