"""The round that every worker and API makes."""

from __future__ import annotations

from pathlib import Path

from tests.jobs.conftest import Queue

from tunesmith.experiments import control
from tunesmith.experiments.mirroring import Mirroring
from tunesmith.jobs.maintenance import Maintenance
from tunesmith.jobs.queue import Notifier
from tunesmith.settings import Settings
from tunesmith.tracking.store import Store


def test_what_was_deleted_on_another_machine_is_deleted_on_this_one(
    settings: Settings, store: Store, queue: Queue, tmp_path: Path
) -> None:
    elsewhere = settings.model_copy(update={"artifacts": f"file://{tmp_path}/copies"})
    here = elsewhere.model_copy(update={"results_dir": tmp_path / "here"})
    experiment = queue()
    folder = Path(str(experiment.directory))
    Mirroring(folder, elsewhere).update()
    Mirroring(here.results_dir / folder.name, here)
    control.cancel(experiment.id, store)
    control.delete(experiment.id, store, elsewhere)
    notifier = Notifier(here)
    Maintenance(store, here, notifier).round()
    notifier.close()
    assert list(here.results_dir.iterdir()) == []
