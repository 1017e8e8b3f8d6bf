"""Adam (Kingma and Ba, arXiv:1412.6980) with Tinker's defaults, clipping, and a state that is saved and restored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from longodds.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from longodds.learning import AdamParams

STATE_FILE = "optimizer.safetensors"
RECORD_FILE = "optimizer.json"
_MOMENTS = ("exp_avg", "exp_avg_sq")


class Adam:
    """parameters: name -> parameter in training. Weight decay is decoupled (AdamW)."""

    def __init__(self, parameters: dict[str, torch.nn.Parameter]) -> None:
        self.parameters = parameters
        self._optimizer = torch.optim.AdamW(list(parameters.values()), lr=1e-4, foreach=False)

    def step(self, params: AdamParams) -> float | None:
        """One step with the accumulated gradient, which is zero afterwards. Returns the norm of the gradient before
        clipping, or None when it is not finite, and then changes nothing."""
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0
        finite = norm == norm and norm != float("inf")
        if finite:
            if params.grad_clip_norm > 0 and norm > params.grad_clip_norm:
                for gradient in gradients:
                    gradient.mul_(params.grad_clip_norm / norm)
            for group in self._optimizer.param_groups:
                group["lr"] = params.learning_rate
                group["betas"] = (params.beta1, params.beta2)
                group["eps"] = params.eps
                group["weight_decay"] = params.weight_decay
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return norm if finite else None

    def save(self, directory: Path, steps: int) -> None:
        """Writes both moments and the count of steps of every parameter that has been stepped."""
        state = cast("dict[Any, dict[str, Tensor]]", self._optimizer.state)
        tensors: dict[str, Tensor] = {}
        counts: dict[str, float] = {}
        for name, parameter in self.parameters.items():
            if parameter in state:
                counts[name] = float(state[parameter]["step"])
                tensors |= {f"{m}:{name}": state[parameter][m].contiguous() for m in _MOMENTS}
        save_file(tensors, str(directory / STATE_FILE))
        (directory / RECORD_FILE).write_text(json.dumps({"steps": steps, "counts": counts}) + "\n", "utf-8")

    def read(self, directory: Path) -> tuple[int, dict[str, float], dict[str, Tensor]]:
        """What `save` wrote, checked against the parameters. Raises UserError if it is missing or of another model."""
        path = directory / RECORD_FILE
        if not path.is_file():
            raise UserError(f"{directory}: has no optimiser state; to start from its weights, name it as +adapter=PATH")
        try:
            record = json.loads(path.read_text("utf-8"))
            counts = {str(k): float(v) for k, v in record["counts"].items()}
            steps = int(record["steps"])
            tensors: dict[str, Tensor] = load_file(str(directory / STATE_FILE))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as e:
            raise UserError(f"{directory}: its optimiser state can't be read ({e})") from e
        for name in counts:
            parameter = self.parameters.get(name)
            if parameter is None or any(
                f"{m}:{name}" not in tensors or tensors[f"{m}:{name}"].shape != parameter.shape for m in _MOMENTS
            ):
                raise UserError(f"{directory}: its optimiser state is of another adapter ({name})")
        return steps, counts, tensors

    def restore(self, saved: tuple[int, dict[str, float], dict[str, Tensor]]) -> int:
        """Takes over what `read` returned; the number of steps taken."""
        steps, counts, tensors = saved
        self._optimizer.zero_grad(set_to_none=True)
        state = cast("dict[Any, dict[str, Tensor]]", self._optimizer.state)
        state.clear()
        for name, count in counts.items():
            parameter = self.parameters[name]
            state[parameter] = {
                "step": torch.tensor(count),
                **{m: tensors[f"{m}:{name}"].to(parameter.device) for m in _MOMENTS},
            }
        return steps
