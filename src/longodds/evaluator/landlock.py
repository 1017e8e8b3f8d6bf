"""Landlock by ctypes: the candidate may read the interpreter and the system, and write its own folders and devices.

Source: landlock(7) of the Linux manual pages and Documentation/userspace-api/landlock.rst of the kernel.
Unhandled rights are allowed by Landlock, so every right of the running kernel's ABI is handled.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on every architecture
_FILE = 0b111 | 1 << 14 | 1 << 15  # execute, write, read, truncate, ioctl_dev: rights that make sense on a file
_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read_file, read_dir
_FS_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}


def abi(libc: ctypes.CDLL) -> int:
    """Version of the kernel's Landlock, 0 where there is none."""
    return max(0, int(libc.syscall(_CREATE, None, 0, 1)))


def apply(libc: ctypes.CDLL, *, read: Sequence[Path], write: Sequence[Path]) -> None:
    """Restrict this process for good; needs no_new_privs. Paths that do not exist are left out. Raises OSError."""
    version = abi(libc)
    if version < 1:
        raise OSError(0, "this kernel has no Landlock")
    everything = (1 << _FS_RIGHTS_BY_ABI.get(version, 16)) - 1
    network = 0b11 if version >= 4 else 0
    scope = 0b11 if version >= 6 else 0  # abstract Unix sockets and signals to processes outside
    size = 8 if version < 4 else 16 if version < 6 else 24
    attributes = struct.pack("<QQQ", everything, network, scope)[:size]
    ruleset = libc.syscall(_CREATE, attributes, size, 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    try:
        for paths, rights in ((read, _READ), (write, everything)):
            for path in paths:
                _allow(libc, ruleset, path, rights & everything)
        if libc.syscall(_RESTRICT, ruleset, 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not Path(path).is_dir():
            rights &= _FILE
        rule = struct.pack("<Qi", rights, fd)
        if libc.syscall(_ADD, ruleset, 1, rule, 0) != 0:
            raise OSError(ctypes.get_errno(), f"landlock_add_rule {path}")
    finally:
        os.close(fd)
