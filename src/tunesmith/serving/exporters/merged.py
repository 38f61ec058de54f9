"""`--to merged`: a model folder of its own, in which the adapter's weights are part of the base's.

What loads the base model loads it: transformers, vLLM, TGI, llama.cpp's converter.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.files.writing import placed
from tunesmith.messages import say
from tunesmith.serving.exporters.base import Exported, Exporter
from tunesmith.serving.exporters.parts.agreement import FORMATS
from tunesmith.settings import Settings
from tunesmith.tasks.tokens.places import ModelPlace
from tunesmith.training.reporting.card import MERGED

if TYPE_CHECKING:
    from tunesmith.serving.exporters.parts.work import Work


class Merged(Exporter):
    """The adapter's weights added to the base model's."""

    name = "merged"
    summary = "A model folder of its own, for transformers, vLLM, TGI and converters."
    place = "{}-merged"
    formats = FORMATS
    usual_format = "as the base model is stored"

    def __init__(self, settings: Settings, form: str | None = None) -> None:
        super().__init__(settings, form)
        self.weights = form

    def export(self, work: Work, place: Path, *, force: bool) -> Exported:
        from transformers import AutoTokenizer

        with placed(place, force=force) as staging:
            model = work.merged()
            work.progress(say("writing the merged model"))
            model.save_pretrained(staging)
            work.describe(staging, MERGED, work.task.usage(ModelPlace(repr(place.name))))
            del model
            work.free()
            work.progress(say("loading it again, and asking it the same"))
            tokenizer = AutoTokenizer.from_pretrained(staging)
            agreement = work.verify(work.reload(staging), tokenizer)
            files = work.certify(staging, self.name, agreement)
        return Exported(self.name, str(place), files, agreement, work.note())
