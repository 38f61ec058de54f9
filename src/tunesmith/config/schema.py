"""The schema of a configuration: every field with its name, type, bounds, default and one line.

The one line is the field's help text, its API documentation and its tooltip. Names are Hugging
Face's and PEFT's own where they have one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tunesmith.config.patterns import are_names, check_patterns
from tunesmith.config.rules import ValidationRules
from tunesmith.config.section import Section
from tunesmith.messages import say
from tunesmith.names import LONGEST_FOLDER, SIMPLE_NAME, canonical, has_unseen
from tunesmith.tasks import TASKS, default_task
from tunesmith.tasks.options import MOST_ITEMS, TaskOptions

if TYPE_CHECKING:
    TaskSection = TaskOptions
    PeftTaskType = str
else:
    PeftTaskType = Literal[tuple(sorted({task.peft_task_type for task in TASKS.values()}))]
    TaskSection = Annotated[
        Union[tuple(task.Options for task in TASKS.values())],  # noqa: UP007 - made at run time
        Field(discriminator="name"),
    ]


LONGEST_NAME = 1000
"""Characters of a path or of a hub's name, at most."""

MOST_LAYERS = 1000
"""Layers that a configuration may name in one field."""


def _fits_a_folder(value: str) -> str:
    if (size := len(value.encode())) > LONGEST_FOLDER:
        raise ValueError(
            say(
                "must have at most {most} bytes in UTF-8, and has {size}",
                most=LONGEST_FOLDER,
                size=size,
            )
        )
    if has_unseen(value):
        raise ValueError(say("has characters that nobody sees"))
    return value


def composed(value: Any) -> Any:
    """A name in the one spelling that names have; what is no text stays as it is."""
    return canonical(value) if isinstance(value, str) else value


ExperimentName = Annotated[
    str, BeforeValidator(composed), Field(pattern=SIMPLE_NAME), AfterValidator(_fits_a_folder)
]
"""A name that an experiment, and its folder, can have."""


class ModelConfig(Section):
    """The base model."""

    name: str = Field(
        min_length=1,
        max_length=LONGEST_NAME,
        description="Hub id, folder, or package:NAME/path of a model folder or GGUF file.",
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a hub model.")
    num_labels: int | None = Field(
        None, ge=1, le=MOST_ITEMS, description="Number of labels; null takes it from the data."
    )
    trust_remote_code: bool = Field(
        False, description="Run Python code that comes with the hub model: only if you trust it."
    )
    load_in_4bit: bool = Field(
        False, description="Hold the frozen weights in 4 bits (QLoRA; CUDA with bitsandbytes)."
    )
    load_in_8bit: bool = Field(
        False, description="Hold the frozen weights in 8 bits (CUDA with bitsandbytes)."
    )
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] | None = Field(
        None, description="Attention implementation; null picks the fastest for the device."
    )


