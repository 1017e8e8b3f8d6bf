"""The wire between the oracle and a child: fixed-size frames on a private descriptor, never pickle, never stdout.

Every frame is one datagram of FRAME bytes on a Unix SOCK_SEQPACKET socket, so a hostile peer can neither
shift a boundary nor make the reader allocate. What a child writes is data: numbers are range-checked by the
reader and text is decoded with replacement and cut.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from enum import IntEnum

FRAME = 4096
_HEADER = struct.Struct("<IIQqII")
MAX_LEAVES = (FRAME - _HEADER.size) // 8
MOST_OFF = (1 << 32) - 1
_MAGIC = 0x4C4F4444  # "LODD"


class Kind(IntEnum):
    READY = 1  # child -> oracle: program imported, model built, weights delivered
    # oracle -> child: nonce = a random number, value = calls to make, one on each of the first input slots, code = on a
    # GPU, nanoseconds that the device is to wait before them
    CALL = 2
    # child -> oracle: the nonce back, value = nanoseconds of all calls by the child's timer, code = how many of them it
    # was not on a core (at most MOST_OFF), on a GPU how long the host took to queue the calls (ns), if it was to wait
    # for that instead whether it began before all were queued; words = an address per output of each call, call by call
    DONE = 3
    ERROR = 4  # child -> oracle: code = Fault, text = message
    # child -> oracle, before a DONE, on a GPU only: words = for each allocation that an output lies in for the first
    # time its address there, its bytes, and the eight words of its handle
    MEMORY = 5
    WARM = 6  # child -> oracle: started ahead of its program, in its sandbox, waits for START
    START = 7  # oracle -> child, with descriptors of the program's text, the configuration, inputs and state


class Fault(IntEnum):
    """What a child says went wrong. A hint from a hostile peer: it can only choose how it fails."""

    COMPILE = 1
    RUNTIME = 2
    WEIGHTS = 3
    STRUCTURE = 4
    MEMORY = 5


@dataclass(frozen=True, slots=True)
class Frame:
    kind: Kind
    value: int = 0
    code: int = 0
    words: tuple[int, ...] = ()
    text: str = ""
    nonce: int = 0


def encode(frame: Frame) -> bytes:
    if frame.text:
        body = frame.text.encode("utf-8", "replace")[: FRAME - _HEADER.size]
    else:
        body = struct.pack(f"<{len(frame.words)}Q", *frame.words)
    count = len(body) if frame.text else len(frame.words)
    data = _HEADER.pack(_MAGIC, frame.kind, frame.nonce, frame.value, frame.code, count) + body
    return data.ljust(FRAME, b"\0")


def decode(data: bytes) -> Frame:
    """Raises ValueError on anything that is not a frame."""
    if len(data) != FRAME:
        raise ValueError(f"a frame has {FRAME} bytes, got {len(data)}")
    magic, kind, nonce, value, code, count = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise ValueError("not a frame")
    kind = Kind(kind)
    if kind is Kind.ERROR:
        text = data[_HEADER.size : _HEADER.size + min(count, FRAME - _HEADER.size)].decode("utf-8", "replace")
        return Frame(kind, value, code, (), text, nonce)
    if count > MAX_LEAVES:
        raise ValueError("too many words")
    return Frame(kind, value, code, struct.unpack_from(f"<{count}Q", data, _HEADER.size), "", nonce)


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
