"""What the loopback services share: an HTTP server on 127.0.0.1 that can be told to misbehave, and restarted."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    pass

# The SDK (0.38) drops the connection of its first question, `client/config`, without closing it: the collector finds
# a socket of the SDK's own, in whatever test it happens to run.
SDK_LEAK = pytest.mark.filterwarnings(
    r"ignore:Exception ignored in. <(socket|function _SelectorTransport):pytest.PytestUnraisableExceptionWarning"
)


class Answer(Exception):
    """An answer other than 200, raised from wherever it becomes clear."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status, self.body = status, body


class Faults:
    """Misbehaviour by route: the next `times` requests whose path contains `route` are answered with it.

    kind: an HTTP status, `drop` (the connection is cut without an answer), `half` (after part of it), `slow` (seconds).
    """

    def __init__(self) -> None:
        self._planned: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self.hits: list[tuple[str, Any]] = []

    def add(self, route: str, kind: int | str, times: int = 1, *, after: int = 0, seconds: float = 0.0) -> None:
        self._planned.append({"route": route, "kind": kind, "times": times, "after": after, "seconds": seconds})

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()

    def take(self, path: str) -> dict[str, Any] | None:
        with self._lock:
            for plan in self._planned:
                if plan["route"] in path and plan["times"] > 0:
                    if plan["after"] > 0:
                        plan["after"] -= 1
                        continue
                    plan["times"] -= 1
                    self.hits.append((path, plan["kind"]))
                    return plan
        return None


class Loopback:
    """Serves `respond(method, path, headers, body) -> (content type, bytes)`; the port survives a restart."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[tuple[str, Any]] = []
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self._connections: list[socket.socket] = []

    def respond(self, method: str, path: str, headers: Any, body: bytes) -> tuple[str, bytes]:
        raise NotImplementedError

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: object) -> None: ...  # a client that goes away is part of the tests

            def process_request(self, request: Any, client_address: Any) -> None:
                connections.append(request)
                super().process_request(request, client_address)

        self._connections = connections = list[socket.socket]()
        self._server = Server(("127.0.0.1", self.port), _handler(self))
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            for connection in self._connections:  # those kept alive would go on being answered
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def _handler(service: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def _serve(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            service.requests.append((method, self.path))
            plan = service.faults.take(self.path)
            if plan is not None and plan["kind"] == "slow":
                time.sleep(plan["seconds"])
            elif plan is not None and plan["kind"] == "drop":
                self._cut()
                return
            elif plan is not None and plan["kind"] != "half":
                self._send(int(plan["kind"]), "application/json", json.dumps({"detail": "as planned"}).encode())
                return
            try:
                kind, data = service.respond(method, self.path, self.headers, body)
                status = 200
            except Answer as a:
                kind, data, status = "application/json", json.dumps(a.body).encode(), a.status
            except Exception as e:  # a mistake of the test service: shown, not tried again
                told = {"detail": f"{type(e).__name__}: {e}"}
                kind, data, status = "application/json", json.dumps(told).encode(), 422
            if plan is not None and plan["kind"] == "half":
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2])
                self._cut()
                return
            self._send(status, kind, data)

        def _cut(self) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def _send(self, status: int, kind: str, data: bytes) -> None:
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

    return Handler
