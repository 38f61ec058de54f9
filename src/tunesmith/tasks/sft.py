"""Supervised fine-tuning of a chat model: conversations, or prompts with their completions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tunesmith.errors import DataError, ModelError
from tunesmith.tasks.base import (
    Answer,
    Batch,
    Columns,
    Example,
    Prediction,
    Row,
    Score,
    Task,
    TaskOptions,
)
from tunesmith.tasks.chat import (
    CHAT_RULES,
    Message,
    chat_faults,
    end_tokens,
    generate,
    head_only_at,
    parse_messages,
    parse_question,
    question_ids,
    render,
)
from tunesmith.tasks.columns import (
    IGNORED,
    PLACEHOLDER,
    Wanted,
    asked_columns,
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


class SftOptions(TaskOptions):
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


class SupervisedFineTuning(Task):
    """Learn to answer as the examples do, in the model's own chat format, loss on answers only."""

    name = "sft"
    summary = "Teach a chat model to answer as your examples do (loss on the answers only)."
    Options = SftOptions
    peft_task_type = "CAUSAL_LM"
    auto_class = "AutoModelForCausalLM"
    main_metric = "exact_match"
    eval_batch_scale = 8
    quick_metrics = ("token_accuracy", "loss", "perplexity")
    lower_is_better = frozenset({"loss", "perplexity"})
    is_default = True
    fault_rules = CHAT_RULES
    telling_columns = frozenset((*CHAT_COLUMNS, "prompt", "completion", "response", "answer"))

    options: SftOptions

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self.longest_answer = 0
        """Tokens of the longest answer in the data; `encode` finds it."""

    # -- the data ---------------------------------------------------------------------------

    def columns(self, available: Sequence[str], sample: Sequence[Row]) -> Columns:
        prompts = ("prompt", "instruction", "question", "input", "query", "text")
        answers = ("completion", "response", "answer", "output", "chosen", "label", "category")
        options = self.options
        asked = options.prompt_column or options.prompt_template or options.completion_column
        chats = {name.casefold() for name in available} & set(CHAT_COLUMNS)
        if options.messages_column or (chats and not asked):
            wanted = [Wanted("messages", "messages_column", CHAT_COLUMNS)]
            return choose_columns(options, wanted, available, sample)
        wanted = [Wanted("completion", "completion_column", answers)]
        if options.prompt_template is None:
            wanted.insert(0, Wanted("prompt", "prompt_column", prompts, holds=str))
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

    def messages(self, row: Row, columns: Columns) -> list[Message]:
        """The conversation of `row`, ending with the answer to learn.

        Raises DataError when the row holds no such conversation.
        """
        if "messages" in columns:
            where = f"row {row.get('_row', '?')}, column {columns['messages']!r}"
            turns = parse_messages(row[columns["messages"]], where)
        else:
            turns = [
                {"role": "user", "content": self._prompt(row, columns)},
                {"role": "assistant", "content": canonical(row[columns["completion"]])},
            ]
        return self._with_system(turns)

    def _with_system(self, turns: list[Message]) -> list[Message]:
        if self.options.system_prompt and turns[0]["role"] != "system":
            return [{"role": "system", "content": self.options.system_prompt}, *turns]
        return turns

    def _prompt(self, row: Row, columns: Columns) -> str:
        template = self.options.prompt_template
        if template is None:
            return canonical(row[columns["prompt"]])
        return PLACEHOLDER.sub(lambda found: canonical(row[found[1]]), template)

    def _asked(self, row: Row, columns: Columns) -> str:
        """What tells this row from others, for people: the template's values without its words."""
        if self.options.prompt_template is None or "messages" in columns:
            return self.key(row, columns)
        return "\n".join(canonical(row[name]) for name in self.text_columns(columns))

    def fit(self, train: Sequence[Row], evaluation: Sequence[Row], columns: Columns) -> None:
        for row in (*train, *evaluation):
            answer = self.messages(row, columns)[-1]["content"]
            if not answer.strip():
                raise DataError(
                    f"row {row.get('_row', '?')} has an empty answer: fill it in or remove the row."
                )

    def facts(self) -> dict[str, Any]:
        return {"longest_answer": self.longest_answer}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.longest_answer = int(facts["longest_answer"])

    # -- the model --------------------------------------------------------------------------

    def prepare_tokenizer(self, tokenizer: Any) -> None:
        if not tokenizer.chat_template:
            raise ModelError(
                "the base model has no chat template, so it is not a chat model: choose its "
                "instruct or chat variant as model.name."
            )
        if tokenizer.pad_token_id is None:
            if tokenizer.eos_token is None:
                raise ModelError("the base model's tokenizer has no padding and no end token.")
            tokenizer.pad_token = tokenizer.eos_token

    def encode(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any, max_length: int
    ) -> list[Example]:
        conversations = [self.messages(row, columns) for row in rows]
        rendered = [render(turns, tokenizer) for turns in conversations]
        if not rendered:
            return []
        encoded = tokenizer(
            [text for text, _ in rendered],
            add_special_tokens=False,
            return_offsets_mapping=True,
        )
        examples: list[Example] = []
        for number, (_, spans) in enumerate(rendered):
            ids = encoded["input_ids"][number][:max_length]
            offsets = encoded["offset_mapping"][number][:max_length]
            labels = [
                token if any(start <= a < end for start, end in spans) else IGNORED
                for token, (a, _) in zip(ids, offsets, strict=True)
            ]
            targets = sum(label != IGNORED for label in labels)
            last = max(start for start, _ in spans)
            answer = sum(a >= last for a, _ in offsets)
            self.longest_answer = max(self.longest_answer, answer)
            prompt = len(offsets) - answer
            examples.append(
                {
                    "input_ids": ids,
                    "labels": labels,
                    "targets": targets,
                    "prompt_length": prompt,
                    "whole": len(ids) == len(encoded["input_ids"][number]),
                }
            )
        return examples

    def token_counts(self, rows: Sequence[Row], columns: Columns, tokenizer: Any) -> list[int]:
        texts = [render(self.messages(row, columns), tokenizer)[0] for row in rows]
        encoded = tokenizer(texts, add_special_tokens=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def collate(self, examples: Sequence[Example], pad_token_id: int) -> Batch:
        batch = pad(examples, {"input_ids": pad_token_id, "labels": IGNORED})
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
                    text=self._asked(row, columns),
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

    def longest_generated(self) -> int:
        """Most tokens of a generated answer, its end included."""
        return self.options.max_new_tokens or min(self.longest_answer + 2, 512)

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

    # -- answers to something new ------------------------------------------------------------

    def question(self, given: str | Mapping[str, Any], columns: Columns) -> Row:
        chats = columns.get("messages", "messages")
        if isinstance(given, Mapping) and (asked := {chats, "messages"} & set(given)):
            turns = parse_question(given[min(asked)], f"column {min(asked)!r}")
        elif "messages" in columns:
            turns = [{"role": "user", "content": asked_columns(given, ["messages"])["messages"]}]
        else:
            row = asked_columns(given, self.text_columns(columns))
            turns = [{"role": "user", "content": self._prompt(row, columns)}]
        return {"messages": self._with_system(turns)}

    def question_length(
        self, trained: int, longest: int | None, max_new_tokens: int | None = None
    ) -> int:
        longest = longest or max(trained, 2048)  # a chat may be longer than those learned from
        most = max_new_tokens or self.longest_generated()
        if most > longest - 4:
            raise DataError(
                f"an answer of {most:,} tokens leaves no room for the question: the model takes "
                f"{longest:,} in all; lower max_new_tokens."
            )
        return longest - most

    def encode_questions(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any, max_length: int
    ) -> list[Example]:
        found = [question_ids(row["messages"], tokenizer, max_length) for row in rows]
        return [{"input_ids": ids, "cut": cut} for ids, cut in found]

    def answer(
        self,
        model: Any,
        examples: Sequence[Example],
        tokenizer: Any,
        *,
        max_new_tokens: int | None = None,
    ) -> list[Answer]:
        prompts = [example["input_ids"] for example in examples]
        most = max_new_tokens or self.longest_generated()
        tokens = generate(model, prompts, tokenizer, most)
        texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [
            Answer(text.strip(), cut=example["cut"])
            for text, example in zip(texts, examples, strict=True)
        ]

    def usage(self, base_model: str) -> str:
        return f"""from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

base = AutoModelForCausalLM.from_pretrained({base_model})
model = PeftModel.from_pretrained(base, "final_model")
chat = pipeline("text-generation", model=model,
                tokenizer=AutoTokenizer.from_pretrained("final_model"))
print(chat([{{"role": "user", "content": "A question of your own"}}], max_new_tokens=100))"""
