"""Files as downloads: whole, a part, or several as an archive; never more than was promised.

The length is said first, so a file that grows meanwhile, as a log does, is sent up to where it
ended when it was asked for.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import PurePosixPath
from urllib.parse import quote

from fastapi.responses import Response, StreamingResponse
from starlette.datastructures import Headers

from tunesmith.api.http.problems import RangeError
from tunesmith.errors import NotFoundError
from tunesmith.files.folder import ExperimentFolder, StoredFile
from tunesmith.files.layout import ADAPTER
from tunesmith.messages import say

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def download(name: str, file: StoredFile, asked: Headers) -> Response:
    """`file` under `name`, or the part of it that the request's headers ask for.

    Several parts at once, what is no range, and a part of what the file was before (If-Range) give
    the whole file: https://www.rfc-editor.org/rfc/rfc9110#section-14.2. Raises RangeError for a
    part beyond the end, NotFoundError when the file is gone.
    """
    part = None
    if asked.get("if-range", file.tag) == file.tag:
        part = _part(asked.get("range", ""), file.size)
    begin, end = part or (0, file.size)
    headers = {
        "Content-Disposition": attachment(name),
        "Content-Length": str(end - begin),
        "Accept-Ranges": "bytes",
    }
    if part:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{file.size}"
    if file.tag:
        headers["ETag"] = file.tag
    pieces = file.read(begin, end)
    first = next(pieces, b"")  # what is wrong shows itself before the answer begins
    return StreamingResponse(
        chain([first], pieces), 206 if part else 200, headers, "application/octet-stream"
    )


def attachment(name: str) -> str:
    """The header by which a browser keeps an answer as a file called `name`, in any script.

    What knows `filename` alone gets the ASCII of it: https://www.rfc-editor.org/rfc/rfc6266
    """
    quoted = quote(name, safe="")
    if quoted == name:
        return f'attachment; filename="{name}"'
    plain = re.sub(r"[^\w. -]+", "_", name, flags=re.ASCII)
    return f"attachment; filename=\"{plain}\"; filename*=utf-8''{quoted}"


def _part(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last; None where no one part is asked for."""
    found = _RANGE.fullmatch(header.strip())
    if found is None or header.strip() == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        begin, end = max(0, size - int(last)), size
    else:
        begin, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < begin:
            return None
    if begin >= size:
        raise RangeError(
            say(
                "The file has {size:,} bytes; there is no part {header} of it.",
                size=size,
                header=header[:60],
            ),
            size,
        )
    return begin, end


def zip_adapter(folder: ExperimentFolder, paths: Iterable[str], name: str) -> Iterator[bytes]:
    """The adapter's files at `paths` as a ZIP archive of a folder `name`, made while it is read.

    Nothing of it is kept in memory. Uncompressed: weights don't shrink.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            file = folder.find(path)
            if file is None:
                raise NotFoundError("the file {name} was removed in this moment.", name=path)
            inner = PurePosixPath(path).relative_to(ADAPTER)
            entry = zipfile.ZipInfo(f"{name}/{inner}")
            with archive.open(entry, "w", force_zip64=True) as stream:
                for piece in file.read(0, file.size):
                    stream.write(piece)
                    yield sink.take()
    yield sink.take()


class _Sink:
    """What a ZIP archive is written into: a stream that can only go on, and is emptied."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        """Keep `piece` until it is taken."""
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is held open."""

    def take(self) -> bytes:
        """What was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
