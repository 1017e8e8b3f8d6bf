"""The oracle's process: answers the controller's requests, and ends when the controller does, whatever happens to it.

Torch is loaded here after the first fork server was started, so that both load it at the same time.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.errors import InfraError, UserError
from longodds.evaluator.forks import ForkServers, remove_tree
from longodds.evaluator.settings import EvaluatorSettings
from longodds.types import Task

if TYPE_CHECKING:
    from longodds.evaluator.oracle import Oracle

_GRACE_S = 10.0


class _Abandoned(BaseException):
    """The controller is gone."""


def main() -> None:
    """Serve the controller's requests on standard input and output, one JSON line each, until the input ends."""
    source, sink = sys.stdin, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a task's own code prints must not reach the controller's pipe
    signal.signal(signal.SIGTERM, _abandon)
    begin = json.loads(source.readline())
    settings, root = EvaluatorSettings.from_json(begin["settings"]), Path(begin["root"])
    servers = ForkServers(settings, root)
    threading.Thread(target=_watch_controller, args=(servers, root), daemon=True).start()
    try:
        _serve(settings, servers, source, sink)
    except (_Abandoned, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sink.fileno())  # what is left to be flushed has no reader
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        servers.close()
        remove_tree(root)


def _abandon(_number: int, _frame: object) -> None:
    raise _Abandoned


def _watch_controller(servers: ForkServers, root: Path) -> None:
    """End this process when the other end of its input closes, also in the middle of an evaluation."""
    poller = select.poll()
    poller.register(0, 0)  # only the hang-up
    poller.poll()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)  # the main thread ends in order, unless it is stuck in a task's own code
    servers.close()
    remove_tree(root)
    os._exit(1)


def _serve(settings: EvaluatorSettings, servers: ForkServers, source: Any, sink: Any) -> None:
    from longodds.evaluator.oracle import Oracle

    def answer(document: dict[str, Any]) -> None:
        sink.write(json.dumps(document) + "\n")
        sink.flush()

    try:
        oracle = Oracle(settings, servers)
    except UserError as error:
        answer({"user_error": str(error)})
        return
    gc.collect()
    gc.freeze()  # what is here now stays, and need not be looked through whenever memory is given back
    answer({"ready": oracle.digest, "isolation": oracle.isolation, "arch": oracle.arch})
    try:
        for line in source:
            try:
                answer(respond(oracle, json.loads(line)))
            except UserError as error:
                answer({"user_error": str(error)})
            except InfraError as error:
                answer({"infra_error": str(error)})
    finally:
        oracle.close()


def respond(oracle: Oracle, request: dict[str, Any]) -> dict[str, Any]:
    """Answer one request of the controller. Raises UserError and InfraError."""
    task = Task(**request["task"])
    match request["do"]:
        case "judge":
            slowed_by = request.get("slowed_by", 0.0)
            verdict = oracle.judge(task, request["program"], timed=request["timed"], slowed_by=slowed_by)
            return {"verdict": verdict.to_json()}
        case "remeasure":
            return {"verdict": oracle.remeasure(task, request["program"], among=request["among"]).to_json()}
        case "pairs":
            with _must_run(task):
                number, count, renew = request["process"], request["count"], request["renew"]
                pairs = oracle.process_pair(task, request["program"], number, count, renew=renew)
            us = {"reference_us": pairs.call_us(True), "runtime_us": pairs.call_us(False)} if pairs.d else {}
            return {"pairs": {"d": pairs.d, "launches": pairs.launches, **us}}
        case "naive":
            with _must_run(task):
                return {"speedups": oracle.naive.speedups(oracle.problem(task), request["programs"])}
        case _:
            problem = oracle.problem(task)
            return {
                "problem": {
                    "labels": problem.labels,
                    "dropped": problem.dropped,
                    "laws": sorted(problem.tolerances),
                    "prepare_s": problem.prepare_s,
                    "floor_us": oracle.floor_us(problem),
                    "tolerances": {k: [asdict(t) for t in v] for k, v in problem.tolerances.items()},
                    "weights": len(problem.config["weights"]),
                    "input_bytes": problem.input_bytes,
                    "output_bytes": sum(leaf.nbytes for leaf in problem.output_leaves),
                    "demands": asdict(problem.demands) if problem.demands else None,
                    "ceilings": asdict(oracle.device.ceilings) if problem.on_gpu else None,
                }
            }


@contextlib.contextmanager
def _must_run(task: Task) -> Generator[None]:
    """For programs of our own: a failure is the caller's mistake. Raises UserError."""
    from longodds.evaluator.outcome import Judged, clean

    try:
        yield
    except Judged as reached:
        raise UserError(f"{task.id}: {reached.status}: {clean(reached.message)}") from None
