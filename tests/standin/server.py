"""The stand-in over HTTP: counts, streams, caches, refuses, fails on demand, and keeps a journal of what it billed."""

from __future__ import annotations

import hashlib
import hmac
import json
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.standin import platforms, stream
from tests.standin.cache import Cache, Input, tokens
from tests.standin.contract import VERSION, Refused, check_headers, check_request, known_model
from tests.standin.faults import Fault
from tests.standin.models import MODELS, Model
from tests.standin.platforms import Platform
from tests.standin.researcher import Researcher, Turn

KEY = "sk-ant-standin-0123456789abcdef"
STALL_SECONDS = 30.0

THINKING_FACTOR = 8
"""Thinking tokens billed for each one shown: a reply shows a summary, and is billed for all of it."""

BILLED_REFUSALS = frozenset({"bio", "frontier_llm", "reasoning_extraction"})
"""Categories of a refusal that is billed although it came before any output."""

HTTP_FAULTS: Mapping[Fault, tuple[int, str, str]] = {
    Fault.RATE_LIMIT: (429, "rate_limit_error", ""),
    Fault.RATE_LIMIT_FOR_A_DAY: (429, "rate_limit_error", ""),
    Fault.OVERLOADED: (529, "overloaded_error", ""),
    Fault.SERVER_ERROR: (500, "api_error", ""),
    Fault.SPEND_LIMIT: (429, "rate_limit_error", "enforced_spend_limit_reached"),
    Fault.BILLING: (402, "billing_error", ""),
    Fault.AUTHENTICATION: (401, "authentication_error", ""),
    Fault.PERMISSION: (403, "permission_error", ""),
}
RETRY_AFTER = {Fault.RATE_LIMIT: "2", Fault.RATE_LIMIT_FOR_A_DAY: "86400"}
STREAM_FAULTS = frozenset(
    {
        Fault.CUT_STREAM,
        Fault.CUT_IN_TOOL,
        Fault.DROPPED,
        Fault.MALFORMED,
        Fault.DISORDER,
        Fault.ERROR_EVENT,
        Fault.STALL,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request to /v1/messages. usage: what was billed, empty where nothing was."""

    request: Mapping[str, Any]
    status: int
    fault: Fault | None = None
    refusal: str = ""
    message: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""


class StandIn:
    """A Messages API on a loopback port. Use as a context manager.

    researcher: answers each request. faults: one entry per call. clock: ages the cache. models: to serve others.
    has_models, has_counting, has_usage: false for a gateway without them. geo: where it answers, told in the usage.
    page: what a look-up of a model is answered with. platform: whose door it stands behind.
    """

    def __init__(
        self,
        researcher: Callable[[Mapping[str, Any]], Turn] | None = None,
        *,
        faults: Iterable[Fault | None] = (),
        clock: Callable[[], float] = time.monotonic,
        models: Mapping[str, Model] = MODELS,
        port: int = 0,
        has_models: bool = True,
        has_counting: bool = True,
        has_usage: bool = True,
        geo: str = "",
        page: Callable[[Model], Any] = Model.page,
        platform: Platform = "anthropic",
    ) -> None:
        self.researcher = researcher or Researcher()
        self.journal: list[Exchange] = []
        self.counted = 0
        self.has_models, self.has_counting, self.has_usage = has_models, has_counting, has_usage
        self.geo, self.page, self.platform = geo, page, platform
        self.exchanged = 0
        self.key = KEY
        self.token = ""
        self.looked_up = 0
        self.hung_up = threading.Event()
        self.models = models
        self._faults = iter(faults)
        self._clock = clock
        self._cache = Cache()
        self._lock = threading.Lock()
        self._issued: dict[str, str] = {}
        self._paused: set[str] = set()
        self._thought: set[str] = set()
        self._numbers = 0
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.standin = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Address for `base_url`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def answered(self) -> list[Exchange]:
        """Exchanges that were billed."""
        return [exchange for exchange in self.journal if exchange.usage]

    # -- what the handler asks for ----------------------------------------------------------------------------------

    def next_fault(self) -> Fault | None:
        """The fault that hits the next call, if any."""
        with self._lock:
            return next(self._faults, None)

    def note(self, exchange: Exchange) -> None:
        """Write into the journal."""
        with self._lock:
            self.journal.append(exchange)

    def reply(self, request: Mapping[str, Any], fault: Fault | None, *, version: str) -> tuple[dict[str, Any], Input]:
        """The complete message and its bill. Raises Refused for what needs memory: thinking blocks, the context."""
        model = known_model(request["model"])
        self._check_memory(request, model, version)
        turn = _turned(self.researcher, request, fault)
        content = [self._issue(block, request, version) for block in turn.content]
        if any(block["type"] == "thinking" for block in content):
            self._thought |= {block["id"] for block in content if block["type"] == "tool_use"}
        if turn.stop_reason == "pause_turn":
            self._paused.add(json.dumps(content, sort_keys=True))
        billed = self._cache.bill(request, model=model, now=self._clock(), begun=False)
        message = {
            "id": f"msg_{self.number():06d}",
            "type": "message",
            "role": "assistant",
            "model": model.id,
            "content": content,
            "stop_reason": turn.stop_reason,
            "stop_sequence": None,
            "stop_details": turn.stop_details,
            "usage": self._usage(billed, content, turn, most=request["max_tokens"]),
        }
        return message, billed

    def begin(self, billed: Input) -> None:
        """A reply has begun: its prompt can be read from the cache."""
        self._cache.publish(billed)

    def _usage(self, billed: Input, content: list[dict[str, Any]], turn: Turn, *, most: int) -> dict[str, Any]:
        category = (turn.stop_details or {}).get("category")
        if turn.stop_reason == "refusal" and not content and category not in BILLED_REFUSALS:
            return Input(fresh=0, read=0, written={}, prefixes={}).usage(0)
        thinking = [block for block in content if block["type"] == "thinking"]
        output = tokens(content) + (THINKING_FACTOR - 1) * (tokens(thinking) if thinking else 0) if content else 0
        usage = billed.usage(min(output, most))
        return {**usage, "inference_geo": self.geo} if self.geo else usage

    def _check_memory(self, request: Mapping[str, Any], model: Model, version: str) -> None:
        size = tokens([request.get("tools"), request.get("system"), request["messages"]])
        if size + request["max_tokens"] > model.context:
            raise Refused(f"prompt is too long: {size} tokens > {model.context - request['max_tokens']} maximum")
        last = request["messages"][-1]
        if last["role"] == "assistant" and json.dumps(last["content"], sort_keys=True) not in self._paused:
            raise Refused("messages: prefilling the assistant's answer is not supported by this model")
        for place, message in enumerate(request["messages"]):
            for block in message["content"] if message["role"] == "assistant" else ():
                if block["type"] == "thinking" and block["signature"] != self._sign(block, request, place, version):
                    raise Refused(f"messages.{place}: thinking blocks cannot be modified or moved")
                if block["type"] == "tool_use" and block["id"] in self._thought and not _thinks(message):
                    raise Refused(f"messages.{place}: a thinking block must precede its tool_use")

    def _issue(self, block: Mapping[str, Any], request: Mapping[str, Any], version: str) -> dict[str, Any]:
        if block["type"] == "tool_use":
            return {"type": "tool_use", "id": f"toolu_{self.number():06d}", **{k: block[k] for k in ("name", "input")}}
        if block["type"] == "thinking":
            return {**block, "signature": self._sign(block, request, len(request["messages"]), version)}
        return dict(block)

    def _sign(self, block: Mapping[str, Any], request: Mapping[str, Any], place: int, version: str) -> str:
        """Bound to the model, the text and everything that was said before, system and tools included.

        In the earlier version to model and text alone: Claude Code's system text changes with each request.
        """
        said = [request.get("system"), request.get("tools"), request["messages"][:place]]
        said = said if version == VERSION else []
        before = json.dumps(_without_marks(said), sort_keys=True)
        signed = f"{request['model']}\n{block['thinking']}\n{before}"
        return hmac.new(b"stand-in", signed.encode(), hashlib.sha256).hexdigest()

    def number(self) -> int:
        """A number that was not given before."""
        with self._lock:
            self._numbers += 1
            return self._numbers


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # beyond it the kernel lets a connection wait for a second
    standin: StandIn

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no error here; anything else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection; HTTP/1.1 with chunks, so that a dropped stream looks like one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    request_id = ""
    came_with: Mapping[str, str] = {}

    def log_message(self, *_: Any) -> None:
        """Quiet: the journal tells."""

    def do_GET(self) -> None:
        """Models."""
        standin = self.server.standin
        self.request_id = f"req_{standin.number():06d}"
        self.came_with = {name.lower(): value for name, value in self.headers.items()}
        if token := platforms.identify(self.path.partition("?")[0], self.came_with, b""):
            standin.exchanged += 1
            return self._send(200, token)
        name = self.path.removeprefix("/v1/models/").partition("?")[0]
        try:
            check_headers(self._headers(), key=standin.token or standin.key)
            standin.looked_up += 1
            if not standin.has_models or name not in standin.models:
                raise Refused(f"model: {name}", status=404, kind="not_found_error")
            page = standin.page(standin.models[name])
            if isinstance(page, bytes):
                return self._send_bytes(200, page, kind="text/html")
            self._send(200, page)
        except Refused as refused:
            self._send(refused.status, refused.body(self._id()))

    def do_POST(self) -> None:
        """Messages and their counting."""
        standin = self.server.standin
        self.request_id = f"req_{standin.number():06d}"
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0]
        self.came_with = {name.lower(): value for name, value in self.headers.items()}
        try:
            if token := platforms.identify(path, self.came_with, body):
                standin.exchanged += 1
                return self._send(200, token)
            entered = platforms.enter(standin.platform, path, self.came_with, body, key=standin.key)
            path, self.came_with, body = entered
        except Refused as refused:
            return self._refuse(refused)
        if path == "/v1/messages/count_tokens" and standin.has_counting:
            self._count(body)
        elif path == "/v1/messages":
            self._answer(body)
        else:
            self._refuse(Refused("not found", status=404, kind="not_found_error"))
        return None

    def _count(self, body: bytes) -> None:
        try:
            request, _ = self._request(body, counting=True)
            self.server.standin.counted += 1
            self._send(200, {"input_tokens": tokens([request.get(k) for k in ("tools", "system", "messages")])})
        except Refused as refused:
            self._refuse(refused)

    def _answer(self, body: bytes) -> None:
        standin = self.server.standin
        request: dict[str, Any] = {}
        fault = None
        try:
            request, version = self._request(body)
            fault = standin.next_fault()
            if fault and fault in HTTP_FAULTS:
                status, kind, code = HTTP_FAULTS[fault]
                raise Refused(f"{fault} (key {self.headers.get('authorization')})", status=status, kind=kind, code=code)
            if fault is Fault.HTML_GATEWAY:
                standin.note(Exchange(request=request, status=502, fault=fault, id=self._id()))
                return self._send_bytes(502, b"<html><h1>Bad Gateway</h1></html>", kind="text/html")
            if fault is Fault.REFUSED_CONNECTION:
                standin.note(Exchange(request=request, status=0, fault=fault))
                self.close_connection = True
                return None
            message, billed = standin.reply(request, fault, version=version)
        except Refused as refused:
            told = Exchange(request=request, status=refused.status, fault=fault, refusal=str(refused), id=self._id())
            standin.note(told)
            headers = {"retry-after": RETRY_AFTER[fault]} if fault in RETRY_AFTER else {}
            return self._refuse(refused, **headers)
        told = Exchange(
            request=request, status=200, fault=fault, message=message, usage=message["usage"], id=self._id()
        )
        standin.note(told)
        if fault is Fault.SILENCE:
            return self._be_silent()
        if request.get("stream"):
            return self._stream(message, fault, billed)
        standin.begin(billed)
        return self._send(200, message)

    def _request(self, body: bytes, *, counting: bool = False) -> tuple[dict[str, Any], str]:
        """The request, and the version of the API that it speaks."""
        version = check_headers(self._headers(), key=self.server.standin.token or self.server.standin.key)
        try:
            request = json.loads(body)
        except ValueError as error:
            raise Refused(f"not valid JSON: {error}") from error
        check_request(request, counting=counting, version=version)
        return dict(request), version

    def _stream(self, message: dict[str, Any], fault: Fault | None, billed: Input) -> None:
        self.send_response(200)
        self._send_own_headers()
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        broken = fault and fault in STREAM_FAULTS
        events = stream.events(message, has_usage=self.server.standin.has_usage)
        pieces = stream.broken(message, fault) if broken and fault else (stream.event(*p) for p in events)
        if self.server.standin.platform == "bedrock":
            pieces = platforms.frames(events)
            if fault is Fault.MALFORMED:
                pieces = (piece[:-1] + b"?" for piece in pieces)
        try:
            for piece in pieces:
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.server.standin.begin(billed)
            self._end(fault)
        except OSError:
            self.close_connection = True

    def _end(self, fault: Fault | None) -> None:
        if fault is Fault.STALL:
            self._be_silent()
        if fault in (Fault.STALL, Fault.DROPPED):
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _be_silent(self) -> None:
        """Say nothing until the client hangs up or the test is over."""
        until = time.monotonic() + STALL_SECONDS
        self.close_connection = True
        while time.monotonic() < until and not self.server.standin.released.wait(0.02):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                self.server.standin.hung_up.set()
                return

    def _id(self) -> str:
        """The id of this request, the same in header, body and journal."""
        return self.request_id

    def _send_own_headers(self) -> None:
        """What every answer of the API carries."""
        self.send_header("request-id", self._id())
        for kind in ("requests", "input-tokens", "output-tokens"):
            self.send_header(f"anthropic-ratelimit-{kind}-limit", "4000")
            self.send_header(f"anthropic-ratelimit-{kind}-remaining", "3999")
            self.send_header(f"anthropic-ratelimit-{kind}-reset", "2026-11-29T00:00:00Z")

    def _headers(self) -> dict[str, str]:
        return dict(self.came_with)

    def _refuse(self, refused: Refused, **headers: str) -> None:
        own = platforms.refuse(self.server.standin.platform, refused)
        self._send(refused.status, own or refused.body(self._id()), **headers)

    def _send(self, status: int, value: Mapping[str, Any], **headers: str) -> None:
        self._send_bytes(status, json.dumps(value).encode(), **headers)

    def _send_bytes(self, status: int, body: bytes, *, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self._send_own_headers()
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _turned(researcher: Callable[[Mapping[str, Any]], Turn], request: Mapping[str, Any], fault: Fault | None) -> Turn:
    """The researcher's turn, or what the fault makes of it."""
    match fault:
        case Fault.REFUSAL:
            details = {"type": "refusal", "category": "frontier_llm", "explanation": "declined"}
            return Turn(content=[], stop_reason="refusal", stop_details=details)
        case Fault.NO_TOOL:
            return Turn(content=[{"type": "text", "text": "I would rather talk about it."}])
        case Fault.EMPTY:
            return Turn(content=[])
        case Fault.PAUSE:
            return Turn(content=[{"type": "text", "text": "One moment."}], stop_reason="pause_turn")
        case Fault.MAX_TOKENS:
            turn = researcher(request)
            return Turn(content=turn.content, stop_reason="max_tokens")
        case Fault.CONTEXT_EXCEEDED:
            return Turn(content=[{"type": "text", "text": "I was about"}], stop_reason="model_context_window_exceeded")
        case _:
            return researcher(request)


def _thinks(message: Mapping[str, Any]) -> bool:
    return any(block["type"] == "thinking" for block in message["content"])


def _without_marks(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_marks(child) for key, child in value.items() if key != "cache_control"}
    return [_without_marks(child) for child in value] if isinstance(value, list) else value
