"""Which machine this is: whether a process number in a record means a process of ours."""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
import uuid
from functools import cache
from pathlib import Path

_FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""The inode of a kernel's first PID namespace, that of processes outside of containers:
PROC_PID_INIT_INO (Linux, `include/linux/proc_ns.h`)."""

_PERMANENT = "0"
"""The address is the device's own (`addr_assign_type`, Linux, Documentation/ABI/testing/
sysfs-class-net): not random from its start, not set by a network manager."""

_IDS = ("etc/machine-id", "var/lib/dbus/machine-id")


@cache
def this_machine(root: Path = Path("/")) -> str:
    """16 hexadecimal digits for what this process shares with those whose numbers it can look up.

    `root` is where the system's files lie.

    On Linux they are a hash of several things, because each alone may be the same elsewhere:

    - the host name: cloned machines and containers may have one name;
    - /etc/machine-id, which clones share too, and the addresses of built-in network devices, which
      the host of cloned machines must keep apart. Neither changes when the machine starts again, so
      that what died with it is found at once;
    - the PID namespace, as containers that share the host's network have its names and addresses.
      Its number means something within one kernel only, so in a container /proc's `boot_id` says
      which kernel it is. It is another one after a restart: what a container had begun is then
      given up for its silence, as if it had run elsewhere.

    What changes by mistake makes a machine a stranger to its own records: they too are given up
    for their silence only, which is slower and safe. On macOS, which has no PID namespaces, it is
    the hardware's UUID.

    machine-id(5) asks for such ids to be kept to oneself: hence the keyed hash.
    """
    parts = [_mac()] if platform.system() == "Darwin" else _linux(root)
    text = "\n".join(parts).encode()
    return hashlib.blake2b(text, digest_size=8, key=b"tunesmith").hexdigest()


def is_this_machine(machine: str | None, host: str | None) -> bool:
    """Whether `machine`, as this_machine() said it, is this one.

    Records of before there was one are known by the name of their `host`.
    """
    return machine == this_machine() if machine else host == platform.node()


def _linux(root: Path) -> list[str]:
    """What tells this machine and PID namespace apart."""
    ids = [_text(root / name) for name in _IDS]
    parts = [platform.node(), next(filter(None, ids), ""), *_addresses(root / "sys/class/net")]
    try:
        namespace = (root / "proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    if namespace != _FIRST_PID_NAMESPACE:
        parts += [str(namespace), _text(root / "proc/sys/kernel/random/boot_id")]
    return parts


def _addresses(devices: Path) -> list[str]:
    """Addresses of the network devices that are built in: not virtual, not plugged in."""
    found = []
    for device in devices.glob("*/device"):
        pluggable = any(part.startswith("usb") for part in device.resolve().parts)
        if not pluggable and _text(device.with_name("addr_assign_type")) == _PERMANENT:
            found.append(_text(device.with_name("address")))
    return sorted(found)


def _mac() -> str:
    """The hardware's UUID; where the system doesn't tell it, the network address."""
    printed = _printed("/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice")
    found = re.search(r'"IOPlatformUUID" = "([^"]+)"', printed)
    return found[1] if found else f"{uuid.getnode():x}"


@cache
def has_fast_bfloat16(root: Path = Path("/")) -> bool:
    """Whether the processor says that it multiplies bfloat16 matrices (AVX512_BF16, AMX, Arm's)."""
    if platform.system() == "Darwin":
        return _printed("/usr/sbin/sysctl", "-n", "hw.optional.arm.FEAT_BF16").strip() == "1"
    known = _text(root / "proc/cpuinfo").split()
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(known)


def _printed(*command: str) -> str:
    """What a command of macOS prints; nothing where it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
