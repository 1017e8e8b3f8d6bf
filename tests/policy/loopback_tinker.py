"""A Tinker service on 127.0.0.1: the SDK's wire protocol, a tiny real model behind it. Imports nothing of longodds.

JSON for most operations; forward_backward comes as protobuf and, like sampling, is answered as protobuf. Long
operations give a promise that `retrieve_future` redeems, in the order in which they were submitted.
"""

from __future__ import annotations

import gc
import json
import threading
import uuid
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard
from loopback import Answer, Loopback
from reference_model import ReferenceModel, Trainer
from tinker.proto import tinker_public_pb2 as pb

if TYPE_CHECKING:
    from pathlib import Path

JSON, PROTO = "application/json", "application/x-protobuf"


class LoopbackTinker(Loopback):
    """mode: how it reports log-probabilities of samples (`raw`, `tempered`, `top-p`, `none`).

    start: a PEFT directory whose weights every new adapter begins with. accept: the one key that is accepted.
    """

    def __init__(
        self,
        model: ReferenceModel,
        name: str = "tiny/llama-1m",
        *,
        mode: str = "raw",
        start: Path | None = None,
        accept: str = "tml-test",
        compress: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.name, self.mode, self.begin_with, self.accept = model, name, mode, start, accept
        self.compress = compress
        self.status: int | None = None  # what every request is answered with, if anything
        self.seconds = 0.0  # extra time of every sampling operation
        self.sampled_tokens = 0
        self.forget()

    def forget(self) -> None:
        """As after a restart that keeps weights but no sessions."""
        if not hasattr(self, "saved"):
            self.saved: dict[str, Any] = {}
        self.sessions: set[str] = set()
        self.samplers: dict[str, tuple[Any, str | None]] = {}
        self.trainers: dict[str, Trainer] = {}
        self.promises: dict[str, Future[tuple[str, bytes]]] = {}
        self.worker = ThreadPoolExecutor(1)
        self.lock = threading.Lock()

    def __exit__(self, *exception: object) -> None:
        """Also has what the SDK leaked collected, unheard: a module's fixture ends in the setup of another's test."""
        super().__exit__(*exception)
        with warnings.catch_warnings():  # `SDK_LEAK` holds for the tests that carry it, which that one need not
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    # --- routing ----------------------------------------------------------------------------------

    def respond(self, method: str, path: str, headers: Any, body: bytes) -> tuple[str, bytes]:
        if not path.startswith("/api/v1/"):
            raise Answer(404, {"detail": "Not Found"})
        route = path.removeprefix("/api/v1/").split("?")[0]
        if route == "healthz":
            return _json({"status": "ok"})
        if headers.get("X-API-Key") != self.accept:
            raise Answer(401, {"detail": f"Invalid API key {headers.get('X-API-Key')}"})
        if self.status is not None:
            raise Answer(self.status, {"detail": "as told"})
        if headers.get("Content-Encoding") == "zstd":
            body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
        if route == "forward_backward":
            assert headers.get("Content-Type") == PROTO
            return self._forward_backward(body)
        request = json.loads(body) if body else {}
        if route == "asample":
            self.bodies.append((route, request))
        if route.startswith("samplers/"):
            return self._sampler_info(route.removeprefix("samplers/"))
        if route.startswith("sessions/"):
            return _json({"status": "ok"})
        handler: Callable[[Any], tuple[str, bytes]] | None = getattr(self, f"_{route.replace('/', '_')}", None)
        if handler is None:
            raise Answer(404, {"detail": f"no route {route}"})
        return handler(request)

    def _client_config(self, _: Any) -> tuple[str, bytes]:
        return _json({"parallel_fwdbwd_chunks": False, "proto_compress_fwdbwd": self.compress})

    def _client_dynamic_config(self, _: Any) -> tuple[str, bytes]:
        return _json({})

    def _get_server_capabilities(self, _: Any) -> tuple[str, bytes]:
        limit = self.model.base.config.max_position_embeddings
        return _json({"supported_models": [{"model_name": self.name, "max_context_length": limit}]})

    def _create_session(self, _: Any) -> tuple[str, bytes]:
        session = f"session-{uuid.uuid4().hex[:8]}"
        self.sessions.add(session)
        return _json({"type": "create_session", "session_id": session})

    def _session_heartbeat(self, _: Any) -> tuple[str, bytes]:
        return _json({"type": "session_heartbeat"})

    def _telemetry(self, _: Any) -> tuple[str, bytes]:
        return _json({"status": "accepted"})

    # --- sampling ---------------------------------------------------------------------------------

    def _create_sampling_session(self, r: Any) -> tuple[str, bytes]:
        self._known_session(r["session_id"])
        path = r.get("model_path")
        if path is None:
            self._known_model(r["base_model"])
            weights = None
        elif path in self.saved:
            weights = self._model_of(self.saved[path])
        else:
            raise Answer(404, {"detail": f"No such checkpoint: {path}"})
        name = f"{r['session_id']}:sample:{r['sampling_session_seq_id']}"
        self.samplers[name] = (weights, path)
        return _json({"type": "create_sampling_session", "sampling_session_id": name})

    def _sampler_info(self, name: str) -> tuple[str, bytes]:
        import urllib.parse

        name = urllib.parse.unquote(name)
        if name not in self.samplers:
            raise Answer(404, {"detail": "no such sampler"})
        return _json({"sampler_id": name, "base_model": self.name, "model_path": self.samplers[name][1]})

    def _asample(self, r: Any) -> tuple[str, bytes]:
        if r["sampling_session_id"] not in self.samplers:
            raise Answer(404, {"detail": "no such sampling session"})
        weights, _ = self.samplers[r["sampling_session_id"]]
        ids = [t for chunk in r["prompt"]["chunks"] for t in chunk["tokens"]]
        n = r.get("num_samples", 1)
        names = [uuid.uuid4().hex for _ in range(n)]
        return self._promise(lambda: (PROTO, self._sampled(weights, ids, n, r)), sample_sequence_ids=names)

    def _sampled(self, weights: Any, ids: list[int], n: int, r: Any) -> bytes:
        import time

        time.sleep(self.seconds)
        p = r["sampling_params"]
        stop = p.get("stop")
        ends = frozenset([self.model.eos] if stop is None else [t for t in stop if isinstance(t, int)])
        answer = pb.SampleResponse()
        for i in range(n):
            one = self.model.sample(
                ids,
                max_tokens=p.get("max_tokens") or 16,
                temperature=p.get("temperature", 1),
                top_p=p.get("top_p", 1),
                seed=(p.get("seed") or 0) * 1000 + i,
                stop=ends,
                mode="raw" if self.mode == "none" else self.mode,
                model=weights,
            )
            self.sampled_tokens += len(one["tokens"])
            sequence = answer.sequences.add()
            sequence.stop_reason = pb.STOP_REASON_STOP if one["reason"] == "stop" else pb.STOP_REASON_LENGTH
            sequence.tokens = np.asarray(one["tokens"], np.int32).tobytes()
            if self.mode != "none":
                sequence.logprobs = np.asarray(one["logprobs"], np.float32).tobytes()
        if r.get("prompt_logprobs"):
            scores = [float("nan") if s is None else s for s in self.model.score(ids, weights)]
            answer.prompt_logprobs = np.asarray(scores, np.float32).tobytes()
        return answer.SerializeToString()

    # --- training ---------------------------------------------------------------------------------

    def _create_model(self, r: Any) -> tuple[str, bytes]:
        self._known_session(r["session_id"])
        self._known_model(r["base_model"])
        name = f"{r['session_id']}:train:{r['model_seq_id']}"
        lora = r["lora_config"]

        def make() -> tuple[str, bytes]:
            model = self.model.adapter(rank=lora["rank"], seed=lora.get("seed") or 0, start=self.begin_with)
            self.trainers[name] = Trainer(self.model, model)
            return _json({"model_id": name, "type": "create_model"})

        return self._promise(make, model_id=name)

    def _get_info(self, r: Any) -> tuple[str, bytes]:
        self._trainer(r["model_id"])
        data = {"model_name": self.name, "arch": "llama", "tokenizer_id": self.name}
        return _json({"type": "get_info", "model_data": data, "model_id": r["model_id"], "is_lora": True})

    def _forward_backward(self, body: bytes) -> tuple[str, bytes]:
        r = pb.ForwardBackwardRequest()
        r.ParseFromString(body)
        trainer = self._trainer(r.model_id)
        data = [_datum(d) for d in r.data]
        if any("mask" in d for d in data):
            raise Answer(400, {"detail": "unknown loss input: mask"})
        config = {k: v.number for k, v in r.loss_fn_config_v2.items()}
        return self._promise(lambda: (PROTO, _trained(trainer, data, r.loss_fn, config, r.forward_only)))

    def _optim_step(self, r: Any) -> tuple[str, bytes]:
        trainer = self._trainer(r["model_id"])
        adam = {"learning_rate": 1e-4, "beta1": 0.9, "beta2": 0.95, "eps": 1e-12, "weight_decay": 0.0}
        adam |= {"grad_clip_norm": 0.0, **r["adam_params"]}
        return self._promise(lambda: _json({"metrics": {"grad_norm": trainer.adam(adam)}}))

    def _save_weights(self, r: Any) -> tuple[str, bytes]:
        trainer, path = self._trainer(r["model_id"]), f"tinker://{r['model_id']}/weights/{r['path']}"

        def save() -> tuple[str, bytes]:
            self.saved[path] = trainer.state()
            return _json({"path": path, "type": "save_weights"})

        return self._promise(save)

    def _save_weights_for_sampler(self, r: Any) -> tuple[str, bytes]:
        trainer, path = self._trainer(r["model_id"]), f"tinker://{r['model_id']}/sampler_weights/{r['path']}"

        def save() -> tuple[str, bytes]:
            self.saved[path] = trainer.state()
            return _json({"path": path, "type": "save_weights_for_sampler"})

        return self._promise(save)

    def _load_weights(self, r: Any) -> tuple[str, bytes]:
        if r["path"] not in self.saved:
            raise Answer(404, {"detail": f"No such checkpoint: {r['path']}"})
        if "/sampler_weights/" in r["path"]:
            raise Answer(400, {"detail": "sampler weights are for sampling; load a training checkpoint"})
        name = r.get("model_id") or f"{r['session_id']}:train:{r['model_seq_id']}"

        def load() -> tuple[str, bytes]:
            trainer = Trainer(self.model, self._model_of(self.saved[r["path"]], trainable=True))
            trainer.load(self.saved[r["path"]], optimizer=r["optimizer"])
            self.trainers[name] = trainer
            return _json({"path": r["path"], "model_id": name, "type": "load_weights"})

        return self._promise(load, model_id=name)

    # --- helpers ----------------------------------------------------------------------------------

    def _model_of(self, state: Any, *, trainable: bool = False) -> Any:
        rank = next(v.shape[0] for k, v in state["weights"].items() if "lora_A" in k)
        model = self.model.adapter(rank=rank, start=self.begin_with)
        Trainer(self.model, model).load(state, optimizer=False)
        return model if trainable else model.eval()

    def _known_session(self, session: str) -> None:
        if session not in self.sessions:
            raise Answer(404, {"detail": "no such session"})

    def _known_model(self, name: str) -> None:
        if name != self.name:
            raise Answer(400, {"detail": f"Unsupported base model: {name}"})

    def _trainer(self, name: str) -> Trainer:
        if name not in self.trainers:
            raise Answer(404, {"detail": "no such model"})
        return self.trainers[name]

    def _promise(self, work: Callable[[], tuple[str, bytes]], **more: Any) -> tuple[str, bytes]:
        name = uuid.uuid4().hex
        self.promises[name] = self.worker.submit(work)
        return _json({"request_id": name, **more})

    def _retrieve_future(self, r: Any) -> tuple[str, bytes]:
        if r["request_id"] not in self.promises:
            raise Answer(404, {"detail": "no such request"})
        try:
            return self.promises[r["request_id"]].result(timeout=1.0)
        except NotYet:
            return _json({"type": "try_again", "request_id": r["request_id"], "queue_state": "active"})
        except Exception as e:  # whatever the work raised is the answer, which nobody should try again
            return _json({"error": f"{type(e).__name__}: {e}", "category": "user"})


def _json(value: Any) -> tuple[str, bytes]:
    return JSON, json.dumps(value).encode()


def _datum(d: Any) -> dict[str, Any]:
    ids = [int(t) for chunk in d.model_input for t in np.frombuffer(chunk.encoded_text.tokens, np.int32)]
    out: dict[str, Any] = {"ids": ids}
    for name, tensor in d.loss_fn_inputs.items():
        kind = np.int64 if tensor.dtype == pb.DTYPE_INT64 else np.float32
        values = np.frombuffer(tensor.dense, kind).tolist()
        assert len(values) == len(ids)
        out["targets" if name == "target_tokens" else name] = values
    return out


def _trained(trainer: Trainer, data: list[dict[str, Any]], loss: str, config: dict[str, float], only: bool) -> bytes:
    rows, total = trainer.forward_backward(data, loss, config, backward=not only)
    answer = pb.ForwardBackwardOutput()
    answer.loss_fn_output_type = "TorchLossReturn"
    answer.metrics["loss:sum"] = total
    record = answer.loss_fn_outputs.add()
    record.num_datums = len(rows)
    field = record.fields["logprobs"]
    field.dtype = pb.DTYPE_FLOAT32
    flat = [np.asarray(row, np.float32) for row in rows]
    field.data = b"".join(f.tobytes() for f in flat)
    field.offsets = np.cumsum([0, *(f.nbytes for f in flat)]).astype(np.int64).tobytes()
    return answer.SerializeToString()
