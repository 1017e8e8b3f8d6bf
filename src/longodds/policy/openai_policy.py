"""A policy on an OpenAI-compatible server: vLLM, SGLang, llama.cpp, a hosted one (`openai:MODEL`, `--base-url`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longodds.errors import InfraError, UserError
from longodds.policy.openai_choice import UNKNOWN, Choice, cut, read_choice
from longodds.policy.openai_server import KEY, OpenAIServer
from longodds.policy.probe import Drawn
from longodds.policy.remote import PROBE_PROMPT, Raw, RemotePolicy, request_seed
from longodds.policy.stopping import stop_pattern
from longodds.policy.vocabularies import Vocabulary, open_vocabulary
from longodds.types import Message, Prompt, SamplingParams

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from longodds.policy.opening import OpenOptions
    from longodds.policy.spec import PolicySpec
    from longodds.types import SampleKey

_MOST_CHOICES = 32  # per request; more are asked for side by side
# A server stops at strings, not at a pattern. Those that the pattern is sure to match save what would be cut off.
_STOPS = ("\ndef ", "\nclass ", "\n#", "\nimport ", "\n```", "\nif ")
_MOST_STOPS = 4  # what OpenAI's own service takes
# These servers fill in what a request leaves out from the model's generation_config.json, which often cuts the
# distribution; where log-probabilities are raw, nothing shows it. Others may refuse fields that OpenAI does not have.
_FILLING = ("vllm", "sglang")
_UNCUT = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}


class OpenAIPolicy(RemotePolicy):
    """A model behind an OpenAI-compatible server (the `Policy` protocol).

    Text prompts go to `/completions`, messages to `/chat/completions`. K samples are asked for by `n`, or one by one
    side by side where the server gives one choice a request. Requests carry a seed that names their samples: whether
    equal seeds give equal samples is the server's to decide. Token ids come from the server, or from `--tokenizer`;
    without either they are -1, and nothing can be scored.
    """

    def __init__(
        self,
        name: str,
        server: OpenAIServer,
        vocabulary: Vocabulary | None = None,
        *,
        adapter: str | None = None,
        version: str | None = None,
        owner: bool = True,
    ) -> None:
        """adapter: name of a LoRA adapter on the server to sample instead of its base, with the version that the
        adapter's weights have. owner: whether closing this policy closes the connection."""
        weights = ("openai", server.model, server.root or "")
        super().__init__(name, weights, server.root or server.model, server.base_url)
        self.version = version or self.version
        self._model = adapter or server.model
        self._owner = owner
        self._server = server
        self._vocabulary = vocabulary
        self._one_by_one = False
        self._limit_name = "max_tokens"
        self._scorer: str | None = None  # what scoring goes by, once known: `prompt_logprobs`, `echo` or `none`
        answer = server.try_post("/tokenize", {"model": self._model, "prompt": "a"}, beside=True)
        self._tokenizes = answer is not None and isinstance(answer.get("tokens"), list)
        if vocabulary is None and not self._tokenizes:
            self.notes += ("the server tells no token ids: they are stored as -1; name its tokenizer with --tokenizer",)

    # --- prompts ----------------------------------------------------------------------------------

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids that the model is conditioned on; -1 for each where only their number can be found out."""
        ids = self._prompt_ids(prompt)
        if ids is None:
            answer = self._ask(prompt, SamplingParams(1.0, 1), 1, 0)
            count = (answer.get("usage") or {}).get("prompt_tokens")
            ids = [UNKNOWN] * count if isinstance(count, int) else []
        return ids

    def _prompt_ids(self, prompt: Prompt) -> list[int] | None:
        if self._vocabulary is not None and (prompt.text is not None or not self._tokenizes):
            if prompt.text is not None:
                return self._vocabulary.encode(prompt.text)
            return self._vocabulary.chat(prompt.messages or ())
        if not self._tokenizes:
            return None
        asked: dict[str, Any] = {"model": self._model, "add_special_tokens": True}
        if prompt.text is not None:
            asked["prompt"] = prompt.text
        else:
            asked |= {"messages": _turns(prompt), "add_generation_prompt": True, "add_special_tokens": False}
        answer = self._server.post("/tokenize", asked, beside=True)
        return [int(t) for t in answer.get("tokens") or []]

    # --- sampling ---------------------------------------------------------------------------------

    def _draw(self, prompt: Prompt, params: SamplingParams, key: SampleKey) -> list[Raw]:
        pattern = stop_pattern(prompt)
        ids = self._prompt_ids(prompt) or []
        choices = self._choices(prompt, params, key, _stops(pattern))
        return [cut(c, ids, self._vocabulary, pattern) for c in choices]

    def _choices(self, prompt: Prompt, params: SamplingParams, key: SampleKey, stops: Sequence[str]) -> list[Choice]:
        indices = key.indices
        if not self._one_by_one and params.temperature > 0 and len(indices) > 1:
            parts = [indices[i : i + _MOST_CHOICES] for i in range(0, len(indices), _MOST_CHOICES)]
            try:
                got = self._server.each(
                    lambda p: self._read(self._ask(prompt, params, len(p), request_seed(key, p), stops)), parts
                )
            except UserError:
                got = []  # perhaps it takes one at a time: if it is something else, that will say so again
            choices = [c for part in got for c in part]
            if len(choices) == len(indices):
                return choices
        answers = self._server.each(
            lambda i: self._read(self._ask(prompt, params, 1, request_seed(key, (i,)), stops)), indices
        )
        if any(len(a) != 1 for a in answers):
            raise InfraError(f"policy '{self.name}': the server gave {len(answers[0])} choices for one")
        self._one_by_one = self._one_by_one or (len(indices) > 1 and params.temperature > 0)
        return [a[0] for a in answers]

    def _read(self, answer: dict[str, Any]) -> list[Choice]:
        choices: Any = answer.get("choices")
        if not isinstance(choices, list):
            raise InfraError(f"policy '{self.name}': the server answered without choices")
        ordered = sorted(choices, key=lambda c: c.get("index", 0) if isinstance(c, dict) else 0)
        return [read_choice(self.name, c) for c in ordered]

    def _ask(
        self, prompt: Prompt, params: SamplingParams, n: int, seed: int, stops: Sequence[str] = (), top: int = 1
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "n": n,
            "seed": seed,
            self._limit_name: params.max_tokens,
        }
        if self._server.owner in _FILLING:
            body |= _UNCUT
        if stops:
            body["stop"] = list(stops)
        if self._tokenizes:
            body["return_token_ids"] = True  # vLLM's; servers that tokenize on request ignore what they do not know
        if prompt.text is not None:
            body |= {"prompt": prompt.text, "logprobs": top}
            path = "/completions"
        else:
            body |= {"messages": _turns(prompt), "logprobs": True, "top_logprobs": top}
            path = "/chat/completions"
        try:
            return self._server.post(path, body)
        except UserError as e:
            if "max_completion_tokens" in str(e) and self._limit_name == "max_tokens":
                self._limit_name = "max_completion_tokens"
                return self._ask(prompt, params, n, seed, stops, top)
            if "(404)" in str(e):
                other = "chat" if path == "/completions" else "completion"
                raise NoSuchForm(f"{e}; if it serves no {path}, use --form {other}") from None
            raise

    # --- scoring ----------------------------------------------------------------------------------

    def _score(self, prompt: Prompt, token_ids: Sequence[Sequence[int]]) -> list[list[float]]:
        ids = self._prompt_ids(prompt)
        scored = None if ids is None else self._scores(ids, token_ids)
        if scored is None:
            raise UserError(
                f"policy '{self.name}': the server cannot score given tokens (neither prompt_logprobs nor echo)"
            )
        return scored

    def _scores(self, ids: list[int], token_ids: Sequence[Sequence[int]]) -> list[list[float]] | None:
        """None where the server cannot; which way works is found out once."""
        known: list[list[float]] = []
        if self._scorer is None:
            self._scorer = "none"
            for way in ("prompt_logprobs", "echo"):
                first = self._score_one(way, ids, token_ids[0])
                if first is not None:
                    self._scorer, known = way, [first]
                    break
        if self._scorer == "none":
            return None
        way = self._scorer
        rest = token_ids[len(known) :]
        more = self._server.each(lambda row: self._score_one(way, ids, row), rest) if rest else []
        scored = known + [row for row in more if row is not None]
        if len(scored) < len(token_ids):
            raise InfraError(f"policy '{self.name}': the server scored some tokens and not others")
        return scored

    def _score_one(self, way: str, ids: list[int], row: Sequence[int]) -> list[float] | None:
        body: dict[str, Any] = {
            "model": self._model,
            "prompt": [*ids, *row],
            "max_tokens": 1,
            "temperature": 1.0,
            "top_p": 1.0,
        }
        if way == "prompt_logprobs":
            body["prompt_logprobs"] = 1
        else:
            body |= {"echo": True, "logprobs": 1}
        answer = self._server.try_post("/completions", body)
        if answer is None:
            return None
        choices: Any = answer.get("choices") or [{}]
        whole = len(ids) + len(row)
        if way == "prompt_logprobs":
            listed = choices[0].get("prompt_logprobs") or answer.get("prompt_logprobs")
            if not isinstance(listed, list) or len(listed) != whole:
                return None
            found = [(entry or {}).get(str(t)) for entry, t in zip(listed[len(ids) :], row, strict=True)]
            values: list[Any] = [f.get("logprob") if isinstance(f, dict) else f for f in found]
        else:
            values = ((choices[0].get("logprobs") or {}).get("token_logprobs") or [])[len(ids) : whole]
        if len(values) != len(row) or any(not isinstance(v, int | float) for v in values):
            return None
        return [float(v) for v in values]

    def _probed(self) -> _Probed:
        return _Probed(self)

    def close(self) -> None:
        if self._owner:
            self._server.close()


class NoSuchForm(UserError):
    """The server does not serve this kind of prompt."""


class _Probed:
    """A server under the log-probability probe: completions if it serves them, else chat."""

    def __init__(self, policy: OpenAIPolicy) -> None:
        self._policy = policy
        self._prompt = PROBE_PROMPT

    def draw(self, params: SamplingParams, n: int, seed: int) -> list[Drawn]:
        p = self._policy
        try:
            # One choice a request: the probe must not depend on whether the server takes `n`.
            answers = [self._ask(params, seed * 100 + i) for i in range(n)]
        except NoSuchForm:
            if self._prompt.messages is not None:
                raise
            self._prompt = Prompt(messages=(Message("user", PROBE_PROMPT.text or ""),))
            return self.draw(params, n, seed)
        return [self._drawn(c) for a in answers for c in p._read(a)]  # pyright: ignore[reportPrivateUsage]

    def _ask(self, params: SamplingParams, seed: int) -> dict[str, Any]:
        return self._policy._ask(self._prompt, params, 1, seed, top=5)  # pyright: ignore[reportPrivateUsage]

    def _drawn(self, c: Choice) -> Drawn:
        tokens: tuple[Any, ...] = c.ids if c.ids is not None else c.tokens
        first = dict(c.first) | dict(zip(c.tokens[:1], c.logprobs[:1], strict=True))
        # Parts of characters are all spelled alike: they name no token.
        return Drawn(tokens, c.logprobs, {t: p for t, p in first.items() if "\ufffd" not in t})

    def score(self, drawn: Drawn) -> list[float] | None:
        p = self._policy
        ids = p._prompt_ids(self._prompt)  # pyright: ignore[reportPrivateUsage]
        if ids is None or not drawn.tokens or not all(isinstance(t, int) for t in drawn.tokens):
            return None
        scored = p._scores(ids, [drawn.tokens])  # pyright: ignore[reportPrivateUsage]
        return None if scored is None else scored[0]


def _turns(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in prompt.messages or ()]


def _stops(pattern: re.Pattern[str] | None) -> list[str]:
    """Strings that the pattern matches from their first character, so that stopping there loses nothing."""
    if pattern is None:
        return []
    return [s for s in _STOPS if pattern.match(s)][:_MOST_STOPS]


def open_openai_policy(spec: PolicySpec, name: str, options: OpenOptions) -> OpenAIPolicy:
    """Raises UserError for an address, key, model or tokenizer that cannot be used; InfraError for a server that cannot
    be reached."""
    from longodds.environment import read_environment, secret

    assert spec.location is not None
    server = OpenAIServer(name, options.base_url or read_environment().openai_base_url, secret(KEY), spec.location)
    vocabulary = None if options.tokenizer is None else open_vocabulary(name, spec.location, options.tokenizer)
    return OpenAIPolicy(name, server, vocabulary)
