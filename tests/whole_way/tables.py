"""Tables of texts and labels, in every format of files, by the programs that people have."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import sqlite3
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
from tests.data.reading.test_spreadsheets import write_ods, write_xls, write_xlsx
from tests.whole_way.case import ROWS, TEXTS, VERDICTS, Case

FRAME = pd.DataFrame({"text": TEXTS, "label": VERDICTS})
ARROW = pa.Table.from_pandas(FRAME, preserve_index=False)
CHINESE = pd.DataFrame({
    "內容": [f"第{n}次購買的{['真的很好用', '用了兩天就壞掉'][n % 2]}" for n in range(ROWS)],
    "標籤": ["好評" if n % 2 == 0 else "負評" for n in range(ROWS)],
})  # fmt: skip
SCORES = pd.DataFrame({"text": TEXTS, "score": [round(n / 7, 3) for n in range(ROWS)]})
FIRST = (TEXTS[0], VERDICTS[0])

Write = Callable[[Path], object]


def frame_csv(frame: pd.DataFrame, **options: Any) -> Write:
    return lambda path: frame.to_csv(path, index=False, **options)


def excel_csv(path: Path) -> None:
    """As Excel's "CSV" where the list separator is a semicolon, with its line of it."""
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        stream.write("sep=;\r\n")
        writer = csv.writer(stream, dialect="excel", delimiter=";")
        writer.writerows([FRAME.columns, *FRAME.to_numpy()])


def pandas_json(orient: Any, **options: Any) -> Write:
    return lambda path: FRAME.to_json(path, orient=orient, **options)


def dictionary(orient: Any) -> Write:
    return lambda path: path.write_text(json.dumps(FRAME.to_dict(orient)), "utf-8")


def viewer(path: Path) -> None:
    """As https://datasets-server.huggingface.co/rows answers."""
    names = sorted({*VERDICTS})
    features = [
        {"feature_idx": 0, "name": "text", "type": {"dtype": "string", "_type": "Value"}},
        {"feature_idx": 1, "name": "label", "type": {"names": names, "_type": "ClassLabel"}},
    ]
    rows = [
        {"row_idx": n, "row": {"text": text, "label": names.index(label)}, "truncated_cells": []}
        for n, (text, label) in enumerate(zip(TEXTS, VERDICTS, strict=True))
    ]
    document = {
        "features": features, "rows": rows, "num_rows_total": ROWS, "num_rows_per_page": 100,
        "partial": False,
    }  # fmt: skip
    path.write_text(json.dumps(document), "utf-8")


def sheet(write: Callable[..., object]) -> Write:
    rows = [FRAME.columns.tolist(), *FRAME.to_numpy().tolist()]
    return lambda path: write(path, Notes=[], Reviews=rows)


def arrow_stream(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, ARROW.schema) as stream:
        stream.write_table(ARROW)


