"""Datasets over the API: uploaded, told by content, versioned, checked, compared."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import shutil
import sqlite3
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.api.serving import Api
from tests.api.test_train import problem

from tunesmith.settings import Settings

ROWS = [
    {"text": f"this is review number {n} and it is {'good' if n % 2 else 'bad'}", "label": n % 2}
    for n in range(40)
]
CSV = "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in ROWS)
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)


def parquet() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), stream)
    return stream.getvalue()


def upload(
    api: Api, content: bytes, name: str = "reviews", file: str = "reviews.csv", **fields: Any
) -> httpx2.Response:
    return api.post("/datasets", data={"name": name, **fields}, files={"file": (file, content)})


def workbook() -> bytes:
    book, stream = openpyxl.Workbook(), io.BytesIO()
    for row in (["text", "label"], *([row["text"], row["label"]] for row in ROWS)):
        book.active.append(row)
    book.save(stream)
    return stream.getvalue()


def database() -> bytes:
    with sqlite3.connect(":memory:") as made:
        made.execute("create table reviews (text, label)")
        made.executemany("insert into reviews values (:text, :label)", ROWS)
        made.commit()
        return made.serialize()


def archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        packed.writestr("reviews.csv", CSV)
    return stream.getvalue()


@pytest.fixture
def uploaded(api: Api) -> Api:
    assert upload(api, CSV.encode()).status_code == 201
    return api


@pytest.mark.parametrize(
    "content",
    [
        CSV.encode(),
        CSV.replace(",", "\t").encode(),
        JSONL.encode(),
        json.dumps(ROWS).encode(),
        json.dumps(ROWS, indent=1).encode(),
        gzip.compress(CSV.encode(), mtime=0),
        bz2.compress(JSONL.encode()),
        CSV.encode("utf-16"),
        CSV.replace(",", ";").encode("utf-16-le"),
        parquet(),
    ],
    ids=["csv", "tsv", "jsonl", "json", "pretty", "csv.gz", "jsonl.bz2", "utf-16", ";", "parquet"],
)
def test_a_file_is_told_by_its_content_whatever_its_name(api: Api, content: bytes) -> None:
    response = upload(api, content, file="../../etc/passwd.png")
    assert response.status_code == 201, response.text
    version = response.json()["version"]
    assert (version["reference"], version["rows"], version["columns"]) == (
        "reviews@1", 40, ["text", "label"],
    )  # fmt: skip
    assert (version["source"], version["created_by"]) == ("passwd.png", "local")
    assert not any(api.service.uploads.iterdir())


def test_an_upload_is_read_as_the_command_reads_it(api: Api) -> None:
    rows = "".join(
        f"這是第{n}次購買真的{'很好' if n % 2 else '不好'}用;{n % 2}\n" for n in range(40)
    )
    content = ("text;label\n" + rows).encode("cp950")
    named = {"set": ["data.encoding=big5", "data.delimiter=;", "data.header=true"]}
    asked: list[dict[str, Any]] = [{}, named]
    for fields in asked:
        version = upload(api, content, **fields).json()["version"]
        assert (version["reference"], version["rows"]) == ("reviews@1", 40)
    refused = problem(upload(api, content, set=["data.encoding=big-5"]), 422)
    assert "data.encoding: no such encoding" in refused["detail"]


def test_a_dataset_gets_versions_from_its_first_uploader_and_from_admins(guarded: Api) -> None:
    maria = guarded.as_(guarded.token("maria"))
    other = guarded.as_(guarded.token("other"))
    first = upload(maria, CSV.encode()).json()["version"]
    assert (first["created_by"], first["source"]) == ("maria", "reviews.csv")
    same = upload(other, CSV.encode()).json()["version"]
    assert (same["reference"], same["created_by"]) == ("reviews@1", "maria")  # nothing is made
    detail = problem(upload(other, (CSV + "another's,1\n").encode()), 403)["detail"]
    assert "reviews is maria's" in detail
    assert maria.get("/datasets/reviews").json()["current"] == "reviews@1"
    assert upload(maria, CSV.encode() + b"one more,1\n").json()["version"]["number"] == 2
    third = upload(guarded, CSV.encode() + b"an admin's,1\n").json()["version"]
    assert (third["reference"], third["created_by"]) == ("reviews@3", "root")


@pytest.mark.parametrize(
    ("content", "assignments"),
    [
        (b"text,label\n", []),
        (b"PAR1broken", []),
        (b"[1, 2", []),
        (CSV.encode(), ["task.text_column=nothing"]),
        (CSV.encode(), ["data.train_split=nothing"]),
    ],
)
def test_messages_call_a_file_as_its_sender_did(
    api: Api, content: bytes, assignments: list[str]
) -> None:
    file = "C:\\mine\\my reviews.csv"
    answers = [upload(api, content, file=file, set=assignments)]
    if not assignments:
        answers.append(api.post("/datasets/inspect", files={"file": (file, content)}))
    for response in answers:
        problem(response, 422)
        assert "uploads" not in response.text
        assert str(api.settings.results_dir) not in response.text


def test_the_same_content_is_one_version_and_can_be_trained_on(
    uploaded: Api, config: dict[str, Any]
) -> None:
    again = upload(uploaded, JSONL.encode()).json()
    assert (again["new"], again["version"]["number"]) == (False, 1)
    assert upload(uploaded, CSV.encode() + b"one more,1\n").json()["version"]["number"] == 2
    listed = uploaded.get("/datasets").json()["items"]
    assert [(item["name"], item["versions"]) for item in listed] == [("reviews", 2)]
    assert uploaded.get("/datasets/reviews").json()["current"] == "reviews@2"
    assert uploaded.post("/train", json=config).status_code == 202


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04rest", b"%PDF-1.7", b"\x89PNG\r\n", bytes(range(256)) * 4, b"\x1f\x8bbroken",
     b"PAR1broken", b"[1, 2", b"text,label\n", b"\x00" * 5000],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_words(api: Api, content: bytes) -> None:
    problem(upload(api, content), 422)
    assert api.get("/datasets").json()["items"] == []
    assert not any(api.service.uploads.iterdir())


def test_a_zip_bomb_does_not_fill_the_memory(api: Api) -> None:
    bomb = gzip.compress(b"text,label\n" + b"a" * (300 << 20), compresslevel=9)
    api.settings.__dict__["max_upload_bytes"] = len(bomb)
    detail = problem(upload(api, gzip.compress(bomb, mtime=0)[:10] + bomb[10:]), 422)["detail"]
    assert "expands" in detail


def test_a_file_that_is_too_large_is_refused_and_gone(api: Api) -> None:
    detail = problem(upload(api, b"x" * 200_001), 413)["detail"]
    assert "200,000 bytes" in detail
    problem(upload(api, b"x" * 5_000_000), 413)
    assert not api.service.uploads.exists() or not any(api.service.uploads.iterdir())


@pytest.mark.parametrize("name", ["", "../x", "a b", "x.csv", "n\0", "a/b", "<b>", "x" * 101])
def test_impossible_names_of_datasets_are_refused(api: Api, name: str) -> None:
    problem(upload(api, CSV.encode(), name=name), 422)


@pytest.mark.parametrize(
    "assignment",
    ["data.dataset_name=/etc/passwd", "model.name=/etc", "experiment_name=x", "nonsense",
     "data.validation_rules.min_text_length=x", "task.nonsense=1"],
)  # fmt: skip
def test_an_upload_sets_only_how_it_is_read(api: Api, assignment: str) -> None:
    problem(upload(api, CSV.encode(), set=[assignment]), 422)


def test_columns_and_rules_can_be_set(api: Api) -> None:
    content = CSV.replace("text,label", "words,verdict").encode()
    settings = [
        "task.text_column=words",
        "task.label_column=verdict",
        "data.eval_samples=8",
        "data.validation_rules.min_text_length=100",
        "data.validation_rules.short_texts=warn",
    ]
    response = upload(api, content, set=settings, description="<b>bold</b>")
    assert response.status_code == 201, response.text
    version = response.json()["version"]
    assert version["description"] == "<b>bold</b>"
    assert version["splits"] == {"train": 40 - 8, "held_out": 8}
    report = api.get("/datasets/reviews/1/report").json()
    assert report["report"]["counts"] == {"short_texts": 40}


def test_the_report_of_a_version_is_its_own_and_not_that_of_equal_rows_elsewhere(api: Api) -> None:
    strict = ["data.validation_rules.min_text_length=100", "data.validation_rules.short_texts=warn"]
    upload(api, CSV.encode(), set=strict)
    upload(api, CSV.encode(), name="others")
    counts = [
        api.get(f"/datasets/{name}/1/report").json()["report"]["counts"]
        for name in ("reviews", "others")
    ]
    assert counts == [{"short_texts": 40}, {}]


def test_what_takes_long_waits_its_turn_and_everything_else_is_answered(
    api: Api, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]
) -> None:
    for name in ("kept", "first", "second", "third"):
        upload(api, CSV.encode(), name=name)
    assert api.get("/datasets/kept/1/report").status_code == 200
    begun, done = threading.Semaphore(0), threading.Event()

    def checked_when_told(*given: Any) -> Any:
        begun.release()
        assert done.wait(60)
        return run(*given)

    run = api.service.computing.run
    monkeypatch.setattr(api.service.computing, "run", checked_when_told)
    api.service.turns._patience = 0.05
    with ThreadPoolExecutor() as others:
        held = [others.submit(api.get, f"/datasets/{n}/1/report") for n in ("first", "second")]
        assert all(begun.acquire(timeout=30) for _ in held)
        refused = [
            api.get("/datasets/third/1/report"),
            api.get("/datasets/kept/diff", params={"old": 1, "new": 1}),
            api.post("/configuration/validate", json=config),
            upload(api, CSV.encode(), name="fourth"),
        ]
        for response in refused:
            problem(response, 503)
            assert response.headers["retry-after"]
        for path in ("kept/1/report", "kept"):
            assert api.get(f"/datasets/{path}").status_code == 200
        same = others.submit(api.get, "/datasets/first/1/report")
        done.set()
        assert [one.result().status_code for one in (*held, same)] == [200] * 3
    assert api.get("/datasets/third/1/report").status_code == 200


@pytest.mark.parametrize("body", [b"", b"--b\r\n", b"nonsense", b"--b\r\n\r\nx\r\n--b--\r\n"])
def test_a_form_that_is_none_is_one_clear_problem(api: Api, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    problem(api.post("/datasets", content=body, headers=headers), 422)
    problem(api.post("/datasets", json={"file": "x"}), 415)
    problem(api.post("/datasets", files={"files": b"x"}), 422)


def test_a_version_has_a_preview_and_a_report(uploaded: Api) -> None:
    preview = uploaded.get("/datasets/reviews/1/preview", params={"rows": 2}).json()
    assert preview["columns"] == ["text", "label"]
    assert {row["split"] for row in preview["rows"]} == {"train", "held_out"}
    assert preview["rows"][0]["values"]["text"].startswith("this is review")
    text = "x" * 1900
    rows = "".join(f"{text} {n},{n % 2},{text},{text}\n" for n in range(900))
    packed = gzip.compress(f"text,label,a,b\n{rows}".encode())
    assert upload(uploaded, packed, name="long").status_code == 201
    whole = uploaded.get("/datasets/long/1/preview", params={"rows": 1000})
    assert 1_000_000 < len(whole.content) < 4_500_000
    upload(uploaded, CSV.encode() + str(ROWS[0]["text"]).encode() + b",0\n")
    report = uploaded.get("/datasets/reviews/2/report", params={"findings": 1}).json()
    assert report["report"]["counts"]["duplicates"] == 1
    assert len(report["report"]["findings"]) == 1
    assert report["report"]["total_samples"] == 41


def test_two_versions_are_compared(uploaded: Api) -> None:
    upload(uploaded, CSV.encode() + b"one more row,1\n")
    path = "/datasets/reviews/diff"
    body = uploaded.get(path, params={"old": 1, "new": "reviews@2"}).json()
    assert (body["old"], body["new"], body["changes"]["added"]) == ("reviews@1", "reviews@2", 1)
    problem(uploaded.get(path, params={"old": 1, "new": 9}), 404)
    problem(uploaded.get(path), 422)


@pytest.mark.parametrize(
    "path",
    ["nothing", "nothing/1", "reviews/9", "reviews/9/preview", "%2e%2e", "..%2f..%2fetc/1",
     "a%00b", "reviews.csv", "reviews/99999999999999999999", "nothing/1/report"],
)  # fmt: skip
def test_datasets_that_are_not_there_are_not_found(uploaded: Api, path: str) -> None:
    assert uploaded.get(f"/datasets/{path}").status_code in (404, 422)
    assert uploaded.get(f"/datasets/{path}").headers["content-type"] == "application/problem+json"


def test_an_upload_is_in_the_audit_trail(uploaded: Api) -> None:
    entry = uploaded.get("/audit").json()["items"][0]
    assert (entry["action"], entry["target"]) == ("dataset.import", "reviews@1")
    assert entry["details"] == {"new": True, "file": "reviews.csv"}


def test_a_dataset_in_any_script_is_kept_found_and_trained_on(api: Api) -> None:
    sent = upload(api, CSV.encode(), name="cafe\u0301-評論", file="評論.csv")
    assert sent.json()["version"]["reference"] == "caf\u00e9-評論@1"
    for asked in ("caf\u00e9-評論", "cafe\u0301-評論"):
        assert api.get(f"/datasets/{asked}").json()["current"] == "caf\u00e9-評論@1"
        assert api.get(f"/datasets/{asked}/1/preview").status_code == 200
    assert [item["name"] for item in api.get("/datasets").json()["items"]] == ["caf\u00e9-評論"]


def test_rows_of_a_version_are_shown_as_the_model_sees_them(
    uploaded: Api, settings: Settings, tiny_distilbert: Path
) -> None:
    shutil.copytree(tiny_distilbert, settings.data_dir / "tiny")
    config = {
        "task": "text-classification",
        "model": {"name": str(settings.data_dir / "tiny")},
        "data": {"dataset_name": "reviews@1"},
    }
    sent = uploaded.post("/configuration/tokens?row=1&row=2", json=config)
    assert sent.status_code == 200, sent.text
    rows = sent.json()["rows"]
    assert [row["row"] for row in rows] == [1, 2]
    assert all(row["sequences"][0]["tokens"] for row in rows)
    assert rows[1]["target"] == "1"
    missing = uploaded.post("/configuration/tokens?row=999", json=config)
    assert "there is no row 999" in missing.text


def test_a_look_at_a_file_says_how_it_was_read_and_reads_it_as_asked(api: Api) -> None:
    content = "評論,標籤\n服務很好,正面\n等了很久,負面\n".encode("cp950")
    found = api.post("/datasets/inspect", files={"file": ("a.csv", content)}).json()
    assert "read as CSV (encoding cp950)" in found["reading"]
    assert found["messages"]["/reading/0"]["template"] == "read as {format} ({details})"
    assert [column["name"] for column in found["columns"]] == ["評論", "標籤"]
    settings = ["data.delimiter=;", "data.header=false"]
    other = api.post(
        "/datasets/inspect", data={"set": settings}, files={"file": ("a.csv", b"a b;1\nc d;2\n")}
    ).json()
    assert other["reading"] == ["read as CSV (delimiter ;)"]
    assert other["rows"] == {"train": 2}


@pytest.mark.parametrize("setting", ["data.encoding=no-such", "data.layout=nothing", "lora.r=4"])
def test_a_look_refuses_what_it_cannot_follow(api: Api, setting: str) -> None:
    files = {"file": ("a.csv", CSV.encode())}
    said = problem(api.post("/datasets/inspect", data={"set": [setting]}, files=files), 422)
    assert setting.partition("=")[0] in json.dumps(said)
