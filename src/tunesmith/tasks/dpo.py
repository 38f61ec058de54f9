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
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from tunesmith.errors import DataError
from tunesmith.messages import say
from tunesmith.tasks.base import Batch, Batches, Columns, Example, Row
from tunesmith.tasks.chats.encoding import encode_turns
from tunesmith.tasks.chats.messages import (
    Message,
    as_base_model,
    as_turns,
    chat_faults,
    common_turns,
    head_only_at,
    parse_messages,
    plain_turns,
    with_tools,
)
from tunesmith.tasks.chats.task import PROMPTS, ChatOptions, ChatTask, short_answer
from tunesmith.tasks.chats.tools import spoken
from tunesmith.tasks.options import column
from tunesmith.tasks.parts.columns import (
    IGNORED,
    PLACEHOLDER,
    Wanted,
    at_least_float32,
    choose_columns,
    pad,
    require_pairs,
    require_placeholders,
)
from tunesmith.tasks.parts.packing import packs, paired, shares, stacked
from tunesmith.tasks.results import ACCURACY, LOSS, Metric, Prediction, Score
from tunesmith.values import canonical

if TYPE_CHECKING:
    import torch

REFERENCES = ("reference_chosen", "reference_rejected")
"""Fields with the log-probability (nats) of each answer under the base model."""


class DpoOptions(ChatOptions):
    """Options of `task: dpo`."""

    name: Literal["dpo"] = "dpo"
    prompt_column: str | None = column(
        "Column with what is asked; null: what both answers begin with is it."
    )
    chosen_column: str | None = column("Column with the better answer.")
    rejected_column: str | None = column("Column with the worse answer.")
    beta: float = Field(
        0.1, gt=0.0, description="How strongly it is held to the base model; more: closer to it."
    )
    loss_type: Literal["sigmoid", "ipo"] = Field(
        "sigmoid", description="sigmoid: DPO's own; ipo: a bounded margin, against overfitting."
    )
    label_smoothing: float = Field(
        0.0, ge=0.0, lt=0.5, description="Share of pairs that may be the wrong way round (sigmoid)."
    )

    @model_validator(mode="after")
    def _smoothed_sigmoid(self) -> DpoOptions:
        if self.label_smoothing and self.loss_type != "sigmoid":
            raise ValueError(say("label_smoothing is for loss_type sigmoid; leave it out for ipo"))
        return self


