"""Whose program is at the other end of a connection from this machine itself.

Where the API asks nobody for a token, it asks the system instead: only programs of the account that
started it are let in. Every other account of the machine needs a token, as other machines do.

- Linux lists every socket with its owner in `/proc/net/tcp` and `tcp6`
  (https://docs.kernel.org/networking/proc_net_tcp.html).
- Elsewhere, as on macOS, a process may look at the sockets of its own account's processes alone,
  and that is enough: what none of them holds is somebody else's.
"""

from __future__ import annotations

import ipaddress
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""Where Linux lists the sockets of this network namespace."""

Address = tuple[str, int]
"""An IP address as text, and a port."""


def is_own(client: Address, server: Address) -> bool:
    """Whether the connection that comes from `client` to our `server` is our own account's.

    False too where that can't be found out: then a token is needed.
    """
    try:
        if sys.platform == "linux":
            return _is_told_apart() and owner(client, server) == os.geteuid()
        return held_by_own_process(_end(*client), _end(*server))
    except ValueError:
        return False


def is_told() -> bool:
    """Whether this system tells, at once, whose a connection is."""
    return sys.platform == "linux" and _is_told_apart() and TABLES[0].exists()


def owner(client: Address, server: Address, tables: Sequence[Path] = TABLES) -> int | None:
    """The account whose socket is `client` of a connection to `server`; None when it is unknown.

    A socket whose process has closed it belongs to nobody any more: the system shows it without an
    inode, and as root's. Raises ValueError for what is no address.
    """
    forms = [b" %b %b " % both for both in zip(_written(client), _written(server), strict=False)]
    for line in _lines(tables):
        if any(form in line for form in forms):
            fields = line.split()
            if fields[9] != b"0":
                return int(fields[7])
    return None


def _lines(tables: Sequence[Path]) -> Iterator[bytes]:
    for table in tables:
        try:
            with table.open("rb") as stream:
                yield from stream
        except OSError:
            continue


def _written(end: Address) -> list[bytes]:
    """An end as the tables write it, 32-bit words in the machine's own byte order and the port: an
    IPv4 address as such, and as an IPv6 socket holds it."""
    host, port = _end(*end)
    packed = ipaddress.ip_address(host).packed
    forms = [packed] if len(packed) == 16 else [packed, bytes(10) + b"\xff\xff" + packed]
    return [
        b"".join(b"%08X" % word for (word,) in struct.iter_unpack("=I", form)) + b":%04X" % port
        for form in forms
    ]


def _end(host: str, port: int) -> Address:
    """One way to write an address: IPv4 as such also where an IPv6 socket holds it."""
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), port


def _is_told_apart() -> bool:
    """Whether no other account looks like ours: all that this user namespace doesn't know are shown
    as one, often called nobody (https://man7.org/linux/man-pages/man7/user_namespaces.7.html)."""
    try:
        unknown = int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
        known = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return False
    return os.geteuid() != unknown or known == ["0", "0", str(2**32 - 1)]


def held_by_own_process(client: Address, server: Address) -> bool:
    """Whether a process of our own account holds the socket `client` of such a connection."""
    own = os.geteuid()
    for process in psutil.process_iter():
        try:
            if process.uids().effective != own:
                continue
            for found in process.net_connections("tcp"):
                ends = found.laddr, found.raddr
                if all(ends) and tuple(_end(*end) for end in ends) == (client, server):
                    return True
        except (psutil.Error, ValueError):
            continue
    return False
