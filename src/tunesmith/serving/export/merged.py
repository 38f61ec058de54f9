"""`--to merged`: a model folder of its own, in which the adapter's weights are part of the base's.

What loads the base model loads it: transformers, vLLM, TGI, llama.cpp's converter.
"""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer

from tunesmith.serving.export.work import Exported, Work, free
from tunesmith.tasks.places import ModelPlace
from tunesmith.training.card import MERGED
from tunesmith.training.placing import placed

TARGET = "merged"


def export_merged(work: Work, place: Path, *, force: bool) -> Exported:
    """Write the merged model to the folder `place`, once it answers as the adapter does.

    Raises VerificationError when it doesn't, StorageError when it can't be written.
    """
    with placed(place, force=force) as staging:
        model = work.merged()
        work.say("writing the merged model")
        model.save_pretrained(staging)
        folder = repr(place.name)
        work.describe(staging, MERGED, work.task.usage(ModelPlace(folder)))
        del model
        free()
        work.say("loading it again, and asking it the same")
        tokenizer = AutoTokenizer.from_pretrained(staging)
        agreement = work.verify(work.reload(staging), tokenizer)
        files = work.certify(staging, TARGET, agreement)
    return Exported(TARGET, str(place), files, agreement, work.note())
