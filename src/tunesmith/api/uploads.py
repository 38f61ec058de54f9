"""Uploaded files: streamed to disk as they come, known by their content, never by their name."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from tunesmith.api.deps import Member, ServiceDep
from tunesmith.api.http.problems import TooLargeError, UnsupportedTypeError
from tunesmith.errors import StorageError, invalid
from tunesmith.messages import say

FILE = "file"
"""The field with the file."""

FIELDS = ("name", "description", "set")
"""Fields that a form may have beside it; `set` as often as one likes."""

MAX_FIELD = 1 << 14
MAX_FIELDS = 50


@dataclass(frozen=True)
class Upload:
    """A file that came, and the fields of the form around it."""

    path: Path
    """Where it lies until the request is answered."""
    name: str
    """The name that the sender gave the file."""
    fields: Mapping[str, list[str]]

    @property
    def given_name(self) -> str:
        """The file's name as its sender gave it, without folders, fit to be shown."""
        last = re.split(r"[/\\]", self.name)[-1]
        return re.sub(r"[\x00-\x1f\x7f]", "", last)[:200] or "upload"

    def text(self, name: str) -> str:
        """The last value of a field; empty where it wasn't sent."""
        return (self.fields[name] or [""])[-1]


async def receive_upload(request: Request, service: ServiceDep, _: Member) -> AsyncIterator[Upload]:
    """The upload in the request's body, on disk; deleted when the request was answered.

    Raises ConfigError for a form without a file, TooLargeError, StorageError.
    """
    folder = service.uploads / secrets.token_hex(8)
    try:
        yield await _receive(request, folder, service.settings.max_upload_bytes)
    finally:
        await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)


async def _receive(request: Request, folder: Path, most: int) -> Upload:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise UnsupportedTypeError("Send a form of type multipart/form-data with a field file.")
    try:
        await run_in_threadpool(folder.mkdir, parents=True)
        async with aclosing(request.stream()) as stream:
            parser = _Parser(stream, options[b"boundary"], folder / "upload", most)
            form = await parser.parse()
        if parser.file is not None:
            await parser.file.close()
    except MultiPartException as error:
        reason = error.__cause__ or error.message
        raise invalid("", say("not a valid form: {error}", error=reason)) from None
    except ClientDisconnect:
        raise HTTPException(400, say("The connection ended before the upload did.")) from None
    except OSError as error:
        raise StorageError(
            "an upload can't be written: {error}", error=error.strerror or error
        ) from error
    if not parser.ended:
        raise invalid("", say("the form ends in the middle"))
    if parser.file is None:
        raise invalid(FILE, say("required, and not given"), accepted="a file")
    fields = {
        name: [str(value).replace("\0", "\ufffd") for value in form.getlist(name)]
        for name in FIELDS
    }
    return Upload(parser.path, parser.file.filename or "", fields)


class _Parser(MultiPartParser):
    """Starlette's parser of forms under our limits, with the file where it is needed.

    Its own would lie in the folder for temporary files, which may be memory.
    """

    def __init__(
        self, stream: AsyncGenerator[bytes, None], boundary: bytes, path: Path, most: int
    ) -> None:
        # Nothing else of the header: it may name a charset that takes long to decode.
        kind = b'multipart/form-data; boundary="%s"' % boundary
        super().__init__(Headers(raw=[(b"content-type", kind)]), stream)
        self.path = path
        self.file: UploadFile | None = None
        self.ended = False
        """Whether the form came to its end; the parser doesn't ask (python-multipart 0.0.34)."""
        self._most = most
        self._size = 0

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        part, name = self._current_part, self._current_part.field_name
        given, part.file = part.file, None
        if given is not None:
            given.file.close()  # Starlette's own, still empty
        if name != FILE:
            if name not in FIELDS:
                accepted = ", ".join((FILE, *FIELDS))
                raise invalid(name[:60], say("unknown field"), accepted=accepted)
            if sum(known == name for known, _ in self.items) >= MAX_FIELDS:
                wrong = say("is given more than {max_fields} times", max_fields=MAX_FIELDS)
                raise invalid(name, wrong)
            return
        if self.file is not None:
            raise invalid(FILE, say("only one at a time"))
        stream = self.path.open("xb")
        self._files_to_close_on_error.append(stream)  # type: ignore[arg-type]
        self.file = part.file = UploadFile(stream, filename=given.filename if given else None)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._current_part.file is None:
            if len(self._current_part.data) + end - start > MAX_FIELD:
                raise TooLargeError(
                    "The field {field} is larger than {max_field:,} bytes.",
                    field=self._current_part.field_name,
                    max_field=MAX_FIELD,
                )
        else:
            self._size += end - start
            if self._size > self._most:
                raise TooLargeError(
                    "The file is larger than the {most:,} bytes that are accepted "
                    "(TUNESMITH_MAX_UPLOAD_BYTES).",
                    most=self._most,
                )
        super().on_part_data(data, start, end)

    def on_end(self) -> None:
        self.ended = True
