"""The analysis page: complete in itself, everything in it escaped, every plot told in words."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa

from tunesmith.data.analysis.page import LABELS_PLOTTED, render_page
from tunesmith.data.analysis.summary import Analysis, analyze

NASTY = "<script>alert(1)</script> \"q\" 'p' & \u202eback\u202c \x1b[31m\x00"
CHAT = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "<i>hi</i>"}]
VOID = {"meta", "br", "line", "path", "rect"}


class Page(HTMLParser):
    """The elements of a page, its texts, and whether all that was opened was closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def analysis(texts: list[Any], labels: list[Any] | None = None, **options: Any) -> Analysis:
    columns = {"_row": list(range(1, len(texts) + 1)), "text": texts}
    if labels is not None:
        columns["label"] = labels
    label = None if labels is None else "label"
    tables = {"train": pa.table(columns)}
    return analyze(tables, text_columns=["text"], label_column=label, **options)


def page(found: Analysis, title: str = "Reviews") -> str:
    return render_page(
        found, title=title, source="reviews.csv", hash="sha256:ab", created="2026-01-01"
    )


def reviews() -> Analysis:
    texts = [f"good film {i}" for i in range(40)] + [f"bad film {i}" for i in range(20)]
    return analysis(
        texts,
        ["p"] * 40 + ["n"] * 20,
        token_counts=lambda rows: [i % 9 for i in range(rows.num_rows)],
        max_length=4,
    )


def test_the_page_holds_every_part_of_an_analysis() -> None:
    html = page(reviews())
    read = Page(html)
    assert read.open == []
    text = " ".join(read.texts)
    for part in ("Labels", "Lengths", "Typical words", "Examples", "Rows at the edges"):
        assert part in text
    for value in ("reviews.csv", "sha256:ab", "2026-01-01", "66.7%", "imbalance ratio", "good"):
        assert value in text
    assert "Solid: the limit, 4" in text
    assert len(read.all("figure")) == 4


def test_the_page_asks_for_nothing_from_elsewhere_and_runs_nothing() -> None:
    html = page(reviews())
    tags = {name for name, _ in Page(html).tags}
    assert not tags & {"script", "link", "iframe", "img", "object", "embed", "base", "form"}
    for _, attributes in Page(html).tags:
        assert not {"src", "href", "style", "xlink:href"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in html
    assert "@import" not in html
    [style] = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in html


def test_texts_labels_and_words_from_the_data_stay_text() -> None:
    clean = {name for name, _ in Page(page(reviews())).tags}
    texts = [f"{NASTY} {i % 3}" for i in range(30)]
    html = page(analysis(texts, [f"{NASTY}{i % 2}" for i in range(30)]), title=NASTY)
    assert {name for name, _ in Page(html).tags} <= clean
    assert "alert(1)" in "".join(Page(html).texts)
    assert "\x1b" not in html
    assert "\x00" not in html
    assert "␛[31m␀" in html
    # A mark that turns the direction of writing turns it within its own element only.
    body = html.partition("<main>")[2]
    outside = re.sub(r"<bdi.*?</bdi>|<svg.*?</svg>", "", body, flags=re.DOTALL)
    assert "\u202e" in html
    assert "\u202e" not in outside


def test_every_plot_is_told_in_words_and_its_figures_stand_in_a_table() -> None:
    read = Page(page(reviews()))
    plots = [found for _, found in read.tags if found.get("role") == "img"]
    assert len(plots) == 4
    assert all(plot["aria-label"] for plot in plots)
    assert "Histogram: tokens. Median 4, from 0 to 8." in {plot["aria-label"] for plot in plots}
    assert len(read.all("details")) == 3
    assert all("scope" in header for header in read.all("th"))


def test_colours_follow_the_reader_s_light_or_dark_choice() -> None:
    html = page(reviews())
    assert "prefers-color-scheme: dark" in html
    # A colour of its own in a plot would be unreadable on one of the two backgrounds.
    plots = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert "var(--bar)" in plots
    colours = set(re.findall(r'(?:fill|stroke)="([^"]*)"', plots))
    assert {c for c in colours if not c.startswith("var(")} <= {"none", "transparent"}


def test_many_labels_are_plotted_in_part_and_listed_whole() -> None:
    labels = [f"label {i:02}" for i in range(50) for _ in range(60 - i)]
    html = page(analysis([f"text {i}" for i in range(len(labels))], labels))
    assert f"The {LABELS_PLOTTED} most frequent of 50 labels." in html
    assert html.count('<th scope="row"><bdi>label') == 50


def test_chats_have_their_answers_and_turns_on_the_page() -> None:
    html = page(analysis([CHAT, CHAT[:1]] * 5))
    assert "&lt;i&gt;hi&lt;/i&gt;" in html
    assert "no answer" in html
    assert "Answer words" in html
    assert "Typical words" not in html
    assert "Labels" not in html


def test_a_table_without_rows_has_a_page_too() -> None:
    empty = pa.table({"_row": pa.array([], pa.int64()), "text": pa.array([], pa.string())})
    found = analyze({"train": empty}, text_columns=["text"], label_column=None)
    assert Page(page(found)).open == []


def test_the_same_analysis_gives_the_same_page() -> None:
    assert page(reviews()) == page(reviews())
