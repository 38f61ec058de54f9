"""GGUF files as folders that transformers trains on: converted once, kept in the cache."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from tunesmith.errors import ModelError, StorageError, first_line
from tunesmith.files.writing import WRITE_ERRORS, made_whole, mark_as_used, why_not_written
from tunesmith.names import LONGEST_FOLDER, shortened


def converted(gguf: Path, cache: Path, *, convert: bool) -> Path:
    """The GGUF model as a safetensors folder in the `cache`, made once and visible whole.

    With `convert=False` one that was never converted stays the file `gguf`. Raises ModelError when
    it can't be read, StorageError when the cache can't be written.
    """
    stat = gguf.stat()
    key = hashlib.sha256(f"{gguf.resolve()}:{stat.st_size}:{stat.st_mtime_ns}".encode())
    folder = cache / "models" / f"{shortened(gguf.stem, LONGEST_FOLDER)}-{key.hexdigest()[:12]}"
    if _is_whole(folder):
        mark_as_used(folder)
        return folder
    if not convert:
        return gguf
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            "the cache folder {folder} can't be written: {error}", folder=cache, error=error
        ) from error
    try:
        with made_whole(folder, stays=_is_whole) as staging:
            _convert(gguf, staging)
    except WRITE_ERRORS as error:
        reason = why_not_written(cache, error)
        raise StorageError(
            "{name} can't be converted into the cache: {reason}", name=gguf.name, reason=reason
        ) from error
    return folder


def _is_whole(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _convert(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, utils

    utils.logging.set_verbosity_error()
    utils.logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except (OSError, ValueError, LookupError, ImportError, OverflowError, struct.error) as error:
        raise ModelError(
            "{name} can't be read as GGUF: {error}", name=gguf.name, error=first_line(error)
        ) from error
    # save_pretrained refuses a model that is still marked as quantized; the weights are float32.
    del model.hf_quantizer
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
