"""Forms with a file: what is accepted, what is refused and how, and that nothing is left of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import httpx2
import pytest
from tests.api.serving import Api
from tests.api.test_datasets import CSV
from tests.api.test_train import problem

NAME = ('name="name"', b"reviews")
TABLE = ('name="file"; filename="reviews.csv"', CSV.encode())


def form(*parts: tuple[str, bytes], end: bytes = b"--b--\r\n") -> bytes:
    """A form: what `Content-Disposition` says of each part, and what the part holds."""
    written = (
        b"--b\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (said.encode(), content)
        for said, content in parts
    )
    return b"".join(written) + end


def send(api: Api, body: bytes, kind: str = "multipart/form-data; boundary=b") -> httpx2.Response:
    return api.post("/datasets", content=body, headers={"Content-Type": kind})


def nothing_is_left(api: Api) -> bool:
    return not api.service.uploads.exists() or not any(api.service.uploads.iterdir())


@pytest.mark.parametrize(
    ("parts", "status", "said"),
    [
        ([TABLE, NAME, ('name="colour"', b"red")], 422, "colour: unknown field; accepted: file, "),
        ([TABLE, TABLE, NAME], 422, "file: only one at a time"),
        ([NAME], 422, "file: required, and not given"),
        ([TABLE, ('name="name"', b"x" * 16_385)], 413, "The field name is larger than 16,384 "),
        ([TABLE, NAME, *[('name="set"', b"a=1")] * 51], 422, "set: is given more than 50 times"),
        ([('name="file"; filename="x"', b"x" * 200_001), NAME], 413, "larger than the 200,000 "),
    ],
    ids=["unknown", "two files", "none", "long", "many", "large"],
)
def test_each_limit_of_a_form_is_one_clear_problem(
    api: Api, parts: list[tuple[str, bytes]], status: int, said: str
) -> None:
    assert said in problem(send(api, form(*parts)), status)["detail"]
    assert nothing_is_left(api)


def test_a_form_that_ends_in_the_middle_is_no_upload(api: Api) -> None:
    detail = problem(send(api, form(NAME, TABLE, end=b"")), 422)["detail"]
    assert "ends in the middle" in detail
    assert nothing_is_left(api)


def test_what_is_a_file_is_told_by_the_name_of_its_field(api: Api) -> None:
    named = ('name="name"; filename="name.txt"', b"reviews")
    bare = ('name="file"', CSV.encode())
    version = send(api, form(named, bare)).json()["version"]
    assert (version["reference"], version["source"]) == ("reviews@1", "upload")


@pytest.mark.parametrize("charset", ["utf-16", "punycode", "unicode_escape", "no-such", "zlib"])
def test_a_form_is_utf_8_whatever_charset_it_names(api: Api, charset: str) -> None:
    told = ('name="description"', "\\ud800 é".encode())
    kind = f"multipart/form-data; charset={charset}; boundary=b"
    answer = send(api, form(NAME, told, TABLE), kind)
    assert answer.status_code == 201, answer.text
    assert answer.json()["version"]["description"] == "\\ud800 é"


def test_a_file_never_lies_in_the_folder_for_temporary_files(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.settings.__dict__["max_upload_bytes"] = 1_200_000
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    table = "text,label\n" + "".join(f"{'good' * 25} {n},{n % 2}\n" for n in range(10_000))
    large = ('name="file"; filename="large.csv"', table.encode())
    answer = send(api, form(NAME, large))
    assert answer.status_code == 201, answer.text
    assert answer.json()["version"]["rows"] == 10_000
    assert nothing_is_left(api)


def test_where_uploads_cannot_be_written_it_is_said_and_asked_for_again(api: Api) -> None:
    api.service.uploads.parent.mkdir(exist_ok=True)
    api.service.uploads.write_text("in the way")
    answer = send(api, form(NAME, TABLE))
    problem(answer, 503)
    assert answer.headers["retry-after"]
