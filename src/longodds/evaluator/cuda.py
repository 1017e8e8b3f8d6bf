"""The CUDA driver by ctypes: device memory in allocations of its own, passed between processes.

A handle of CUDA's inter-process communication exports the whole allocation that an address lies in, so what a child may
see is allocated by `DeviceBlock`, never by a caching allocator that puts others' tensors beside it. Source: CUDA Driver
API, sections on memory management and on unified addressing (cuMemAlloc, cuIpcGetMemHandle, cuIpcOpenMemHandle).
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import torch

from longodds.errors import InfraError

HANDLE_BYTES = 64
_LAZY_PEER_ACCESS = 1
_BUFFER_ID = 7  # CU_POINTER_ATTRIBUTE_BUFFER_ID


class Handle(ctypes.Structure):
    """CUipcMemHandle."""

    _fields_ = (("data", ctypes.c_ubyte * HANDLE_BYTES),)


class _Interface:
    """Memory at an address, as `torch.as_tensor` takes it without a copy."""

    def __init__(self, address: int, size: int) -> None:
        self.__cuda_array_interface__ = {"shape": (size,), "typestr": "|u1", "data": (address, False), "version": 2}


def view(address: int, size: int) -> torch.Tensor:
    """The device memory at an address as a (size,) uint8 tensor; nobody's to free."""
    if size == 0:
        return torch.empty(0, dtype=torch.uint8, device="cuda")
    return torch.as_tensor(_Interface(address, size), device="cuda")


@lru_cache(maxsize=1)
def driver() -> Any:
    """The driver's library. Raises InfraError where there is none."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise InfraError(f"CUDA's driver can't be loaded: {error}") from None
    library.cuIpcOpenMemHandle_v2.argtypes = [ctypes.POINTER(ctypes.c_uint64), Handle, ctypes.c_uint]
    library.cuIpcCloseMemHandle.argtypes = [ctypes.c_uint64]
    library.cuMemFree_v2.argtypes = [ctypes.c_uint64]
    return library


def check(code: int, what: str) -> None:
    """Raises InfraError for a result of the driver other than success."""
    if code:
        raise InfraError(f"CUDA: {what} failed with error {code}")


def allocate(size: int) -> int:
    """Address of new device memory. Raises InfraError."""
    address = ctypes.c_uint64()
    check(driver().cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(size)), f"cuMemAlloc of {size >> 20} MiB")
    return address.value


def free(address: int) -> None:
    driver().cuMemFree_v2(address)


def export(address: int) -> bytes:
    """The handle of the allocation at an address, for another process. Raises InfraError."""
    handle = Handle()
    check(driver().cuIpcGetMemHandle(ctypes.byref(handle), ctypes.c_uint64(address)), "cuIpcGetMemHandle")
    return bytes(handle)


def open_handle(handle: bytes) -> int:
    """Address here of another process's allocation. Raises InfraError."""
    address = ctypes.c_uint64()
    code = driver().cuIpcOpenMemHandle_v2(
        ctypes.byref(address), Handle.from_buffer_copy(handle), ctypes.c_uint(_LAZY_PEER_ACCESS)
    )
    check(code, "cuIpcOpenMemHandle")
    return address.value


def close_handle(address: int) -> None:
    driver().cuIpcCloseMemHandle(address)


def allocation(address: int) -> tuple[int, int]:
    """(first address, bytes) of the allocation that an address lies in. Raises InfraError."""
    base, size = ctypes.c_uint64(), ctypes.c_size_t()
    code = driver().cuMemGetAddressRange_v2(ctypes.byref(base), ctypes.byref(size), ctypes.c_uint64(address))
    check(code, "cuMemGetAddressRange")
    return base.value, size.value


def buffer(address: int) -> int:
    """Number of the allocation that an address lies in, which no other one of this process ever has. Raises
    InfraError."""
    number = ctypes.c_uint64()
    code = driver().cuPointerGetAttribute(ctypes.byref(number), _BUFFER_ID, ctypes.c_uint64(address))
    check(code, "cuPointerGetAttribute")
    return number.value


class DeviceBlock:
    """Device memory in an allocation of its own, to be passed to children; `block` is its uint8 tensor here."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._address = allocate(size) if size else 0
        self.handle = export(self._address) if size else b""
        self.block = view(self._address, size)

    def close(self) -> None:
        if self._address:
            self.block = torch.empty(0, dtype=torch.uint8, device="cuda")
            free(self._address)
            self._address = 0
