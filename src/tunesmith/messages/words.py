"""Words of ours that stand in messages as values, where their places are `catalogues.WORDS`."""

from __future__ import annotations

from tunesmith.messages.message import N_

OURS = N_(
    # Statuses, stages, roles, phases.
    "queued", "running", "succeeded", "failed", "cancelled", "pruned", "candidate", "staging",
    "production", "archived", "viewer", "member", "admin", "user", "assistant", "system",
    "preparing data", "loading model", "training", "evaluating", "saving", "verifying",
    # What a training does, and with what.
    "train", "evaluation", "validation", "sleep", "spin", "adapt", "LoRA layers", "norms",
    "dropouts", "attention", "last layer for one token", "LoRA layers computed together",
    "the worker shut down", "it was cancelled", "its time was over (job.time_limit)",
    "another process was given the experiment",
    "the experiment was taken from it, since its heartbeat had stopped", "its end was recorded",
    # Parts of the service, and what is found out about them.
    "server", "API", "web page", "broker", "ok", "warning", "problem", "access", "api", "device",
    "hook", "hugging face", "packages", "ports", "python", "results", "services", "starter",
    "store", "threads", "torch", "webhooks", "workers", "checkpoint", "half-written", "never begun",
    "upload", "deleted", "cache", "unrecorded",
    # What columns are for.
    "text", "text pair", "target", "tokens", "spans", "messages", "prompt", "completion", "chosen",
    "rejected",
    # Headings, and what is done to what.
    "listed", "read", "copied", "written", "datasets", "tags", "true", "answer", "rows", "row",
    "label", "model", "least", "median", "mean", "most", "rule", "done", "before", "after",
    "change", "share before", "share after", "data", "checkpoints", "logging",
)  # fmt: skip
