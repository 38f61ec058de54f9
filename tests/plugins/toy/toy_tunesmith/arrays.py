"""An exporter: the merged model's weights as arrays of NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.files.writing import hashes, placed
from tunesmith.serving.exporters.base import Exported, Exporter, Option
from tunesmith.settings import Settings

if TYPE_CHECKING:
    from tunesmith.serving.exporters.parts.work import Work


class Arrays(Exporter):
    """One file with an array for each weight."""

    name = "toy-arrays"
    summary = "One file with an array of NumPy for each weight."
    place = "{}.npz"
    weights = "float32"
    options = (Option("toy-small", "Pack the arrays."),)

    def __init__(
        self, settings: Settings, form: str | None = None, *, toy_small: bool = False
    ) -> None:
        super().__init__(settings, form)
        self.small = toy_small

    def export(self, work: Work, place: Path, *, force: bool) -> Exported:
        import numpy as np
        import torch

        with placed(place, force=force) as staging:
            model = work.merged()
            arrays: dict[str, Any] = {n: t.numpy() for n, t in model.state_dict().items()}
            save: Any = np.savez_compressed if self.small else np.savez
            with staging.open("wb") as stream:
                save(stream, **arrays)
            with np.load(staging) as read:
                model.load_state_dict({name: torch.from_numpy(read[name]) for name in read.files})
            agreement = work.verify(model, work.tokenizer)
        return Exported(self.name, str(place), hashes(place), agreement, "a toy")
