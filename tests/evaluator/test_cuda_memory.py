"""Where a GPU's answers lie, between a child and the oracle, with allocations that are only numbers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from longodds.evaluator import cuda, frames
from longodds.evaluator.cuda_children import CudaChild
from longodds.evaluator.cuda_shim import CudaServer
from longodds.evaluator.process import ChildEnded

RING = 0x1000, 0x2000
HERE = 1 << 40  # what an allocation's number becomes where it is opened


class Memory:
    """The allocations of a child: first address -> (bytes, number). A number is never used again."""

    def __init__(self) -> None:
        self.there: dict[int, tuple[int, int]] = {}
        self.made = 0
        self.open = set[int]()

    def take(self, base: int, size: int) -> None:
        self.made += 1
        self.there[base] = size, self.made

    def allocation(self, address: int) -> tuple[int, int]:
        base = next(b for b, (size, _) in self.there.items() if b <= address < b + size)
        return base, self.there[base][0]

    def number(self, address: int) -> int:
        return self.there[self.allocation(address)[0]][1]

    def opened(self, handle: bytes) -> int:
        number = int.from_bytes(handle[:8], "little")
        self.open.add(number)
        return HERE * number

    def closed(self, address: int) -> None:
        self.open.remove(address // HERE)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    memory = Memory()
    monkeypatch.setattr(cuda, "open_handle", memory.opened)
    monkeypatch.setattr(cuda, "close_handle", memory.closed)
    monkeypatch.setattr(cuda, "allocation", lambda here: (here, 1 << 30))
    monkeypatch.setattr(cuda, "view", lambda address, size: address)
    return memory


@pytest.fixture
def ends(memory: Memory) -> tuple[CudaServer, CudaChild]:
    child = CudaChild.__new__(CudaChild)
    child._allocations, child._gone, child.ring_there = [], [], RING[0]
    child.ring = SimpleNamespace(size=RING[1] - RING[0])  # type: ignore[assignment]
    server = CudaServer.__new__(CudaServer)
    server.known, server.ring = [], RING
    server.allocation, server.buffer = memory.allocation, memory.number
    server.export = lambda base: memory.number(base).to_bytes(cuda.HANDLE_BYTES, "little")
    server.send = lambda data: child._note(frames.decode(data))  # type: ignore[assignment]
    return server, child


def test_an_allocation_is_told_of_once(memory: Memory, ends: tuple[CudaServer, CudaChild]) -> None:
    server, child = ends
    memory.take(0x10000, 0x800)
    for _ in range(2):
        server.announce([0x10000, 0x10400, 0x1100])
    assert [(known.base, known.size) for known in child._allocations] == [(0x10000, 0x800)]
    assert child._here(0x10400, 16) == HERE + 0x400


def test_an_allocation_is_opened_when_it_is_read(memory: Memory, ends: tuple[CudaServer, CudaChild]) -> None:
    """Opening and closing take a millisecond, and while the answer's clock runs there is no time for it."""
    server, child = ends
    memory.take(0x10000, 0x800)
    server.announce([0x10000])
    assert memory.open == set()
    child._here(0x10000, 16)
    memory.take(0x10000, 0x800)
    server.announce([0x10000])
    assert memory.open == {1}
    child._here(0x10000, 16)
    assert memory.open == {2}


def test_another_allocation_at_the_same_address_is_read_instead(
    memory: Memory, ends: tuple[CudaServer, CudaChild]
) -> None:
    server, child = ends
    memory.take(0x10000, 0x800)
    memory.take(0x20000, 0x800)
    server.announce([0x10000, 0x20000])
    assert [child._here(address, 16) for address in (0x10000, 0x20000)] == [HERE, 2 * HERE]
    memory.take(0x10000, 0x400)  # the first was freed
    server.announce([0x10000, 0x20000])
    assert child._here(0x10100, 16) == 3 * HERE + 0x100
    assert child._here(0x20100, 16) == 2 * HERE + 0x100
    assert memory.open == {2, 3}
    with pytest.raises(ChildEnded, match="in no allocation"):
        child._here(0x10500, 16)


def test_only_what_lies_in_the_ring_may_be_an_input(memory: Memory, ends: tuple[CudaServer, CudaChild]) -> None:
    _server, child = ends
    assert not child.apart(RING[0], 16)
    assert not child.apart(RING[1] - 16, 16)
    assert child.apart(RING[1], 16)
    assert child.apart(RING[0], 0)
