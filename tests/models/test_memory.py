"""The estimate of memory: what it is made of, what it decides, and what is left for a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import DeviceError
from tunesmith.files.headroom import memory_left
from tunesmith.models.adapter import add_adapter, count_parameters
from tunesmith.models.formats import Formats
from tunesmith.models.inspect import inspect_model
from tunesmith.models.locate import locate_model
from tunesmith.models.memory import Load, MemoryEstimate, Rows, estimate_memory
from tunesmith.tasks import TASKS
from tunesmith.training import preflight
from tunesmith.training.plan import make_plan
from tunesmith.training.preflight import fit_into_memory
from tunesmith.training.reporting.reporter import Reporter, TrainingData
from tunesmith.training.stages import Encoded, Placed
from tunesmith.training.starting import base_model

GB = 10**9
CPU = Formats("cpu", "bfloat16", "bfloat16", "eager")
ROWS = Rows(rows=8, tokens=32, targets=3)
LOAD = Load(ROWS, ROWS)


def chat_config(chat: dict[str, Any], **training: Any) -> ExperimentConfig:
    chat = {**chat, "lora": {"r": 4, "target_modules": ["q_proj", "v_proj"]}}
    return ExperimentConfig.model_validate({**chat, "training": {**chat["training"], **training}})


def estimated(
    chat: dict[str, Any], folder: Path, load: Load = LOAD, formats: Formats = CPU, **training: Any
) -> MemoryEstimate:
    found = estimate_memory(chat_config(chat, **training), inspect_model(folder), load, formats)
    assert found is not None
    return found


def test_weights_and_what_trains_are_counted_as_they_are(
    chat: dict[str, Any], tiny_chat: Path, tmp_path: Path
) -> None:
    config = chat_config(chat)
    task = TASKS["sft"](config.task)
    source = locate_model(str(tiny_chat), cache=tmp_path)
    base, fresh = base_model(config, task, source, make_plan(config))
    frozen = sum(parameter.numel() for parameter in base.parameters())
    model = add_adapter(
        base, config.lora, task_type="CAUSAL_LM", fresh_modules=fresh, quantized=False
    )
    found = estimated(chat, tiny_chat)
    assert found.weights == 2 * frozen
    assert found.adapter == 16 * count_parameters(model)[0]


def test_a_step_grows_with_its_rows_and_shrinks_with_checkpointing(
    chat: dict[str, Any], tiny_chat: Path
) -> None:
    twice = Load(Rows(16, 32, 3), ROWS)
    longer = Load(Rows(8, 64, 3), ROWS)
    nothing = estimated(chat, tiny_chat, Load(Rows(0, 32, 3), ROWS)).step
    step = estimated(chat, tiny_chat).step
    rows = estimated(chat, tiny_chat, twice).step
    assert rows - step == pytest.approx(step - nothing, abs=2)
    assert estimated(chat, tiny_chat, longer).step > rows  # attention scores: tokens by tokens
    assert estimated(chat, tiny_chat, gradient_checkpointing=True).step < step
    float32 = Formats("cpu", "float32", "float32", "eager")
    assert estimated(chat, tiny_chat, formats=float32).step > step


def prepared(
    chat: dict[str, Any], tiny_chat: Path, tmp_path: Path, rows: int = 8, **training: Any
) -> Encoded:
    """A training with encoded rows, as it is when memory is looked at."""
    values = {"per_device_train_batch_size": rows, "precision": "float32", **training}
    config = chat_config(chat, **values)
    example = {"input_ids": list(range(40)), "targets": 2}
    return Encoded(
        config,
        TASKS["sft"](config.task),
        TrainingData([], [], {}),
        locate_model(str(tiny_chat), cache=tmp_path),
        make_plan(config),
        tmp_path,
        Reporter(),
        tokenizer=None,
        train_rows=[],
        train_examples=[example] * 4096,
        eval_examples=[example] * 4096,
    )


def plan_line(work: Placed, setting: str) -> str:
    return next((c.value for c in work.plan.choices if c.setting == setting), "")


# How much is free can't be chosen, so what tells it is.
def with_free(monkeypatch: pytest.MonkeyPatch, free: float) -> None:
    monkeypatch.setattr(preflight, "free_bytes", lambda device: int(free))


def test_a_training_that_fits_is_left_as_it_is_and_the_plan_says_what_it_takes(
    chat: dict[str, Any], tiny_chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, 20 * GB)
    before = prepared(chat, tiny_chat, tmp_path)
    work = fit_into_memory(before)
    assert (work.rows_at_once, work.rows_judged) == (None, before.config.eval_batch_size)
    assert work.memory_estimate is not None
    assert work.memory_estimate > psutil.Process().memory_info().rss
    assert plan_line(work, "memory").startswith("about ")
    assert not plan_line(work, "rows at once")


def test_a_batch_that_would_not_fit_is_computed_in_parts(
    chat: dict[str, Any], tiny_chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, 0.3 * GB)
    work = fit_into_memory(prepared(chat, tiny_chat, tmp_path, rows=4096))
    assert work.rows_at_once is not None
    assert 1 < work.rows_at_once < 4096
    assert plan_line(work, "rows at once") == f"{work.rows_at_once} of 4096"


def test_a_training_that_can_not_fit_is_refused_with_what_would(
    chat: dict[str, Any], tiny_chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, 0.01 * GB)
    with pytest.raises(DeviceError) as caught:
        fit_into_memory(prepared(chat, tiny_chat, tmp_path))
    assert "with a single row at once" in str(caught.value)
    assert "What would fit: a smaller base model." in str(caught.value)
    # Several processes each compute whole batches: fewer rows and more batches are the same step.
    with_free(monkeypatch, 2 * GB)
    with pytest.raises(DeviceError) as caught:
        fit_into_memory(prepared(chat, tiny_chat, tmp_path, rows=4096, processes=2))
    assert "training.per_device_train_batch_size: " in str(caught.value)
    assert "with gradient_accumulation_steps: " in str(caught.value)


def test_the_limit_of_a_container_counts_where_less_is_left_in_it(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod/box\n")
    assert memory_left(tmp_path) == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    pod = tmp_path / "sys/fs/cgroup/pod"
    box = pod / "box"
    box.mkdir(parents=True)
    for group, limit in ((pod, "3000000"), (box, "max")):
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text("2500000\n")
        (group / "memory.stat").write_text("anon 1500000\ninactive_file 1000000\n")
    assert memory_left(tmp_path) == 1_500_000
