"""The connection to an OpenAI-compatible server: looked at before it is used, a bounded number of requests at once,
retries with growing pauses, errors in one line."""

from __future__ import annotations

import difflib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from longodds.errors import InfraError, UserError
from longodds.policy.remote import check_url, json_or_text, need_package, one_line, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_URL = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"
PREFLIGHT_S = 5.0
READ_S = 600.0
PATIENCE_S = 180.0
CONCURRENCY = 8
_PAUSE_S = (0.5, 20.0)  # first and longest pause between retries
_RETRIED = (408, 409, 425, 429, 500, 502, 503, 504, 529)


class OpenAIServer:
    """One server and one model on it.

    base_url: ends in `/v1` on most servers. key: the API key or None (local servers need none); it appears in no text.
    model: as the server names it; root, owner: what it is made of and what serves it, as listed, or None and "".
    patience: seconds that a request is retried. concurrency: requests at once.

    Opening it asks for the server's models. Raises UserError for an address that is none, a refused key, a model that
    is not served; InfraError for a server that cannot be reached.
    """

    def __init__(
        self,
        spec: str,
        base_url: str | None,
        key: str | None,
        model: str,
        *,
        patience: float = PATIENCE_S,
        concurrency: int = CONCURRENCY,
    ) -> None:
        need_package(spec, "httpx", "openai")
        import httpx

        self.spec = spec
        self.base_url = check_url(base_url or DEFAULT_URL, "--base-url or OPENAI_BASE_URL")
        self.model = model
        self._key = key
        self._patience = patience
        if key is not None and not (key.isascii() and key.isprintable()):
            raise UserError(f"policy '{spec}': {KEY} is malformed: it has characters that no key has")
        if key is None and base_url is None:
            raise UserError(
                f"policy '{spec}': {KEY} is not set; set it in the environment or in .env, or name a server of your "
                "own with --base-url"
            )
        self._http = httpx.Client(
            headers={} if key is None else {"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(READ_S, connect=PREFLIGHT_S),
            limits=httpx.Limits(max_connections=concurrency),
        )
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="longodds-openai")
        try:
            entry = self._look()
        except BaseException:
            self.close()
            raise
        self.root = entry["root"] if isinstance(entry.get("root"), str) else None
        self.owner = str(entry.get("owned_by") or "")

    def _look(self) -> dict[str, Any]:
        """The model's entry in the list of models, with a request that fails in seconds; empty where none is listed."""
        import httpx

        try:
            r = self._http.get(f"{self.base_url}/models", timeout=PREFLIGHT_S)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as e:
            raise self._unreachable(e) from None
        if r.status_code == 404:
            if self._lists_under_v1():
                raise UserError(
                    f"policy '{self.spec}': {self.base_url} does not serve /models (404); its address is "
                    f"{self.base_url}/v1"
                )
            return {}  # a server may serve without listing; the first request will tell
        if r.status_code >= 400:
            raise self._refused(r)
        try:
            listed: Any = r.json()["data"]
            models: dict[str, dict[str, Any]] = {str(m["id"]): m for m in listed}
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"policy '{self.spec}': {self.base_url} is no OpenAI-compatible server (its /models is none); most "
                "addresses end in /v1"
            ) from None
        if models and self.model not in models:
            near = difflib.get_close_matches(self.model, list(models), n=1, cutoff=0.4)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise UserError(
                f"policy '{self.spec}': {self.base_url} does not serve '{self.model}'{hint}; it serves: "
                + ", ".join(sorted(models)[:8])
                + (", ..." if len(models) > 8 else "")
            )
        return models.get(self.model, {})

    def _lists_under_v1(self) -> bool:
        """Whether the address lacks its `/v1`: the models are there."""
        import httpx

        if self.base_url.endswith("/v1"):
            return False
        try:
            return self._http.get(f"{self.base_url}/v1/models", timeout=PREFLIGHT_S).status_code < 400
        except (httpx.HTTPError, OSError):
            return False

    # --- requests ---------------------------------------------------------------------------------

    def post(
        self, path: str, body: dict[str, Any], *, beside: bool = False, text: bool = False, allowed: str | None = None
    ) -> dict[str, Any]:
        """The JSON answer to a request, retried while the server is busy, failing or away.

        beside: the path lies beside `/v1`, not under it. text: the answer is a sentence, given as {"text"}. allowed:
        a refusal that says this is as good as an answer.
        Raises UserError for a request that is refused, InfraError
        when patience ends.
        """
        import httpx

        url = (self.base_url.removesuffix("/v1") if beside else self.base_url) + path
        began, pause = time.monotonic(), _PAUSE_S[0]
        while True:
            wait = pause * random.uniform(0.75, 1.25)
            try:
                r = self._http.post(url, json=body)
                if r.status_code < 400:
                    answer = {"text": r.text} if text else r.json()
                    if isinstance(answer, dict):
                        return answer
                    raise ValueError("not an object")
                failure: UserError | InfraError = self._refused(r)
                if r.status_code not in _RETRIED:
                    if allowed is not None and allowed in r.text:
                        return {"text": r.text}
                    raise failure
                wait = max(wait, _retry_after(r.headers.get("retry-after")))
            except (httpx.HTTPError, OSError) as e:
                failure = self._unreachable(e)
            except ValueError as e:
                failure = InfraError(f"policy '{self.spec}': {self.base_url} answers nonsense ({one_line(e)})")
            if time.monotonic() - began + wait > self._patience:
                raise failure from None
            time.sleep(wait)
            pause = min(2 * pause, _PAUSE_S[1])

    def try_post(
        self, path: str, body: dict[str, Any], *, beside: bool = False, text: bool = False
    ) -> dict[str, Any] | None:
        """The answer, or None where the server does not offer this."""
        try:
            return self.post(path, body, beside=beside, text=text)
        except UserError:
            return None

    def each(self, work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """`work` of every item, a bounded number at once, in the order of the items."""
        if len(items) == 1:
            return [work(items[0])]
        futures = [self._pool.submit(work, item) for item in items]
        try:
            return [f.result() for f in futures]
        except BaseException:
            for f in futures:
                f.cancel()
            raise

    # --- errors -----------------------------------------------------------------------------------

    def _unreachable(self, error: BaseException) -> InfraError:
        why = one_line(error, [self._key], 100) or type(error).__name__
        return InfraError(
            f"policy '{self.spec}': the server at {self.base_url} cannot be reached ({why}); check --base-url and "
            "whether it runs"
        )

    def _refused(self, response: Any) -> UserError | InfraError:
        if response.status_code == 401 and self._key is None:
            return UserError(f"policy '{self.spec}': {self.base_url} wants a key (401): set {KEY}")
        detail = json_or_text(response)
        detail = one_line(detail, [self._key]) if detail else ""
        return refusal(self.spec, response.status_code, detail, key=KEY, where=self.base_url)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.close()


def _retry_after(value: str | None) -> float:
    try:
        return min(max(float(value or 0), 0.0), 60.0)
    except ValueError:
        return 0.0
