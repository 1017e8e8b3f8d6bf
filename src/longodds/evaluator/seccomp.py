"""A seccomp-bpf filter by ctypes: no sockets, tracing, affinity changes, namespaces, clocks, handlers of SIGCONT.

Denied calls return EPERM, so that libraries which probe for them carry on. The filter is a list of denials:
a candidate needs nearly everything else (threads, mmap, compilers at import). Sources: seccomp(2), bpf(4)
of the Linux manual pages; numbers from the kernel's syscall tables.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import signal
import struct

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_DENIED: dict[str, dict[str, int]] = {
    "x86_64": {
        "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "sched_setaffinity": 203,
        "sched_setscheduler": 144, "sched_setparam": 142, "sched_setattr": 314, "mount": 165, "umount2": 166,
        "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "bpf": 321, "userfaultfd": 323,
        "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "perf_event_open": 298,
        "keyctl": 250, "add_key": 248, "request_key": 249, "kexec_load": 246, "init_module": 175,
        "finit_module": 313, "delete_module": 176, "reboot": 169, "swapon": 167, "open_by_handle_at": 304,
        "settimeofday": 164, "clock_settime": 227, "clock_adjtime": 305, "adjtimex": 159, "pidfd_getfd": 438,
        "kcmp": 312, "set_mempolicy": 238, "acct": 163, "personality": 135,
        "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "mount_setattr": 442,
        "socket": 41, "connect": 42, "memfd_create": 319, "memfd_secret": 447, "shmget": 29, "msgget": 68, "semget": 64,
        "timer_create": 222, "timerfd_create": 283, "setitimer": 38, "alarm": 37,
    },
    "aarch64": {
        "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "sched_setaffinity": 122,
        "sched_setscheduler": 119, "sched_setparam": 118, "sched_setattr": 274, "mount": 40, "umount2": 39,
        "pivot_root": 41, "chroot": 51, "unshare": 97, "setns": 268, "bpf": 280, "userfaultfd": 282,
        "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "perf_event_open": 241,
        "keyctl": 219, "add_key": 217, "request_key": 218, "kexec_load": 104, "init_module": 105,
        "finit_module": 273, "delete_module": 106, "reboot": 142, "swapon": 224, "open_by_handle_at": 265,
        "settimeofday": 170, "clock_settime": 112, "clock_adjtime": 266, "adjtimex": 171, "pidfd_getfd": 438,
        "kcmp": 272, "set_mempolicy": 237, "acct": 89, "personality": 92,
        "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "mount_setattr": 442,
        "socket": 198, "connect": 203, "memfd_create": 279, "memfd_secret": 447, "shmget": 194, "msgget": 186,
        "semget": 190, "timer_create": 107, "timerfd_create": 85, "setitimer": 103,
    },
}  # fmt: skip
_SOCKETPAIR = {"x86_64": 53, "aarch64": 199}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
# A handler of SIGCONT would run whenever a stopped process is woken for its next call, before it is asked for it.
_SIGACTION = {"x86_64": 13, "aarch64": 134}
# CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET, and CLONE_PARENT, which leaves the family.
_DENIED_CLONES = 0x7E020000 | 0x8000

_LD_W, _JEQ, _JSET, _JGE, _AND, _RET = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_AF_UNIX = 1


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _op(code: int, k: int, jt: int = 0, jf: int = 0) -> bytes:
    return struct.pack("<HBBI", code, jt, jf, k)


def build_filter(machine: str, *, unix_sockets: bool = False) -> bytes:
    """BPF instructions for `machine` (`x86_64` or `aarch64`); raises KeyError for another one.

    unix_sockets: sockets of the Unix family can be made, which CUDA's driver insists on; they can't be connected.
    """
    eperm, enosys = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    ops = [
        _op(_LD_W, 4),  # seccomp_data.arch: another ABI would renumber the calls
        _op(_JEQ, _AUDIT_ARCH[machine], 1, 0),
        _op(_RET, _KILL),
        _op(_LD_W, 0),
    ]
    if machine == "x86_64":
        ops += [_op(_JGE, 0x40000000, 0, 1), _op(_RET, eperm)]  # the x32 numbers
    denied = dict(_DENIED[machine])
    if unix_sockets:
        ops += [_op(_JEQ, denied.pop("socket"), 0, 4), _op(_LD_W, 16), _op(_JEQ, _AF_UNIX, 0, 1), _op(_RET, _ALLOW)]
        ops += [_op(_RET, eperm)]
    for number in denied.values():
        ops += [_op(_JEQ, number, 0, 1), _op(_RET, eperm)]
    # clone3's flags lie behind a pointer that a filter can't read: ENOSYS makes libc fall back to clone.
    ops += [_op(_JEQ, _CLONE3, 0, 1), _op(_RET, enosys)]
    ops += [_op(_JEQ, _CLONE[machine], 0, 4), _op(_LD_W, 16), _op(_JSET, _DENIED_CLONES, 0, 1), _op(_RET, eperm)]
    ops += [_op(_RET, _ALLOW)]
    # rt_sigaction(SIGCONT, act, ...) with an action; with none (libraries look at all signals) it changes nothing.
    ops += [_op(_JEQ, _SIGACTION[machine], 0, 8), _op(_LD_W, 16), _op(_JEQ, signal.SIGCONT, 0, 5)]
    ops += [_op(_LD_W, 24), _op(_JEQ, 0, 0, 2), _op(_LD_W, 28), _op(_JEQ, 0, 1, 0), _op(_RET, eperm), _op(_RET, _ALLOW)]
    # A datagram socket of a pair could still send to a path outside; streams and sequenced packets can't.
    ops += [_op(_JEQ, _SOCKETPAIR[machine], 0, 6), _op(_LD_W, 24), _op(_AND, 0xF)]
    ops += [_op(_JEQ, 1, 2, 0), _op(_JEQ, 5, 1, 0), _op(_RET, eperm), _op(_RET, _ALLOW)]
    ops += [_op(_RET, _ALLOW)]
    return b"".join(ops)


def supported() -> bool:
    return platform.system() == "Linux" and platform.machine() in _AUDIT_ARCH


def apply(libc: ctypes.CDLL, *, unix_sockets: bool = False) -> None:
    """Install the filter on this thread and all it will start; needs no_new_privs. Raises OSError."""
    code = build_filter(platform.machine(), unix_sockets=unix_sockets)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")
