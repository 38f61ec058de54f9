"""Who visits: signed in with a token, in the language of the browser or the chosen one."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import expect
from tests.ui.conftest import Seen, settled, stack
from tests.ui.test_lists import fill

from tunesmith.api.access.tokens import create_token
from tunesmith.schemas.enums import Role

SCRIPT = Path(__file__).parents[2] / "scripts" / "translations.py"
PAGES = ("", "new", "experiments", "compare", "sweeps", "adapters", "try", "data", "system")


@pytest.fixture(scope="module")
def translations() -> ModuleType:
    """The script that keeps the catalogues."""
    spec = importlib.util.spec_from_file_location("translations", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_speaks_the_browsers_language_whole_until_another_is_chosen(
    tmp_path: Path, see: Seen, translations: ModuleType
) -> None:
    english = {text for m in translations.texts() if m.id
               for text in ([m.id] if isinstance(m.id, str) else m.id)
               if re.search(r"[a-z]{4}", text)}  # fmt: skip
    with stack(tmp_path / "stack", "api", "ui") as made:
        experiment = fill(made, 12)[0]
        page = see(made.url, locale="zh-TW")
        for name in (*PAGES, f"experiment?id={experiment.id}"):
            page.goto(f"{made.url}/{name}")
            page.wait_for_selector("h1")
            settled(page)
            lines = {line.strip() for line in page.inner_text("body").splitlines()}
            # A language is called by its own name, and an icon is drawn by its.
            assert lines & english <= {"English", "error"}, name
        page.get_by_role("link", name="English").click()
        expect(page.get_by_role("link", name="繁體中文")).to_be_visible()
        page.goto(made.url)
        expect(page.get_by_role("heading", name="Home")).to_be_visible()


def test_where_the_api_asks_for_tokens_the_page_does_and_shows_what_one_may(
    tmp_path: Path, see: Seen
) -> None:
    with stack(tmp_path / "stack", TUNESMITH_REQUIRE_TOKENS="true") as made:
        with made.store() as store:
            _, admin = create_token("anna", Role.ADMIN, store, "tests")
            _, viewer = create_token("vera", Role.VIEWER, store, "tests")
        made.start("api", "ui")
        page = see(made.url)
        page.get_by_label("Access token").fill("ts_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("unknown, has expired or was revoked")).to_be_visible()
        page.get_by_label("Access token").fill(admin)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("anna · admin")).to_be_visible()
        assert admin not in page.content()
        page.goto(f"{made.url}/system")
        page.get_by_role("tab", name="Access tokens").click()
        expect(page.get_by_text("vera")).to_be_visible()
        page.get_by_role("link", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        page.get_by_label("Access token").fill(viewer)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("vera · viewer")).to_be_visible()
        page.goto(f"{made.url}/new")
        expect(page.get_by_text("but not train")).to_be_visible()
        settled(page)
