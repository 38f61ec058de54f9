"""One contender of `benchmarks/training.py`: trains once in a process of its own, prints figures.

The peers get the data that Tunesmith checked and split, as JSON lines, and train on them with their
own public settings: `stock` and `trl` as their documentation has it, `tuned` and `trl_best` with
every setting found that makes them faster here. What is trained is the same everywhere: base model,
layers, rank, learning rate, batch, order of epochs.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

BEGUN = time.perf_counter()


def main() -> None:
    """`NAME FOLDER`: train the contender NAME on what stands in FOLDER; figures as one JSON line.

    FOLDER holds `job.json`, `train.jsonl` and `evaluation.jsonl`; the model is a path in the job.
    """
    name, folder = sys.argv[1], Path(sys.argv[2])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    sides = [
        [json.loads(line) for line in (folder / f"{side}.jsonl").read_text("utf-8").splitlines()]
        for side in ("train", "evaluation")
    ]
    figures = CONTENDERS[name](job, *sides)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**figures, "peak_bytes": peak}))


def _arguments(job: dict[str, Any], kind: Any, **more: Any) -> Any:
    return kind(
        output_dir=job["scratch"],
        learning_rate=job["learning_rate"],
        warmup_steps=job["warmup_steps"],
        num_train_epochs=1,
        per_device_train_batch_size=job["batch"],
        per_device_eval_batch_size=job["batch"] * 4,
        seed=job["seed"],
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **more,
    )


class _Clock:
    """When the first step began, and when the last ended."""

    def __init__(self) -> None:
        self.first = 0.0
        self.began = 0.0

    def callback(self) -> Any:
        """A callback for the Trainer that looks at it."""
        from transformers import TrainerCallback

        clock = self

        class Callback(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if state.global_step == 1:
                    clock.first = time.perf_counter() - BEGUN

        return Callback()


def _train(trainer: Any, clock: _Clock, rows: int, tokens: int) -> dict[str, Any]:
    began = time.perf_counter()
    result = trainer.train()
    seconds = time.perf_counter() - began
    return {
        "train_seconds": seconds,
        "samples_per_second": rows / seconds,
        "tokens_per_second": tokens / seconds,
        "train_loss": result.training_loss,
        "first_step_seconds": clock.first,
    }


def _adapter(job: dict[str, Any]) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        task_type=job["task_type"],
        r=job["r"],
        lora_alpha=job["lora_alpha"],
        target_modules=job["target_modules"],
        lora_dropout=0.0,
    )


def _classify(
    job: dict[str, Any],
    train: list[dict[str, Any]],
    evaluation: list[dict[str, Any]],
    *,
    padding: str | bool,
    loading: dict[str, Any],
    more: dict[str, Any],
) -> dict[str, Any]:
    import numpy as np
    import transformers
    from datasets import Dataset
    from peft import get_peft_model

    transformers.set_seed(job["seed"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["model"])
    labels = job["labels"]

    def encoded(rows: list[dict[str, Any]]) -> Any:
        data = Dataset.from_list(
            [{"text": r["text"], "label": labels.index(r["label"])} for r in rows]
        )
        return data.map(
            lambda b: tokenizer(
                b["text"], truncation=True, max_length=job["max_length"], padding=padding
            ),
            batched=True,
            remove_columns=["text"],
        )

    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        job["model"], num_labels=len(labels), **loading
    )
    clock = _Clock()
    trainer = transformers.Trainer(
        model=get_peft_model(model, _adapter(job)),
        args=_arguments(job, transformers.TrainingArguments, **more),
        train_dataset=encoded(train),
        eval_dataset=encoded(evaluation) if evaluation else None,
        processing_class=tokenizer,
        callbacks=[clock.callback()],
    )
    figures = _train(trainer, clock, len(train), job["train_tokens"])
    if evaluation:
        found = trainer.predict(trainer.eval_dataset)
        logits = found.predictions[0] if isinstance(found.predictions, tuple) else found.predictions
        figures["score"] = float((np.argmax(logits, axis=-1) == found.label_ids).mean())
    return figures


def _chat(
    job: dict[str, Any],
    train: list[dict[str, Any]],
    evaluation: list[dict[str, Any]],
    *,
    loading: dict[str, Any],
    more: dict[str, Any],
) -> dict[str, Any]:
    import torch
    import transformers
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    transformers.set_seed(job["seed"])
    data = Dataset.from_list(
        [{"prompt": r["messages"][:-1], "completion": r["messages"][-1:]} for r in train]
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["model"])
    model: Any = job["model"]
    if loading:
        model = transformers.AutoModelForCausalLM.from_pretrained(job["model"], **loading)
    clock = _Clock()
    trainer = SFTTrainer(
        model=model,
        args=_arguments(job, SFTConfig, max_length=job["max_length"], **more),
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=_adapter(job),
        callbacks=[clock.callback()],
    )
    figures = _train(trainer, clock, len(train), job["train_tokens"])
    if evaluation:
        trained = trainer.model.eval()
        tokenizer.padding_side = "left"
        hits = 0
        for start in range(0, len(evaluation), 20):
            rows = evaluation[start : start + 20]
            inputs = tokenizer.apply_chat_template(
                [r["messages"][:-1] for r in rows], add_generation_prompt=True, padding=True,
                return_tensors="pt", return_dict=True,
            )  # fmt: skip
            with torch.inference_mode():
                output = trained.generate(
                    **inputs, max_new_tokens=job["max_new_tokens"], do_sample=False
                )
            texts = tokenizer.batch_decode(
                output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
            )
            hits += sum(
                t.strip() == r["messages"][-1]["content"].strip()
                for t, r in zip(texts, rows, strict=True)
            )
        figures["score"] = hits / len(evaluation)
    return figures


def _stock(job: Any, train: Any, evaluation: Any) -> dict[str, Any]:
    return _classify(job, train, evaluation, padding="max_length", loading={}, more={})


def _tuned(job: Any, train: Any, evaluation: Any, **loading: Any) -> dict[str, Any]:
    more = {"bf16": True, "train_sampling_strategy": "group_by_length"}
    return _classify(job, train, evaluation, padding=False, loading=loading, more=more)


def _tuned_eager(job: Any, train: Any, evaluation: Any) -> dict[str, Any]:
    return _tuned(job, train, evaluation, attn_implementation="eager")


def _trl(job: Any, train: Any, evaluation: Any) -> dict[str, Any]:
    return _chat(job, train, evaluation, loading={}, more={})


def _trl_best(job: Any, train: Any, evaluation: Any) -> dict[str, Any]:
    import torch

    more = {
        "bf16": True,
        "gradient_checkpointing": False,
        "loss_type": job.get("loss_type", "nll"),
        "train_sampling_strategy": "group_by_length",
    }
    dtype = getattr(torch, job.get("dtype", "bfloat16"))
    loading = {"attn_implementation": job.get("attn", "eager"), "dtype": dtype}
    return _chat(job, train, evaluation, loading=loading, more=more)


CONTENDERS = {
    "stock": _stock,
    "tuned": _tuned,
    "tuned_eager": _tuned_eager,
    "trl": _trl,
    "trl_best": _trl_best,
}

if __name__ == "__main__":
    main()
