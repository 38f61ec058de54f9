"""Files as downloads: whole or a part, and never more than was promised.

The length is said first, so a file that grows meanwhile, as a log does, is sent up to where it
ended when it was asked for.
"""

from __future__ import annotations

import re
from itertools import chain
from urllib.parse import quote

from fastapi.responses import Response, StreamingResponse
from starlette.datastructures import Headers

from tunesmith.api.folder import StoredFile
from tunesmith.api.problems import RangeError

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
    quoted = quote(name, safe="")
    filename = f'filename="{name}"' if quoted == name else f"filename*=utf-8''{quoted}"
    headers = {
        "Content-Disposition": f"attachment; {filename}",
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
            f"The file has {size:,} bytes; there is no part {header[:60]} of it.", size
        )
    return begin, end
