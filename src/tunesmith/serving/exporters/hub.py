"""`--to hub`: the adapter with its model card, as a repository of the Hugging Face hub.

What is sent is what training left, nothing converted; the base model stays a reference.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils._validators import validate_repo_id
from huggingface_hub.utils.tqdm import disable_progress_bars

from tunesmith.errors import ServiceError, UserError, VerificationError
from tunesmith.messages import joined, say
from tunesmith.names import Hub
from tunesmith.serving.exporters.base import Exported, Exporter, Option
from tunesmith.settings import Settings
from tunesmith.training.reporting.card import ADAPTER

if TYPE_CHECKING:
    from tunesmith.serving.exporters.parts.work import Work


class HubRepository(Exporter):
    """The adapter as training left it, in a repository."""

    name = "hub"
    summary = "A repository of the Hugging Face hub, with the model card."
    options = (
        Option("repo", "The repository of the hub, for --to hub.", "OWNER/NAME", required=True),
        Option("private", "Make that repository private."),
    )

    def __init__(
        self, settings: Settings, form: str | None = None, *, repo: str, private: bool = False
    ) -> None:
        super().__init__(settings, form)
        _check(repo, settings)
        self.repository, self.private = repo, private

    def export(self, work: Work, place: Path, *, force: bool) -> Exported:
        """Send the adapter in one commit, and compare what the hub then lists.

        Raises UserError too when the repository is there already, unless `force` (which commits
        onto it), or the token may not write; ServiceError when the hub can't be reached. A
        repository that was made for it goes again when something fails.
        """
        from transformers import AutoTokenizer, GenerationConfig

        model, repository = work.adapted(), self.repository
        hub = HfApi(token=self.settings.token)
        disable_progress_bars()
        with tempfile.TemporaryDirectory(prefix="tunesmith-hub-") as room:
            folder = Path(room) / "adapter"
            shutil.copytree(work.adapter.folder, folder)
            _name_base(folder / "adapter_config.json", work)
            work.describe(folder, ADAPTER, work.card.usage(repr(repository)))
            if work.chats:
                model.get_base_model().generation_config = GenerationConfig.from_pretrained(folder)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            agreement = work.verify(model, tokenizer, known=work.own)
            del model
            work.free()
            files = work.certify(folder, self.name, agreement)
            work.progress(
                say("sending {n} files to {repository}", n=len(files), repository=repository)
            )
            with _refusals(repository), _made(hub, repository, force=force, private=self.private):
                done = hub.upload_folder(
                    repo_id=repository,
                    folder_path=folder,
                    commit_message=f"{work.experiment.name}, experiment {work.experiment.id}",
                )
                _verify(hub, repository, str(done.oid), folder, files)
        missing = say(
            "its base model, {name}, is on no hub: who loads the adapter needs it too",
            name=work.source.name,
        )
        notes = [work.note(), "" if work.source.from_hub else missing]
        note = joined(filter(None, notes), "; ")
        return Exported(self.name, f"{hub.endpoint}/{repository}", files, agreement, note)


def _check(repository: str, settings: Settings) -> None:
    """Raises UserError where a token is missing, or `repository` is no OWNER/NAME."""
    if settings.token is None:
        raise UserError(
            "--to hub needs HF_TOKEN: a token of your account that may write, from "
            "the hub's settings, in the environment or .env."
        )
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(
            "{repository} is no repository of the hub: {error}",
            repository=repr(repository),
            error=error,
        ) from error
    if Hub(repository).owner is None:
        raise UserError(
            "{repository} is no repository of the hub: give OWNER/NAME.",
            repository=repr(repository),
        )


def _name_base(file: Path, work: Work) -> None:
    """A folder of this machine is nobody else's base model, and no business of theirs."""
    if work.source.from_hub:
        return
    settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = work.source.folder.name
    file.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _made(hub: HfApi, repository: str, *, force: bool, private: bool) -> Iterator[None]:
    """The repository, made unless it is there; one that was made goes where something fails."""
    try:
        hub.repo_info(repository)
        there = True
    except RepositoryNotFoundError:
        there = False
    if there and not force:
        raise UserError(
            "the hub has {repository} already; --force adds a commit to it, which "
            "replaces files of the same names.",
            repository=repository,
        )
    if not there:
        hub.create_repo(repository, private=private)
    try:
        yield
    except BaseException:
        if not there:
            hub.delete_repo(repository, missing_ok=True)
        raise


def _verify(hub: HfApi, repository: str, commit: str, folder: Path, files: dict[str, str]) -> None:
    """Every file that was sent must be listed with the hash of what was sent."""
    listed = {
        entry.path: entry
        for entry in hub.list_repo_tree(repository, recursive=True, revision=commit)
        if isinstance(entry, RepoFile)
    }
    for name, digest in files.items():
        entry = listed.get(name)
        if entry is not None and entry.lfs is not None:
            same = entry.lfs.sha256 == digest
        else:
            same = entry is not None and entry.blob_id == _git_hash(folder / name)
        if not same:
            raise VerificationError(
                "the hub lists {name} of {repository} otherwise than it was sent. Try again.",
                name=name,
                repository=repository,
            )


def _git_hash(file: Path) -> str:
    """What git calls a file's content: SHA-1 of its kind, length and bytes."""
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0%s" % (len(content), content), usedforsecurity=False).hexdigest()


@contextmanager
def _refusals(repository: str) -> Iterator[None]:
    """Turns the hub's refusals into sentences."""
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise UserError(
                "the hub doesn't let HF_TOKEN write to {repository}: take a token that "
                "may write, and a repository of that account or organization.",
                repository=repository,
            ) from error
        raise ServiceError(
            "the hub refused {repository}: {error}",
            repository=repository,
            error=str(error).strip().splitlines()[0],
        ) from error
    except (httpx2.HTTPError, OSError) as error:
        raise ServiceError("the hub can't be reached: {error}", error=error) from error
