"""GGUF files as folders that transformers trains on: converted once, kept in the cache."""

from __future__ import annotations

import hashlib
import shutil
import struct
import tempfile
from pathlib import Path

from tunesmith.errors import ModelError, StorageError
from tunesmith.tracking.permissions import settle
from tunesmith.training.writing import WRITE_ERRORS, mark_as_used, why_not_written


def converted(gguf: Path, cache: Path, *, convert: bool) -> Path:
    """The GGUF model as a safetensors folder in the `cache`, made once and visible whole.

    With `convert=False` one that was never converted stays the file `gguf`. Raises ModelError when
    it can't be read, StorageError when the cache can't be written.
    """
    stat = gguf.stat()
    key = hashlib.sha256(f"{gguf.resolve()}:{stat.st_size}:{stat.st_mtime_ns}".encode())
    folder = cache / "models" / f"{gguf.stem}-{key.hexdigest()[:12]}"
    if (folder / "config.json").is_file():
        mark_as_used(folder)
        return folder
    if not convert:
        return gguf
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise StorageError(f"the cache folder {cache} can't be written: {error}") from error
    try:
        _convert(gguf, staging)
        settle(staging)
        try:
            staging.rename(folder)
        except OSError:
            if not (folder / "config.json").is_file():  # else another process was faster
                raise
    except WRITE_ERRORS as error:
        reason = why_not_written(cache, error)
        raise StorageError(f"{gguf.name} can't be converted into the cache: {reason}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, utils

    utils.logging.set_verbosity_error()
    utils.logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except (OSError, ValueError, LookupError, ImportError, OverflowError, struct.error) as error:
        raise ModelError(f"{gguf.name} can't be read as GGUF: {first_line(error)}") from error
    # save_pretrained refuses a model that is still marked as quantized; the weights are float32.
    del model.hf_quantizer
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def first_line(error: BaseException) -> str:
    """What `error` says first, short enough for a sentence."""
    return str(error).strip().split("\n")[0][:300]
