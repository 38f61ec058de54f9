"""Token classification: the entities of a text, such as names, places and dates."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tunesmith.errors import DataError, ModelError
from tunesmith.messages import say
from tunesmith.tasks.base import Batch, Batches, Example, Row
from tunesmith.tasks.options import TaskOptions, column
from tunesmith.tasks.parts.columns import (
    IGNORED,
    asked_columns,
    at_least_float32,
    pad,
)
from tunesmith.tasks.parts.entities import (
    Tagged,
    entities,
    first_tokens,
    joined,
    marked,
    runs,
    words_of,
)
from tunesmith.tasks.parts.figures import Counts, labels_without_rows
from tunesmith.tasks.parts.labels import LabelTask
from tunesmith.tasks.parts.plain_texts import encode_texts, read_as_text
from tunesmith.tasks.parts.spans import read_list
from tunesmith.tasks.parts.tagged import TaggedTask
from tunesmith.tasks.parts.tags import OUTSIDE, UNTAGGED
from tunesmith.tasks.parts.texts import require_padding
from tunesmith.tasks.results import LOSS, TOKEN_ACCURACY, Answer, Metric, Prediction, Score
from tunesmith.tasks.tokens.places import ModelPlace

if TYPE_CHECKING:
    import torch


class TokenClassificationOptions(TaskOptions):
    """Options of `task: token-classification`."""

    name: Literal["token-classification"] = "token-classification"
    tokens_column: str | None = column("Column with the words, a list; null finds it by its name.")
    tags_column: str | None = column("Column with a tag for each word; null finds it by its name.")
    text_column: str | None = column("Column with the text, where there are no words.")
    spans_column: str | None = column("Column with the entities of the text: start, end and label.")
    labels: list[str] | None = Field(
        None, min_length=2, description="The tags, in order, where O is one; null: the data's."
    )


class TokenClassification(LabelTask, TaggedTask):
    """Learn which words of a text are an entity, and of which kind; its labels are the tags.

    Rows have a list of words with a tag for each, or a text with spans. Only the first token of a
    word has a target, and says what the word is.
    """

    name = "token-classification"
    label = "entities in texts"
    summary = say("Learn to find entities in a text, such as names, places and dates.")
    Options = TokenClassificationOptions
    peft_task_type = "TOKEN_CLS"
    auto_class = "AutoModelForTokenClassification"
    pipeline_tag = "token-classification"
    metrics = (
        Metric("f1", "F1", is_share=True),
        Metric("precision", "precision", is_share=True),
        Metric("recall", "recall", is_share=True),
        TOKEN_ACCURACY,
        LOSS,
    )
    main_metric = "f1"
    best_metric = "f1"
    is_default = True
    examples = (
        {
            "tokens": ["Ada", "Lovelace", "in", "London"],
            "ner_tags": ["B-PER", "I-PER", "O", "B-LOC"],
        },
        {"tokens": ["Call", "Marie", "Curie"], "ner_tags": ["O", "B-PER", "I-PER"]},
    )

    options: TokenClassificationOptions

    # -- the data ---------------------------------------------------------------------------

    def fit(self, train: Sequence[Row], evaluation: Sequence[Row]) -> None:
        learned = {tag for row in train for tag in self.tagged(row).tags}
        judged = {tag for row in evaluation for tag in self.tagged(row).tags}
        kinds = sorted({tag[2:] for tag in (learned | judged) - {UNTAGGED}} - {""})
        if not kinds:
            raise DataError(
                "column {column} marks no entity at all: there is nothing to find. Name "
                "another column, or give data with entities.",
                column=repr(self.answer_columns()[0]),
            )
        if missing := [kind for kind in kinds if f"B-{kind}" not in learned]:
            raise DataError(
                "no row to train on has an entity {names}. Train on more rows "
                "(data.train_samples), or leave these entities out of the data.",
                names=list(map(repr, missing)),
            )
        both = [f"{part}-{kind}" for kind in kinds for part in "BI"]
        self.labels = list(self.wanted_tags or [OUTSIDE, *both])

    def resolved(self) -> dict[str, Any]:
        # Labels that were named may stand for numbers in the data, by their order.
        return {**super().resolved(), "labels": list(self.options.labels or self.labels)}

    # -- the model --------------------------------------------------------------------------

    def prepare_tokenizer(self, tokenizer: Any) -> None:
        if not tokenizer.is_fast:
            raise ModelError(
                "the base model's tokenizer doesn't say where its tokens stand in a "
                "text, which token-classification needs: choose another model as "
                "model.name."
            )
        require_padding(tokenizer)
        read_as_text(tokenizer)

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[Example]:
        index = {UNTAGGED: IGNORED, **{tag: number for number, tag in enumerate(self.labels)}}
        tagged = [self.tagged(row) for row in rows]
        examples = self._inputs(tagged, tokenizer, max_length)
        for one, example in zip(tagged, examples, strict=True):
            del example["cut"]
            example["labels"] = [
                IGNORED if word == IGNORED else index[one.tags[word]] for word in example["words"]
            ]
            example["targets"] = sum(label != IGNORED for label in example["labels"])
        return examples

    def _inputs(self, tagged: Sequence[Tagged], tokenizer: Any, max_length: int) -> list[Example]:
        """Token ids, `first_tokens` as `words` and `behind`, and whether any token was cut."""
        texts = [one.text for one in tagged]
        examples = encode_texts(tokenizer, texts, offsets=True)
        whole = [len(example["input_ids"]) for example in examples]
        if max(whole, default=0) > max_length:
            examples = encode_texts(tokenizer, texts, max_length=max_length, offsets=True)
        found = []
        for one, example, length in zip(tagged, examples, whole, strict=True):
            words, behind = first_tokens(one.words, example["offset_mapping"])
            ids, cut = example["input_ids"], length > max_length
            found.append({"input_ids": ids, "words": words, "behind": behind, "cut": cut})
        return found

    def token_counts(self, rows: Sequence[Row], tokenizer: Any) -> list[int]:
        texts = [self.key(row) for row in rows]
        return [len(example["input_ids"]) for example in encode_texts(tokenizer, texts)]

    def collate(self, examples: Sequence[Example], pad_token_id: int, width: int = 0) -> Batch:
        padding = {
            "input_ids": pad_token_id,
            "labels": IGNORED,
            "words": IGNORED,
            "behind": IGNORED,
        }
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
        self, model: Any, batches: Batches, tokenizer: Any, *, generate: bool = True
    ) -> Iterator[Prediction]:
        for rows, batch in batches:
            logits = self._logits(model, batch)
            losses = self._losses(logits, batch["labels"]).sum(dim=1).tolist()
            best, chances = self._likeliest(logits)
            words, behind = batch["words"].tolist(), batch["behind"].tolist()
            for number, row in enumerate(rows):
                tagged = self.tagged(row)
                own = (words[number], behind[number])
                found, _ = self._tagged_by(tagged, own, best[number], chances[number])
                yield self._prediction(row, tagged, found, losses[number], words[number],
                                       chances[number])  # fmt: skip

    def _likeliest(self, logits: torch.Tensor) -> tuple[list[list[int]], list[list[float]]]:
        """The likeliest tag of each token, and its probability: (rows, tokens) each."""
        chances, best = logits.softmax(dim=-1).max(dim=-1)
        return best.tolist(), chances.tolist()

    def _tagged_by(
        self,
        tagged: Tagged,
        tokens: tuple[Sequence[int], Sequence[int]],
        best: Sequence[int],
        chances: Sequence[float],
    ) -> tuple[Tagged, list[float]]:
        """The text as the model tags it, and the probability of each word's tag.

        `tokens` are what `first_tokens` gave. Words that end in the token of another go on with its
        entity; a word that was cut off has no tag.
        """
        tags, sure = [OUTSIDE] * len(tagged.words), [1.0] * len(tagged.words)
        for token, (word, behind) in enumerate(zip(*tokens, strict=True)):
            if word != IGNORED:
                tag = self.labels[best[token]]
                same = range(word + 1, behind)
                tags[word:behind] = [tag, *(tag.replace("B-", "I-", 1) for _ in same)]
                sure[word:behind] = [chances[token]] * (behind - word)
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
        found = replace(found, tags=_where_tagged(found.tags, tagged.tags))
        expected, predicted = runs(tagged.tags), runs(found.tags)
        pairs = [
            (word, chance)
            for word, chance in zip(words, chances, strict=True)
            if word != IGNORED and tagged.tags[word] != UNTAGGED
        ]
        seen, counted = [word for word, _ in pairs], [chance for _, chance in pairs]
        return Prediction(
            row=int(row.get("_row", 0)),
            text=tagged.text,
            expected=entities(tagged),
            predicted=entities(found),
            correct=expected == predicted,
            confidence=math.exp(sum(math.log(max(chance, 1e-30)) for chance in counted)),
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
        return labels_without_rows(score.details, entities=True)

    def baseline(self, train: Sequence[Row], evaluation: Sequence[Row]) -> dict[str, Any]:
        """Each word has the tag it has most often in training; one never seen has none."""
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for row in train:
            one = self.tagged(row)
            for (start, end), tag in zip(one.words, one.tags, strict=True):
                if tag != UNTAGGED:
                    counts[one.text[start:end]][tag] += 1
        usual = {word: max(sorted(tags), key=tags.__getitem__) for word, tags in counts.items()}
        both = whole = 0
        for row in evaluation:
            one = self.tagged(row)
            said = _where_tagged(
                [usual.get(one.text[start:end], OUTSIDE) for start, end in one.words], one.tags
            )
            expected, predicted = runs(one.tags), runs(said)
            both += len(set(expected) & set(predicted))
            whole += len(expected) + len(predicted)
        return {
            "name": say("each word with the tag it has most often in training"),
            "metric": self.main_metric,
            "value": 2 * both / whole if whole else 0.0,
        }

    # -- answers to something new ------------------------------------------------------------

    def question(self, given: str | Mapping[str, Any]) -> Row:
        """A text, or its words where the adapter learned from words, as `tagged` has it."""
        tokens = self.columns.get("tokens")
        words = None
        if tokens and isinstance(given, Mapping):
            words = read_list(given.get(tokens))
        if words is not None:
            text, places = joined([str(word) for word in words])
            asked_columns(text, [str(tokens)])
        else:
            (text,) = asked_columns(given, self.text_columns()).values()
            places = words_of(text)
        return {"tagged": Tagged(text, places, [OUTSIDE] * len(places))}

    def encode_questions(
        self, rows: Sequence[Row], tokenizer: Any, max_length: int
    ) -> list[Example]:
        tagged = [row["tagged"] for row in rows]
        examples = self._inputs(tagged, tokenizer, max_length)
        return [{**found, "tagged": one} for found, one in zip(examples, tagged, strict=True)]

    def answers(
        self, model: Any, examples: Sequence[Example], tokenizer: Any, max_new_tokens: int | None
    ) -> list[Answer]:
        batch = self.collate_for(model, examples, tokenizer)
        best, chances = self._likeliest(self._logits(model, batch))
        answers = []
        for number, example in enumerate(examples):
            own = (example["words"], example["behind"])
            found, sure = self._tagged_by(example["tagged"], own, best[number], chances[number])
            items = [
                {**entity, "score": math.fsum(sure[first:behind]) / (behind - first)}
                for entity, (first, behind, _) in zip(
                    entities(found), runs(found.tags), strict=True
                )
            ]
            answers.append(Answer(items))
        return answers

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


def _where_tagged(tags: Sequence[str], known: Sequence[str]) -> list[str]:
    """`tags` of a text's words, of which those that have none in `known` are not judged."""
    return [own if own == UNTAGGED else tag for tag, own in zip(tags, known, strict=True)]
