"""What a server's log-probabilities mean: raw, tempered or of the nucleus, found out by asking for a few tokens.

Servers differ, and say so nowhere: some report the model's own distribution (temperature 1) whatever is sampled,
some the tempered one, some the one after top-p. Surprisal needs the first, learning the last. Four short samples,
each with settings that only one kind of server would report differently, are scored again as given tokens, which
every server does at temperature 1 over the whole distribution:

| sample at | raw | tempered | top-p |
|---|---|---|---|
| temperature 1, top_p 1 | equal | equal | equal: the difference seen here is noise |
| temperature 1.5, top_p 1 | equal | differs | differs |
| temperature 1, top_p 0.1 | equal | equal | differs |
| the run's own settings | equal | a check of the above | a check of the above |

Where a server cannot score given tokens, the first position of such samples is compared instead: it has the same
context in all of them, so equal tokens must have equal log-probabilities unless the settings change them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from longodds.types import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Mode = Literal["raw", "tempered", "top-p", "unknown"]

MAX_PROBE_TOKENS = 64
_TOKENS = 7  # per sample: 4 samples, each scored again (one more token drawn there), make 4 * (7 + 7 + 1) = 60
_DRAWS = 8  # first tokens per setting where nothing can be scored
_FIRST_FLOOR = 0.05  # nats: the same for first positions, whose noise is not known
_FLOOR = 0.02  # nats: below this two numbers are called equal even without any noise
_NOISE_FACTOR = 4.0
_BROKEN = 0.5  # nats: so far apart at temperature 1 that the two cannot be the same quantity

_FAR = 99.0

PLAIN = SamplingParams(temperature=1.0, max_tokens=_TOKENS, top_p=1.0)
_HOT = SamplingParams(temperature=1.5, max_tokens=_TOKENS, top_p=1.0)
_NUCLEUS = SamplingParams(temperature=1.0, max_tokens=_TOKENS, top_p=0.1)
_WIDER = SamplingParams(temperature=1.0, max_tokens=_TOKENS, top_p=0.5)  # where the nucleus holds no token but the end


@dataclass(frozen=True, slots=True)
class Drawn:
    """Tokens of one sample with the log-probabilities (nats) that the server gave them.

    tokens: ids, or whatever names a token on this server. alternatives: at the first position, token -> nats, the
    sampled one included.
    """

    tokens: tuple[Any, ...]
    logprobs: tuple[float, ...]
    alternatives: Mapping[Any, float] = field(default_factory=dict)


class Probed(Protocol):
    """A server under the probe, which always asks about the same short prompt."""

    def draw(self, params: SamplingParams, n: int, seed: int) -> list[Drawn]: ...

    def score(self, drawn: Drawn) -> list[float] | None:
        """Log-probabilities (nats) of these tokens as given ones; None where the server cannot do that."""
        ...


@dataclass(frozen=True, slots=True)
class LogprobMode:
    """What a server returns beside a sampled token.

    mode: `raw`: the model's distribution, at temperature 1. `tempered`: at the temperature sampled at. `top-p`: of
    the distribution sampled from, tempered and cut to the nucleus. `unknown`: none of these could be told.
    rescoring: whether it scores given tokens. noise: largest difference (nats) between sampling and scoring where
    every mode agrees. tokens: what the probe used, sampled and scored. differences: setting -> largest difference.
    unasked: it samples from less than the whole distribution even where that was asked for (settings of its own).
    """

    mode: Mode
    rescoring: bool
    noise: float | None
    tokens: int
    differences: Mapping[str, float] = field(default_factory=dict)
    unasked: bool = False

    def is_plain(self, params: SamplingParams) -> bool:
        """Whether what is returned at these settings is at temperature 1 over the whole distribution."""
        if self.mode == "raw":
            return True
        return self.mode != "unknown" and not self.unasked and params.temperature == 1 and params.top_p >= 1

    def is_behaviour(self, params: SamplingParams) -> bool:
        """Whether what is returned at these settings is of the distribution that was sampled."""
        if params.temperature == 0 or self.mode == "unknown":
            return False
        if self.mode == "raw":
            return params.temperature == 1 and params.top_p >= 1
        return self.mode == "top-p" or params.top_p >= 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def probe_logprobs(server: Probed, params: SamplingParams) -> LogprobMode:
    """Classifies a server, with at most `MAX_PROBE_TOKENS` tokens sampled and scored. params: the run's settings."""
    first = server.draw(PLAIN, 1, 0)[0]
    scored = server.score(first)
    if scored is None:
        return _by_first_position(server, first)
    own = SamplingParams(params.temperature, _TOKENS, params.top_p)
    used = _cost(first)
    plain = _differences(first.logprobs, scored)
    largest: dict[str, float] = {"plain": _largest(plain)}
    asked = {"hot": _HOT, "nucleus": _NUCLEUS}
    if own.temperature > 0 and own not in (PLAIN, _HOT, _NUCLEUS):
        asked["own"] = own
    for i, (name, setting) in enumerate(asked.items(), 1):
        drawn = server.draw(setting, 1, i)[0]
        again = server.score(drawn)
        used += _cost(drawn)
        largest[name] = _largest(_differences(drawn.logprobs, again or []))
    unasked = _is_cut(plain)
    mode = "top-p" if unasked else _decide(largest)
    return LogprobMode(mode, True, largest["plain"], used, _rounded(largest), unasked)