class LoraConfig(Section):
    """The adapter, in PEFT's words (`peft.LoraConfig`)."""

    r: int = Field(8, ge=1, le=4096, description="Rank of the two small matrices.")
    lora_alpha: int = Field(16, ge=1, description="Scale: the update is multiplied by alpha / r.")
    target_modules: list[str] | str | None = Field(
        None,
        description="Layers that get an adapter: names, a regular expression, all-linear, "
        "or null for all linear layers of the architecture's blocks.",
    )
    lora_dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Dropout before the adapter.")
    bias: Literal["none", "all", "lora_only"] = Field("none", description="Biases that train too.")
    task_type: PeftTaskType | None = Field(
        None, description="PEFT's task type; null takes it from the task."
    )
    use_dora: bool = Field(False, description="Weight-decomposed LoRA (DoRA).")
    use_rslora: bool = Field(False, description="Scale by alpha / sqrt(r) (rank-stabilised LoRA).")
    # PEFT's loftq, eva and corda are left out: they need a quantized base or passes over the data
    # before training, and are nothing but random weights without them.
    init_lora_weights: bool | Literal["gaussian", "olora", "pissa", "orthogonal"] = Field(
        True, description="How the adapter starts: true is PEFT's default, no change."
    )
    modules_to_save: list[str] | None = Field(
        None, description="Layers trained whole and saved with the adapter."
    )
    rank_pattern: dict[str, Annotated[int, Field(ge=1, le=4096)]] = Field(
        default_factory=dict, description="Layer name or pattern → its own rank."
    )
    alpha_pattern: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="Layer name or pattern → its own alpha."
    )

    @field_validator("target_modules", "modules_to_save", "rank_pattern", "alpha_pattern")
    @classmethod
    def _ends_soon(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse patterns that take long to match; in lists of layers there are names alone."""
        names = [value] if isinstance(value, str) else value or ()
        if len(names) > MOST_LAYERS:
            raise ValueError(say("must have at most {most:,} layers", most=MOST_LAYERS))
        if info.field_name == "modules_to_save":  # PEFT takes them for patterns
            for name in names:
                if not are_names(name):
                    raise ValueError(say("{name} is no name of a module", name=repr(name)))
        elif isinstance(value, str | dict):
            check_patterns(names)
        return value


class DataConfig(Section):
    """The data."""

    dataset_name: str = Field(
        min_length=1,
        max_length=LONGEST_NAME,
        description="Hub dataset, file (CSV, TSV, JSON, JSONL, Parquet), or package:NAME/path.",
    )
    dataset_config: str | None = Field(None, description="Configuration of a hub dataset.")
    revision: str | None = Field(None, description="Branch, tag or commit of a hub dataset.")
    format: str | None = Field(
        None, description="Format of a file, such as csv or jsonl; null: found out by its content."
    )
    encoding: str | None = Field(
        None, description="Encoding of a text file, such as cp950 or cp1252; null: found out."
    )
    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=16,
        description="What stands between values of a CSV, such as ; or tab; null: found out.",
    )
    header: bool | None = Field(
        None,
        description="Whether a CSV's first line names its columns; null: it must look so.",
    )
    sheet: str | None = Field(
        None, description="Sheet of a workbook, or table of a database; null: the only or first."
    )
    layout: str | None = Field(
        None,
        description="How rows say what is learned, such as alpaca; null: found out; none: as is.",
    )
    train_split: str | None = Field(None, description="Split to train on; null means train.")
    eval_split: str | None = Field(
        None,
        description="Split that judges, once, at the end; null: test, else validation, else rows "
        "are held out.",
    )
    validation_split: str | None = Field(
        None,
        description="Split that stops and picks; null: validation beside test, else rows are held "
        "out.",
    )
    where: dict[str, list[str | int | float | bool]] = Field(
        default_factory=dict, description="Column → values: only rows with one of them are used."
    )
    train_samples: int | None = Field(
        None, ge=1, description="Most rows to train on, balanced as the data are; null for all."
    )
    eval_samples: int | None = Field(
        None, ge=1, description="Most rows to judge by, never trained on; null for all."
    )
    validation_samples: int | None = Field(
        None,
        ge=0,
        description="Rows that stop and pick, never trained on; null: a tenth of the rows, 30 to "
        "500; 0: none.",
    )
    eval_fraction: float = Field(
        0.1, gt=0.0, lt=1.0, description="Share split off for evaluation where data have no split."
    )
    split_seed: int = Field(
        42, ge=0, description="Seed of the split; keep it, so that experiments stay comparable."
    )
    test_draw: int = Field(
        0,
        ge=0,
        le=1000,
        description="How often other rows were drawn to judge by: tunesmith data refresh-test says "
        "the next.",
    )
    group_column: str | None = Field(
        None,
        description="Column such as author, document or conversation: rows with the same value "
        "stay on one side.",
    )
    max_length: int = Field(
        128, ge=4, le=2**24, description="Longest text the model sees, in tokens."
    )
    validation_rules: ValidationRules = Field(
        default_factory=ValidationRules, description="What a row must be like to be used."
    )


Strategy = Literal["no", "steps", "epoch"]


class TrainingConfig(Section):
    """How it is trained, in the words of `transformers.TrainingArguments`."""

    learning_rate: float = Field(5e-4, gt=0.0, le=1.0, description="Highest learning rate.")
    num_train_epochs: float = Field(
        1.0, gt=0.0, le=10_000.0, description="Times the data are gone through."
    )
    max_steps: int | None = Field(
        None, ge=1, description="Train this many steps, whatever num_train_epochs says; null: off."
    )
    per_device_train_batch_size: int = Field(
        8, ge=1, le=65_536, description="Rows in one training batch."
    )
    per_device_eval_batch_size: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="Rows in one evaluation batch; null: some times the training batch.",
    )
    gradient_accumulation_steps: int = Field(
        1, ge=1, le=65_536, description="Batches in one optimizer step."
    )
    lr_scheduler_type: Literal[
        "linear",
        "cosine",
        "constant",
        "constant_with_warmup",
        "cosine_with_restarts",
        "polynomial",
        "inverse_sqrt",
    ] = Field("linear", description="How the learning rate falls.")
    warmup_steps: float = Field(
        0.0, ge=0.0, description="Steps of rising learning rate; below 1, a share of all steps."
    )
    optim: Literal["adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adamw_8bit"] = Field(
        "adamw_torch", description="Optimizer."
    )
    weight_decay: float = Field(0.0, ge=0.0, description="Weight decay of AdamW.")
    adam_beta1: float = Field(0.9, ge=0.0, lt=1.0, description="AdamW's first moment decay.")
    adam_beta2: float = Field(0.999, ge=0.0, lt=1.0, description="AdamW's second moment decay.")
    adam_epsilon: float = Field(1e-8, gt=0.0, description="AdamW's epsilon.")
    max_grad_norm: float = Field(
        1.0, ge=0.0, description="Gradient norm is clipped to this; 0: off."
    )
    eval_strategy: Strategy = Field("epoch", description="When to evaluate during training.")
    eval_steps: int | None = Field(
        None, ge=1, description="Steps between evaluations; null: logging_steps."
    )
    save_strategy: Strategy = Field("epoch", description="When to save a checkpoint.")
    save_steps: int = Field(500, ge=1, description="Steps between checkpoints.")
    save_total_limit: int = Field(2, ge=1, le=1000, description="Checkpoints kept during training.")
    logging_steps: int = Field(10, ge=1, description="Steps between two logged losses.")
    load_best_model_at_end: bool = Field(
        False, description="End with the best checkpoint instead of the last."
    )
    metric_for_best_model: str | None = Field(
        None, description="Metric that says which is best; null: the task's own (or loss)."
    )
    greater_is_better: bool | None = Field(
        None, description="Whether a higher metric is better; null: as the task says."
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, description="Stop after this many evaluations without a better one; null: off."
    )
    early_stopping_threshold: float = Field(
        0.0, ge=0.0, description="Smallest change that counts as better."
    )
    seed: int = Field(42, ge=0, lt=2**32, description="Seed of everything random in training.")
    device: str | None = Field(
        None,
        pattern=r"^(cpu|mps|cuda(:\d+)?)$",
        description="cpu, cuda, cuda:N or mps; null detects cuda, then mps, then cpu.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of the matrix products; auto: bfloat16 where it is fast."
    )
    plan: Literal["auto", "reference"] = Field(
        "auto",
        description="How to run it here: auto is fastest; reference is plain float32, to compare.",
    )
    kernels: bool | None = Field(
        None,
        description="Tunesmith's own LoRA, norm, dropout and attention; null: where they serve.",
    )
    use_liger_kernel: bool | None = Field(
        None, description="Liger's kernels; null: on CUDA for chat models, where installed."
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute activations twice to save memory."
    )
    group_by_length: bool = Field(True, description="Batch texts of similar length together.")
    dataloader_num_workers: int = Field(
        0, ge=0, le=64, description="Processes that prepare batches."
    )
    report_to: list[Literal["mlflow", "tensorboard", "trackio", "wandb"]] = Field(
        default_factory=list, description="Trackers that get the metrics, too; [] is none."
    )
    processes: int = Field(
        1, ge=1, le=64, description="Processes that train together; each takes a batch per step."
    )
    forgetting: bool = Field(
        True,
        description="Measure what a model that writes text forgets beside its task.",
    )


class JobConfig(Section):
    """How it waits and runs where it is queued; training at once heeds time_limit alone."""

    queue: Literal["cpu", "gpu"] | None = Field(
        None, description="gpu: only workers with a GPU take it; cpu: any; null: by device."
    )
    priority: int = Field(0, ge=-100, le=100, description="The highest is taken first.")
    max_restarts: int = Field(
        3, ge=0, le=100, description="Times it is resumed after its process died."
    )
    time_limit: float | None = Field(
        None,
        gt=0.0,
        le=10**8,
        description="Seconds until it is stopped, with a checkpoint; null: none.",
    )


class ExperimentConfig(Section):
    """Everything that is asked of one experiment."""

    experiment_name: ExperimentName = Field(
        "default_experiment",
        description="Name of the experiment and of its folder: letters, digits, _ . -",
    )
    task: TaskSection = Field(description="What is learned, with the task's own options.")
    model: ModelConfig = Field(description="The base model.")
    lora: LoraConfig = Field(default_factory=LoraConfig, description="The adapter.")
    data: DataConfig = Field(description="The data.")
    training: TrainingConfig = Field(
        default_factory=TrainingConfig, description="How it is trained."
    )
    job: JobConfig = Field(default_factory=JobConfig, description="How it waits in the queue.")

    @model_validator(mode="before")
    @classmethod
    def _task_by_name(cls, values: Any) -> Any:
        """Let `task: sft` stand for `task: {name: sft}`, and PEFT's task type for no task."""
        if not isinstance(values, dict):
            return values
        task, lora = values.get("task"), values.get("lora")
        if isinstance(task, str):
            task = {"name": task}
        elif isinstance(task, dict | None):
            implied = default_task(lora.get("task_type") if isinstance(lora, dict) else None)
            task = {"name": implied, **(task or {})}
        return {**values, "task": task}

    @property
    def task_name(self) -> str:
        """The task's name, as in `task: text-classification`."""
        return str(self.task.name)  # type: ignore[attr-defined]  # each task's Options has it

    @property
    def eval_batch_size(self) -> int:
        """Rows in one batch where nothing is learned from them, memory allowing."""
        training = self.training
        scale = TASKS[self.task_name].eval_batch_scale
        return training.per_device_eval_batch_size or training.per_device_train_batch_size * scale
