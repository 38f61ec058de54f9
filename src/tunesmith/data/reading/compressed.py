"""A file's bytes, decompressed within bounds: a small file may not fill the memory."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tunesmith.errors import DataError
from tunesmith.tracking.headroom import memory_left

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
"""Ending → the name by which Arrow knows the compression."""

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


def is_bomb(bytes_in: int, bytes_out: int, most: int) -> bool:
    """Whether `bytes_out` are more than a file of `bytes_in` may expand to; `most` in any case."""
    return bytes_out > min(most, max(FREE_BYTES, RATIO * bytes_in))


def bomb(path: Path, bytes_in: int, most: int) -> DataError:
    """The error for a file that expands beyond the bounds."""
    bound = max(FREE_BYTES, RATIO * bytes_in)
    if most < bound:
        return DataError(
            f"{path} expands from {bytes_in / 1024:,.0f} KiB to more than {most >> 20:,} MiB, a "
            "third of the memory that is left on this machine: reading stopped. Free some memory, "
            "read it on a machine with more, or give fewer rows"
        )
    return DataError(
        f"{path} expands from {bytes_in / 1024:,.0f} KiB to more than {bound >> 20:,} MiB, over "
        f"{RATIO} times its size: reading stopped, because such files are made to fill a machine's "
        "memory. If it is what it should be, unpack or rewrite it yourself and give the larger file"
    )


def read_bytes(path: Path, compression: str) -> bytearray:
    """The bytes of the file at `path`; `compression` is its ending (`.gz`, …), or empty.

    Raises DataError when it is no regular file, can't be read, is cut short, or expands to more
    than 256 MiB and more than 100 times its size, or to more than a third of the memory left.
    """
    if not path.is_file():
        raise DataError(f"{path} is not a regular file; only files and folders can be read")
    try:
        if not compression:
            return _read_all(path)
        return _decompress(path, compression)
    except OSError as error:
        if error.errno is not None:
            raise DataError(f"{path} can't be read: {error.strerror or error}") from error
        # Arrow reports what a broken archive is wrong with as an OSError without a number.
        raise DataError(
            f"{path} is cut short or not a {compression} file ({error}); copy or download it again"
        ) from error


def _read_all(path: Path) -> bytearray:
    with path.open("rb") as stream:
        data = bytearray(path.stat().st_size)
        read = stream.readinto(data)
        del data[read:]  # it may have changed between the two calls
        data += stream.read()
    return data


def _decompress(path: Path, compression: str) -> bytearray:
    size, most = path.stat().st_size, most_bytes()
    data = bytearray()
    with pa.input_stream(str(path), compression=COMPRESSIONS[compression]) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            data += chunk
            if is_bomb(size, len(data), most):
                raise bomb(path, size, most)
    return data


def check_size(path: Path) -> None:
    """Raises DataError when the compressed file at `path` expands beyond the bounds, or can't."""
    size, most, out = path.stat().st_size, most_bytes(), 0
    try:
        with pa.input_stream(str(path), compression=COMPRESSIONS[path.suffix.lower()]) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                out += len(chunk)
                if is_bomb(size, out, most):
                    raise bomb(path, size, most)
    except OSError as error:
        raise DataError(f"{path} is cut short or damaged ({error})") from error
