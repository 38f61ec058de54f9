"""schemathesis, with all its checks, against the running API.

The short run makes the same requests each time: what it finds is a change's doing. A long run makes
new ones, on an open API too, and with every combination of a configuration's fields:

    TUNESMITH_SCHEMATHESIS_EXAMPLES=200 pytest tests/api/http/test_schemathesis.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from limits import RateLimitItemPerMinute
from tests.api.serving import Api, add_experiment
from tests.api.test_datasets import CSV, upload

from tunesmith.api.access import auth

EXAMPLES = int(os.environ.get("TUNESMITH_SCHEMATHESIS_EXAMPLES", "0"))
SEED = "325004029091600651592484596126444341256"
"""Of the short run: it once found an answer (413) that nothing expected."""

SHORTER = """
[[operations]]
include-operation-id = [
    "configuration_validate", "configuration_resolve", "configuration_check_rows",
    "configuration_rejected_rows", "configuration_row_tokens", "sweeps_begin_sweep",
    "configuration_estimate",
]
phases.coverage.enabled = false
"""
"""Leaves out thousands of configurations, each of which is held against its data."""


def run_schemathesis(api: Api, folder: Path, *arguments: str) -> None:
    """Run it, and fail with what it found."""
    assert upload(api, CSV.encode()).status_code == 201
    assert upload(api, CSV.encode() + b"one more,1\n").status_code == 201
    finished = add_experiment(api.store, api.settings)
    config = Path(__file__).with_name("schemathesis.toml").read_text()
    settings = folder / "schemathesis.toml"
    settings.write_text(
        config.replace("FINISHED", finished.id) + ("" if EXAMPLES else SHORTER), encoding="utf-8"
    )
    examples = (
        ["--max-examples", str(EXAMPLES)] if EXAMPLES else ["--max-examples", "2", "--seed", SEED]
    )
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "--config-file", settings,
            "run", f"{api.base_url}/openapi.json", "--checks", "all",
            "--suppress-health-check", "all", "--no-color", *examples, *arguments,
        ],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


@pytest.mark.timeout(600 if not EXAMPLES else 0)
def test_no_request_breaks_the_api_or_its_description(
    guarded: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It tries hundreds of wrong tokens, and has to see 401, not 429, for each.
    for limit in ("FAILURES", "ADDRESS_FAILURES"):
        monkeypatch.setattr(auth, limit, RateLimitItemPerMinute(1_000_000))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # nobody else is asked what it makes up
    token = guarded.headers["Authorization"]
    without = "--exclude-operation-id=access_revoke"  # it would revoke its own
    run_schemathesis(guarded, tmp_path, "--header", f"Authorization: {token}", without)


@pytest.mark.skipif(not EXAMPLES, reason="only in a long run")
@pytest.mark.timeout(0)
def test_nor_does_it_where_no_token_is_needed(api: Api, tmp_path: Path) -> None:
    run_schemathesis(api, tmp_path)
