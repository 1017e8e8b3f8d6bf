"""A policy on a Tinker service: a base model, or weights that were saved there (`tinker:BASE_MODEL`, `tinker://...`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longodds.errors import InfraError, UserError
from longodds.policy.harmony import Harmony, speaks_harmony
from longodds.policy.probe import Drawn
from longodds.policy.remote import PROBE_PROMPT, Raw, RemotePolicy, request_seed
from longodds.policy.stopping import RowText, stop_pattern
from longodds.policy.tinker_service import KEY, NotThere, TinkerService
from longodds.policy.vocabularies import Vocabulary, open_vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.policy.opening import OpenOptions
    from longodds.policy.probe import LogprobMode
    from longodds.policy.spec import PolicySpec
    from longodds.types import Prompt, SampleKey, SamplingParams


class TinkerModel:
    """What a base model's name decides: its vocabulary, how it chats, its context length."""

    def __init__(self, service: TinkerService, model: str, tokenizer: str | None) -> None:
        """tokenizer: as `--tokenizer`. Raises UserError for a model that is not offered, a vocabulary that is none."""
        service.check_model(model)
        self.name = model
        self.context = service.models.get(model)
        self.vocabulary: Vocabulary = open_vocabulary(service.spec, model, tokenizer)
        self.harmony = Harmony(service.spec, self.vocabulary) if speaks_harmony(model) else None

    def encode(self, spec: str, prompt: Prompt) -> list[int]:
        if prompt.text is not None:
            ids = self.vocabulary.encode(prompt.text)
        elif self.harmony is not None:
            ids = self.harmony.render(prompt.messages or ())
        else:
            found = self.vocabulary.chat(prompt.messages or ())
            if found is None:
                raise UserError(
                    f"policy '{spec}': its tokenizer has no chat template; use a prompt form that is plain text "
                    "(completion), or a chat model"
                )
            ids = found
        if not ids:
            raise UserError(f"policy '{spec}': the prompt is empty")
        return ids


