"""Token classification: the entities of a text, such as names, places and dates."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
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
from tunesmith.tasks.columns import (
    IGNORED,
    Wanted,
    asked_columns,
    at_least_float32,
    choose_columns,
    pad,
)
from tunesmith.tasks.entities import (
    OUTSIDE,
    Tagged,
    entities,
    first_tokens,
    joined,
    marked,
    read_list,
    runs,
    span_fault,
    tag_fault,
    tags_of,
    words_of,
)
from tunesmith.tasks.figures import ENTITIES, Counts, without_rows
from tunesmith.tasks.labels import as_ordered
from tunesmith.tasks.places import ModelPlace
from tunesmith.tasks.plain_texts import encode_texts, read_as_text
from tunesmith.tasks.texts import TEXT_NAMES, require_padding

if TYPE_CHECKING:
    import torch

TOKENS = ("tokens", "words")
TAGS = ("ner_tags", "ner", "tags", "labels", "label")
SPANS = ("spans", "entities", "ents", "label", "labels")


class TokenClassificationOptions(TaskOptions):
    """Options of `task: token-classification`."""

    name: Literal["token-classification"] = "token-classification"
    tokens_column: str | None = Field(
        None, description="Column with the words, a list; null finds it by its name."
    )
    tags_column: str | None = Field(
        None, description="Column with a tag for each word; null finds it by its name."
    )
    text_column: str | None = Field(
        None, description="Column with the text, where there are no words."
    )
    spans_column: str | None = Field(
        None, description="Column with the entities of the text: start, end and label."
    )
    labels: list[str] | None = Field(
        None, min_length=2, description="The tags, in order, where O is one; null: the data's."
    )


class TokenClassification(Task):
    """Learn which words of a text are an entity, and of which kind.

    Rows have a list of words with a tag for each, or a text with spans. Only the first token of a
    word has a target, and says what the word is.
    """

    name = "token-classification"
    summary = "Learn to find entities in a text, such as names, places and dates."
    Options = TokenClassificationOptions
    peft_task_type = "TOKEN_CLS"
    auto_class = "AutoModelForTokenClassification"
    main_metric = "f1"
    best_metric = "f1"
    quick_metrics = ("f1", "precision", "recall", "token_accuracy", "loss")
    is_default = True
    fault_rules = ("missing_labels", "unknown_labels", "broken_tags")
    telling_columns = frozenset({"ner_tags", "spans", "entities"})
    points_into_text = True

    options: TokenClassificationOptions

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self.labels: list[str] = []
        """The tags, by number."""

    # -- the data ---------------------------------------------------------------------------

    def columns(self, available: Sequence[str], sample: Sequence[Row]) -> Columns:
        options = self.options
        there = {name.casefold() for name in available}
        listed = options.tokens_column or options.tags_column
        spanned = options.text_column or options.spans_column
        if listed or not (spanned or (there & set(TEXT_NAMES) and not there & set(TOKENS))):
            wanted = [
                Wanted("tokens", "tokens_column", TOKENS),
                Wanted("tags", "tags_column", TAGS),
            ]
        else:
            wanted = [
                Wanted("text", "text_column", TEXT_NAMES, holds=str),
                Wanted("spans", "spans_column", SPANS),
            ]
        return choose_columns(options, wanted, available, sample)

    def text_columns(self, columns: Columns) -> list[str]:
        return [columns.get("tokens") or columns["text"]]

    def answer_columns(self, columns: Columns) -> list[str]:
        return [columns.get("tags") or columns["spans"]]

    def key(self, row: Row, columns: Columns) -> str:
        if "text" in columns:
            return str(row[columns["text"]] or "")
        return " ".join(map(str, read_list(row[columns["tokens"]]) or ()))

    def faults(self, row: Row, columns: Columns) -> Iterator[tuple[str, str]]:
        given = row[self.answer_columns(columns)[0]]
        answers = read_list(given)
        if answers is None:
            yield "missing_labels", f"must be a list; got {str(given)[:80]}"
            return
        if "spans" in columns:
            fault = span_fault(self.key(row, columns), answers)
            tags = [] if fault else tags_of(self.key(row, columns), answers).tags
        else:
            words = read_list(row[columns["tokens"]]) or []
            tags = [self._tag(answer) for answer in answers]
            fault = tag_fault(tags)
            if len(words) != len(tags):
                fault = f"{len(tags)} tags for {len(words)} words: give each word one"
        if fault:
            yield "broken_tags", fault
        elif self.options.labels and (strange := sorted(set(tags) - set(self.options.labels))):
            known = ", ".join(self.options.labels)
            yield "unknown_labels", f"{strange[0]} is not in task.labels: {known}"

    def _tag(self, value: Any) -> Any:
        """A tag by its name, also where it is given as its number in `task.labels`."""
        named = self.options.labels or ()
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(named):
            return named[value]
        return value

    def tagged(self, row: Row, columns: Columns) -> Tagged:
        """The row's text as words with their tags. Raises DataError where it has a fault."""
        for _, advice in self.faults(row, columns):
            raise DataError(f"row {row.get('_row', '?')}: {advice}")
        answers = read_list(row[self.answer_columns(columns)[0]]) or []
        if "spans" in columns:
            return tags_of(self.key(row, columns), answers)
        text, words = joined([str(word) for word in read_list(row[columns["tokens"]]) or ()])
        return Tagged(text, words, [self._tag(answer) for answer in answers])

    def fit(self, train: Sequence[Row], evaluation: Sequence[Row], columns: Columns) -> None:
        learned = {tag for row in train for tag in self.tagged(row, columns).tags}
        judged = {tag for row in evaluation for tag in self.tagged(row, columns).tags}
        kinds = sorted({tag[2:] for tag in learned | judged} - {""})
        if not kinds:
            raise DataError(
                f"column {self.answer_columns(columns)[0]!r} marks no entity at all: there is "
                "nothing to find. Name another column, or give data with entities."
            )
        if missing := [kind for kind in kinds if f"B-{kind}" not in learned]:
            raise DataError(
                f"no row to train on has an entity {', '.join(map(repr, missing))}. Train on more "
                "rows (data.train_samples), or leave these entities out of the data."
            )
        both = [f"{part}-{kind}" for kind in kinds for part in "BI"]
        self.labels = list(self.options.labels or [OUTSIDE, *both])

    def facts(self) -> dict[str, Any]:
        return {"labels": self.labels}

    def restore(self, facts: Mapping[str, Any]) -> None:
        self.labels = list(facts["labels"])

    def resolved(self, columns: Columns) -> dict[str, Any]:
        return {**super().resolved(columns), "labels": list(self.labels)}

    # -- the model --------------------------------------------------------------------------

    def prepare_tokenizer(self, tokenizer: Any) -> None:
        if not tokenizer.is_fast:
            raise ModelError(
                "the base model's tokenizer doesn't say where its tokens stand in a text, which "
                "token-classification needs: choose another model as model.name."
            )
        require_padding(tokenizer)
        read_as_text(tokenizer)

    def model_arguments(self) -> dict[str, Any]:
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: number for number, label in enumerate(self.labels)},
        }

    def encode(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any, max_length: int
    ) -> list[Example]:
        index = {tag: number for number, tag in enumerate(self.labels)}
        tagged = [self.tagged(row, columns) for row in rows]
        examples = self._inputs(tagged, tokenizer, max_length)
        for one, example in zip(tagged, examples, strict=True):
            del example["cut"]
            example["labels"] = [
                IGNORED if word == IGNORED else index[one.tags[word]] for word in example["words"]
            ]
            example["targets"] = sum(label != IGNORED for label in example["labels"])
        return examples

    def _inputs(self, tagged: Sequence[Tagged], tokenizer: Any, max_length: int) -> list[Example]:
        """Token ids, for each first token of a word the word's number, and whether any was cut."""
        texts = [one.text for one in tagged]
        examples = encode_texts(tokenizer, texts, offsets=True)
        whole = [len(example["input_ids"]) for example in examples]
        if max(whole, default=0) > max_length:
            examples = encode_texts(tokenizer, texts, max_length=max_length, offsets=True)
        return [
            {
                "input_ids": example["input_ids"],
                "words": first_tokens(one.words, example["offset_mapping"]),
                "cut": length > max_length,
            }
            for one, example, length in zip(tagged, examples, whole, strict=True)
        ]

    def token_counts(self, rows: Sequence[Row], columns: Columns, tokenizer: Any) -> list[int]:
        texts = [self.key(row, columns) for row in rows]
        return [len(example["input_ids"]) for example in encode_texts(tokenizer, texts)]

    def collate(self, examples: Sequence[Example], pad_token_id: int, width: int = 0) -> Batch:
        padding = {"input_ids": pad_token_id, "labels": IGNORED, "words": IGNORED}
        return pad(examples, padding, width=width)

    def loss(self, model: Any, batch: Batch, num_items: torch.Tensor | int | None = None) -> Any:
        losses = self._losses(self._logits(model, batch), batch["labels"])
        items = self.count_items(batch) if num_items is None else num_items
        return losses.sum() / items

    def count_items(self, batch: Batch) -> torch.Tensor | int:
        return (batch["labels"] != IGNORED).sum()  # type: ignore[no-any-return]

    def _logits(self, model: Any, batch: Batch) -> torch.Tensor:
        """What the model says of each token: (rows, tokens, tags) in float32."""
        found: torch.Tensor = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits
        return at_least_float32(found)

    def _losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss of each token, in nats, 0 where it has no target: shape (rows, tokens)."""
        from torch.nn import functional

        return functional.cross_entropy(
            logits.transpose(1, 2), labels, reduction="none", ignore_index=IGNORED
        )

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
            logits = self._logits(model, batch)
            losses = self._losses(logits, batch["labels"]).sum(dim=1).tolist()
            best, chances = self._likeliest(logits)
            words = batch["words"].tolist()
            for number, row in enumerate(rows):
                tagged = self.tagged(row, columns)
                found, _ = self._told(tagged, words[number], best[number], chances[number])
                yield self._prediction(row, tagged, found, losses[number], words[number],
                                       chances[number])  # fmt: skip

    def _likeliest(self, logits: torch.Tensor) -> tuple[list[list[int]], list[list[float]]]:
        """The likeliest tag of each token, and its probability: (rows, tokens) each."""
        chances, best = logits.softmax(dim=-1).max(dim=-1)
        return best.tolist(), chances.tolist()

    def _told(
        self, tagged: Tagged, words: Sequence[int], best: Sequence[int], chances: Sequence[float]
    ) -> tuple[Tagged, list[float]]:
        """The text as the model tags it, and the probability of each word's tag.

        A word that was cut off has no tag.
        """
        tags, sure = [OUTSIDE] * len(tagged.words), [1.0] * len(tagged.words)
        for token, word in enumerate(words):
            if word != IGNORED:
                tags[word], sure[word] = self.labels[best[token]], chances[token]
        return Tagged(tagged.text, tagged.words, tags), sure

    def _prediction(
        self,
        row: Row,
        tagged: Tagged,
        found: Tagged,
        loss: float,
        words: Sequence[int],
        chances: Sequence[float],
    ) -> Prediction:
        expected, predicted = runs(tagged.tags), runs(found.tags)
        seen = [word for word in words if word != IGNORED]
        told = [chance for word, chance in zip(words, chances, strict=True) if word != IGNORED]
        return Prediction(
            row=int(row.get("_row", 0)),
            text=tagged.text,
            expected=entities(tagged),
            predicted=entities(found),
            correct=expected == predicted,
            confidence=math.exp(sum(math.log(max(chance, 1e-30)) for chance in told)),
            loss=loss / max(len(seen), 1),
            tokens=len(seen),
            tokens_correct=sum(tagged.tags[word] == found.tags[word] for word in seen),
            scores=(loss,),
            points=2.0 * len(set(expected) & set(predicted)),
            weight=float(len(expected) + len(predicted)),
        )

    def score(self, predictions: Sequence[Prediction]) -> Score:
        """Of entities: one is found where its label, start and end are all right."""
        words = max(sum(p.tokens for p in predictions), 1)
        counts = Counts()
        for p in predictions:
            counts.add(marked(p.expected), marked(p.predicted))
        every = counts.together()
        metrics = {
            **{name: every[name] for name in ("f1", "precision", "recall")},
            "token_accuracy": sum(p.tokens_correct for p in predictions) / words,
            "loss": sum((p.loss or 0.0) * p.tokens for p in predictions) / words,
        }
        kinds = dict.fromkeys(tag[2:] for tag in self.labels if tag != OUTSIDE)
        details = counts.details(list(kinds))
        return Score(metrics=metrics, main=self.main_metric, details=details)

    def cautions(self, score: Score) -> list[str]:
        return without_rows(score.details, ENTITIES)

    def baseline(
        self, train: Sequence[Row], evaluation: Sequence[Row], columns: Columns
    ) -> dict[str, Any]:
        """Each word has the tag it has most often in training; one never seen has none."""
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for row in train:
            one = self.tagged(row, columns)
            for (start, end), tag in zip(one.words, one.tags, strict=True):
                counts[one.text[start:end]][tag] += 1
        usual = {word: max(sorted(tags), key=tags.__getitem__) for word, tags in counts.items()}
        both = whole = 0
        for row in evaluation:
            one = self.tagged(row, columns)
            said = [usual.get(one.text[start:end], OUTSIDE) for start, end in one.words]
            expected, predicted = runs(one.tags), runs(said)
            both += len(set(expected) & set(predicted))
            whole += len(expected) + len(predicted)
        return {
            "name": "each word with the tag it has most often in training",
            "metric": self.main_metric,
            "value": 2 * both / whole if whole else 0.0,
        }

    # -- answers to something new ------------------------------------------------------------

    def question(self, given: str | Mapping[str, Any], columns: Columns) -> Row:
        """A text, or its words where the adapter learned from words, as `tagged` has it."""
        tokens = columns.get("tokens")
        words = None
        if tokens and isinstance(given, Mapping):
            words = read_list(given.get(tokens))
        if words is not None:
            text, places = joined([str(word) for word in words])
            asked_columns(text, [str(tokens)])
        else:
            (text,) = asked_columns(given, self.text_columns(columns)).values()
            places = words_of(text)
        return {"tagged": Tagged(text, places, [OUTSIDE] * len(places))}

    def encode_questions(
        self, rows: Sequence[Row], columns: Columns, tokenizer: Any, max_length: int
    ) -> list[Example]:
        tagged = [row["tagged"] for row in rows]
        examples = self._inputs(tagged, tokenizer, max_length)
        return [{**found, "tagged": one} for found, one in zip(examples, tagged, strict=True)]

    def answer(
        self,
        model: Any,
        examples: Sequence[Example],
        tokenizer: Any,
        *,
        max_new_tokens: int | None = None,
    ) -> list[Answer]:
        batch = self.collate(examples, tokenizer.pad_token_id)
        device = next(model.parameters()).device
        moved = {name: tensor.to(device) for name, tensor in batch.items()}
        best, chances = self._likeliest(self._logits(model, moved))
        answers = []
        for number, example in enumerate(examples):
            found, sure = self._told(
                example["tagged"], example["words"], best[number], chances[number]
            )
            told = [
                {**entity, "score": math.fsum(sure[first:behind]) / (behind - first)}
                for entity, (first, behind, _) in zip(
                    entities(found), runs(found.tags), strict=True
                )
            ]
            answers.append(Answer(told, cut=example["cut"]))
        return answers

    def of_base(
        self, settings: Mapping[str, Any], fresh: Sequence[str]
    ) -> TokenClassification | None:
        if fresh:
            return None
        names = settings.get("id2label") or {}
        own = TokenClassification(self.options)
        own.restore({"labels": [str(names[key]) for key in sorted(names, key=int)]})
        return own if len(own.labels) == len(self.labels) else self

    def with_labels_of(self, names: Mapping[str, Any]) -> TokenClassification | None:
        ordered = as_ordered(self.labels, names)
        if ordered is None:
            return None
        own = TokenClassification(self.options)
        own.restore({"labels": ordered})
        return own

    def usage(self, place: ModelPlace) -> str:
        loading = place.loading(
            "AutoModelForTokenClassification",
            arguments=f", num_labels={len(self.labels)}",
            prepare=f"base.config.id2label = dict(enumerate({self.labels!r}))",
        )
        return f"""{place.imports("AutoModelForTokenClassification", "AutoTokenizer", "pipeline")}

{loading}
find = pipeline("token-classification", model=model, aggregation_strategy="first",
                tokenizer=AutoTokenizer.from_pretrained({place.folder}))
print(find("A text of your own"))"""

    def usage_of_logits(self) -> str:
        return f"""labels = {self.labels!r}
print([labels[best] for best in logits[0].argmax(axis=-1)])  # one for each token"""