class DirectPreferenceOptimization(ChatTask):
    """Learn to prefer the chosen answer of a pair to the rejected one."""

    name = "dpo"
    label = "learning from preferences"
    summary = say("Teach a chat model which of two answers is better (preference pairs).")
    Options = DpoOptions
    metrics = (
        ACCURACY,
        LOSS,
        Metric("reward_margin", "reward: chosen less rejected", "nats"),
        Metric("reward_chosen", "reward of the chosen answers", "nats"),
        Metric("reward_rejected", "reward of the rejected answers", "nats", lower_is_better=True),
    )
    main_metric = "accuracy"
    column_names = MappingProxyType({
        "prompt": (*PROMPTS, "messages", "conversations"),
        "chosen": ("chosen", "preferred", "better"),
        "rejected": ("rejected", "dispreferred", "worse"),
    })  # fmt: skip
    examples = (
        {"prompt": "Where is it?", "chosen": "It comes before noon.", "rejected": "No idea."},
        {"prompt": "May I return it?", "chosen": "Yes, within thirty days.", "rejected": "Why?"},
    )
    telling_columns = frozenset({"rejected"})
    needs_reference = True
    texts_per_row = 2

    options: DpoOptions

    # -- the data ---------------------------------------------------------------------------

    def find_columns(self, available: Sequence[str], sample: Sequence[Row]) -> Columns:
        options, names = self.options, self.column_names
        wanted = [Wanted(role, names[role]) for role in ("chosen", "rejected")]
        if not (options.chosen_column or options.rejected_column):
            require_pairs(available, sample, {*names["chosen"], *names["rejected"]})
        if options.prompt_template is not None:
            require_placeholders(options.prompt_template, "task.prompt_template", available)
            return choose_columns(options, wanted, available, sample)
        # Not any column that is left: without one for the prompt, both answers begin with it.
        if options.prompt_column or {name.casefold() for name in available} & {*names["prompt"]}:
            wanted.insert(0, Wanted("prompt", names["prompt"]))
        found = choose_columns(options, wanted, available, sample)
        return self.with_tools(found, available, sample)

    def text_columns(self) -> list[str]:
        if self.options.prompt_template is not None:
            return sorted(set(PLACEHOLDER.findall(self.options.prompt_template)))
        return [self.columns.get("prompt") or self.columns["chosen"]]

    def answer_columns(self) -> list[str]:
        sides = (self.columns["chosen"], self.columns["rejected"])
        return [column for column in sides if column not in self.text_columns()]

    def chat_columns(self) -> list[str]:
        return [name for role, name in self.columns.items() if role != "tools"]

    def faults(self, row: Row) -> Iterable[tuple[str, str]]:
        prompt, chosen, rejected = self._parts(row)
        if chosen == rejected:
            same = say("the answers are the same: write another, or remove the row")
            yield "missing_answers", same
            return
        if not prompt:
            none = say("the answers have no prompt in common: name one in prompt_column")
            yield "wrong_order", none
            return
        noted = set()
        yield from self.tool_faults(row)
        for side, answer in (("chosen", chosen), ("rejected", rejected)):
            turns = [*prompt, *answer]
            for rule, advice in list(chat_faults(turns)) or self.answer_faults(turns):
                if rule not in noted:
                    noted.add(rule)
                    yield rule, say("{side}: {advice}", side=side, advice=advice)

    def key(self, row: Row) -> str:
        prompt = self._parts(row)[0]
        return "\n".join(canonical(turn["content"]) for turn in prompt if turn["role"] == "user")

    def stratum(self, row: Row) -> str:
        """The chosen answer, where it is as short as a label."""
        answer = as_turns(row[self.columns["chosen"]], "assistant")
        return short_answer(canonical(answer[-1]["content"])) if answer else ""

    def _parts(
        self, row: Row
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
        """The turns of the prompt, of the chosen and of the rejected answer, unchecked."""
        chosen, rejected = (
            as_turns(row[self.columns[side]], "assistant") for side in ("chosen", "rejected")
        )
        if self.options.prompt_template is not None:
            return [{"role": "user", "content": self.prompt(row)}], chosen, rejected
        is_whole = any(turns and turns[0]["role"] == "user" for turns in (chosen, rejected))
        if "prompt" in self.columns and not is_whole:
            return as_turns(row[self.columns["prompt"]], "user"), chosen, rejected
        return common_turns(chosen, rejected)  # the prompt stands in the answers, too

    def pair(self, row: Row) -> tuple[int, tuple[list[Message], list[Message]]]:
        """Both conversations of `row`, and how many turns of the prompt they begin with.

        Raises DataError when the row holds no such pair.
        """
        where = say("row {n}", n=row.get("_row", "?"))
        prompt, chosen, rejected = self._parts(row)
        if not prompt:
            raise DataError("{where}: the answers have no prompt in common.", where=where)
        both = []
        for side, answer in (("chosen", chosen), ("rejected", rejected)):
            place = say("{where}, {side} answer", where=where, side=side)
            turns = with_tools(parse_messages([*prompt, *answer], place), self.tools(row))
            both.append(self.with_system(turns))
        return len(both[0]) - len(chosen), (both[0], both[1])

    def turns_asked(self, row: Row) -> list[Message]:
        if self.options.prompt_template is not None:
            return super().turns_asked(row)
        turns = plain_turns(self._parts(row)[0], say("row {n}", n=row.get("_row", "?")))
        return with_tools(turns, self.tools(row))

    def fit(self, train: Sequence[Row], evaluation: Sequence[Row]) -> None:
        for row in (*train, *evaluation):
            for turns in self.pair(row)[1]:
                self.require_answers(row, turns)

    # -- the model --------------------------------------------------------------------------

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[Example]:
        pairs = [self.pair(row) for row in rows]
        chat_format = self.format(tokenizer)
        sides = []
        for side in (0, 1):
            conversations = [both[side] for _, both in pairs]
            last = [
                sum(turn["role"] == "assistant" for turn in both[side][start:])
                for start, both in pairs
            ]
            answers = chat_format.answers(conversations, last)
            sides.append([encode_turns(turns, max_length) for turns in answers])
        return [self._example(*both) for both in zip(*sides, strict=True)]

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

    def conversations(self, row: Row) -> Sequence[list[Message]]:
        return self.pair(row)[1]

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
        self, model: Any, batches: Batches, tokenizer: Any, *, generate: bool = True
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
                    whole=whole,
                    margin=rewards[number][0] - rewards[number][1] if whole else 0.0,
                    loss=losses[number],
                    tokens=sum(counts[number]),
                    tokens_correct=int(sum(hits[number])),
                    scores=(*found[number], *rewards[number]),
                )

    def _prediction(self, row: Row, *, whole: bool, margin: float, **figures: Any) -> Prediction:
        start, conversations = self.pair(row)
        chosen, rejected = ("\n".join(map(spoken, turns[start:])) for turns in conversations)
        return Prediction(
            row=int(row.get("_row", 0)),
            text=self.asked(row),
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

    def baseline(self, train: Sequence[Row], evaluation: Sequence[Row]) -> dict[str, Any]:
        return {"name": say("either answer at random"), "metric": "accuracy", "value": 0.5}

    # -- answers to something new ------------------------------------------------------------

    def question(self, given: str | Mapping[str, Any]) -> Row:
        template, columns = self.options.prompt_template, {*self.columns.values()}
        implicit = template is None and columns and "prompt" not in self.columns
        if implicit and isinstance(given, Mapping) and columns <= given.keys():
            return super().question({"messages": self._parts(given)[0]})
        prompt = self.columns.get("prompt", "prompt")
        turns = given.get(prompt) if isinstance(given, Mapping) else None
        if isinstance(given, Mapping) and isinstance(turns, list):
            tools = self.columns.get("tools", "tools")
            given = {"messages": turns, **({tools: given[tools]} if tools in given else {})}
        return super().question(given)


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
