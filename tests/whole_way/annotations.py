"""Texts that people annotated, as annotation tools export them; words with tags."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
from tests.whole_way.case import MARKS, ROWS, TAGS, TEXTS, VERDICTS, Case, lines
from tests.whole_way.tables import FIRST, zipped

FOUND = (
    TEXTS[0], [(TEXTS[0][mark["start"] : mark["end"]], mark["label"]) for mark in MARKS[0]],
)  # fmt: skip
ROWS_OF = list(zip(range(ROWS), TEXTS, MARKS, VERDICTS, strict=True))

Row = dict[str, Any]
Write = Callable[[Path], object]


def label_studio(result: Callable[[str, list[Row], str], list[Row]]) -> Write:
    """As https://labelstud.io/guide/task_format describes it."""

    def write(path: Path) -> None:
        rows = [
            {"id": n, "data": {"text": text}, "predictions": [], "annotations": [
                {"id": n, "completed_by": 1, "was_cancelled": False, "ground_truth": False,
                 "result": result(text, marks, verdict)}
            ]}
            for n, text, marks, verdict in ROWS_OF
        ]  # fmt: skip
        path.write_text(json.dumps(rows), "utf-8")

    return write


def ranges(text: str, marks: list[Row], _verdict: str) -> list[Row]:
    return [
        {"id": "r", "type": "labels", "from_name": "label", "to_name": "text", "value": {
            "start": mark["start"], "end": mark["end"], "labels": [mark["label"]],
            "text": text[mark["start"] : mark["end"]],
        }}
        for mark in marks
    ]  # fmt: skip


def choices(_text: str, _marks: list[Row], verdict: str) -> list[Row]:
    return [{"id": "r", "type": "choices", "from_name": "sentiment", "to_name": "text",
             "value": {"choices": [verdict]}}]  # fmt: skip


def label_studio_min(name: str, value: Callable[[list[Row], str], Any]) -> Write:
    def write(path: Path) -> None:
        rows = [
            {"text": text, "id": n, name: value(marks, verdict), "annotator": 1,
             "annotation_id": n, "created_at": "2024-05-01T08:00:00Z",
             "updated_at": "2024-05-01T08:00:00Z", "lead_time": 3.5}
            for n, text, marks, verdict in ROWS_OF
        ]  # fmt: skip
        path.write_text(json.dumps(rows), "utf-8")

    return write


def studio_ranges(marks: list[Row]) -> list[Row]:
    return [{"start": m["start"], "end": m["end"], "text": "", "labels": [m["label"]]}
            for m in marks]  # fmt: skip


def doccano(written: Callable[[int, str, list[Row], str], Row]) -> Write:
    return lambda path: lines(path, (written(*row) for row in ROWS_OF))


def doccano_relations(n: int, text: str, marks: list[Row], _verdict: str) -> Row:
    """Sequence labelling with relations, doccano 1.5 and later."""
    entities = [{"id": n, "label": m["label"], "start_offset": m["start"], "end_offset": m["end"]}
                for m in marks]  # fmt: skip
    return {"id": n, "text": text, "entities": entities, "relations": [], "Comments": []}


def triples(marks: list[Row]) -> list[list[Any]]:
    return [[m["start"], m["end"], m["label"]] for m in marks]


def prodigy(more: Callable[[str, list[Row], str], Row]) -> Write:
    """As `prodigy db-out` writes it (https://prodi.gy/docs/api-interfaces)."""

    def write(path: Path) -> None:
        rows = [
            {"text": text, "_input_hash": n, "_task_hash": -n, **more(text, marks, verdict),
             "answer": "accept", "_timestamp": 1714550400, "_annotator_id": "a"}
            for n, text, marks, verdict in ROWS_OF
        ]  # fmt: skip
        lines(path, rows)

    return write


def prodigy_spans(text: str, marks: list[Row], _verdict: str) -> Row:
    words, tokens = 0, []
    for number, word in enumerate(text.split()):
        start = text.index(word, words)
        words = start + len(word)
        tokens.append({"text": word, "start": start, "end": words, "id": number, "ws": True})
    starts, ends = ({token[key]: token["id"] for token in tokens} for key in ("start", "end"))
    spans = [{**m, "token_start": starts[m["start"]], "token_end": ends[m["end"]]}
             for m in marks]  # fmt: skip
    return {"tokens": tokens, "spans": spans, "_view_id": "ner_manual"}


def prodigy_choices(_text: str, _marks: list[Row], verdict: str) -> Row:
    options = [{"id": name, "text": name} for name in ("good", "bad")]
    return {"options": options, "accept": [verdict], "_view_id": "choice",
            "config": {"choice_style": "single"}}  # fmt: skip


def spacy_json(path: Path) -> None:
    """spaCy's training examples of version 2."""
    rows = [[text, {"entities": triples(marks)}] for text, marks in zip(TEXTS, MARKS, strict=True)]
    path.write_text(json.dumps(rows), "utf-8")


def spacy_docs(path: Path) -> None:
    """As spaCy's `Doc.to_json` has documents."""
    lines(path, ({"text": text, "ents": marks, "tokens": [{"id": 0, "start": 0, "end": 1}]}
                 for text, marks in zip(TEXTS, MARKS, strict=True)))  # fmt: skip


def ner_annotator(path: Path) -> None:
    rows = [[text, {"entities": triples(marks)}] for text, marks in zip(TEXTS, MARKS, strict=True)]
    path.write_text(json.dumps({"classes": ["PRAISE", "BLAME"], "annotations": rows}), "utf-8")


