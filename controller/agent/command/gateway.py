"""The one address that a program in a sandbox can reach: it passes calls of models on, and meters them.

One gateway serves one proposal, on a Unix socket of its own, and ends with it. It asks for a bearer that is drawn anew
each time, has the vendors' keys added (`upstream`), books every call before and after (`meter`), and answers 402 when
the money is used up. A program that loses its connection, or is killed, is hung up on.
"""

from __future__ import annotations

import hmac
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from secrets import token_hex
from threading import Lock, Thread
from typing import Any

from controller.agent.command.connections import Connections
from controller.agent.command.meter import Meter, OpenCall, Unpaid
from controller.agent.command.outlet import Outlet
from controller.agent.command.reading import Reading
from controller.agent.command.surfaces import (
    MOST_BYTES,
    Call,
    Surface,
    Unacceptable,
    describe_error,
    find_surface,
    read_call,
)
from controller.agent.command.upstream import Broken, Line, Unsent, Upstream
from controller.costs.model_calls import CallRecord, Vendor
from controller.errors import AutoresearchError, SettingsError

SETTLE_SECONDS = 0.8
"""Longest wait for calls under way to be booked, once they were hung up on. One that is still looking for the vendor
cannot be hung up on: it stays booked at its most until it gives up by itself."""

CROWDED = "too many large requests at a time: wait for the answers"

UNBOOKED = "calls cannot be booked any more, so none is made"


