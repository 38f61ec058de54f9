"""`--to onnx`: a graph for ONNX Runtime, which needs neither torch nor this package to answer.

Inputs are the tokenizer's (`input_ids`, `attention_mask`, for pairs `token_type_ids`: int64, rows
by tokens, both of any size), the output is `logits` (float32).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from tunesmith.errors import ModelError, UserError
from tunesmith.serving.export.work import Exported, Work, free
from tunesmith.training.card import ONNX
from tunesmith.training.placing import placed

TARGET = "onnx"
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
NAME = "model.onnx"
OPSET = 18
"""The newest operators that every runtime of the last years has."""


def check_onnx(work: Work) -> None:
    """Raises UserError where packages are missing, ModelError for what can't become one graph."""
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise UserError(
            f"--to onnx needs {', '.join(missing)}: pip install 'tunesmith[export]', or "
            "python3 scripts/setup.py --extras export."
        )
    if work.task.auto_class == "AutoModelForCausalLM":
        raise ModelError(
            f"--to onnx is for tasks that answer in one step; {work.task.name} writes its answers "
            "word by word, for which a lone graph would compute everything anew at each. Export "
            "--to gguf, or --to merged, whose folder `optimum-cli export onnx` takes."
        )


def export_onnx(work: Work, place: Path, *, force: bool) -> Exported:
    """Write the graph, tokenizer and labels to the folder `place`, once ONNX Runtime, asked with
    the held-out rows, answers as the adapter does.

    Raises what `check_onnx` raises, ModelError when the model can't be traced, VerificationError
    when the answers differ, StorageError when it can't be written.
    """
    check_onnx(work)
    with placed(place, force=force) as staging:
        model = work.merged()
        work.say("tracing the model")
        staging.mkdir()
        names = _trace(model, work, staging / NAME)
        model.config.save_pretrained(staging)
        work.describe(staging, ONNX, _usage(work, place.name))
        del model
        free()
        work.say("asking ONNX Runtime the same")
        agreement = work.verify(_Runtime(staging / NAME, names), work.tokenizer)
        files = work.certify(staging, TARGET, agreement)
    return Exported(TARGET, str(place), files, agreement)


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


def _trace(model: Any, work: Work, file: Path) -> list[str]:
    """Write the graph of `model` and return the names of its inputs."""
    # Two rows of different length: of a size that an example has only once, the exporter makes a
    # constant.
    shortest = min(work.examples, key=lambda one: len(one["input_ids"]))
    longest = max(work.examples, key=lambda one: len(one["input_ids"]))
    batch = work.task.collate([shortest, longest], work.tokenizer.pad_token_id)
    inputs = {name: tensor.cpu() for name, tensor in batch.items() if name in _INPUTS}
    sizes = {name: {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for name in inputs}
    traced = _Logits(model.cpu(), list(inputs))
    said = logging.getLogger("torch.onnx")
    level = said.level
    said.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # of the exporter's, about itself
            program = torch.onnx.export(
                traced,
                (),
                kwargs=inputs,
                dynamo=True,
                dynamic_shapes=sizes,
                input_names=list(inputs),
                output_names=["logits"],
                opset_version=OPSET,
                verbose=False,
            )
        if program is None:  # only what is written to a file at once gives none
            raise ModelError("the exporter gave no graph.")
        program.save(file)
    except torch.onnx.errors.OnnxExporterError as error:
        raise ModelError(
            f"{work.source.name} can't be traced into an ONNX graph: "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
    finally:
        said.setLevel(level)
    return list(inputs)


_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class _Logits(torch.nn.Module):
    """The model as a function of its inputs by name, to its logits alone."""

    def __init__(self, model: Any, names: list[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> Any:
        """Logits, float32."""
        given = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
        }
        return self.model(**{name: given[name] for name in self.names}).logits


class _Runtime(torch.nn.Module):
    """The graph, run by ONNX Runtime, where a task expects a model."""

    def __init__(self, file: Path, names: list[str]) -> None:
        super().__init__()
        import onnxruntime

        self.names = names
        self.device = torch.nn.Parameter(torch.zeros(1))  # tasks ask where parameters are
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def forward(self, **inputs: torch.Tensor) -> SimpleNamespace:
        """What the model's own output holds of logits."""
        given = {name: inputs[name].numpy() for name in self.names}
        (logits,) = self.session.run(["logits"], given)
        return SimpleNamespace(logits=torch.from_numpy(logits))