def _is_cut(plain: Sequence[float]) -> bool:
    """Whether tokens are always more probable than the whole distribution says, which noise does not do."""
    return bool(plain) and min(plain) >= -_FLOOR / 4 and sum(plain) / len(plain) > _FLOOR


def _decide(largest: Mapping[str, float]) -> Mode:
    noise = largest["plain"]
    if noise > _BROKEN:
        return "unknown"
    limit = max(_FLOOR, _NOISE_FACTOR * noise)
    if largest["nucleus"] > limit:
        return "top-p"
    if largest["hot"] > limit:
        return "tempered"
    return "unknown" if largest.get("own", 0.0) > limit else "raw"


def _by_first_position(server: Probed, first: Drawn) -> LogprobMode:
    seen: dict[str, dict[Any, float]] = {}
    used = len(first.tokens)
    settings = (("plain", PLAIN), ("hot", _HOT), ("nucleus", _NUCLEUS), ("nucleus", _WIDER))
    for i, (name, setting) in enumerate(settings, 1):
        if seen.get(name):
            continue  # some servers name no end token: a nucleus of that alone says nothing, a wider one is asked for
        one = SamplingParams(setting.temperature, 1, setting.top_p)
        known: dict[Any, float] = {}
        for drawn in server.draw(one, _DRAWS, i):
            known |= dict(drawn.alternatives)
            used += len(drawn.tokens)
        seen[name] = known
    largest: dict[str, float] = {}
    for name in ("hot", "nucleus"):
        common = [t for t in seen["plain"] if t in seen[name]]
        if common:
            largest[name] = _largest(_differences([seen[name][t] for t in common], [seen["plain"][t] for t in common]))
    mode: Mode = "unknown"
    if len(largest) == 2:
        mode = "top-p" if largest["nucleus"] > _FIRST_FLOOR else "tempered" if largest["hot"] > _FIRST_FLOOR else "raw"
    return LogprobMode(mode, False, None, used, _rounded(largest))


def _differences(returned: Sequence[float], scored: Sequence[float]) -> list[float]:
    pairs = zip(returned, scored, strict=False)
    return [0.0 if r == s else max(min(r - s, _FAR), -_FAR) for r, s in pairs]  # -inf: outside of a nucleus


def _largest(differences: Sequence[float]) -> float:
    return max((abs(d) for d in differences), default=0.0)


def _cost(drawn: Drawn) -> int:
    return 2 * len(drawn.tokens) + 1


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in values.items()}
