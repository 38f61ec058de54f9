"""Sentences of the service in the visitor's language; texts of others where Markdown is read."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

import tunesmith
from tunesmith.data.reading.files import read_file
from tunesmith.errors import DataError
from tunesmith.jobs.endings import CRASHES, judge_ending
from tunesmith.ui import said
from tunesmith.ui.markdown import as_it_is, code
from tunesmith.ui.sentences import OURS, TEMPLATES

SOURCE = Path(tunesmith.__file__).parent


def test_every_template_is_still_said_somewhere_in_the_code() -> None:
    texts = []
    for path in SOURCE.rglob("*.py"):
        if SOURCE / "ui" not in path.parents:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    source = "\0".join(texts)
    gone = [
        template
        for template in OURS
        for literal, *_rest in Formatter().parse(template)
        for part in re.split(r"[.,;:()'?]", literal)
        if part.strip() not in source
    ]
    assert gone == []


@pytest.mark.parametrize("number", [9, 15, *CRASHES])
def test_every_ending_of_a_process_has_a_template(number: int) -> None:
    for out_of_memory in (False, True):
        reason = judge_ending(-number, 7, "", out_of_memory=out_of_memory).reason
        assert said.is_known(f"{reason} Restart 1 of 3.", "zh_TW"), reason


BROKEN = {
    "empty.csv": b"",
    "blank.csv": b"text,label\n\n\n",
    "quote.csv": b'text,label\n"a,0\nb,1\nc,0\n',
    "unnamed.csv": b",text\n0,a\n1,b\n",
    "doubled.csv": b"text,text\na,b\n",
    "semicolons.csv": b"text;label\na;1\nb;0\n",
    "ragged.csv": b"text,label\na\nb\nc,1,2\n",
    "latin.csv": "text,label\ncafé crème,1\n".encode("latin-1") * 9,
    "zip.csv": b"PK\x03\x04" + bytes(40),
    "cut.csv.gz": b"\x1f\x8b\x08" + bytes(9),
    "sheet.xlsx": b"PK",
    "broken.jsonl": b'{"text": \n{"text" 1}\n',
    "array.jsonl": b'[{"text": "a"},\n{"text": "b"}]\n',
    "number.json": b"12",
    "mixed.json": b'[{"a": 1}, {"a": "b"}]',
    "twice.json": b'[{"a": 1, "a": 2}]',
    "cut.parquet": b"PAR1",
}


@pytest.mark.parametrize("name", [*BROKEN, "missing.csv"])
def test_what_is_wrong_with_a_file_is_said_in_the_visitors_language(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if name in BROKEN:
        path.write_bytes(BROKEN[name])
    with pytest.raises(DataError) as found:
        read_file(path)
    assert said.is_known(str(found.value), "zh_TW"), found.value


@pytest.mark.parametrize(
    "sentence",
    [
        "no row is left after data.validation_rules:\n3 rows checked, 3 dropped, 0 left\n  "
        "short_texts (text): 3 dropped, rows 1, 2, 3\nLoosen the rules, or name the right columns",
        "the dataset reviews can't be written: No space left on device; free some space",
        "logs.txt of reviews_20260131_120000 can't be copied in s3://bucket/results: Connection "
        "refused",
        "The store sqlite:////srv/a.db can't be used: the disk is full; free some space (SQLite "
        "says: No space left on device).",
        "Experiment 0123456789ab (reviews) may not be written by this process any more: another "
        "process was given it, and runs it now by worker w-1.",
        "3 of 40 train rows are longer than data.max_length=16 tokens up to their answer (rows 1, "
        "2, 3); they are not trained on.",
        "7 of 40 evaluation rows lose the end of an answer to data.max_length=16 (rows 1, 2, 3, 4, "
        "5 …): they are judged by the whole answer. Set data.max_length=99 to keep all of them "
        "whole.",
        "kernels: 84 LoRA layers, 13 norms, 1 attention, 24 LoRA layers computed together",
        "kernels: 84 LoRA layers, 13 norms; attention is the model's own: the results differ; "
        "layers are computed one by one: the memory of cuda:0 was not enough to try it",
        "kernels: none: its layers take 5.2 GB in float32, and a trial takes 4.3 GB at most",
        "the same results in fewer passes over memory, while it trains; texts are padded, not "
        "packed: the results differ",
        "2 cores, threads: one each (as many as this machine has cores); waiting threads sleep (so "
        "that other programs on these cores slow it down little)",
        "a.zip is not to be trusted: it names a file '../x'.",
        "the model org/tiny is not on this machine, and models of the hub are fetched for members "
        "and admins only. Once one of them has asked, it is here.",
        "a.zip is damaged: experiment/notes.txt is missing.",
        "the files of experiment 0123456789ab are not on this machine: results/reviews holds no "
        "experiment.json. Where its folder was moved: tunesmith experiments import FOLDER. Else "
        "export it on the machine that trained it.",
        "All 5 trainings that ended have accuracy 0.5: it can't tell them apart. These differ: f1 "
        "(0.3 to 0.4); a sweep uses one of them with metric: f1.",
    ],
)
def test_what_is_made_of_several_parts_is_known_whole(sentence: str) -> None:
    assert said.is_known(sentence, "zh_TW")


def test_every_refusal_of_access_is_known() -> None:
    unknown = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "AccessError":
                text = node.args[0]
                parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                sentence = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "org/tiny"
                    for part in parts
                )
                if not said.is_known(sentence, "zh_TW"):
                    unknown.append(sentence)
    assert unknown == []


def test_a_sentence_that_is_unknown_is_not_taken_for_a_known_one() -> None:
    assert not said.is_known("The moon is made of cheese and nobody knows.", "zh_TW")
    assert "unknown field" in TEMPLATES


def test_markup_in_a_text_of_others_is_shown_as_it_is() -> None:
    shown = as_it_is("*a* _b_ $c$ [d](e) <b> :material/home: `f`")
    for escaped in (r"\*a\*", r"\$c\$", r"\<b\>", r"\[d\]"):
        assert escaped in shown
    assert ":material" not in shown.replace(":\N{WORD JOINER}", "")
    assert "a@b.org" not in as_it_is("a@b.org")
    assert as_it_is("reviews@3") == "reviews@3"
    assert as_it_is("1. one") == r"1\. one"
    assert code("a `b` c") == "``a `b` c``"
