"""Huge pages for the memory of a measurement, where the system grants them.

Which small pages a process happens to get decides how its data share the caches, for as long as it lives: the spread
between processes of one program that `longodds calibrate` measures was twice as large without them (docs/LOG.md).
"""

from __future__ import annotations

import ctypes
import mmap

_HUGE = 2 << 20
_PIECE = 16 << 20  # below what the allocator takes from elsewhere than the heap


def advise(address: int, size: int) -> None:
    """Ask for huge pages from `address` on, `size` bytes. Without effect where there are none."""
    start = -(-address // _HUGE) * _HUGE
    end = (address + size) // _HUGE * _HUGE
    if end > start and hasattr(mmap, "MADV_HUGEPAGE"):
        libc = ctypes.CDLL(None)
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_HUGEPAGE)


def reserve(size: int) -> None:
    """Let the heap have at least `size` free bytes in one piece, in huge pages. They are used when they are touched."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    found = [libc.malloc(_PIECE) for _ in range(-(-size // _PIECE))]
    pieces = sorted(address for address in found if address)
    if pieces and pieces[-1] - pieces[0] < 2 * size:  # one after the other, with what the allocator notes between them
        advise(pieces[0], pieces[-1] + _PIECE - pieces[0])
    for address in reversed(pieces):
        libc.free(address)
