"""The model card that goes with an adapter: what it is, what it learned from, how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.config.schema import ExperimentConfig
from tunesmith.tasks.base import Task
from tunesmith.tracking.resources import rows_seen
from tunesmith.training.model import ModelSource

_PIPELINE = {
    "CAUSAL_LM": "text-generation",
    "SEQ_CLS": "text-classification",
    "TOKEN_CLS": "token-classification",
}


def write_card(
    folder: Path,
    config: ExperimentConfig,
    task: Task,
    source: ModelSource,
    metrics: dict[str, Any],
) -> None:
    """Write `README.md` into `folder`, with the hub's metadata.

    Raises OSError when it can't be written.
    """
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    score = metrics["score"]
    data = ModelCardData(
        library_name="peft",
        base_model=source.name if source.from_hub else None,
        pipeline_tag=_PIPELINE.get(task.peft_task_type),
        tags=["lora", "tunesmith", task.name],
        model_name=config.experiment_name,
        eval_results=[
            EvalResult(
                task_type=_PIPELINE.get(task.peft_task_type, task.name),
                dataset_type=metrics["dataset"]["name"],
                dataset_name=metrics["dataset"]["name"],
                metric_type=score["metric"],
                metric_value=round(score["value"], 4),
            )
        ],
    )
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n\n{_text(config, task, source, metrics)}")
    (folder / "README.md").write_text(str(card), encoding="utf-8")


def _text(
    config: ExperimentConfig, task: Task, source: ModelSource, metrics: dict[str, Any]
) -> str:
    score = metrics["score"]
    found, rows = score["interval"], f"{metrics['eval_samples']:,} held-out rows"
    interval = f"no 95 % interval: {score.get('interval_note')}; {rows}"
    if found is not None:
        ends = f"{found['low']:.3f} to {found['high']:.3f}"
        interval = f"95 % interval {ends}, {found['method']}, {rows}"
    untrained = score["untrained"].get(score["metric"])
    lora, training = config.lora, config.training
    return f"""# {config.experiment_name}

A LoRA adapter for `{source.name}`, trained with Tunesmith for {task.name}.

| | {score["metric"]} |
|---|---|
| this adapter | **{score["value"]:.3f}** ({interval}) |
| the same model untrained | {"not measured" if untrained is None else f"{untrained:.3f}"} |
| {score["baseline"]["name"]} | {score["baseline"]["value"]:.3f} |
{_cautions(metrics)}
## Use

```python
{imports_for(source.expression)}{task.usage(source.expression)}
```

## Data

`{_version(metrics)}`, content hash `{metrics["dataset"]["hash"]}`;
{rows_seen(metrics)} rows trained on, {metrics["eval_samples"]:,} held out.
{_overlap(metrics)}

## Training

Rank {lora.r}, alpha {lora.lora_alpha}, layers {lora.target_modules};
learning rate {training.learning_rate:g}, {metrics["train_epochs"]:g} epochs,
batches of {training.per_device_train_batch_size}, seed {training.seed}.
{_ending(metrics)}The base model is identified by `{source.identity}`.
"""


def _cautions(metrics: dict[str, Any]) -> str:
    """What must be known to read the score rightly, a line each."""
    found = metrics.get("cautions") or []
    return "".join(f"\n{caution[:1].upper()}{caution[1:].rstrip('.')}.\n" for caution in found)


def imports_for(expression: str) -> str:
    """The import that the expression of a base model needs, and an empty line."""
    for module in ("importlib.resources", "os"):
        if expression.startswith((f"str({module}", f"{module}.")):
            return f"import {module}\n\n"
    return ""


def _overlap(metrics: dict[str, Any]) -> str:
    overlap, near = metrics["dataset"]["overlap"], metrics["dataset"]["near_overlap"]
    said = "No held-out text was trained on."
    if overlap:
        said = f"{overlap:,} held-out texts are among those trained on, so the score flatters it."
    if near:
        said += f" {near:,} held-out rows are nearly a text that was trained on."
    return said


def _ending(metrics: dict[str, Any]) -> str:
    """What there is to know of where training ended, a sentence a line."""
    return "".join(f"{note[0].upper()}{note[1:]}.\n" for note in metrics["ending"]["notes"])


def _version(metrics: dict[str, Any]) -> str:
    """The version of the data, which has no path of this machine in its name: `reviews@3`."""
    return f"{metrics['dataset']['name']}@{metrics['dataset']['version']}"
