"""Dataset versions in an S3 bucket: as in a folder, and clear when the bucket can't be used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import PyFileSystem
from tests.data.versions.version_tables import record, reviews, texts
from tests.servers.s3_server import call, s3_server
from tests.store.records import answers, python

from tunesmith.data.versions.store import Versions
from tunesmith.errors import DataError, NotFoundError, StorageError

SECRET = "wJalrXUtnFEMIsecret"
BUCKET = "reviews-bucket"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def root(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address in a new bucket, with all that reaches it in the environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNNTESTING",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    call("POST", f"{server}/moto-api/reset")
    call("PUT", f"{server}/{BUCKET}")
    return f"s3://{BUCKET}/some/data-sets"


def test_versions_live_in_a_bucket_as_in_a_folder(root: str) -> None:
    versions = Versions(f"{root}/")
    assert (versions.list(), versions.names()) == ([], [])
    with pytest.raises(NotFoundError, match=r"no dataset 'reviews' in s3://.*; there are no data"):
        versions.get("reviews")
    first, new = record(versions, {"train": reviews("a", "b"), "test": reviews("c")})
    assert new
    assert record(versions, {"train": reviews("a", "b"), "test": reviews("c")}) == (first, False)
    record(versions, reviews("x", label=[None]))
    record(versions, reviews("y"), "other")
    assert versions.names() == ["other", "reviews"]
    assert [one.reference for one in versions.list()] == ["other@1", "reviews@2", "reviews@1"]
    assert versions.get("reviews").parent == 1
    assert texts(versions, "reviews@1", "test") == ["c"]
    versions.tag("reviews@1", "gold")
    versions.restore("reviews@gold")
    assert texts(versions, "reviews") == ["a", "b"]
    versions.untag("reviews", "gold")
    assert versions.get("reviews@1") == first


RECORD = """
import sys
from tests.data.versions.version_tables import record, reviews
from tunesmith.data.versions.store import Versions
versions = Versions(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for text in sys.argv[2:]:
    version, new = record(versions, reviews(text))
    print(version.number, new, flush=True)
"""


def test_processes_that_record_in_one_bucket_all_land(root: str) -> None:
    contents = [["a", "same"], ["b", "same"], ["c", "same"]]
    outputs = answers([python(RECORD, root, *each) for each in contents])
    news = [line.split()[1] for output in outputs for line in output.splitlines()]
    assert news.count("True") == 4
    versions = Versions(root)
    made = versions.list()
    assert [(one.number, one.parent) for one in made] == [(4, 3), (3, 2), (2, 1), (1, None)]
    found = sorted(texts(versions, one.reference)[0] for one in made)
    assert found == ["a", "b", "c", "same"]


def test_a_bucket_that_is_not_there_is_said(root: str) -> None:
    versions = Versions("s3://no-such-bucket/datasets")
    for ask in (
        versions.list,
        lambda: versions.get("reviews"),
        lambda: record(versions, reviews("a")),
    ):
        with pytest.raises(StorageError, match=r"NoSuchBucket.*make the bucket"):
            ask()


def test_a_server_that_is_not_there_is_said(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    versions = Versions(root)
    with pytest.raises(StorageError, match=r"refused.*look at AWS_ENDPOINT_URL") as told:
        versions.get("reviews")
    assert len(str(told.value).splitlines()) == 1
    with pytest.raises(StorageError, match=r"refused.*look at AWS_ENDPOINT_URL"):
        versions.list()


def test_credentials_that_are_refused_are_said_without_them(root: str, server: str) -> None:
    record(Versions(root), reviews("a"))
    call("POST", f"{server}/moto-api/reset-auth", b"0")  # from now on moto looks at who asks
    try:
        with pytest.raises(StorageError, match="AWS_ACCESS_KEY_ID") as told:
            Versions(root).get("reviews")
    finally:
        call("POST", f"{server}/moto-api/reset-auth", b"Infinity")
    assert SECRET not in str(told.value)
    assert "AKIAIOSFODNNTESTING" not in str(told.value)


def test_rows_that_are_gone_from_the_bucket_are_said(root: str) -> None:
    versions = Versions(root)
    record(versions, reviews("a"))
    (file,) = DeltaTable(f"{root}/reviews").file_uris()
    bucket = PyFileSystem(DeltaStorageHandler(f"{root}/reviews"))
    bucket.delete_file(file.rpartition("/")[2])
    with pytest.raises((DataError, StorageError), match="dataset reviews"):
        texts(versions, "reviews")
