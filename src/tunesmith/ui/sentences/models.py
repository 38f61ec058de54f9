"""Base models, and what answers a question."""

from __future__ import annotations

from tunesmith.ui.language import N_

SENTENCES = N_(
    "model.name: there is no file or folder {name}.",
    "there is no file or folder {name}.",
    "there is no file or folder {name}. Did you mean {near}?",
    "model.name: {name} is neither a folder nor a hub id.",
    "{name} is neither a folder nor a hub id.",
    "{name} is a file; give a model folder or a .gguf file.",
    "{name} is no model folder: {folder} holds no config.json.",
    "{name} holds no weights: no .safetensors file in {folder}.",
    "{name} is gated: accept its terms on its hub page, and set HF_TOKEN to a token of "
    "that account.",
    "{name} has no revision {revision}.",
    "the hub has no model {name} (or it is private: then set HF_TOKEN), and there is no "
    "such folder here. Models that came with Tunesmith: {names}.",
    "model.name: the hub has no model {name} (or it is private: then set HF_TOKEN), and "
    "there is no such folder here. Models that came with Tunesmith: {names}.",
    "the Hugging Face hub can't be reached, and {name} isn't in its cache. What works "
    "offline: a model folder, or {names}.",
    "model.name: the Hugging Face hub can't be reached, and {name} isn't in its cache. "
    "What works offline: a model folder, or {names}.",
    "the model {name} is not on this machine, and models of the hub are fetched for members and "
    "admins only. Once one of them has asked, it is here.",
    "{name} can't be loaded: {error}",
    "the base model has no chat template, so it is not a chat model: choose its instruct "
    "or chat variant as model.name.",
    "the base model's tokenizer doesn't say where its tokens stand in a text, which "
    "token-classification needs: choose another model as model.name.",
    "the base model's tokenizer has no padding and no end token.",
    "the adapter of experiment {id} is not on this machine",
    "the answer took longer than {seconds} s and was given up; ask for fewer inputs, or "
    "for shorter answers.",
    "{n} requests for predictions are waiting already; ask again soon.",
    "the memory of {device} was not enough for {n} questions at once; ask fewer, or shorter ones.",
    "the API is stopping; nothing is answered any more.",
    "always {label}, the most frequent label",
    "always {label}, the most frequent answer",
    "always {value}, the mean of the training rows",
    "each word with the tag it has most often in training",
    "either answer at random",
    "{name} holds no tokenizer: no tokenizer.json in {folder}.",
    "{name} holds its weights as a pickle ({file}), which can run code when loaded. Only "
    "safetensors are loaded: choose a revision that has them, or convert the model once with "
    "save_pretrained.",
    "model.name: {name} holds its weights as a pickle ({file}), which can run code when "
    "loaded. Only safetensors are loaded: choose a revision that has them, or convert the "
    "model once with save_pretrained.",
    "model.name: {name} is no model folder: {folder} holds no config.json.",
    "model.name: {name} holds no weights: no .safetensors file in {folder}.",
    "model.name: there is no file or folder {name}. Did you mean {near}?",
    "the model in {folder} can't be read: {error}",
    "{file} is cut off",
    "the tokenizer of {name} can't be loaded from {folder}: {error}",
    "{name} can't be loaded: its weights don't fit its config.json ({layer}).",
    "{name} can't be loaded: its weights don't fit its config.json ({layer} and {n} more).",
    "{name} can't be fetched into the hub's cache: {error}",
    "the cache folder {folder} can't be written: {error}",
    "{name} can't be converted into the cache: {reason}",
    "{name} can't be read as GGUF: {error}",
    "the adapter in {folder} can't be loaded: {error}",
    "what was saved is not whole: {error}",
    "the base model's head doesn't read one hidden state for each token, so it can't be "
    "trained on chats: choose another model as model.name.",
    "model.name: {name} can't be trained: its output doesn't depend on any trainable weight. "
    "Choose other layers in lora.target_modules, or another model.",
    "model.name: {name} can't be trained on these rows: its own code in transformers "
    "({where}) failed with {kind}: {error}. Choose another model, or another version of "
    "transformers.",
    "{file}, line {line}",
)
