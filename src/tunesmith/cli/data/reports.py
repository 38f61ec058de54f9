"""Where the reports about data go."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from tunesmith.data.sources import Source
from tunesmith.experiments.datasets.importing import version_name
from tunesmith.settings import Settings

REPORTS = ("check.json", "analysis.json")
LOOKED_AT = 1 << 14
"""Characters of a report in which it says what it is about."""


def report_folder(settings: Settings, source: Source) -> Path:
    """Where these data's reports go: a folder called after them, without reports about others."""
    place = source.location
    folder = settings.results_dir / "data_reports" / version_name(source)
    reports = [report for report in map(folder.joinpath, REPORTS) if report.is_file()]
    written = json.dumps(place, ensure_ascii=False)
    if not reports or any(written in _beginning(report) for report in reports):
        return folder
    return folder.with_name(f"{folder.name}-{sha256(place.encode()).hexdigest()[:8]}")


def _beginning(report: Path) -> str:
    """The lines of a report that say what it is about."""
    with report.open(encoding="utf-8", errors="replace") as stream:
        return stream.read(LOOKED_AT)