def old_feather(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        feather.write_feather(ARROW, str(path), version=1)


def views(path: Path) -> None:
    """Polars' own strings, string_view."""
    pl.from_pandas(FRAME).write_ipc(path, compat_level=pl.CompatLevel.newest())


def database(path: Path) -> None:
    connection = sqlite3.connect(path)
    with connection:
        FRAME.to_sql("reviews", connection, index=False)
    connection.close()


def packed(pack: Callable[[bytes], bytes], write: Write) -> Write:
    def write_packed(path: Path) -> None:
        with TemporaryDirectory() as folder:
            plain = Path(folder, path.stem)
            write(plain)
            path.write_bytes(pack(plain.read_bytes()))

    return write_packed


def zstandard(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


def parts(folder: Path) -> None:
    """A folder with files named by split."""
    folder.mkdir()
    FRAME[:16].to_csv(folder / "train.csv", index=False)
    FRAME[16:20].to_json(folder / "validation.jsonl", orient="records", lines=True)
    FRAME[20:].to_parquet(folder / "test.parquet", index=False)


def zipped(write: Write, inner: str) -> Write:
    def write_zip(path: Path) -> None:
        with TemporaryDirectory() as folder, zipfile.ZipFile(path, "w") as archive:
            write(Path(folder, inner))
            for file in sorted(each for each in Path(folder).rglob("*") if each.is_file()):
                archive.write(file, file.relative_to(folder))

    return write_zip


def tarred(write: Write, inner: str, mode: Any) -> Write:
    def write_tar(path: Path) -> None:
        with TemporaryDirectory() as folder, tarfile.open(path, mode) as archive:
            write(Path(folder, inner))
            archive.add(Path(folder, inner), inner)

    return write_tar


def saved_to_disk(folder: Path) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    whole = datasets.Dataset.from_dict({"text": TEXTS, "label": VERDICTS}, features)
    whole.save_to_disk(str(folder))


def labelled_folders(folder: Path) -> None:
    """A folder of texts for each label, as Stanford's reviews of films come."""
    for number, (text, label) in enumerate(zip(TEXTS, VERDICTS, strict=True)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / f"{number}.txt").write_text(text, "utf-8")


def fast_text(path: Path) -> None:
    """As https://fasttext.cc/docs/en/supervised-tutorial.html has it."""
    rows = zip(VERDICTS, TEXTS, strict=True)
    path.write_text("".join(f"__label__{label} {text}\n" for label, text in rows), "utf-8")


def one_hot(path: Path) -> None:
    frame = pd.get_dummies(FRAME, columns=["label"], prefix="", prefix_sep="", dtype=int)
    frame.to_csv(path, index=False)


def _table(name: str, write: Write, form: str | None, **more: Any) -> Case:
    return Case(
        name, write, **{"task": "text-classification", "first": FIRST, "format": form} | more
    )


def _csv() -> Iterator[Case]:
    yield _table("comma.csv", frame_csv(FRAME), "csv")
    yield _table(
        "quoted.csv", frame_csv(FRAME, quoting=csv.QUOTE_ALL, lineterminator="\r\n"), "csv"
    )
    yield _table("semicolon.csv", frame_csv(FRAME, sep=";"), "csv")
    yield _table("bar.csv", frame_csv(FRAME, sep="|"), "csv")
    yield _table("polars.csv", lambda path: pl.from_pandas(FRAME).write_csv(path), "csv")
    yield _table("excel.csv", excel_csv, "csv")
    yield _table("unicode.csv", frame_csv(FRAME, sep="\t", encoding="utf-16"), "csv")
    yield _table("index.csv", FRAME.to_csv, "csv")
    yield _table("tab.tsv", frame_csv(FRAME, sep="\t"), "tsv")
    chinese = {"first": tuple(CHINESE.iloc[0])}
    for encoding in ("cp950", "gb18030", "utf-8-sig"):
        yield _table(f"{encoding}.csv", frame_csv(CHINESE, encoding=encoding), "csv", **chinese)
    yield _table("scores.csv", frame_csv(SCORES), "csv", task="regression", first=(TEXTS[0], 0.0))
    yield _table(
        "no names.csv", frame_csv(FRAME, header=False), "csv", sets=("data.header=false",)
    )  # fmt: skip
    yield _table(
        "one hot.csv", one_hot, "csv", first=(TEXTS[0], ["good"]),
        sets=("task.label_columns=[bad, good]", "task.multi_label=true"),
    )  # fmt: skip


def _json() -> Iterator[Case]:
    for orient in ("records", "columns", "index", "split", "table"):
        yield _table(f"{orient}.json", pandas_json(orient), "json")
    yield _table("list.json", dictionary("list"), "json")
    yield _table("tight.json", dictionary("tight"), "json")
    yield _table("viewer.json", viewer, "json")
    yield _table("lines.jsonl", pandas_json("records", lines=True), "jsonl")
    yield _table("polars.ndjson", lambda path: pl.from_pandas(FRAME).write_ndjson(path), "jsonl")
    yield _table(
        "datasets.jsonl", lambda path: datasets.Dataset(ARROW).to_json(path, force_ascii=False),
        "jsonl",
    )  # fmt: skip


def _columns() -> Iterator[Case]:
    yield _table("pandas.parquet", lambda path: FRAME.to_parquet(path, index=False), "parquet")
    yield _table(
        "polars.parquet", lambda path: pl.from_pandas(FRAME).write_parquet(path), "parquet"
    )
    yield _table(
        "dictionary.parquet",
        lambda path: pq.write_table(
            ARROW.set_column(1, "label", ARROW["label"].dictionary_encode()), path
        ),
        "parquet",
    )
    yield _table("views.arrow", views, "arrow")
    yield _table("stream.arrows", arrow_stream, "arrow")
    yield _table("old.feather", old_feather, "arrow")
    yield _table("table.feather", FRAME.to_feather, "arrow")
    yield _table("table.orc", FRAME.to_orc, "orc")
    yield _table("table.avro", lambda path: pl.from_pandas(FRAME).write_avro(path), "avro")


def _others() -> Iterator[Case]:
    yield _table("book.xlsx", sheet(write_xlsx), "spreadsheet")
    yield _table("macros.xlsm", sheet(write_xlsx), "spreadsheet")
    yield _table("book.ods", sheet(write_ods), "spreadsheet")
    yield _table("old.xls", sheet(write_xls), "spreadsheet")
    yield _table("reviews.db", database, "sqlite")
    yield _table("asked.db", database, None, query="select text, label from reviews")
    plain = frame_csv(FRAME)
    for ending, pack in (
        (".gz", gzip.compress), (".bz2", bz2.compress), (".zst", zstandard), (".xz", lzma.compress),
    ):  # fmt: skip
        yield _table(f"packed.csv{ending}", packed(pack, plain), "csv")
    yield _table("book.xlsx.gz", packed(gzip.compress, sheet(write_xlsx)), "spreadsheet")
    yield _table("one.zip", zipped(plain, "reviews.csv"), "csv")
    for kind in ("", "gz", "bz2", "xz"):
        ending = f".{kind}" if kind else ""
        yield _table(f"one.tar{ending}", tarred(plain, "reviews.csv", f"w:{kind}"), "csv")
    yield _table("one.tar.zst", packed(zstandard, tarred(plain, "reviews.csv", "w")), "csv")
    for name, write in (
        ("folder", parts),
        ("folder.zip", zipped(parts, "all")),
        ("folder.tgz", tarred(parts, "all", "w:gz")),
    ):
        yield _table(name, write, None)
    yield _table("saved_to_disk", saved_to_disk, None)
    yield _table("reviews.ft", fast_text, "fasttext")
    yield _table("reviews.txt", fast_text, "fasttext")
    yield _table("labelled", labelled_folders, None)
    yield _table("labelled.zip", zipped(labelled_folders, "labelled"), None)


TABLES = [*_csv(), *_json(), *_columns(), *_others()]