def brat(folder: Path) -> None:
    """As https://brat.nlplab.org/standoff.html has it."""
    folder.mkdir()
    for number, (text, marks) in enumerate(zip(TEXTS, MARKS, strict=True)):
        (folder / f"doc-{number:02}.txt").write_text(text, "utf-8")
        lines = [f"T{n}\t{m['label']} {m['start']} {m['end']}\t{text[m['start'] : m['end']]}\n"
                 for n, m in enumerate(marks, 1)]  # fmt: skip
        (folder / f"doc-{number:02}.ann").write_text("".join(lines), "utf-8")


def conll(path: Path) -> None:
    """As CoNLL-2003's files have it."""
    sentences = (
        "".join(f"{word} NN B-NP {tag}\n" for word, tag in zip(text.split(), tags, strict=True))
        for text, tags in zip(TEXTS, TAGS, strict=True)
    )
    path.write_text("-DOCSTART- -X- -X- O\n\n" + "\n".join(sentences) + "\n", "utf-8")


def words(path: Path) -> None:
    """A word a row, as Kaggle's annotated corpus for NER has it."""
    rows = [
        ("" if n else f"Sentence: {number}", word, "NN", tag)
        for number, (text, tags) in enumerate(zip(TEXTS, TAGS, strict=True), 1)
        for n, (word, tag) in enumerate(zip(text.split(), tags, strict=True))
    ]
    frame = pd.DataFrame(rows, columns=["Sentence #", "Word", "POS", "Tag"])
    frame.to_csv(path, index=False, encoding="cp1252")


def of_the_hub(folder: Path) -> None:
    names = ["O", "B-PRAISE", "I-PRAISE", "B-BLAME", "I-BLAME"]
    features = datasets.Features({
        "tokens": datasets.List(datasets.Value("string")),
        "ner_tags": datasets.List(datasets.ClassLabel(names=names)),
    })  # fmt: skip
    rows = {"tokens": [text.split() for text in TEXTS], "ner_tags": TAGS}
    datasets.Dataset.from_dict(rows, features).save_to_disk(str(folder))


def bilou(path: Path) -> None:
    """A mark of one word is `U-`, the last word of a longer one `L-`."""
    rows = []
    for text, tags in zip(TEXTS, TAGS, strict=True):
        ends = [not after.startswith("I-") for after in [*tags[1:], "O"]]
        kinds = {("B", True): "U", ("B", False): "B", ("I", True): "L", ("I", False): "I"}
        written = [tag if tag == "O" else kinds[tag[0], last] + tag[1:]
                   for tag, last in zip(tags, ends, strict=True)]  # fmt: skip
        rows.append({"tokens": text.split(), "tags": written})
    lines(path, rows)


def gliner(path: Path) -> None:
    """As https://github.com/urchade/GLiNER trains on: places of words, the last one included."""
    rows = []
    for text, tags in zip(TEXTS, TAGS, strict=True):
        starts = [n for n, tag in enumerate(tags) if tag.startswith("B-")]
        ends = [n for n in range(len(tags)) if tags[n] != "O" and tags[n + 1 : n + 2] != [
            f"I{tags[n][1:]}"]]  # fmt: skip
        ner = [[a, b, tags[a][2:]] for a, b in zip(starts, ends, strict=True)]
        rows.append({"tokenized_text": text.split(), "ner": ner})
    path.write_text(json.dumps(rows), "utf-8")


def spans(path: Path) -> None:
    lines(path, ({"text": text, "spans": marks} for text, marks in zip(TEXTS, MARKS, strict=True)))


def _entities() -> Iterator[Case]:
    def case(
        name: str, write: Write, form: str | None, layout: str | None = None, **more: Any
    ) -> Case:
        return Case(name, write, "token-classification", FOUND, form, layout, **more)

    yield case("spans.jsonl", spans, "jsonl")
    yield case("studio.json", label_studio(ranges), "json", "label-studio")
    yield case(
        "studio min.json", label_studio_min("label", lambda marks, _: studio_ranges(marks)),
        "json", "label-studio-min",
    )  # fmt: skip
    yield case("relations.jsonl", doccano(doccano_relations), "jsonl", "doccano")
    yield case(
        "sequence.jsonl",
        doccano(lambda n, text, marks, _: {"id": n, "text": text, "label": triples(marks)}),
        "jsonl",
    )
    yield case("manual.jsonl", prodigy(prodigy_spans), "jsonl", "prodigy")
    yield case("spacy.json", spacy_json, "json")
    yield case("docs.jsonl", spacy_docs, "jsonl")
    yield case("annotator.json", ner_annotator, "json")
    yield case("gliner.json", gliner, "json", "gliner")
    yield case("brat", brat, None)
    yield case("brat.zip", zipped(brat, "documents"), None)
    yield case("train.conll", conll, "conll")
    yield case("train.txt", conll, "conll")
    yield case("words.csv", words, "csv")
    yield case("hub", of_the_hub, None)
    yield case("bilou.jsonl", bilou, "jsonl")


def _labels() -> Iterator[Case]:
    def case(name: str, write: Write, form: str | None, layout: str | None) -> Case:
        return Case(name, write, "text-classification", FIRST, form, layout)

    yield case("choices.json", label_studio(choices), "json", "label-studio")
    yield case(
        "choices min.json", label_studio_min("sentiment", lambda _, verdict: verdict), "json", None
    )
    yield case(
        "classes.jsonl",
        doccano(lambda n, text, _, verdict: {"id": n, "data": text, "label": [verdict]}),
        "jsonl", "doccano",
    )  # fmt: skip
    yield case("choice.jsonl", prodigy(prodigy_choices), "jsonl", "prodigy")


ANNOTATIONS = [*_entities(), *_labels()]
