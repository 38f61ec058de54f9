"""The graph of a model for ONNX Runtime: made by torch, and asked as a task asks a model."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from tunesmith.errors import ModelError
from tunesmith.serving.exporters.parts.work import Work

OPSET = 18
"""The newest operators that every runtime of the last years has."""


def trace(model: Any, work: Work, file: Path) -> list[str]:
    """Write the graph of `model` and return the names of its inputs."""
    # Two rows of different length: of a size that an example has only once, the exporter makes a
    # constant.
    shortest = min(work.examples, key=lambda one: len(one["input_ids"]))
    longest = max(work.examples, key=lambda one: len(one["input_ids"]))
    batch = work.task.collate([shortest, longest], work.tokenizer.pad_token_id)
    inputs = {name: tensor.cpu() for name, tensor in batch.items() if name in INPUTS}
    sizes = {name: {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for name in inputs}
    traced = Logits(model.cpu(), list(inputs))
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
            "{name} can't be traced into an ONNX graph: {error}",
            name=work.source.name,
            error=str(error).strip().splitlines()[0],
        ) from error
    finally:
        said.setLevel(level)
    return list(inputs)


INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Logits(torch.nn.Module):
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
        given = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
        }
        return self.model(**{name: given[name] for name in self.names}).logits


class Runtime(torch.nn.Module):
    """The graph, run by ONNX Runtime, where a task expects a model."""

    def __init__(self, file: Path, names: list[str]) -> None:
        super().__init__()
        import onnxruntime

        self.names = names
        self.device = torch.nn.Parameter(torch.zeros(1))  # tasks ask where parameters are
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def forward(self, **inputs: torch.Tensor) -> SimpleNamespace:
        given = {name: inputs[name].numpy() for name in self.names}
        (logits,) = self.session.run(["logits"], given)
        return SimpleNamespace(logits=torch.from_numpy(logits))
