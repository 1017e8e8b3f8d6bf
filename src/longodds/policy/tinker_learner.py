"""A model in training on a Tinker service (the `Learner` protocol): LoRA, gradient and optimiser are the service's."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.errors import InfraError, UserError
from longodds.learning import AdamParams, Datum, ForwardBackward, Loss
from longodds.policy.remote import parameters_by_name
from longodds.policy.tinker_policy import TinkerModel, TinkerPolicy, connect
from longodds.policy.tinker_service import NotThere
from longodds.types import digest_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from longodds.policy.opening import LoraOptions, OpenOptions
    from longodds.policy.spec import PolicySpec
    from longodds.policy.tinker_service import TinkerService

STATE_FILE = "tinker.json"
_ALPHA = 32.0  # the service's own; it cannot be chosen


class TinkerLearner:
    """Trains an adapter on a Tinker service.

    name: the spec. parameters: active parameters by the model's name, 0 where it does not tell. steps: optimiser
    steps taken. A step that the service did not finish leaves the weights unknown: the learner then refuses to go on,
    and a saved state has to be loaded.
    """

    def __init__(
        self,
        name: str,
        service: TinkerService,
        model: TinkerModel,
        lora: LoraOptions,
        path: str | None = None,
        sampler: str | None = None,
    ) -> None:
        """path: saved weights to begin with; `lora` is then theirs. sampler: where they are saved for sampling."""
        if path is None and lora.alpha != _ALPHA:
            raise UserError(f"policy '{name}': a Tinker service trains with alpha {_ALPHA:g}, not {lora.alpha:g}")
        self.name = name
        self.model = model
        self.parameters = parameters_by_name(model.name) or 0
        self.steps = 0
        self._service = service
        self._saved = sampler  # sampler weights of now, once saved
        self._broken = False
        client = service.client if path is None else None
        if client is not None:
            self._client = service.run(
                lambda: client.create_lora_training_client(
                    model.name, rank=lora.rank, seed=lora.seed, train_mlp=True, train_attn=True, train_unembed=True
                ),
                "creating the adapter",
            )
        else:
            assert path is not None
            self._client = service.run(
                lambda: service.client.create_training_client_from_state(path), f"loading {path}"
            )

    # --- learning ---------------------------------------------------------------------------------

    def forward_backward(
        self, data: Sequence[Datum], loss: Loss = "importance_sampling", config: Mapping[str, float] | None = None
    ) -> ForwardBackward:
        """Adds the gradient of the loss, a sum over tokens (`longodds.learning.Learner`)."""
        return self._finish(self._submit(data, loss, config), data, loss, config)

    def optim_step(self, params: AdamParams | None = None) -> dict[str, float]:
        """One Adam step with the accumulated gradient. Returns the metrics that the service reports."""
        return self._stepped(self._submit_step(params))

    def train_step(
        self,
        data: Sequence[Datum],
        loss: Loss = "importance_sampling",
        params: AdamParams | None = None,
        config: Mapping[str, float] | None = None,
    ) -> ForwardBackward:
        """Both, submitted together, so that the service does them in one go."""
        gradient = self._submit(data, loss, config)
        step = self._submit_step(params)
        done = self._finish(gradient, data, loss, config)
        return ForwardBackward(done.loss, done.logprobs, done.trained_tokens, {**done.metrics, **self._stepped(step)})

    def _submit(self, data: Sequence[Datum], loss: Loss, config: Mapping[str, float] | None) -> Any:
        self._check_whole()
        if not data:
            raise ValueError("no data to learn from")
        rows = [to_tinker(d, loss) for d in data]
        return self._service.call(
            lambda: self._client.forward_backward(rows, loss, dict(config) if config else None), "the gradient"
        )

    def _submit_step(self, params: AdamParams | None) -> Any:
        import tinker

        self._check_whole()
        adam = tinker.AdamParams(**asdict(params or AdamParams()))
        self._saved = None
        return self._service.call(lambda: self._client.optim_step(adam), "the optimiser step")

    def _finish(
        self, future: Any, data: Sequence[Datum], loss: Loss, config: Mapping[str, float] | None
    ) -> ForwardBackward:
        output = self._wait(future, "the gradient")
        logprobs = tuple(
            tuple(float(p) for p in row["logprobs"].to_numpy().reshape(-1)[-len(d.token_ids) :])
            for row, d in zip(output.loss_fn_outputs, data, strict=True)
        )
        metrics = {str(k): float(v) for k, v in (output.metrics or {}).items()}
        total = metrics.get("loss:sum")
        if total is None:  # some self-hosted servers report no metrics
            total = math.fsum(loss_of(d, row, loss, config) for d, row in zip(data, logprobs, strict=True))
        tokens = sum(len(d.prompt_ids) + len(d.token_ids) for d in data)
        return ForwardBackward(total, logprobs, tokens, metrics)

    def _stepped(self, future: Any) -> dict[str, float]:
        response = self._wait(future, "the optimiser step")
        self.steps += 1
        return {str(k): float(v) for k, v in (response.metrics or {}).items()}

    def _wait(self, future: Any, what: str) -> Any:
        try:
            return self._service.wait(future, what)
        except NotThere as e:
            self._broken = True
            raise InfraError(f"{e}; this training run is lost there: go on from a saved state") from None
        except (UserError, InfraError, KeyboardInterrupt):
            self._broken = True
            raise

    def _check_whole(self) -> None:
        if self._broken:
            raise InfraError(
                f"policy '{self.name}': an earlier step did not finish, so the weights are unknown; go on from a "
                "saved state"
            )

    # --- weights ----------------------------------------------------------------------------------

    @property
    def version(self) -> str:
        """What `snapshot().version` is now; saves the sampler weights of this step if that has not been done."""
        return digest_text("tinker", self.model.name, self._sampler_path())

    def snapshot(self) -> TinkerPolicy:
        """A policy with the weights of now, saved on the service."""
        path = self._sampler_path()
        return TinkerPolicy(path, self._service, self.model, path, owner=False)

    def _sampler_path(self) -> str:
        self._check_whole()
        if self._saved is None:
            name = f"longodds-{self.steps:06d}"
            saved = self._service.run(lambda: self._client.save_weights_for_sampler(name), "saving sampler weights")
            self._saved = str(saved.path)
        return self._saved

    def save_state(self, directory: Path) -> None:
        """Saves weights and optimiser on the service and writes where they are; the directory appears whole."""
        name = f"longodds-{self.steps:06d}"
        self._check_whole()
        state = self._service.run(lambda: self._client.save_state(name, overwrite=True), "saving the state")
        record = {
            "base_model": self.model.name,
            "state": str(state.path),
            "sampler": self._sampler_path(),
            "steps": self.steps,
            "version": self.version,
        }
        directory.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        with (temporary / STATE_FILE).open("w", encoding="utf-8") as f:
            json.dump(record, f, indent=2)
            f.flush()
            os.fsync(f.fileno())
        temporary.chmod(0o755)
        if directory.exists():
            shutil.rmtree(directory)
        temporary.rename(directory)

    def load_state(self, directory: Path) -> None:
        """Weights and optimiser as they were saved. Raises UserError for a state of another base model, or none."""
        record = read_state(directory)
        if record["base_model"] != self.model.name:
            raise UserError(
                f"{directory / STATE_FILE}: is a state of '{record['base_model']}', this is '{self.model.name}'"
            )
        path = str(record["state"])
        self._client = self._service.run(
            lambda: self._service.client.create_training_client_from_state_with_optimizer(path), f"loading {path}"
        )
        self.steps = int(record["steps"])
        self._saved = str(record["sampler"])
        self._broken = False

    def close(self) -> None:
        self._service.close()


def read_state(directory: Path) -> dict[str, Any]:
    """What `save_state` wrote. Raises UserError for a directory that holds no such state."""
    path = directory / STATE_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        missing = [k for k in ("base_model", "state", "sampler", "steps") if k not in record]
    except (OSError, ValueError, TypeError) as e:
        raise UserError(f"{path}: no state of a Tinker learner ({e})") from None
    if missing:
        raise UserError(f"{path}: lacks the field '{missing[0]}'")
    return record


def to_tinker(datum: Datum, loss: Loss) -> Any:
    """A datum as the service wants it: input full[:-1], targets full[1:], one number a target, 0 over the prompt.

    Raises ValueError for a datum without what the loss needs.
    """
    import tinker

    full = [*datum.prompt_ids, *datum.token_ids]
    before = len(datum.prompt_ids) - 1
    n = len(datum.token_ids)

    def spread(values: Sequence[float]) -> Any:
        return tinker.TensorData(data=[0.0] * before + [float(v) for v in values], dtype="float32", shape=[before + n])

    inputs: dict[str, Any] = {
        "target_tokens": tinker.TensorData(data=full[1:], dtype="int64", shape=[before + n]),
    }
    if loss == "cross_entropy":
        inputs["weights"] = spread(datum.weights if datum.weights is not None else [1.0] * n)
    else:
        if datum.logprobs is None or datum.advantages is None:
            raise ValueError(f"{loss} needs logprobs and advantages")
        inputs["logprobs"], inputs["advantages"] = spread(datum.logprobs), spread(datum.advantages)
    return tinker.Datum(model_input=tinker.ModelInput.from_ints(full[:-1]), loss_fn_inputs=inputs)


def loss_of(datum: Datum, now: Sequence[float], loss: Loss, config: Mapping[str, float] | None) -> float:
    """The loss of one datum from its log-probabilities, by the definitions in `longodds.learning.Learner`."""
    low, high = (config or {}).get("clip_low_threshold", 0.8), (config or {}).get("clip_high_threshold", 1.2)
    if loss == "cross_entropy":
        return -math.fsum(w * p for w, p in zip(datum.weights or [1.0] * len(now), now, strict=True))
    total: list[float] = []
    for p, q, a in zip(now, datum.logprobs or (), datum.advantages or (), strict=True):
        r = math.exp(p - q)
        clipped = min(max(r, low), high)
        if loss == "importance_sampling":
            total.append(-r * a)
        else:
            total.append(-min(r * a, clipped * a) if loss == "ppo" else -clipped * a * p)
    return math.fsum(total)


def open_tinker_learner(spec: PolicySpec, name: str, options: OpenOptions, lora: LoraOptions) -> TinkerLearner:
    """Raises as `open_tinker_policy`."""
    service, model, path, _ = connect(spec, name, options)
    if spec.adapter is None:
        return TinkerLearner(name, service, model, lora, path)
    record = read_state(spec.adapter)
    return TinkerLearner(name, service, model, lora, str(record["state"]), str(record["sampler"]))
