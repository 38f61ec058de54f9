"""Uploaded files: streamed to disk as they come, known by their content, never by their name."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from tunesmith.api.deps import Member, ServiceDep
from tunesmith.api.problems import TooLargeError, UnsupportedTypeError
from tunesmith.errors import ConfigError, Problem, StorageError

FIELDS = ("name", "description", "set")
"""Fields that a form may have beside its `file`; `set` as often as one likes."""

MAX_FIELD = 1 << 14
MAX_FIELDS = 50

BUFFER = 1 << 20
"""Bytes that are gathered before they are written."""


@dataclass
class Upload:
    """A file that came, and the fields of the form around it."""

    folder: Path
    path: Path | None = None
    """Where it lies until the request is answered."""
    name: str = ""
    """The name that the sender gave the file."""
    fields: dict[str, list[str]] = field(default_factory=dict)

    @property
    def given_name(self) -> str:
        """The file's name as its sender gave it, without folders, fit to be shown."""
        last = re.split(r"[/\\]", self.name)[-1]
        return re.sub(r"[\x00-\x1f\x7f]", "", last)[:200] or "upload"

    def text(self, name: str) -> str:
        """The last value of a field; empty where it wasn't sent."""
        return self.fields.get(name, [""])[-1]


async def receive_upload(request: Request, service: ServiceDep, _: Member) -> AsyncIterator[Upload]:
    """The upload in the request's body, on disk; deleted when the request was answered.

    Raises ConfigError for a form without a file, TooLargeError, StorageError.
    """
    folder = service.uploads / secrets.token_hex(8)
    upload = Upload(folder)
    try:
        await _Form(request, upload, service.settings.max_upload_bytes).receive()
        if upload.path is None:
            raise ConfigError([Problem("file", "required, and not given", accepted="a file")])
        yield upload
    finally:
        await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)


class _Form:
    """Reads one form of type multipart/form-data into an Upload (RFC 7578)."""

    def __init__(self, request: Request, upload: Upload, most: int) -> None:
        self._request = request
        self._upload = upload
        self._most = most
        self._buffer = bytearray()
        self._size = 0
        self._ended = False
        self._header = (b"", b"")
        self._disposition = b""
        self._field = ""
        self._value = bytearray()
        self._in_file = False

    async def receive(self) -> None:
        kind, options = parse_options_header(self._request.headers.get("content-type"))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise UnsupportedTypeError("Send a form of type multipart/form-data with a field file.")
        try:
            parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._data,
                    "on_part_end": self._part_ends,
                    "on_end": self._form_ends,
                },
            )
            await run_in_threadpool(self._upload.folder.mkdir, parents=True)
            async for chunk in self._request.stream():
                parser.write(chunk)
                if len(self._buffer) >= BUFFER:
                    await run_in_threadpool(self._flush)
            await run_in_threadpool(self._flush)
        except FormParserError as error:
            raise ConfigError([Problem("", f"not a valid form: {error}")]) from None
        except ClientDisconnect:
            raise HTTPException(400, "The connection ended before the upload did.") from None
        except OSError as error:
            raise StorageError(f"an upload can't be written: {error.strerror or error}") from error
        if not self._ended:
            raise ConfigError([Problem("", "the form ends in the middle")])

    def _flush(self) -> None:
        if self._upload.path is not None and self._buffer:
            with self._upload.path.open("ab") as stream:
                stream.write(self._buffer)
        self._buffer.clear()

    def _part_begins(self) -> None:
        self._header, self._disposition, self._value = (b"", b""), b"", bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], self._header[1])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _header_ends(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]
        self._header = (b"", b"")

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        self._in_file = self._field == "file"
        if not self._in_file:
            if self._field not in FIELDS:
                accepted = ", ".join(("file", *FIELDS))
                raise ConfigError([Problem(self._field[:60], "unknown field", accepted=accepted)])
            return
        if self._upload.path is not None:
            raise ConfigError([Problem("file", "only one at a time")])
        self._upload.name = options.get(b"filename", b"").decode("utf-8", "replace")
        self._upload.path = self._upload.folder / "upload"
        self._upload.path.touch()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._size += end - start
            if self._size > self._most:
                raise TooLargeError(
                    f"The file is larger than the {self._most:,} bytes that are accepted "
                    "(TUNESMITH_MAX_UPLOAD_BYTES)."
                )
            self._buffer += data[start:end]
            return
        self._value += data[start:end]
        if len(self._value) > MAX_FIELD:
            raise TooLargeError(f"The field {self._field} is larger than {MAX_FIELD:,} bytes.")

    def _part_ends(self) -> None:
        if self._in_file:
            return
        values = self._upload.fields.setdefault(self._field, [])
        if len(values) >= MAX_FIELDS:
            raise ConfigError([Problem(self._field, f"is given more than {MAX_FIELDS} times")])
        values.append(self._value.decode("utf-8", "replace").replace("\0", "\ufffd"))

    def _form_ends(self) -> None:
        self._ended = True
