"""What policies share whose model runs elsewhere: one kind of completion out of what a service sent, and clean errors.

Services stop at tokens or strings, not at a pattern; they report log-probabilities of one kind or another. Here both
are put right: the answer is cut where the prompt's pattern ends it, and `Completion.logprobs` are at temperature 1,
as returned, scored again, or missing.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from longodds.errors import InfraError, UserError
from longodds.policy.probe import LogprobMode, probe_logprobs
from longodds.policy.stopping import check_sampling
from longodds.types import Completion, FinishReason, Prompt, SamplingParams, digest_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.policy.probe import Probed
    from longodds.types import SampleKey

PROBE_PROMPT = Prompt(text="Some words, in no order: river seven quickly")


@dataclass(frozen=True, slots=True)
class Raw:
    """One sample as a service sent it, cut to what is kept.

    token_ids, logprobs: (n,) as sent. span, text: what is kept and which tokens wrote it. dropped: tokens that were
    sampled, and paid for, behind the end of what is kept. ends: (n,) characters of the text that are complete after
    each token; empty where the service does not tell.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    span: tuple[int, int]
    text: str
    finish_reason: FinishReason
    dropped: int = 0
    ends: tuple[int, ...] = ()


class RemotePolicy(ABC):
    """Base of the policies that talk to a service: the `Policy` protocol over `_draw`, `_score` and `_probed`.

    name: the spec. version: digest of what names the weights there; the service is trusted to keep them. parameters:
    active parameters, by the model's name, 0 where it does not tell. notes: what whoever reads the results should know.
    """

    def __init__(self, name: str, weights: Sequence[str], model: str, service: str) -> None:
        """weights: what names them there. model: its name. service: the address, which holds no secret."""
        self.name = name
        self.version = digest_text(*weights)
        self.parameters = parameters_by_name(model) or 0
        self.service = service
        self.notes: tuple[str, ...] = ()
        if not self.parameters:
            self.notes += (f"the name '{model}' does not tell its active parameters: FLOPs are counted as 0",)
        self._mode: LogprobMode | None = None

    # --- to fill in ------------------------------------------------------------------------------

    @abstractmethod
    def _draw(self, prompt: Prompt, params: SamplingParams, key: SampleKey) -> list[Raw]:
        """One sample per index of the key, in that order."""

    @abstractmethod
    def _score(self, prompt: Prompt, token_ids: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probabilities (nats, temperature 1) of each continuation."""

    @abstractmethod
    def _probed(self) -> Probed:
        """The service as the probe asks it."""

    # --- the protocol ----------------------------------------------------------------------------

    def prepare(self, params: SamplingParams) -> LogprobMode:
        """Finds out, once, what the service's log-probabilities mean; costs at most `MAX_PROBE_TOKENS` tokens.

        Raises UserError for a service that returns none.
        """
        if self._mode is None:
            self._mode = probe_logprobs(self._probed(), params)
            if not self._mode.is_plain(params) and not self._mode.rescoring:
                self.notes += (
                    f"the service's log-probabilities are {self._mode.mode} and it cannot score given tokens: these "
                    "samples have no surprisal",
                )
        return self._mode

    @property
    def logprob_mode(self) -> LogprobMode | None:
        """What `prepare` found out; None before it."""
        return self._mode

    def described(self) -> dict[str, Any]:
        """What a run's manifest says of the service; holds no secret."""
        mode = None if self._mode is None else self._mode.to_json()
        return {"service": self.service, "logprobs": mode, "notes": list(self.notes)}

    def sample(self, prompt: Prompt, params: SamplingParams, key: SampleKey) -> list[Completion]:
        """One completion per index of the key, in that order."""
        check_sampling(params)
        if not key.indices:
            return []
        mode = self.prepare(params)
        drawn = self._draw(prompt, params, key)
        plain = mode.is_plain(params)
        scored: list[list[float]] | None = None
        if not plain and mode.rescoring:
            scored = self.compute_logprobs(prompt, [d.token_ids for d in drawn])
        return [
            self._completion(d, params, mode, None if scored is None else tuple(scored[i])) for i, d in enumerate(drawn)
        ]

    def _completion(
        self, drawn: Raw, params: SamplingParams, mode: LogprobMode, scored: tuple[float, ...] | None
    ) -> Completion:
        plain = mode.is_plain(params)
        logprobs = drawn.logprobs if plain else scored or ()
        behaviour: tuple[float, ...] = ()
        if params.temperature == 0:
            behaviour = (0.0,) * len(drawn.token_ids)  # greedy decoding has no other outcome
        elif mode.is_behaviour(params):
            behaviour = drawn.logprobs
        elif params.temperature == 1 and params.top_p >= 1:
            behaviour = logprobs
        return Completion(
            token_ids=drawn.token_ids,
            logprobs=logprobs,
            sampling_logprobs=behaviour,
            score_span=drawn.span,
            text=drawn.text,
            finish_reason=drawn.finish_reason,
            policy_version=self.version,
            returned_logprobs=() if plain else drawn.logprobs,
            dropped_tokens=drawn.dropped,
            text_ends=drawn.ends,
        )

    def compute_logprobs(self, prompt: Prompt, token_ids: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probabilities (nats, temperature 1) of each continuation. Raises UserError where it cannot be done."""
        asked = [i for i, row in enumerate(token_ids) if len(row)]
        for i in asked:
            if any(t < 0 for t in token_ids[i]):
                raise UserError(f"policy '{self.name}': the service names no token ids, so tokens cannot be scored")
        result: list[list[float]] = [[] for _ in token_ids]
        if asked:
            for i, row in zip(asked, self._score(prompt, [token_ids[i] for i in asked]), strict=True):
                result[i] = row
        return result

    @abstractmethod
    def close(self) -> None:
        """Ends the session; the policy cannot be used afterwards."""


def request_seed(key: SampleKey, indices: Sequence[int]) -> int:
    """Seed of one request, from what names its samples: the same samples, asked for again, get the same seed."""
    return int(digest_text(str(key.seed), key.task_digest, ",".join(map(str, indices))), 16) % (1 << 31)


# --- sizes, addresses, error texts ---------------------------------------------------------------

_KNOWN = {"gpt-oss-20b": 3_600_000_000, "gpt-oss-120b": 5_100_000_000}
_UNITS = {"m": 1_000_000, "b": 1_000_000_000}


def parameters_by_name(model: str) -> int | None:
    """Active parameters as a model's name tells them: `Qwen3-30B-A3B` 3e9, `Llama-3.1-8B` 8e9; None if it doesn't."""
    name = model.rsplit("/", 1)[-1].lower()
    for known, count in _KNOWN.items():
        if known in name:
            return count
    active = re.search(r"(?<![a-z0-9])a(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", name)
    total = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", name)
    found = active or total
    return round(float(found.group(1)) * _UNITS[found.group(2)]) if found else None


def check_url(url: str, source: str) -> str:
    """A service's address without a trailing slash. Raises UserError for none, and for one that holds a secret."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{source}: must be an address such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password or parts.query:
        raise UserError(f"{source}: put no user, password or query into the address; keys belong in the environment")
    return url.rstrip("/")


def one_line(error: object, secrets: Sequence[str | None] = (), limit: int = 200) -> str:
    """The first line of an error's text, without the secrets in it."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[key]")
    return text if len(text) <= limit else text[: limit - 3] + "..."


def need_package(spec: str, package: str, extra: str) -> None:
    """Raises UserError where an extra is not installed."""
    import importlib.util

    if importlib.util.find_spec(package) is None:
        raise UserError(f"policy '{spec}' needs the package '{package}'; install it: pip install 'longodds[{extra}]'")


def refusal(spec: str, status: int, detail: str, *, key: str, where: str) -> UserError | InfraError:
    """One line for an HTTP status of a service that will not do what was asked."""
    told = f" ({detail})" if detail else ""
    if status == 401:
        return UserError(f"policy '{spec}': {where} does not accept the key in {key} (401){told}; set a valid one")
    if status == 402:
        return UserError(f"policy '{spec}': the account behind {key} has no credit or billing (402){told}; settle it")
    if status == 403:
        return UserError(f"policy '{spec}': the key in {key} may not do this (403){told}")
    if status == 404:
        return UserError(f"policy '{spec}': {where} does not know it (404){told}")
    if 400 <= status < 500 and status not in (408, 409, 425, 429):
        return UserError(f"policy '{spec}': {where} refuses the request ({status}){told}")
    return InfraError(f"policy '{spec}': {where} keeps failing ({status}){told}; the same command goes on later")


def json_or_text(response: Any) -> str:
    """What an error response says, short."""
    try:
        body = response.json()
    except ValueError:
        return one_line(response.text or "", limit=120) if response.text else ""
    for name in ("error", "detail", "message"):
        value = body.get(name) if isinstance(body, dict) else None
        if isinstance(value, dict):
            value = value.get("message")
        if isinstance(value, str):
            return one_line(value, limit=160)
    return ""
