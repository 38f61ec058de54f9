"""A file's bytes, decompressed within bounds: a small file may not fill the memory."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from tunesmith.errors import DataError
from tunesmith.files.headroom import memory_left

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".xz": "xz"}
"""Ending → the name of the compression, by which Arrow knows all but the last."""

CHUNK_BYTES = 4 << 20

FREE_BYTES = 256 << 20
"""So much may come out of any file, whatever its size."""

RATIO = 100
"""Beyond `FREE_BYTES`, no more than so many times the file's own size may come out of it.

Text rarely shrinks to less than a twentieth; files made to fill a memory shrink to a thousandth.
"""


PART = 3
"""A file may unfold to one part in so many of the memory that is left, whatever its size."""

LEAST_BYTES = 64 << 20
"""So much it may unfold to where hardly any memory is left."""


def most_bytes() -> int:
    """Bytes to which one file may unfold now: a third of the memory that this process may take."""
    return max(LEAST_BYTES, memory_left() // PART)


def check_unfolded(path: Path, bytes_in: int, bytes_out: int, most: int) -> None:
    """Raises DataError when `bytes_out` are more than a file of `bytes_in` may expand to.

    `most` is the bound in any case.
    """
    bound = max(FREE_BYTES, RATIO * bytes_in)
    if bytes_out <= min(most, bound):
        return
    if most < bound:
        raise DataError(
            "{path} expands from {size:,.0f} KiB to more than {most:,} MiB, a third "
            "of the memory that is left on this machine: reading stopped. Free some "
            "memory, read it on a machine with more, or give fewer rows",
            path=path,
            size=bytes_in / 1024,
            most=most >> 20,
        )
    raise DataError(
        "{path} expands from {size:,.0f} KiB to more than {most:,} MiB, over "
        "{ratio} times its size: reading stopped, because such files are made to "
        "fill a machine's memory. If it is what it should be, unpack or rewrite "
        "it yourself and give the larger file",
        path=path,
        size=bytes_in / 1024,
        most=bound >> 20,
        ratio=RATIO,
    )


COMPRESSED = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\x28\xb5\x2f\xfd": ".zst", b"\xfd7zXZ\0": ".xz"}
"""First bytes of compressed files → ending."""

HEAD_BYTES = 1 << 16
"""Bytes at the beginning of a file that tell what it is."""


def compression_of(path: Path) -> str:
    """The ending of the compression that a file's first bytes are of; empty for none.

    Raises DataError when it is no regular file or can't be read.
    """
    head = read_head(path, "")
    return next((ending for magic, ending in COMPRESSED.items() if head.startswith(magic)), "")


def read_head(path: Path, compression: str) -> bytes:
    """The first 64 KiB of the file at `path`, unpacked. Raises DataError as `read_bytes`."""
    with _readable(path, compression):
        if not compression:
            with path.open("rb") as stream:
                return stream.read(HEAD_BYTES)
        with unpacking(path, compression) as packed:
            return bytes(packed.read(HEAD_BYTES))


def unpacking(path: Path, compression: str) -> Any:
    """The unpacked bytes of the file at `path`, as a stream; `compression` is its ending."""
    if compression == ".xz":
        return lzma.open(path)
    return pa.input_stream(str(path), compression=COMPRESSIONS.get(compression))


def read_bytes(path: Path, compression: str) -> bytearray:
    """The bytes of the file at `path`; `compression` is its ending (`.gz`, …), or empty.

    Raises DataError when it is no regular file, can't be read, is cut short, or expands to more
    than 256 MiB and more than 100 times its size, or to more than a third of the memory left.
    """
    with _readable(path, compression):
        if not compression:
            return _read_all(path)
        data = bytearray()
        for piece in _unfolded(path, compression):
            data += piece
        return data


@contextmanager
def _readable(path: Path, compression: str) -> Iterator[None]:
    """What the system says of a file that can't be read, as a DataError."""
    if not path.is_file():
        raise DataError(
            "{path} is not a regular file; only files and folders can be read", path=path
        )
    try:
        yield
    except (OSError, EOFError, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(
                "{what} can't be read: {reason}", what=path, reason=error.strerror or error
            ) from error
        # Arrow reports what a broken archive is wrong with as an OSError without a number.
        raise DataError(
            "{path} is cut short or not a {format} file ({error}); copy or download it again",
            path=path,
            format=compression,
            error=error,
        ) from error


def _read_all(path: Path) -> bytearray:
    with path.open("rb") as stream:
        data = bytearray(path.stat().st_size)
        read = stream.readinto(data)
        del data[read:]  # it may have changed between the two calls
        data += stream.read()
    return data


def _unfolded(path: Path, compression: str) -> Iterator[bytes]:
    """The pieces of a compressed file. Raises DataError when they exceed the bounds."""
    size, most, out = path.stat().st_size, most_bytes(), 0
    with unpacking(path, compression) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            out += len(chunk)
            check_unfolded(path, size, out, most)
            yield chunk


def check_size(path: Path) -> None:
    """Raises DataError when the compressed file at `path` expands beyond the bounds, or can't."""
    try:
        for _ in _unfolded(path, path.suffix.lower()):
            pass
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DataError(
            "{path} is cut short or damaged ({error})", path=path, error=error
        ) from error
