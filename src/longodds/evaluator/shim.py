"""What runs in a child around a program: load it, give it the weights, answer calls. Hostile territory.

Nothing here is trusted by the oracle: the shim is honest only as long as the program leaves it alone. It hands
over where the outputs lie; the oracle reads them out of this process itself, the moment the answer arrives.
Reference and candidate run in the same shim, so they differ in nothing but the code.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from longodds.evaluator import compilers, frames, pages, tree
from longodds.evaluator.delivery import Failure, Weights
from longodds.evaluator.frames import Fault, Frame, Kind

_HEAP_BYTES = 256 << 20


def _describe(error: BaseException) -> str:
    """Type, message and the last lines of the program's own traceback."""
    lines: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename.endswith("program.py"):
            lines.append(f"line {trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    where = f" ({', '.join(lines[-3:])})" if lines else ""
    return f"{type(error).__name__}: {error}{where}"


def load(path: Path, entry: str, failed: Mapping[str, str] | None = None) -> Any:
    """Import the program file as a module of its own. failed: see `compilers.prepare`. Raises Failure(COMPILE |
    RUNTIME)."""
    try:
        source = path.read_bytes().decode("utf-8")
        code = compile(source, str(path), "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        raise Failure(Fault.COMPILE, f"{type(error).__name__}: {error}" + (f" (line {line})" if line else "")) from None
    compilers.prepare(source, failed)
    spec = importlib.util.spec_from_file_location("program", path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["program"] = module  # Triton and inspect look the module up by name
    # The text that was compiled, not the loader's reading of it: an encoding cookie could make that another program.
    exec(code, module.__dict__)
    if not isinstance(getattr(module, entry, None), type):
        raise Failure(Fault.COMPILE, f"the program defines no class {entry}")
    return module


class Server:
    """The child's side of one evaluation: one program, many calls."""

    def __init__(
        self, channel: socket.socket, config: dict[str, Any], inputs: torch.Tensor, state: torch.Tensor
    ) -> None:
        self.channel, self.config = channel, config
        self.inputs, self.state = inputs, state
        self.model: torch.nn.Module | None = None
        self.kept: list[Any] = []
        self.plain: dict[int, list[torch.Tensor]] = {}
        # Bound now: what a program rebinds later in these modules can't change the shim's own calls.
        self.clock, self.cpu_clock = time.perf_counter_ns, time.process_time_ns
        self.send, self.receive = channel.send, channel.recv
        self.mismatch, self.read, self.values = tree.mismatch, tree.read, tree.values

    def arguments(self, slot: int) -> list[Any]:
        """The inputs in a slot of the ring, new tensor objects for every call over the same memory.

        What a call costs beside the program is kept small: a hostile program that replaces this code could save it.
        """
        plain = self.plain.get(slot)
        if plain is None:
            read = self.read(self.config["inputs"], self._slot(slot))
            plain = self.plain[slot] = read if all(type(x) is torch.Tensor for x in read) else []
        if plain:
            return [x.detach() for x in plain]
        return self.read(self.config["inputs"], self._slot(slot))

    def _slot(self, slot: int) -> torch.Tensor:
        start = slot * self.config["stride"]
        return self.inputs[start : start + self.config["stride"]]

    def prepare(self) -> None:
        module = load(Path(self.config["program"]), self.config["entry"], self.config.get("failed"))
        args = self.read(self.config["init"], self.state)
        weights = Weights(self.config["weights"], self.state)
        self.model = weights.build(getattr(module, self.config["entry"]), list(args))
        missing = weights.load(self.model, self.config["optional_weights"])
        if missing:
            places = ", ".join(missing[:5])
            hint = "name them as the reference does, or define load_reference(self, tensors)"
            raise Failure(Fault.WEIGHTS, f"weights cannot be matched: no place for {places}; {hint}")

    def call(self, nonce: int, count: int, spec: tree.Spec, layout: list[tree.Leaf]) -> Frame:
        """Calls on slots 0 to count - 1, all outputs kept until the next frame; times are the sums of the calls'."""
        slots = [self.arguments(slot) for slot in range(count)]
        self.kept = kept = []
        model: Any = self.model
        clock, cpu_clock, values = self.clock, self.cpu_clock, self.values
        single = layout[0] if len(layout) == 1 and spec["t"] == "tensor" else None
        words: list[int] = []
        elapsed = off = 0
        for arguments in slots:
            used, start = cpu_clock(), clock()
            out = model(*arguments)
            produced: list[Any] = values(out)
            held = [v if leaf.gapped else settled(v, leaf) for v, leaf in zip(produced, layout, strict=False)]
            took = clock() - start
            elapsed += took
            off += max(0, took - (cpu_clock() - used))
            if (
                single is None
                or type(out) is not torch.Tensor
                or out.shape != single.shape
                or out.dtype != single.dtype
            ):
                wrong = self.mismatch(spec, out)
                if wrong:
                    raise Failure(Fault.STRUCTURE, wrong)
                held = [scalar_cell(v, leaf) if leaf.scalar else v for v, leaf in zip(held, layout, strict=True)]
            held = [settled(v, leaf) if leaf.gapped else v for v, leaf in zip(held, layout, strict=True)]
            kept.append(held)
            words += [t.data_ptr() for t in held]
        return Frame(Kind.DONE, elapsed, min(off, frames.MOST_OFF), tuple(words), nonce=nonce)

    def run(self, *words: int) -> int:
        """Load the program, say READY with `words`, or what is wrong, and serve."""
        ready = self.guard(lambda: self.prepare() or Frame(Kind.READY, words=words))
        torch.set_grad_enabled(False)
        self.send(frames.encode(ready))
        if ready.kind is Kind.READY:
            gc.collect()
            self.serve()
        return 0

    def serve(self) -> None:
        spec = self.config["outputs"]
        layout = tree.leaves_of(spec)
        while True:
            data = self.receive(frames.FRAME)
            if not data:
                return
            frame = frames.decode(data)
            if frame.kind is not Kind.CALL:
                return
            self.send(frames.encode(self.guard(lambda f=frame: self.answer(f, spec, layout))))

    def answer(self, frame: Frame, spec: tree.Spec, layout: list[tree.Leaf]) -> Frame:
        return self.call(frame.nonce, frame.value, spec, layout)

    def guard(self, action: Any) -> Frame:
        """Run program code; whatever it raises becomes an ERROR frame."""
        try:
            return action()
        except Failure as failure:
            return Frame(Kind.ERROR, code=failure.fault, text=failure.text)
        except (MemoryError, torch.OutOfMemoryError) as error:
            return Frame(Kind.ERROR, code=Fault.MEMORY, text=_describe(error))
        except BaseException as error:  # boundary: a program may raise anything, SystemExit included
            text = _describe(error)
            fault = Fault.MEMORY if "can't allocate memory" in text else Fault.RUNTIME
            return Frame(Kind.ERROR, code=fault, text=text)


def settled(value: Any, leaf: tree.Leaf) -> Any:
    """The layout is the reference's: bringing a tensor into it is part of the program's time. Where the reference's own
    has gaps (a slice), nobody needs the copy that is read here, and it is no part of either side's."""
    if type(value) is not torch.Tensor or tuple(value.shape) != leaf.shape:
        return value
    if value.is_neg() or value.is_conj():  # flags that memory does not show
        value = value.resolve_neg().resolve_conj()
    if all(a == b for n, a, b in zip(leaf.shape, value.stride(), leaf.stride, strict=True) if n > 1):
        return value
    return torch.empty_strided(leaf.shape, leaf.stride, dtype=value.dtype, device=value.device).copy_(value)


def scalar_cell(value: Any, leaf: tree.Leaf) -> torch.Tensor:
    return torch.tensor([value], dtype=leaf.dtype)


def map_block(fd: int, size: int, *, writable: bool) -> torch.Tensor:
    if size == 0:
        return torch.empty(0, dtype=torch.uint8)
    access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    area = mmap.mmap(fd, size, mmap.MAP_SHARED if writable else mmap.MAP_PRIVATE, access | mmap.PROT_WRITE)
    tensor = torch.frombuffer(area, dtype=torch.uint8)
    pages.advise(tensor.data_ptr(), size)
    return tensor


def told(channel: socket.socket, scratch: Path) -> tuple[int, int, dict[str, Any]] | None:
    """In a process that was started ahead of its program: descriptors of inputs and state, and the configuration, once
    there is one; None if there will be none. The program is put where others find theirs."""
    channel.send(frames.encode(Frame(Kind.WARM)))
    _frame, fds, _flags, _address = socket.recv_fds(channel, frames.FRAME, 4)
    if len(fds) != 4:
        return None
    program, config, inputs_fd, state_fd = fds
    path = scratch / "program.py"
    path.write_bytes(os.pread(program, os.fstat(program).st_size, 0))
    document = json.loads(os.pread(config, os.fstat(config).st_size, 0))
    os.close(program)
    os.close(config)
    return inputs_fd, state_fd, document | {"program": str(path)}


def run_when_told(channel: socket.socket, scratch: Path) -> int:
    """As `run`, once there is a program."""
    task = told(channel, scratch)
    return 0 if task is None else run(channel, *task)


def run(channel: socket.socket, inputs_fd: int, state_fd: int, config: dict[str, Any]) -> int:
    """Serve until the oracle hangs up. Called in the sandbox, after every layer is on."""
    inputs = map_block(inputs_fd, config["inputs_bytes"], writable=True)
    state = map_block(state_fd, config["state_bytes"], writable=False)
    os.close(inputs_fd)
    os.close(state_fd)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    pages.reserve(_HEAP_BYTES)
    torch.manual_seed(config["seed"])
    torch.set_grad_enabled(False)
    server = Server(channel, config, inputs, state)
    return server.run()


def build(channel: socket.socket, config_path: Path) -> int:
    """Load the program without a GPU, so that what it compiles is there when one is used; say READY, or what is
    wrong."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    config = json.loads(config_path.read_text())
    nothing = torch.empty(0, dtype=torch.uint8)
    server = Server(channel, config, nothing, nothing)
    ready = server.guard(lambda: load(Path(config["program"]), config["entry"]) and Frame(Kind.READY))
    channel.send(frames.encode(ready))
    channel.recv(1)  # until the other side has what it wants
    return 0