class Gateway:
    """Answers one program's calls, from `serve` until its end."""

    def __init__(self, upstream: Upstream, meter: Meter, *, models: tuple[str, ...]) -> None:
        """models: those that may be asked; empty for all whose price is known."""
        self.bearer = f"sk-proposal-{token_hex(24)}"
        self.upstream, self.meter, self.models = upstream, meter, models
        self.fault: AutoresearchError | None = None
        """The error that kept a call from being booked: nothing is passed on after it."""
        self.closing = False
        self.notes: list[dict[str, Any]] = []
        """One entry for each call and each refusal, for the transcript."""
        self._lines: set[Line] = set()
        self._lock = Lock()

    @contextmanager
    def serve(self, listener: socket.socket) -> Iterator[None]:
        """Answer until the end; then hang up on every vendor, and wait until all is booked."""
        server = _Server(self, listener)
        # serve_forever looks so often if it is to end, in seconds; by itself every half second.
        thread = Thread(target=server.serve_forever, args=(0.05,), name="gateway", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.closing = True
            # This ends the loop that accepts, and none of the threads that answer.
            server.shutdown()
            thread.join()
            with self._lock:
                lines = list(self._lines)
            for line in lines:
                line.hang_up()
            server.wait_until_idle(SETTLE_SECONDS)
            server.server_close()

    @contextmanager
    def line(self) -> Iterator[Line]:
        """A connection that ends with the gateway."""
        line = Line()
        with self._lock:
            self._lines.add(line)
        if self.closing:
            line.hang_up()
        try:
            yield line
        finally:
            with self._lock:
                self._lines.discard(line)

    def note(self, **entry: Any) -> None:
        """Add to the transcript."""
        with self._lock:
            if len(self.notes) < 2000:  # a program may ask for ever for what is refused
                self.notes.append(entry)

    def require_model(self, call: Call) -> None:
        """Raise Unacceptable for a model that may not be asked."""
        if self.models and call.model not in self.models:
            raise Unacceptable(f"model {call.model[:100]} is not among agent.command.models")


class _Server(Connections):
    """The connections of one program, with the gateway that answers them."""

    def __init__(self, gateway: Gateway, listener: socket.socket) -> None:
        super().__init__(listener, _Handler)
        self.gateway = gateway


class _Handler(BaseHTTPRequestHandler):
    """One connection of the program."""

    protocol_version = "HTTP/1.1"
    timeout = None  # a program may stand still for as long as an exam takes, and its end closes its connections
    server: _Server
    vendor: Vendor = "anthropic"
    answered = False
    outlet: Outlet

    def setup(self) -> None:
        """Take the connection over."""
        super().setup()
        self.outlet = Outlet(self.connection)

    def log_message(self, *_: Any) -> None:
        """Quiet: the transcript tells."""

    def do_GET(self) -> None:
        """Nothing can be had this way."""
        self._refuse(404, "this gateway passes on POST to /v1/messages, /v1/chat/completions and /v1/responses alone")

    def do_HEAD(self) -> None:
        """Nothing can be had this way either."""
        self.do_GET()

    def do_POST(self) -> None:
        """A call of a model."""
        self.answered = False
        surface = find_surface(self.path)
        self.vendor = surface.vendor if surface else "anthropic"
        size = self._read_size()
        if size is None:
            return None
        with self.server.hold_bytes(size) as there_is_room:
            if not there_is_room:
                self.close_connection = True
                return self._refuse(429, CROWDED)
            return self._answer(surface, self.rfile.read(size))

    def _answer(self, surface: Surface | None, body: bytes) -> None:
        gateway = self.server.gateway
        if gateway.fault:
            return self._refuse(503, UNBOOKED)
        if not self._has_bearer():
            return self._refuse(401, "the key is not the one of this proposal")
        if surface is None or not gateway.upstream.answers_for(surface.vendor):
            return self._refuse(404, f"{self.path[:100]} is not passed on: agent.command.gateway says what is")
        try:
            call = read_call(surface, body)
            gateway.require_model(call)
            with self.server.call(), gateway.meter.open_call(call, give_up=lambda: gateway.closing) as opened:
                if isinstance(opened, Unpaid):
                    return self._refuse(402, opened.reason)
                return self._pass_on(opened)
        except Unacceptable as error:
            return self._refuse(400, str(error))
        except SettingsError:
            name = json.loads(body)["model"][:100]
            return self._refuse(
                400, f"model {name} has no known price: the operator may add it to agent.command.prices"
            )
        except AutoresearchError as error:
            gateway.fault = error
            self.close_connection = True
            return None if self.answered else self._refuse(503, UNBOOKED)

    def _pass_on(self, opened: OpenCall) -> None:
        """Pass the call on and its answer back; book what it cost, whatever happens to either connection."""
        gateway, call = self.server.gateway, opened.call
        reading, status, request_id = Reading(call.surface, streams=call.streams), None, ""
        asked = {name.lower(): value for name, value in self.headers.items() if _is_plain(value)}
        body = call.encode(opened.most_output)
        failed, hung_up = "", False
        with gateway.line() as line:
            try:
                path = call.surface.path + ("?beta=true" if self.path.endswith("?beta=true") else "")
                with gateway.upstream.ask(call.surface.vendor, path, body, asked=asked, line=line) as answer:
                    status, request_id = answer.status, answer.request_id
                    self._begin_answer(answer.status, answer.kind, retry_after=answer.retry_after)
                    for piece in answer.lines():
                        reading.take_line(piece)
                        self._send_chunk(piece)
                    reading.finish()
                    self._send_chunk(b"")
            except Unsent as error:
                self._tell(opened.settle_unsent(), call)
                return self._refuse(502, f"the model cannot be reached ({error})")
            except Broken as error:
                failed, hung_up = str(error), gateway.closing
            except OSError:
                self.close_connection = hung_up = (
                    True  # the program has gone; leaving the answer hangs up on the vendor
                )
            finally:
                line.hang_up()
        self._tell(opened.settle(reading, status=status, hung_up=hung_up, request_id=request_id), call)
        if failed:
            self.close_connection = True
            if status is None:
                return self._refuse(502, f"the connection to the model broke ({failed})")
        return self._finish_answer()

    def _tell(self, ended: CallRecord, call: Call) -> None:
        self.server.gateway.note(
            call=ended.model,
            at=ended.at,
            seconds=round(ended.seconds, 3),
            outcome=ended.outcome,
            dollars=ended.dollars,
            usage=dict(ended.raw),
            **({"left_out": list(call.left_out)} if call.left_out else {}),
        )

    def _read_size(self) -> int | None:
        """Bytes of the request's body; None, with the request answered, if they are too many or not told."""
        length = self.headers.get("content-length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > MOST_BYTES:
            self.close_connection = True
            # The body was not read, so what follows on this connection would be taken for a request.
            self._refuse(413, f"send content-length, and at most {MOST_BYTES} bytes")
            return None
        return int(length)

    def _has_bearer(self) -> bool:
        given = self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")
        # How long this takes does not tell how much of a wrong bearer was right.
        return hmac.compare_digest(given.encode(), self.server.gateway.bearer.encode())

    def _begin_answer(self, status: int, kind: str, *, retry_after: str) -> None:
        self.answered = True
        self.send_response(status)
        self.send_header("content-type", kind if _is_plain(kind) else "application/json")
        if retry_after and _is_plain(retry_after):
            self.send_header("retry-after", retry_after)
        # The length of a streamed answer is known at its end alone.
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def _send_chunk(self, data: bytes) -> None:
        """One piece of the answer; an empty one ends it."""
        # A chunk of HTTP/1.1: its size in hex, CRLF, its bytes, CRLF.
        self.outlet.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _finish_answer(self) -> None:
        """Wait until the program has taken its answer, now that it is booked."""
        try:
            self.outlet.finish()
        except OSError:
            self.close_connection = True

    def _refuse(self, status: int, text: str) -> None:
        self.server.gateway.note(refused=text, status=status)
        body = describe_error(self.vendor, status, text)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _is_plain(value: str) -> bool:
    """True if a header's value holds nothing that could begin another header, and is no longer than any should be."""
    return len(value) <= 2000 and value.isascii() and value.isprintable()
