"""Every field of a configuration changes something that can be seen; a new one needs a row here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from pydantic import BaseModel
from tests.config import observed
from tests.config.asked import A, B, Bases
from tests.config.observed import with_fields

from tunesmith.config.schema import ExperimentConfig
from tunesmith.settings import Settings
from tunesmith.tasks import TASKS


@dataclass(frozen=True)
class Row:
    """One field: what is observed, of which configuration, and with which value."""

    observe: Callable[[Any, Settings], Any]
    value: Any
    base: str = "reviews"
    given: Mapping[str, Any] = field(default_factory=dict)
    """Other fields that this one needs, in both configurations."""


def learned(value: Any, base: str = "reviews", **given: Any) -> Row:
    dotted = {name.replace("__", "."): other for name, other in given.items()}
    return Row(observed.trainer, value, base, dotted)


def rule(value: str, base: str = "faulty", **given: Any) -> Row:
    dotted = {f"data.validation_rules.{name}": other for name, other in given.items()}
    return Row(observed.data, value, base, dotted)


BEST = {"training.load_best_model_at_end": True}
LORA = {"lora.target_modules": ["q_lin", "v_lin"]}
ROWS: dict[str, Row] = {
    "experiment_name": Row(observed.waiting, "other"),
    "model.name": Row(observed.model, "tiny_chat"),
    "model.revision": Row(
        observed.model, B, given={"model.name": "owner/tiny", "model.revision": A}
    ),
    "model.num_labels": Row(observed.data, 3),
    "model.trust_remote_code": Row(observed.model, True),
    "model.load_in_4bit": Row(observed.plan, True),
    "model.load_in_8bit": Row(observed.plan, True),
    "model.attn_implementation": Row(observed.plan, "sdpa"),
    "lora.r": Row(observed.adapter, 3),
    "lora.lora_alpha": Row(observed.adapter, 3),
    "lora.target_modules": Row(observed.adapter, ["q_lin"]),
    "lora.lora_dropout": Row(observed.adapter, 0.3),
    "lora.bias": Row(observed.adapter, "lora_only"),
    "lora.task_type": Row(observed.waiting, "CAUSAL_LM", "bare"),
    "lora.use_dora": Row(observed.adapter, True),
    "lora.use_rslora": Row(observed.adapter, True),
    "lora.init_lora_weights": Row(observed.adapter, "gaussian"),
    "lora.modules_to_save": Row(observed.adapter, ["lin1"], given=LORA),
    "lora.rank_pattern": Row(observed.adapter, {"q_lin": 3}),
    "lora.alpha_pattern": Row(observed.adapter, {"q_lin": 2}),
    "data.dataset_name": Row(observed.data, "faulty"),
    "data.dataset_config": Row(observed.data, "dull", "configs", {"data.dataset_config": "great"}),
    "data.revision": Row(observed.data, B, "hub", {"data.revision": A}),
    "data.format": Row(observed.data, "json"),
    "data.encoding": Row(observed.data, "utf-16"),
    "data.delimiter": Row(observed.data, ";"),
    "data.header": Row(observed.data, False),
    "data.sheet": Row(observed.data, "second"),
    "data.layout": Row(observed.tokens, "none", "instructions"),
    "data.train_split": Row(observed.data, "other", "splits"),
    "data.eval_split": Row(observed.data, "other", "splits"),
    "data.validation_split": Row(observed.data, "other", "splits"),
    "data.validation_samples": Row(observed.data, 7),
    "data.test_draw": Row(observed.data, 1),
    "data.where": Row(observed.data, {"kind": ["x"]}, "table"),
    "data.train_samples": Row(observed.data, 20),
    "data.eval_samples": Row(observed.data, 20),
    "data.eval_fraction": Row(observed.data, 0.3, given={"data.eval_samples": None}),
    "data.split_seed": Row(observed.data, 7),
    "data.group_column": Row(observed.data, "author", "spelled"),
    "data.max_length": Row(observed.tokens, 6),
    "training.learning_rate": learned(1e-4),
    "training.num_train_epochs": learned(2),
    "training.max_steps": learned(3),
    "training.per_device_train_batch_size": learned(4),
    "training.per_device_eval_batch_size": learned(3),
    "training.gradient_accumulation_steps": learned(2),
    "training.lr_scheduler_type": learned("cosine"),
    "training.warmup_steps": learned(2),
    "training.optim": learned("sgd"),
    "training.weight_decay": learned(0.1),
    "training.adam_beta1": learned(0.8),
    "training.adam_beta2": learned(0.9),
    "training.adam_epsilon": learned(1e-6),
    "training.max_grad_norm": learned(0.5),
    "training.eval_strategy": learned("no"),
    "training.eval_steps": learned(3, training__eval_strategy="steps"),
    "training.save_strategy": learned("no"),
    "training.save_steps": learned(7, training__save_strategy="steps"),
    "training.save_total_limit": learned(1),
    "training.logging_steps": learned(3),
    "training.load_best_model_at_end": learned(True),
    "training.metric_for_best_model": Row(observed.trainer, "loss", given=BEST),
    "training.greater_is_better": Row(observed.trainer, False, given=BEST),
    "training.early_stopping_patience": learned(2),
    "training.early_stopping_threshold": learned(0.1, training__early_stopping_patience=2),
    "training.seed": learned(7),
    "training.device": Row(observed.plan, "mps"),
    "training.precision": Row(observed.plan, "bfloat16"),
    "training.plan": Row(observed.plan, "reference"),
    "training.kernels": Row(observed.plan, False),
    "training.use_liger_kernel": Row(observed.plan, True),
    "training.gradient_checkpointing": learned(True),
    "training.group_by_length": learned(False),
    "training.dataloader_num_workers": learned(1),
    "training.report_to": Row(observed.ended, ["tensorboard"]),
    "training.processes": Row(observed.plan, 2),
    "training.forgetting": Row(observed.measured, False, "chats"),
    "job.queue": Row(observed.waiting, "gpu"),
    "job.priority": Row(observed.waiting, 3),
    "job.max_restarts": Row(observed.restarted, 0),
    "job.time_limit": Row(observed.ended, 0.01, given={"training.max_steps": 60}),
    # What is learned
    "task.name": Row(observed.waiting, "regression"),
    "task.text-classification.text_column": Row(observed.data, "other", "table"),
    "task.text-classification.text_pair_column": Row(observed.data, "other", "table"),
    "task.text-classification.label_column": Row(observed.data, "kind", "table"),
    "task.text-classification.label_columns": Row(
        observed.data, ["hot", "cold"], "spelled", {"task.multi_label": True}
    ),
    "task.text-classification.labels": Row(observed.data, ["good", "bad"]),
    "task.text-classification.multi_label": Row(
        observed.data, True, "table", {"task.label_column": "marks"}
    ),
    "task.text-classification.label_separator": Row(
        observed.data, ";", "table", {"task.label_column": "marks", "task.multi_label": True}
    ),
    "task.text-classification.class_weights": Row(observed.data, "balanced", "table"),
    "task.text-classification.selective_accuracy": Row(observed.promise, 0.9),
    "task.text-classification.selective_certainty": Row(
        observed.promise, 0.6, given={"task.selective_accuracy": 0.95}
    ),
    "task.token-classification.tokens_column": Row(observed.data, "others", "words"),
    "task.token-classification.tags_column": Row(observed.data, "marks", "words"),
    "task.token-classification.text_column": Row(
        observed.data, "other", "spans", {"task.spans_column": "spans"}
    ),
    "task.token-classification.spans_column": Row(
        observed.data, "marks", "spans", {"task.text_column": "text"}
    ),
    "task.token-classification.labels": Row(
        observed.data, ["O", "B-VIEW", "I-VIEW", "B-PART"], "words"
    ),
    "task.regression.text_column": Row(observed.data, "other", "numbers"),
    "task.regression.text_pair_column": Row(observed.data, "other", "numbers"),
    "task.regression.target_column": Row(observed.data, "stars", "numbers"),
    "task.sft.messages_column": Row(
        observed.tokens, "later", "chats", {"task.messages_column": "messages"}
    ),
    "task.sft.prompt_column": Row(
        observed.tokens, "other", "pairs", {"task.completion_column": "chosen"}
    ),
    "task.sft.completion_column": Row(
        observed.tokens, "rejected", "pairs", {"task.prompt_column": "prompt"}
    ),
    "task.sft.prompt_template": Row(
        observed.tokens, "{other} ?", "pairs", {"task.completion_column": "chosen"}
    ),
    "task.sft.system_prompt": Row(observed.tokens, "answer in one word", "chats"),
    "task.sft.max_new_tokens": Row(observed.tokens, 2, "chats"),
    "task.sft.thinking": Row(observed.tokens, "keep", "chats"),
    "task.sft.template_date": Row(observed.tokens, "2026-02-03", "chats", {"model.name": "dated"}),
    "task.sft.tools_column": Row(observed.data, "others", "calling chats"),
    "task.dpo.tools_column": Row(observed.data, "others", "calling pairs"),
    "task.dpo.prompt_column": Row(observed.tokens, "other", "preferences"),
    "task.dpo.chosen_column": Row(observed.tokens, "best", "preferences"),
    "task.dpo.rejected_column": Row(observed.tokens, "worst", "preferences"),
    "task.dpo.prompt_template": Row(observed.tokens, "{other} ?", "preferences"),
    "task.dpo.system_prompt": Row(observed.tokens, "answer in one word", "preferences"),
    "task.dpo.beta": Row(observed.loss, 0.5, "preferences"),
    "task.dpo.loss_type": Row(observed.loss, "ipo", "preferences"),
    "task.dpo.label_smoothing": Row(observed.loss, 0.3, "preferences"),
    "task.dpo.max_new_tokens": Row(observed.tokens, 2, "preferences"),
    "task.dpo.thinking": Row(observed.tokens, "keep", "preferences"),
    "task.dpo.template_date": Row(
        observed.tokens, "2026-02-03", "preferences", {"model.name": "dated"}
    ),
    # What a row must be like
    "data.validation_rules.min_text_length": Row(observed.data, 20, "faulty"),
    "data.validation_rules.max_text_length": Row(observed.data, 60, "faulty"),
    "data.validation_rules.allow_empty": Row(observed.data, True, "faulty"),
    "data.validation_rules.remove_html": Row(observed.data, False, "faulty"),
    "data.validation_rules.near_duplicate_similarity": Row(observed.data, 1.0, "faulty"),
    "data.validation_rules.max_imbalance_ratio": Row(observed.data, 1.0, "faulty"),
    "data.validation_rules.max_unknown_share": Row(observed.data, 0.0, "faulty"),
    "data.validation_rules.unreadable_rows": rule("fail"),
    "data.validation_rules.empty_texts": rule("warn"),
    "data.validation_rules.short_texts": rule("warn", min_text_length=8),
    "data.validation_rules.long_texts": rule("warn", max_text_length=60),
    "data.validation_rules.cut_texts": rule("drop"),
    "data.validation_rules.cut_answers": rule("drop", "chats"),
    "data.validation_rules.control_tokens": rule("drop"),
    "data.validation_rules.unknown_tokens": rule("ignore", max_unknown_share=0.0),
    "data.validation_rules.html": rule("drop"),
    "data.validation_rules.broken_encoding": rule("drop"),
    "data.validation_rules.control_characters": rule("drop"),
    "data.validation_rules.missing_labels": rule("fail"),
    "data.validation_rules.unknown_labels": Row(
        observed.data, "drop", "faulty", {"task.labels": ["good", "bad"]}
    ),
    "data.validation_rules.broken_tags": rule("fail", "words"),
    "data.validation_rules.inexact_spans": rule("fail", "spans"),
    "data.validation_rules.label_variants": rule("fix", "spelled"),
    "data.validation_rules.label_marks": rule("drop", "spelled"),
    "data.validation_rules.rare_labels": rule("drop"),
    "data.validation_rules.label_imbalance": rule("ignore"),
    "data.validation_rules.duplicates": rule("drop"),
    "data.validation_rules.near_duplicates": rule("drop"),
    "data.validation_rules.conflicting_labels": rule("drop"),
    "data.validation_rules.leakage": rule("warn", "splits"),
    "data.validation_rules.near_leakage": rule("drop", "splits"),
    "data.validation_rules.marked_rows": rule("fail", "marked"),
    "data.validation_rules.wrong_roles": rule("fail", "faulty chats"),
    "data.validation_rules.non_text_turns": rule("fail", "faulty chats"),
    "data.validation_rules.empty_turns": rule("warn", "faulty chats"),
    "data.validation_rules.missing_answers": rule("fail", "faulty chats"),
    "data.validation_rules.wrong_tools": rule("fail", "calling chats"),
    "data.validation_rules.unwritten_tools": rule("fail", "calling chats"),
    "data.validation_rules.wrong_order": rule("drop", "faulty chats"),
    "data.validation_rules.refused_chats": Row(
        observed.data, "fail", "faulty chats", {"model.name": "strict"}
    ),
    "data.validation_rules.secrets": rule("drop"),
    "data.validation_rules.personal_data": rule("drop"),
}
"""Dotted field, of a task's options with the task's name in it → how it is seen."""


def fields(section: type[BaseModel] = ExperimentConfig, path: str = "") -> Iterator[str]:
    """Every field that can be set."""
    for name, about in section.model_fields.items():
        kind = about.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{path}{name}.")
        elif path or name != "task":
            yield f"{path}{name}"
    if not path:
        yield "task.name"
        for task in TASKS.values():
            yield from (f"task.{task.name}.{n}" for n in task.Options.model_fields if n != "name")


def test_every_field_has_a_row_that_says_what_it_changes() -> None:
    assert sorted(ROWS) == sorted(fields())


@pytest.fixture(scope="module")
def bases(
    tmp_path_factory: pytest.TempPathFactory, tiny_distilbert: Path, tiny_chat: Path
) -> Bases:
    return Bases(tmp_path_factory.mktemp("asked"), tiny_distilbert, tiny_chat)


def set_in(base: dict[str, Any], name: str, value: Any, bases: Bases) -> dict[str, Any]:
    """`base` with `value` for the field called `name` in `ROWS`; models and data by their names."""
    section, *middle = name.split(".")
    if section == "task" and len(middle) > 1:
        name = f"task.{middle[-1]}"
    known = {"model.name": bases.models, "data.dataset_name": bases.datasets}.get(name, {})
    return with_fields(base, {name: known.get(value, value) if known else value})


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_field_changes_what_its_row_says(
    name: str, bases: Bases, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(bases.hub))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    row = ROWS[name]
    before = bases.asked[row.base]
    for field_name, value in row.given.items():
        before = set_in(before, field_name, value, bases)
    after = set_in(before, name, row.value, bases)
    assert before != after
    seen = row.observe(before, settings)
    assert seen == row.observe(before, settings)
    assert seen != row.observe(after, settings)
