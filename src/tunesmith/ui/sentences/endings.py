"""Why a training ended, or began again."""

from __future__ import annotations

from tunesmith.ui.language import N_

SENTENCES = N_(
    "The process that trained it (pid {pid})",
    "{who} ended because {reason}",
    "{who} ended by itself with exit code {code} and recorded nothing, and printed nothing",
    "{who} ended by itself with exit code {code} and recorded nothing; its last words: {reason}",
    "{who} was killed by the out-of-memory killer: the memory of this machine, or what "
    "this service may use of it, ran out. A smaller training.per_device_train_batch_size "
    "or data.max_length needs less, and so does training.gradient_checkpointing: true.",
    "{who} was killed from outside ({name}, as kill -9 sends it).",
    "{who} crashed in native code ({name}, {what}).",
    "{who} crashed in native code ({name}, {what}): {reason}.",
    "{who} was ended by a signal from outside ({name}).",
    "a segmentation fault",
    "a bus error",
    "it aborted itself",
    "an illegal instruction",
    "an arithmetic error",
    "{reason} Restart {restarts} of {most}.",
    "{reason} It was restarted {most} times before (job.max_restarts). {rest}",
    "{reason} Resume it with: tunesmith {command} {id}",
    "Resume it with: tunesmith {command} {id}",
    "The process that trained it (pid {pid} on {host}) has given no sign of life for "
    "{seconds} seconds.",
    "The process that {what} (pid {pid}) ended without a word, as after kill -9, when "
    "memory ran out, or when the machine lost power.",
    "trained it",
    "was about to train it",
    "Given back by worker {name}.",
    "Given back by worker {name}: {reason}.",
    "Given back by worker {name} before it began.",
    "Its time was over (job.time_limit, {limit} seconds).",
    "Its time was over (job.time_limit, {limit} seconds): {reason}.",
    "Stopped by the user.",
    "Stopped by the user: {reason}.",
    "Cancelled: {reason}.",
    "Cancelled by {by}: {reason}.",
    "stopped at step {step} of {steps}",
    "training.early_stopping_patience: {n} ended training at step {step} of {steps}: {metric} was "
    "no longer getting better",
    "the adapter is that of the last step, {step}: the best checkpoint ({metric} {value})",
    "the adapter is that of step {kept}, the best checkpoint ({metric} {value}), and not that of "
    "the last step, {step}",
    "the adapter is that of the last step, {step}; step {best} was better ({metric} {value}): "
    "training.load_best_model_at_end: true keeps the best",
    "stopped before training began",
    "stopped during evaluation",
    "The process that trained it was killed: it did not stop within {seconds} seconds "
    "although {why}.",
    "The process that trained it was killed: {what} for {seconds} seconds although {why}.",
    "it was stopped, as by SIGSTOP",
    "it hung: it used neither processor nor disk",
    "the experiment was taken from it, since its heartbeat had stopped",
    "{name} is damaged: {reason}.",
    "{name} is damaged: {reason}; going on from {other} instead.",
    "{name} is damaged: {reason}; starting from the beginning instead.",
    "its {name} can't be read",
    "it is gone",
    "its {name} is gone",
    "its {name} is not what was written",
    "it can't be read: {error}",
    "{name}, the best until then, can't be loaded: {reason}",
    "the best checkpoint, {name}, can't be loaded: {reason}.",
    "the worker shut down",
    "it was cancelled",
    "its time was over (job.time_limit)",
    "another process was given the experiment",
    "its end was recorded",
    "Its training process can't be started: {error}.",
    "Tunesmith made a mistake ({kind}: {error}); logs.txt has the details.",
    "It ended without a word.",
    "the loss became {loss} at step {step} (learning rate {rate}). Try a lower "
    "training.learning_rate, training.warmup_steps, or training.precision: float32.",
    "the memory of {device} was not enough ({error}). Lower "
    "training.per_device_train_batch_size (and raise gradient_accumulation_steps by as "
    "much), lower data.max_length, or set training.gradient_checkpointing.",
    "{name} needs about {size} of memory to be trained{where} {how}, and {free} are there on "
    "{device}. What would fit: {what}.",
    "in {n} processes",
    "with a single row at once",
    "with {n} rows at once",
    "training.gradient_checkpointing: true",
    "data.max_length: {n}",
    "model.load_in_4bit: true",
    "training.per_device_train_batch_size: {rows} with gradient_accumulation_steps: {n}",
    "a smaller base model",
    "the disk of {folder} is full ({free} MB free).",
    "the damaged checkpoint {name} can't be renamed: {error}.",
    "the checkpoint of step {step} can't be written: {error} Earlier checkpoints are "
    "whole: resume when that is mended.",
    "the adapter can't be written: {error}",
    "every row is longer than data.max_length={limit} tokens before its answer begins; "
    "raise data.max_length.",
    "experiment {id} can't be resumed: its config.yaml was changed since it was submitted "
    "({path}).",
    "experiment {id} can't be resumed: {name} was changed since (content hash {now}, was "
    "{then}). Start a new experiment with the new data.",
    "experiment {id} can't be resumed: the base model {name} was changed since.",
    "the saved adapter, loaded into a fresh base model, answers {n} of {rows} held-out "
    "rows differently (rows {list}; largest difference of a score {largest}, allowed "
    "{tolerance}). Something that was trained was not saved: see lora.modules_to_save and "
    "lora.init_lora_weights.",
    "training process {rank} of {size} (pid {pid}) was killed ({name}), as the system does "
    "when memory runs out.",
    "training process {rank} of {size} (pid {pid}) crashed in native code ({name}).",
    "training process {rank} of {size} (pid {pid} on {host}) gives no sign of life any more: it "
    "was killed, or its node or the network between them is gone.",
    "training process {rank} of {size} (pid {pid} on {host}): {error}",
    "the connection between the training processes broke: {error}",
    "the connection to the first process of the training broke: {error}",
    "resuming from {name}",
)
