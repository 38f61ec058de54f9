"""The model card that goes with an adapter: what it is, what it learned from, how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.config.schema import ExperimentConfig
from tunesmith.messages import say
from tunesmith.models.locate import ModelSource
from tunesmith.schemas.metrics import (
    calibration_said,
    data_seen,
    forgetting_of,
    selective_said,
)
from tunesmith.tasks.base import Task
from tunesmith.tasks.tokens.places import ModelPlace

FINAL_MODEL = '"final_model"'
"""A Python expression of the folder that training leaves an adapter in."""


@dataclass(frozen=True)
class Form:
    """What a card lies beside."""

    name: str
    """In a sentence, after "A" or "An"."""
    library: str
    """The hub's name of what loads it."""
    relation: str
    """The hub's name of how it came from its base model."""


ADAPTER = Form("LoRA adapter for {base}", "peft", "adapter")
MERGED = Form("model of its own: {base} with a LoRA adapter in its weights", "transformers",
              "finetune")  # fmt: skip
ONNX = Form("graph for ONNX Runtime: {base} with a LoRA adapter in its weights", "onnx",
            "finetune")  # fmt: skip


@dataclass(frozen=True)
class Card:
    """What a card tells of one experiment's adapter, in whatever form that is."""

    config: ExperimentConfig
    task: Task
    source: ModelSource
    metrics: Mapping[str, Any]
    """As in `metrics.json`."""

    def write(self, folder: Path, form: Form = ADAPTER, code: str | None = None) -> None:
        """Write `README.md` into `folder`, with the hub's metadata.

        `code` uses what lies there; None: that of an adapter in the folder `final_model`. Raises
        OSError when it can't be written.
        """
        from huggingface_hub import ModelCard

        text = self._text(form, code or self.usage(FINAL_MODEL))
        card = ModelCard(f"---\n{self._metadata(form)}\n---\n\n{text}")
        (folder / "README.md").write_text(str(card), encoding="utf-8")

    def usage(self, folder: str) -> str:
        """Python code that uses the adapter in what the expression `folder` says."""
        base = self.source.expression
        return imports_for(base) + self.task.usage(ModelPlace(folder, base))

    def _mended(self) -> Iterator[str]:
        """What whoever asks it should do with texts, as training did."""
        if rules := self.config.data.validation_rules.mended_for(self.task):
            yield say(
                "texts were learned as the rules {names} mend them: Tunesmith mends what it asks "
                "the adapter likewise, and whoever else asks it should do the same",
                names=rules,
            )

    def _metadata(self, form: Form) -> str:
        from huggingface_hub import EvalResult, ModelCardData

        score = self.metrics["score"]
        pipeline = self.task.pipeline_tag
        related: dict[str, Any] = {"base_model_relation": form.relation}
        data = ModelCardData(
            library_name=form.library,
            base_model=self.source.name if self.source.from_hub else None,
            pipeline_tag=pipeline,
            tags=["lora", "tunesmith", self.task.name],
            model_name=self.config.experiment_name,
            eval_results=[
                EvalResult(
                    task_type=pipeline or self.task.name,
                    dataset_type=self.metrics["dataset"]["name"],
                    dataset_name=self.metrics["dataset"]["name"],
                    metric_type=score["metric"],
                    metric_value=round(score["value"], 4),
                )
            ],
            **(related if self.source.from_hub else {}),
        )
        return data.to_yaml()

    def _text(self, form: Form, code: str) -> str:
        score, metrics = self.metrics["score"], self.metrics
        said = [*(metrics.get("cautions") or ()), calibration_said(metrics)]
        said += forgetting_of(metrics)
        said.append(selective_said(metrics))
        found, rows = score["interval"], f"{metrics['eval_samples']:,} held-out rows"
        interval = f"no 95 % interval: {score.get('interval_note')}; {rows}"
        if found is not None:
            rows += f" of {found['groups']:,} groups" if found.get("groups") else ""
            ends = f"{found['low']:.3f} to {found['high']:.3f}"
            interval = f"95 % interval {ends}, {found['method']}, {rows}"
        untrained, data = score["untrained"].get(score["metric"]), metrics["dataset"]
        lora, training = self.config.lora, self.config.training
        # Earlier records only say what was asked for.
        layers = metrics.get("target_modules") or lora.target_modules or "found on the loaded model"
        layers = layers if isinstance(layers, str) else ", ".join(layers)
        framing = self.task.framing()
        return f"""# {self.config.experiment_name}

A {form.name.format(base=f"`{self.source.name}`")}, trained with Tunesmith for {self.task.name}.

| | {score["metric"]} |
|---|---|
| this adapter | **{score["value"]:.3f}** ({interval}) |
| the same model untrained | {"not measured" if untrained is None else f"{untrained:.3f}"} |
| {score["baseline"]["name"]} | {score["baseline"]["value"]:.3f} |
{_paragraphs(filter(None, said))}
## Use

```python
{code}
```
{_paragraphs(framing.sentences() if framing else ())}{_paragraphs(self._mended())}
## Data

`{data["name"]}@{data["version"]}`, content hash `{data["hash"]}`;
{data_seen(metrics)} trained on, {metrics.get("validation_samples") or 0:,} to validate,
{metrics["eval_samples"]:,} to test.
{_overlap(metrics)}

## Training

Rank {lora.r}, alpha {lora.lora_alpha}, layers {layers};
learning rate {training.learning_rate:g}, {metrics["train_epochs"]:g} epochs,
batches of {training.per_device_train_batch_size}, seed {training.seed}.
{_ending(metrics)}The base model is identified by `{self.source.identity}`.
"""


def _paragraphs(texts: Iterable[str]) -> str:
    return "".join(f"\n{_sentence(text)}\n" for text in texts)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def imports_for(expression: str) -> str:
    """The import that the expression of a base model needs, and an empty line."""
    for module in ("importlib.resources", "os"):
        if expression.startswith((f"str({module}", f"{module}.")):
            return f"import {module}\n\n"
    return ""


def _overlap(metrics: Mapping[str, Any]) -> str:
    overlap, near = metrics["dataset"]["overlap"], metrics["dataset"]["near_overlap"]
    said = "No held-out text was trained on."
    if overlap:
        said = f"{overlap:,} held-out texts are among those trained on, so the score flatters it."
    if near:
        said += f" {near:,} held-out rows are nearly a text that was trained on."
    return said


def _ending(metrics: Mapping[str, Any]) -> str:
    """What there is to know of where training ended, a sentence a line; earlier records lack it."""
    return "".join(f"{_sentence(note)}\n" for note in metrics.get("ending", {}).get("notes", ()))