class TinkerPolicy(RemotePolicy):
    """Frozen weights on a Tinker service (the `Policy` protocol).

    Samples are drawn `num_samples` at a time, with a seed that names them: the service decides whether equal seeds
    give equal samples. Tokens are cut where the prompt's pattern ends the answer.
    """

    def __init__(
        self,
        name: str,
        service: TinkerService,
        model: TinkerModel,
        path: str | None = None,
        *,
        sampler: Any = None,
        owner: bool = True,
    ) -> None:
        """path: `tinker://...` weights, None for the base model. sampler: an SDK client that is there already.
        owner: whether closing this policy closes the session."""
        super().__init__(name, ("tinker", model.name, path or ""), model.name, service.base_url)
        self.model = model
        self.path = path
        self._service = service
        self._owner = owner
        self._mode = service.mode
        self._sampler = sampler or self._open()

    def _open(self) -> Any:
        return self._service.open_sampler(self.path, None if self.path else self.model.name)

    @property
    def context(self) -> int | None:
        """Tokens that the model can be conditioned on and write, None if unknown."""
        return self.model.context

    def prepare(self, params: SamplingParams) -> LogprobMode:
        """As in `RemotePolicy`; all weights of one service share the answer."""
        self._service.mode = super().prepare(params)
        return self._service.mode

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids that the model is conditioned on."""
        return self.model.encode(self.name, prompt)

    # --- sampling and scoring ---------------------------------------------------------------------

    def _draw(self, prompt: Prompt, params: SamplingParams, key: SampleKey) -> list[Raw]:
        ids = self.encode(prompt)
        self._check_room(len(ids) + params.max_tokens)
        stop = self.model.harmony.stop_ids if self.model.harmony and prompt.messages is not None else None
        seed = request_seed(key, key.indices)
        sequences = self._sample(ids, params, len(key.indices), seed=seed, stop=stop)
        return [self._cut(ids, prompt, sequence) for sequence in sequences]

    def _sample(
        self, ids: list[int], params: SamplingParams, n: int, *, seed: int, stop: Sequence[int] | None
    ) -> list[Any]:
        import tinker

        settings = tinker.SamplingParams(
            max_tokens=params.max_tokens, seed=seed, stop=stop, temperature=params.temperature, top_p=params.top_p
        )
        prompt = tinker.ModelInput.from_ints(ids)
        response = self._again(lambda s: s.sample(prompt, n, settings), "sampling")
        sequences = list(response.sequences)
        if len(sequences) != n:
            raise InfraError(f"policy '{self.name}': the service gave {len(sequences)} samples of {n}")
        return sequences

    def _again(self, submit: Any, what: str) -> Any:
        """Runs an operation of the sampling client; a client whose session the service no longer knows is made anew."""
        try:
            return self._service.run(lambda: submit(self._sampler), what)
        except NotThere:
            self._service.close()
        self._sampler = self._open()
        return self._service.run(lambda: submit(self._sampler), what)

    def _cut(self, prompt_ids: list[int], prompt: Prompt, sequence: Any) -> Raw:
        ids = [int(t) for t in sequence.tokens]
        if sequence.logprobs is None:
            raise UserError(
                f"policy '{self.name}': the service returns no log-probabilities, which surprisal is made of; "
                "use another server"
            )
        logprobs = tuple(float(p) for p in sequence.logprobs)
        ended = sequence.stop_reason == "stop"
        if self.model.harmony is not None and prompt.messages is not None:
            start, end = self.model.harmony.answer(ids)
            text = self.model.vocabulary.decode(ids[start:end])
            answer = RowText(self.model.vocabulary, (), frozenset(), None)
            for token in ids[start:end]:
                answer.push(token)
            answer.finish()
            ends = (*[0] * start, *answer.ends, *[len(text)] * (len(ids) - end)) if answer.text == text else ()
            return Raw(tuple(ids), logprobs, (start, end), text, "stop" if ended else "length", ends=ends)
        # The service ends at its own end tokens, so the last token is one exactly if it says that it stopped.
        row = RowText(self.model.vocabulary, prompt_ids, frozenset(ids[-1:] if ended else ()), stop_pattern(prompt))
        for token in ids:
            if row.push(token):
                break
        row.finish()
        kept = len(row.ids)
        return Raw(
            tuple(row.ids),
            logprobs[:kept],
            row.score_span(),
            row.kept_text(),
            row.finish_reason,
            len(ids) - kept,
            tuple(row.ends),
        )

    def _score(self, prompt: Prompt, token_ids: Sequence[Sequence[int]]) -> list[list[float]]:
        ids = self.encode(prompt)
        self._check_room(len(ids) + max(len(row) for row in token_ids))
        return self._scores(ids, token_ids)

    def _scores(self, ids: list[int], token_ids: Sequence[Sequence[int]]) -> list[list[float]]:
        import tinker

        # All are under way before the first is waited for.
        inputs = [tinker.ModelInput.from_ints([*ids, *row]) for row in token_ids]
        what = "scoring"
        futures = [self._service.call(lambda p=p: self._sampler.compute_logprobs(p), what) for p in inputs]
        return [self._tail(self._service.wait(f, what), len(r)) for f, r in zip(futures, token_ids, strict=True)]

    def _tail(self, logprobs: Sequence[float | None], count: int) -> list[float]:
        # Counted from the end: some servers leave out the first token, which nothing precedes.
        tail = [p for p in list(logprobs)[-count:] if p is not None]
        if len(tail) != count:
            raise InfraError(f"policy '{self.name}': the service scored {len(tail)} of {count} tokens")
        return [float(p) for p in tail]

    def _check_room(self, tokens: int) -> None:
        if self.context is not None and tokens > self.context:
            raise UserError(
                f"policy '{self.name}': prompt and new tokens are {tokens} tokens, its context is "
                f"{self.context}; lower max_tokens or shorten the prompt"
            )

    def _probed(self) -> _Probed:
        return _Probed(self)

    def close(self) -> None:
        if self._owner:
            self._service.close()


class _Probed:
    """A Tinker model under the log-probability probe."""

    def __init__(self, policy: TinkerPolicy) -> None:
        self._policy = policy
        self._ids = policy.encode(PROBE_PROMPT)

    def draw(self, params: SamplingParams, n: int, seed: int) -> list[Drawn]:
        drawn: list[Drawn] = []
        # No stop tokens: an answer that ends at once would tell nothing.
        for s in self._policy._sample(self._ids, params, n, seed=seed, stop=[]):  # pyright: ignore[reportPrivateUsage]
            if s.logprobs is None:
                raise UserError(f"policy '{self._policy.name}': the service returns no log-probabilities")
            tokens, logprobs = tuple(int(t) for t in s.tokens), tuple(float(p) for p in s.logprobs)
            drawn.append(Drawn(tokens, logprobs, dict(zip(tokens[:1], logprobs[:1], strict=True))))
        return drawn

    def score(self, drawn: Drawn) -> list[float] | None:
        return self._policy._scores(self._ids, [drawn.tokens])[0]  # pyright: ignore[reportPrivateUsage]


def open_tinker_policy(spec: PolicySpec, name: str, options: OpenOptions) -> TinkerPolicy:
    """Raises UserError for a key, address, model, path or vocabulary that cannot be used; InfraError for a service that
    cannot be reached."""
    service, model, path, sampler = connect(spec, name, options)
    return TinkerPolicy(name, service, model, path, sampler=sampler)


def connect(spec: PolicySpec, name: str, options: OpenOptions) -> tuple[TinkerService, TinkerModel, str | None, Any]:
    """(service, model, path of saved weights or None, the SDK's sampling client for a path)."""
    from longodds.environment import read_environment, secret

    assert spec.location is not None
    service = TinkerService(name, options.base_url or read_environment().tinker_base_url, secret(KEY))
    if not spec.location.startswith("tinker://"):
        return service, TinkerModel(service, spec.location, options.tokenizer), None, None
    sampler = service.open_sampler(spec.location, None)
    base = str(service.call(sampler.get_base_model, "looking up the base model"))
    return service, TinkerModel(service, base, options.tokenizer), spec.location, sampler
