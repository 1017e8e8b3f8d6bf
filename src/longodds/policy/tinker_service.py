"""The connection to a Tinker service: looked at before it is used, waited for with patience, its errors in one line.

The SDK retries for a long time on its own: minutes when a server cannot be reached, an hour when an account has no
credit. So the service is asked directly first, and again whenever an answer is late.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import logging
import time
from typing import TYPE_CHECKING, Any, TypeVar

from longodds.errors import InfraError, UserError
from longodds.policy.remote import check_url, json_or_text, need_package, one_line, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from longodds.policy.probe import LogprobMode

T = TypeVar("T")

DEFAULT_URL = "https://tinker.thinkingmachines.dev/services/tinker-prod"
KEY = "TINKER_API_KEY"
PREFLIGHT_S = 5.0
LOOK_AGAIN_S = 20.0  # an answer that takes longer than this makes us look whether the service is still there
PATIENCE_S = 180.0  # how long it may be away before we give up
CLOSE_S = 5.0


class NotThere(UserError):
    """The service does not know what was named: a path, a model, a session that it has forgotten."""


class TinkerService:
    """One session with a service.

    base_url: the address; key: the API key, which appears in no text. patience: seconds that the service may be
    unreachable before an operation fails. models: name -> context length in tokens (None if unknown), as offered.

    Opening it asks the service for its health and its models. Raises UserError for a missing or malformed key, an
    address that is none, 401, 402, 403, 404; InfraError for a service that cannot be reached or keeps failing.
    """

    def __init__(self, spec: str, base_url: str | None, key: str | None, *, patience: float = PATIENCE_S) -> None:
        need_package(spec, "tinker", "tinker")
        self.spec = spec
        self.base_url = check_url(base_url or DEFAULT_URL, "--base-url or TINKER_BASE_URL")
        self._key = check_key(spec, key)
        self._patience = patience
        self._client: Any = None
        self.mode: LogprobMode | None = None  # a property of the service: probed once, whatever weights it serves
        self.models = self._look()
        # Its retries are ours to report, in one line if they fail; its own lines would land on the user's terminal.
        logging.getLogger("tinker").setLevel(logging.CRITICAL)

    # --- looking ----------------------------------------------------------------------------------

    def _look(self) -> dict[str, int | None]:
        """The models on offer, asked with a plain request, which fails in seconds where the SDK would wait."""
        body = self._get("/api/v1/healthz", "health"), self._get("/api/v1/get_server_capabilities", "models")
        listed: Any = body[1].get("supported_models") if isinstance(body[1], dict) else None
        if not isinstance(listed, list):
            raise UserError(f"policy '{self.spec}': {self.base_url} is no Tinker service (it lists no models)")
        return {
            str(m["model_name"]): m.get("max_context_length")
            for m in listed
            if isinstance(m, dict) and m.get("model_name")
        }

    def _get(self, path: str, what: str) -> Any:
        import httpx

        try:
            r = httpx.get(self.base_url + path, headers={"X-API-Key": self._key}, timeout=PREFLIGHT_S)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as e:
            raise InfraError(
                f"policy '{self.spec}': the Tinker service at {self.base_url} cannot be reached "
                f"({one_line(e, [self._key], 100)}); check the address (TINKER_BASE_URL) and the network"
            ) from None
        if r.status_code >= 400:
            if r.status_code == 404:
                raise UserError(f"policy '{self.spec}': {self.base_url} is no Tinker service ({what}: 404)")
            detail = one_line(json_or_text(r), [self._key]) if json_or_text(r) else ""
            raise refusal(self.spec, r.status_code, detail, key=KEY, where=self.base_url)
        try:
            return r.json()
        except ValueError:
            raise UserError(f"policy '{self.spec}': {self.base_url} is no Tinker service ({what}: not JSON)") from None

    def check_model(self, model: str) -> None:
        """Raises UserError for a model that the service does not offer."""
        if model not in self.models:
            near = difflib.get_close_matches(model, list(self.models), n=1, cutoff=0.4)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            offered = ", ".join(sorted(self.models)[:8]) + (", ..." if len(self.models) > 8 else "")
            raise UserError(
                f"policy '{self.spec}': the service does not offer '{model}'{hint}; it offers: {offered or 'nothing'}"
            )

    # --- working ----------------------------------------------------------------------------------

    def open_sampler(self, path: str | None, model: str | None) -> Any:
        """The SDK's client for saved weights (`tinker://...`) or for a base model."""
        what = f"opening {path or model}"
        return self.run(lambda: self.client.create_sampling_client(model_path=path, base_model=model), what)

    @property
    def client(self) -> Any:
        """The SDK's `ServiceClient`, made when first needed."""
        if self._client is None:
            import tinker

            # The SDK's transport imports this in a thread of its own, where Python 3.11's import locks can break.
            with contextlib.suppress(ImportError):
                importlib.import_module("opentelemetry.propagate")
            self._client = tinker.ServiceClient(base_url=self.base_url, api_key=self._key)
        return self._client

    def run(self, submit: Callable[[], Any], what: str) -> Any:
        """Submits an operation and waits for it. Raises UserError or InfraError with one line."""
        return self.wait(self.call(submit, what), what)

    def call(self, submit: Callable[[], T], what: str) -> T:
        try:
            return submit()
        except self._errors() as e:
            raise self._translated(e, what) from None

    def wait(self, future: Any, what: str) -> Any:
        """The result of an SDK future. Looks after the service while it is late."""
        away_since: float | None = None
        while True:
            try:
                return future.result(timeout=LOOK_AGAIN_S if away_since is None else 2.0)
            except TimeoutError as e:
                if hasattr(future, "future") and future.future().done():
                    raise self._translated(e, what) from None  # the operation's own, not ours
                away_since = self._still_there(away_since)
            except self._errors() as e:
                raise self._translated(e, what) from None

    def _still_there(self, away_since: float | None) -> float | None:
        """None if it answers (then an operation is merely slow); else since when it does not."""
        try:
            self._look()
        except InfraError:
            now = time.monotonic()
            if away_since is not None and now - away_since >= self._patience:
                raise
            return now if away_since is None else away_since
        return None

    def _errors(self) -> tuple[type[BaseException], ...]:
        import httpx
        import tinker

        return (tinker.TinkerError, httpx.HTTPError, TimeoutError, ValueError, RuntimeError, ConnectionError)

    def _translated(self, error: BaseException, what: str) -> UserError | InfraError:
        import tinker

        detail = one_line(error, [self._key])
        if isinstance(error, tinker.NotFoundError):
            return NotThere(f"policy '{self.spec}': {self.base_url} does not know it (404, {what}: {detail})")
        if isinstance(error, tinker.APIStatusError):
            return refusal(self.spec, error.status_code, f"{what}: {detail}", key=KEY, where=self.base_url)
        if isinstance(error, tinker.RequestFailedError):
            if str(error.category) == "user":
                return UserError(f"policy '{self.spec}': the service refuses {what} ({detail})")
            return InfraError(f"policy '{self.spec}': the service failed at {what} ({detail})")
        if isinstance(error, tinker.APIConnectionError | TimeoutError | ConnectionError):
            return InfraError(f"policy '{self.spec}': lost the service at {self.base_url} during {what} ({detail})")
        if isinstance(error, ValueError) and "status 404" in str(error):  # the SDK's way to say: no such request
            return NotThere(f"policy '{self.spec}': {self.base_url} has forgotten the request ({what})")
        return InfraError(f"policy '{self.spec}': {what} failed ({detail})")

    def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        try:
            client.close("success").result(timeout=CLOSE_S)
        except self._errors():
            return  # the work is done; a session that is not closed ends by itself


def check_key(spec: str, key: str | None) -> str:
    """The key, if it has the form of one. Raises UserError, which never holds the key."""
    if not key:
        raise UserError(
            f"policy '{spec}': {KEY} is not set; set it in the environment or in .env, or name another --policy "
            "(embedded needs no key)"
        )
    if not key.startswith(("tml-", "eyJ")) or key != key.strip() or not key.isascii() or not key.isprintable():
        raise UserError(f"policy '{spec}': {KEY} is malformed: a key begins with 'tml-' and has no blanks around it")
    return key
