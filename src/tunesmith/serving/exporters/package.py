"""`--to package`: one zip file with the adapter and a loader of a few lines.

It holds what training left, nothing converted, and runs with transformers and PEFT alone.
"""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.files.writing import placed
from tunesmith.messages import joined, say
from tunesmith.serving.exporters.base import Exported, Exporter, Option
from tunesmith.settings import Settings
from tunesmith.tasks.parts.calibrated import CalibratedTask
from tunesmith.tasks.tokens.places import ModelPlace
from tunesmith.training.reporting.card import ADAPTER, imports_for

if TYPE_CHECKING:
    from tunesmith.serving.exporters.parts.work import Work

LOADER = """\
import pathlib
{imports}
import peft, transformers

HERE = pathlib.Path(__file__).parent / "adapter"
tokenizer = transformers.AutoTokenizer.from_pretrained(HERE)
base = transformers.{auto_class}.from_pretrained(
    {base}, ignore_mismatched_sizes=True{arguments})
{settings}model = peft.PeftModel.from_pretrained(base, HERE).eval()
{calibrating}"""
"""load.py: `model` and `tokenizer`, ready to answer."""


SETTINGS = "base.generation_config = transformers.GenerationConfig.from_pretrained(HERE)\n"
"""A line of it for chat models, which would else generate as the base model's own settings say."""


class Package(Exporter):
    """The adapter as training left it, with a loader."""

    name = "package"
    summary = "One zip file with the adapter and a loader of a few lines."
    place = "{}.zip"
    options = (Option("with-base", "Put the base model into the package too."),)

    def __init__(
        self, settings: Settings, form: str | None = None, *, with_base: bool = False
    ) -> None:
        super().__init__(settings, form)
        self.with_base = with_base

    def export(self, work: Work, place: Path, *, force: bool) -> Exported:
        with placed(place, force=force) as staging:
            work.adapted()
            work.free()
            work.progress(say("packing the adapter"))
            content = staging.with_name("content")
            shutil.copytree(work.adapter.folder, content / "adapter")
            here = ModelPlace('"adapter"', '"base"' if self.with_base else work.source.expression)
            code = imports_for(str(here.base_model)) + work.task.usage(here)
            work.describe(content / "adapter", ADAPTER, code)
            if self.with_base:
                shutil.copytree(work.source.folder, content / "base", symlinks=False)
            loader = _loader(work, base=self.with_base)
            (content / "load.py").write_text(loader, encoding="utf-8")
            _pack(content, staging, place.stem)
            shutil.rmtree(content)
            work.take_temperature()
            work.progress(say("unpacking it, and asking what its loader loads the same"))
            with zipfile.ZipFile(staging) as archive:
                archive.extractall(content)
            agreement = work.verify(*_load(content / place.stem / "load.py", work))
            files = work.certify(content / place.stem, self.name, agreement)
            staging.unlink()
            _pack(content / place.stem, staging, place.stem)
        notes = [work.note(), "" if self.with_base else _needs(work)]
        return Exported(self.name, str(place), files, agreement, joined(filter(None, notes), "; "))


def _loader(work: Work, *, base: bool) -> str:
    where = 'HERE.parent / "base"' if base else work.source.expression
    calibrating = ""
    if isinstance(work.task, CalibratedTask):
        calibrating = work.task.calibrating_code()
    arguments = "".join(f", {k}={v!r}" for k, v in work.task.model_arguments().items())
    return LOADER.format(
        imports=imports_for(where).strip(),
        auto_class=work.task.auto_class,
        base=where,
        arguments=arguments,
        settings=SETTINGS if work.chats else "",
        calibrating=calibrating,
    ).replace("\n\nimport peft", "\nimport peft")


def _load(loader: Path, work: Work) -> tuple[Any, Any]:
    """What `loader` calls its model, moved to where the adapter is asked, and its tokenizer."""
    spec = importlib.util.spec_from_file_location("tunesmith_exported_loader", loader)
    if spec is None or spec.loader is None:  # a file that was just written always has both
        raise ImportError(loader)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.model.to(work.plan.device), module.tokenizer


def _pack(folder: Path, archive: Path, top: str) -> None:
    """The files of `folder` as `archive`, below the folder `top`; weights don't get smaller."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                packed.write(file, f"{top}/{file.relative_to(folder).as_posix()}")


def _needs(work: Work) -> str:
    if work.source.from_hub:
        return ""
    return say(
        "its loader takes the base model from {expression}; where that isn't there, export with "
        "--with-base",
        expression=work.source.expression,
    )
