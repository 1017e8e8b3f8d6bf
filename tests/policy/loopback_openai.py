"""An OpenAI-compatible server on 127.0.0.1 with a tiny real model behind it. Imports nothing of longodds.

Like vLLM with everything on; switches take away what other servers lack.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopback import Answer, Loopback

if TYPE_CHECKING:
    from reference_model import ReferenceModel


class LoopbackOpenAI(Loopback):
    """mode: `raw`, `tempered`, `top-p` or `none`: how log-probabilities of samples are reported.

    tokenizes: it has /tokenize and names token ids. many: it honours `n`. scores: `prompt_logprobs`, `echo` or None.
    forms: which of `completions` and `chat` it serves. accept: the key it wants, or None. end_in_tokens: the end token
    is among the tokens (vLLM) or not (OpenAI). owner: what the list of models says that serves them.
    """

    def __init__(
        self,
        model: ReferenceModel,
        name: str = "tiny-1m",
        *,
        mode: str = "raw",
        tokenizes: bool = True,
        many: bool = True,
        scores: str | None = "prompt_logprobs",
        forms: tuple[str, ...] = ("completions", "chat"),
        accept: str | None = None,
        end_in_tokens: bool = True,
        owner: str = "vllm",
    ) -> None:
        super().__init__()
        self.model, self.name, self.mode, self.accept = model, name, mode, accept
        self.tokenizes, self.many, self.scores, self.forms = tokenizes, many, scores, forms
        self.end_in_tokens, self.owner = end_in_tokens, owner
        self.adapters: dict[str, Any] = {}
        self.seconds = 0.0
        self.spent = 0  # tokens sampled, and tokens scored beyond prompts
        self.thinks = ""  # what a chat model thinks before it answers, kept out of the content
        self.busy = self.busiest = 0

    def respond(self, method: str, path: str, headers: Any, body: bytes) -> tuple[str, bytes]:
        if self.accept is not None and headers.get("Authorization") != f"Bearer {self.accept}":
            raise Answer(401, {"error": {"message": f"Incorrect API key provided: {headers.get('Authorization')}"}})
        request = json.loads(body) if body else {}
        self.bodies.append((path, request))
        if path == "/v1/models":
            names = [self.name, *self.adapters]
            roots = ["org/tiny-1m" if n == self.name else n for n in names]
            listed = [
                {"id": n, "object": "model", "owned_by": self.owner, "root": r}
                for n, r in zip(names, roots, strict=True)
            ]
            return _json({"object": "list", "data": listed})
        if path == "/tokenize" and self.tokenizes:
            ids = self._prompt_ids(request)
            return _json({"tokens": ids, "count": len(ids), "max_model_len": 512})
        if path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
            return self._lora(path, request)
        form = {"/v1/completions": "completions", "/v1/chat/completions": "chat"}.get(path)
        if form is None or form not in self.forms:
            raise Answer(404, {"detail": "Not Found"})
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            time.sleep(self.seconds)
            return self._generate(form, request)
        finally:
            self.busy -= 1

    def _lora(self, path: str, r: Any) -> tuple[str, bytes]:
        if path.startswith("/v1/load"):
            if r["lora_name"] in self.adapters:
                raise Answer(
                    400, {"error": {"message": f"The lora adapter '{r['lora_name']}' has already been loaded."}}
                )
            if not (Path(r["lora_path"]) / "adapter_config.json").is_file():
                raise Answer(404, {"error": {"message": f"No adapter found for '{r['lora_path']}'"}})
            self.adapters[r["lora_name"]] = self.model.adapter(start=Path(r["lora_path"])).eval()
        elif self.adapters.pop(r["lora_name"], None) is None:
            raise Answer(404, {"error": {"message": "no such adapter"}})
        return "text/plain", b"Success: done."

    def _prompt_ids(self, r: Any) -> list[int]:
        if isinstance(r.get("prompt"), list):
            return [int(t) for t in r["prompt"]]
        if r.get("prompt") is not None:
            return list(self.model.tokenizer(r["prompt"])["input_ids"])
        encoded = self.model.tokenizer.apply_chat_template(r["messages"], add_generation_prompt=True, return_dict=True)
        return list(encoded["input_ids"])

    def _generate(self, form: str, r: Any) -> tuple[str, bytes]:
        if r["model"] != self.name and r["model"] not in self.adapters:
            raise Answer(404, {"error": {"message": f"The model `{r['model']}` does not exist."}})
        weights = self.adapters.get(r["model"])
        ids = self._prompt_ids(r)
        limit = self.model.base.config.max_position_embeddings
        if len(ids) + r.get("max_tokens", 16) > limit:
            raise Answer(400, {"error": {"message": f"This model's maximum context length is {limit} tokens."}})
        n = r.get("n", 1) if self.many else 1
        choices = [self._choice(form, r, ids, weights, i) for i in range(n)]
        answer: dict[str, Any] = {
            "id": "x",
            "object": "text_completion",
            "model": r["model"],
            "choices": choices,
            "usage": {"prompt_tokens": len(ids)},
        }
        return _json(answer)

    def _choice(self, form: str, r: Any, ids: list[int], weights: Any, index: int) -> dict[str, Any]:
        decode = self.model.tokenizer.decode
        context = ids
        head: list[int] = []
        if form == "chat" and self.thinks:
            head = list(self.model.tokenizer(self.thinks)["input_ids"])
            context = [*ids, *head]
        one = self.model.sample(
            context,
            max_tokens=r.get("max_tokens", 16),
            temperature=r.get("temperature", 1.0),
            top_p=r.get("top_p", 1.0),
            seed=(r.get("seed") or 0) * 1000 + index,
            stop=frozenset([self.model.eos]),
            mode="raw" if self.mode == "none" else self.mode,
            top=r.get("top_logprobs", 0) if form == "chat" else r.get("logprobs") or 0,
            model=weights,
        )
        self.spent += len(one["tokens"])
        tokens, logprobs, top, reason = one["tokens"], one["logprobs"], one["top"], one["reason"]
        text = decode(tokens[:-1] if reason == "stop" else tokens)
        for stop in r.get("stop") or []:
            if stop in text:
                text, reason = text[: text.index(stop)], "stop"
                while stop in decode(tokens[:-1]):
                    tokens, logprobs, top = tokens[:-1], logprobs[:-1], top[:-1]
        if one["reason"] == "stop" and reason == "stop" and tokens[-1] == self.model.eos and not self.end_in_tokens:
            tokens, logprobs, top = tokens[:-1], logprobs[:-1], top[:-1]
        if head:
            scores = self.model.score([*ids, *head], weights)[len(ids) :]
            tokens, logprobs, top = [*head, *tokens], [*scores, *logprobs], [{} for _ in head] + top
        choice: dict[str, Any] = {"index": index, "finish_reason": reason, "logprobs": None}
        if self.tokenizes and r.get("return_token_ids"):
            choice["token_ids"] = tokens
        spelled = [decode([t]) for t in tokens]
        wanted = self.mode != "none" and r.get("logprobs") not in (None, False)
        if form == "chat":
            choice["message"] = {"role": "assistant", "content": text}
            if wanted:
                choice["logprobs"] = {
                    "content": [self._entry(t, p, a) for t, p, a in zip(tokens, logprobs, top, strict=True)]
                }
            return choice
        choice["text"] = text
        if wanted:
            before = self.model.score(ids, weights) if r.get("echo") else []
            choice["logprobs"] = {
                "tokens": [*(decode([t]) for t in ids if r.get("echo")), *spelled],
                "token_logprobs": [*before, *logprobs],
                "top_logprobs": [{decode([t]): p for t, p in a.items()} for a in top],
                "text_offset": [],
            }
            if r.get("echo") and self.scores != "echo":
                raise Answer(400, {"error": {"message": "echo is not supported"}})
        if r.get("prompt_logprobs") is not None and self.scores == "prompt_logprobs":
            scores = self.model.score(ids, weights)
            choice["prompt_logprobs"] = [
                None if s is None else {str(t): {"logprob": s, "rank": 1, "decoded_token": decode([t])}}
                for t, s in zip(ids, scores, strict=True)
            ]
        return choice

    def _entry(self, token: int, logprob: float, top: dict[int, float]) -> dict[str, Any]:
        alternatives = [
            {"token": self.model.tokenizer.decode([t]), "logprob": p, "bytes": None} for t, p in top.items()
        ]
        return {
            "token": self.model.tokenizer.decode([token]),
            "logprob": logprob,
            "bytes": self._spelled(token),
            "top_logprobs": alternatives,
        }

    def _spelled(self, token: int) -> list[int]:
        piece = self.model.tokenizer.convert_ids_to_tokens(token)
        return list(piece.encode()) if token == self.model.eos else [BYTE_OF[c] for c in piece]


def _byte_of() -> dict[str, int]:
    """Byte-level BPE spells bytes as characters: printable ones as themselves, the rest from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(b): b for b in plain}
    rest = [b for b in range(256) if b not in plain]
    return table | {chr(256 + i): b for i, b in enumerate(rest)}


BYTE_OF = _byte_of()


def _json(value: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()
