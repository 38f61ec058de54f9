"""`--to onnx`: a graph for ONNX Runtime, which needs neither torch nor this package to answer.

Inputs are the tokenizer's (`input_ids`, `attention_mask`, for pairs `token_type_ids`: int64, rows
by tokens, both of any size), the output is `logits` (float32).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import ModelError, UserError
from tunesmith.files.writing import placed
from tunesmith.loading import load
from tunesmith.messages import say
from tunesmith.serving.exporters.base import Exported, Exporter
from tunesmith.training.reporting.card import ONNX

if TYPE_CHECKING:
    from tunesmith.serving.exporters.parts.work import Work

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
NAME = "model.onnx"


class Onnx(Exporter):
    """The merged model as a graph."""

    name = "onnx"
    summary = "A graph for ONNX Runtime; tasks that answer in one step."
    place = "{}-onnx"
    usual_format = "the graph is float32"
    weights = "float32"

    def export(self, work: Work, place: Path, *, force: bool) -> Exported:
        _check(work)
        graph = load("tunesmith.serving.exporters.parts.onnx_graph")
        with placed(place, force=force) as staging:
            model = work.merged()
            work.progress(say("tracing the model"))
            staging.mkdir()
            names = graph.trace(model, work, staging / NAME)
            model.config.save_pretrained(staging)
            work.describe(staging, ONNX, _usage(work, place.name))
            del model
            work.free()
            work.progress(say("asking ONNX Runtime the same"))
            agreement = work.verify(graph.Runtime(staging / NAME, names), work.tokenizer)
            files = work.certify(staging, self.name, agreement)
        return Exported(self.name, str(place), files, agreement)


def _check(work: Work) -> None:
    """Raises UserError where packages are missing, ModelError for what can't become one graph."""
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise UserError(
            "--to onnx needs {names}: pip install 'tunesmith[export]', or python3 "
            "scripts/setup.py --extras export.",
            names=list(missing),
        )
    if work.task.writes_text:
        raise ModelError(
            "--to onnx is for tasks that answer in one step; {name} writes its "
            "answers word by word, for which a lone graph would compute everything "
            "anew at each. Export --to gguf, or --to merged, whose folder "
            "`optimum-cli export onnx` takes.",
            name=work.task.name,
        )


def _usage(work: Work, folder: str) -> str:
    """Python code that asks the graph in `folder`, without torch."""
    longest = work.config.data.max_length
    return f"""import numpy
import onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("{folder}/tokenizer.json")
tokenizer.encode_special_tokens = True  # control tokens in a text are the text that they are
tokenizer.enable_truncation({longest})
encoded = tokenizer.encode("A text of your own")
session = onnxruntime.InferenceSession("{folder}/{NAME}", providers=["CPUExecutionProvider"])
given = {{
    "input_ids": encoded.ids,
    "attention_mask": encoded.attention_mask,
    "token_type_ids": encoded.type_ids,
}}
inputs = {{one.name: numpy.array([given[one.name]], numpy.int64) for one in session.get_inputs()}}
(logits,) = session.run(["logits"], inputs)
{work.task.usage_of_logits()}"""
