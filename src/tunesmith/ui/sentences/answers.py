"""Asking an adapter, and why it can't answer."""

from __future__ import annotations

from tunesmith.ui.language import N_

SENTENCES = N_(
    "the adapter of experiment {id} is not on this machine ({path} does not hold it).",
    "the adapter of experiment {id} is not on this machine ({path} does not hold it), and "
    "TUNESMITH_ARTIFACTS names no store to fetch it.",
    "Where its folder was moved: tunesmith experiments import FOLDER.",
    "Else ask on the machine that trained it, or train again.",
    "the adapter can't be fetched into the cache folder {folder}: {error}",
    "the configuration of experiment {id} can't be read by this version of Tunesmith ({n} "
    "problems).",
    "the adapter of experiment {id} can't be read: its tunesmith.json is missing or damaged.",
    "the adapter of experiment {id} can't be loaded onto {model}: {error}",
    "the process for predictions ended while it answered ({how}). It is started again by the "
    "next request.",
    "exit code {n}",
    "signal {n}",
    "signal {n}, as when the machine's memory is used up",
    "this API was installed without PyTorch, which answers need; start it from what the "
    "workers are installed from, or ask with tunesmith predict there.",
    "the process for predictions can't be started: {error}",
    "{name} is too big for this machine: its {n} parameters don't fit into the memory of "
    "{device} ({size} GiB). Ask on a larger one.",
    "this adapter was trained on a base model in {bits} bits, which needs a CUDA GPU; here "
    "there is {device}.",
    "the base model {name} is not the one that {what} was trained on: it was {before} then, "
    "and is {now} now. An adapter means nothing on other weights: put the old model back, or "
    "train again.",
    "{what} was trained on the base model {name}, which can't be used here: {error}",
    "experiment {id}",
    "the base model brings code of its own, which is not run for a request that came over the "
    "network; at the machine itself: tunesmith predict {id}",
    "inputs have {n} characters; at most {most} are accepted",
    "an adapter of the task {name} can't be asked anything yet.",
    "the model's chat template rewrites the text before an answer, so the answer can't be "
    "separated from the rest; choose another variant of the model.",
    "the model's chat template ends no answer, and its tokenizer has no end token: the "
    "adapter could not learn to stop.",
    "the model's chat template writes today's date in a way that can't be fixed to one day, so "
    "its prompts would differ from those it was trained on.",
    "only {share} of the held-out answers ended with their end token; the others ran to the most "
    "tokens allowed. Look for answers that data.max_length cuts, train longer, or raise "
    "task.max_new_tokens.",
    "the model's chat template refuses a conversation: {error}",
    "{where}: ends with the {role}; end with what the user asks.",
    "{where}: holds no turn; end with what the user asks.",
    "{where}: the last turn is empty.",
    "the conversation has {n} tokens, of which {most} fit beside the answer; leave out earlier "
    "turns, or ask for a shorter answer.",
    "a text alone can't be asked here: give the columns {what}.",
    "there is no text in {what}.",
    "there is no column {name} among {what}; asked for: {other}",
    "there is no column {name} among {what}; asked for: {other}; did you mean {near} by it?",
    "an answer of {n} tokens leaves no room for the question: the model takes {most} in all; "
    "lower max_new_tokens.",
    "the model's chat template has no end token after answers: they are learned with {token} "
    "as their end",
    "the model's chat template writes {day} as today's date, in training and in use",
    "chat template",
    "server",
    "the {who} puts this system prompt before chats that have none: {said}",
    "the {who} puts what the user says into {template}",
    "the user's turns were trained as {template}: it has several columns, so the client must "
    "fill it in",
    "the memory of {device} was not enough for {n} questions at once; ask fewer, or shorter ones.",
)
