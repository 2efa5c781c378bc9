"""The smallest server that answers as OpenAI's two APIs do: the same reply and the same usage to every request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.standin import KEY

CHAT_USAGE = {"prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 100}, "completion_tokens": 50}
USAGE = {"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 100}, "output_tokens": 50}


class OpenAiStandIn:
    """Serves on a loopback port. Use as a context manager."""

    def __init__(self) -> None:
        self.requests: list[Mapping[str, Any]] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.requests = self.requests
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # beyond it the kernel lets a connection wait for a second
    requests: list[Mapping[str, Any]]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        """Answer any request that has the key."""
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(request)
        if self.headers["authorization"] != f"Bearer {KEY}":
            return self._send(401, b"{}")
        pieces = _responses(request) if self.path == "/v1/responses" else _chat(request)
        if request.get("stream"):
            events = [f"data: {json.dumps(piece)}\n\n" for piece in pieces]
            return self._send(200, "".join([*events, "data: [DONE]\n\n"]).encode(), kind="text/event-stream")
        return self._send(200, json.dumps(list(pieces)[-1]).encode())

    def _send(self, status: int, body: bytes, *, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _chat(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    about = {"id": "chatcmpl-1", "model": request["model"]}
    if not request.get("stream"):
        message = {"role": "assistant", "content": "hello back"}
        yield {**about, "choices": [{"message": message, "finish_reason": "stop"}], "usage": CHAT_USAGE}
        return
    yield {**about, "choices": [{"delta": {"content": "hello back"}, "finish_reason": None}], "usage": None}
    yield {**about, "choices": [{"delta": {}, "finish_reason": "stop"}], "usage": None}
    if request.get("stream_options") == {"include_usage": True}:
        yield {**about, "choices": [], "usage": CHAT_USAGE}


def _responses(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    output = [{"type": "message", "content": [{"type": "output_text", "text": "hello back"}]}]
    about = {"id": "resp_1", "model": request["model"], "output": output}
    whole = {**about, "status": "completed", "usage": USAGE}
    if not request.get("stream"):
        yield whole
        return
    yield {"type": "response.created", "response": {**about, "status": "in_progress", "usage": None}}
    yield {"type": "response.output_text.delta", "delta": "hello back"}
    yield {"type": "response.completed", "response": whole}
