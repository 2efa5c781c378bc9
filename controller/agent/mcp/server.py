"""Serves the tools over HTTP (MCP's streamable HTTP), behind a token, in a thread of its own.

Covered: whoever has no token gets 401 before anything of the request is read. A page in a browser is refused, by its
Origin, and so is a request for another host than ours (DNS rebinding). Size and number of requests are bounded, and no
session is kept, so that clients cannot fill the memory. Not covered: encryption (the address is this machine's own
unless the settings say otherwise), and a program on this machine that holds all connections open, which learns nothing.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread

import anyio
import anyio.to_thread
import mcp_types as types
import uvicorn
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from controller import __version__
from controller.agent.desk.draft import ToolError
from controller.agent.mcp.address import Address, choose_token, write_address
from controller.agent.mcp.calls import Answer, ClientCalls
from controller.agent.mcp.client_tools import ClientTool, Wait, list_client_tools
from controller.agent.mcp.drafts import parse_call
from controller.errors import AgentError, AutoresearchError
from controller.settings import McpSettings

PATH = "/mcp"

MOST_BYTES = 4 * 2**20
"""Most bytes of a request (4 MiB): all editable files as JSON, most characters of which take one or two bytes."""

MOST_REQUESTS = 32
"""Most requests under way; a further one is told to come again."""

MOST_CONNECTIONS = 64
"""Most open connections."""

MOST_WORKERS = 4
"""Most calls that are carried out at once; the others wait for them, and a `wait` takes none."""

LOOK_SECONDS = 0.2
"""Time between two looks of a `wait` at what it waits for."""

LAST_REPLIES_SECONDS = 2
"""Seconds that replies under way get when the server closes."""

INSTRUCTIONS = "You are the researcher of a campaign. Call `brief` first; it says how to submit an experiment."


class HttpServer:
    """Serves one campaign's clients from `start` to `close`, once; safe to call from several threads."""

    def __init__(
        self,
        settings: McpSettings,
        calls: ClientCalls,
        *,
        folder: Path,
        is_ending: Callable[[], bool],
        token: str = "",
    ) -> None:
        """folder: the campaign's, which gets the file with address and token. is_ending: true once no more comes.

        token: what clients must show; empty for one of the campaign's own, which stays from start to start.
        """
        self._settings, self._calls, self._folder, self._is_ending = settings, calls, folder, is_ending
        self._token = token
        self._lock = Lock()
        self._thread: Thread | None = None
        self._uvicorn: uvicorn.Server | None = None
        self._closed = False

    def start(self) -> list[str]:
        """Begin to listen, and write the address; returns warnings. Raises AgentError if the port cannot be had."""
        with self._lock:
            if self._thread is not None or self._closed:
                return []
            listener = _listen(self._settings)
            port = listener.getsockname()[1]
            token = self._token or choose_token(self._folder)
            name = _name_in_url(self._settings.host)
            address = Address(url=f"http://{name}:{port}{PATH}", token=token, pid=os.getpid())
            try:
                write_address(self._folder, address)
            except AgentError:
                listener.close()
                raise
            app = _Guard(_make_app(self._make_server(), self._settings, port=port), token=token)
            self._uvicorn = uvicorn.Server(_configure(app))
            # uvicorn takes a socket that listens already, so a port that is taken is told before the thread begins.
            self._thread = Thread(
                target=self._uvicorn.run, kwargs={"sockets": [listener]}, name="mcp-server", daemon=True
            )
            self._thread.start()
        return _warn_of(self._settings)

    def close(self) -> None:
        """Let replies under way end, and stop listening."""
        with self._lock:
            self._closed = True
            if self._thread is None or self._uvicorn is None:
                return
            self._uvicorn.should_exit = True
            self._thread.join(LAST_REPLIES_SECONDS + 1.0)
            self._uvicorn.force_exit = True
            self._thread.join(1.0)

    def _make_server(self) -> Server[dict[str, object]]:
        workers = anyio.CapacityLimiter(MOST_WORKERS)

        async def list_tools(
            _: ServerRequestContext[dict[str, object]], __: types.PaginatedRequestParams | None
        ) -> types.ListToolsResult:
            return types.ListToolsResult(tools=[*map(_describe, list_client_tools())])

        async def call_tool(
            _: ServerRequestContext[dict[str, object]], params: types.CallToolRequestParams
        ) -> types.CallToolResult:
            if params.name == "wait":
                await self._wait(params.arguments)
            answer = await anyio.to_thread.run_sync(self._calls.answer, params.name, params.arguments, limiter=workers)
            return _tell(answer)

        return Server(
            "autoresearch",
            version=__version__,
            instructions=INSTRUCTIONS,
            on_list_tools=list_tools,
            on_call_tool=call_tool,
        )

    async def _wait(self, arguments: dict[str, object] | None) -> None:
        """Wait until the answer of a `wait` is final, its time is over, or the campaign ends."""
        with suppress(ToolError, AutoresearchError):  # the answer says what is wrong
            call = parse_call("wait", arguments)
            assert isinstance(call, Wait)
            end = time.monotonic() + call.seconds
            while not self._is_ending() and not self._calls.has_ended(call) and time.monotonic() < end:
                await anyio.sleep(LOOK_SECONDS)


class _Guard:
    """Lets requests with the token pass, so many at a time, and answers all others itself."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app, self._wanted = app, f"Bearer {token}".encode()
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1 or not hmac.compare_digest(given[0], self._wanted):
            refused = PlainTextResponse(
                "this needs the token of the campaign, as Authorization: Bearer TOKEN\n",
                status_code=401,
                headers={"WWW-Authenticate": "Bearer"},
            )
            await refused(scope, receive, send)
            return
        if self._under_way >= MOST_REQUESTS:
            busy = PlainTextResponse(
                "too many requests are under way: wait for their answers\n",
                status_code=503,
                headers={"Retry-After": "1"},
            )
            await busy(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1


def _make_app(server: Server[dict[str, object]], settings: McpSettings, *, port: int) -> ASGIApp:
    names = {_name_in_url(settings.host), "127.0.0.1", "localhost", "[::1]"}
    hosts = [*(f"{name}:{port}" for name in sorted(names)), *settings.hosts]
    return server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=MOST_BYTES,
        # No page in a browser has business here, so no origin is allowed.
        transport_security=TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[]),
    )


def _configure(app: ASGIApp) -> uvicorn.Config:
    # Warnings of these libraries quote what a client sent, and would stand on the operator's terminal.
    logging.getLogger("mcp").setLevel(logging.ERROR)
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=LAST_REPLIES_SECONDS,
    )


def _listen(settings: McpSettings) -> socket.socket:
    where = f"{settings.host}:{settings.port}"
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        # SO_REUSEADDR is set: a port whose last connections are in TIME_WAIT can be had at once.
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise AgentError(
            f"agent mcp cannot listen on {where}: {error.strerror}; set agent.mcp.host and agent.mcp.port, or stop "
            "whoever listens there"
        ) from error


def _name_in_url(host: str) -> str:
    """The host as clients on this machine call it."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1" if host == "0.0.0.0" else "[::1]"
    return f"[{host}]" if ":" in host else host


def _warn_of(settings: McpSettings) -> list[str]:
    try:
        is_own = settings.host == "localhost" or ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        is_own = False
    if is_own:
        return []
    return [
        f"agent.mcp.host {settings.host} can be reached from other machines, and the token travels unencrypted: put a "
        "proxy with TLS in front, or listen on 127.0.0.1 and use an SSH tunnel"
    ]


def _describe(tool: ClientTool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.schema,
        annotations=types.ToolAnnotations(read_only_hint=tool.changes_nothing, open_world_hint=False),
    )


def _tell(answer: Answer) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=part) for part in answer.parts], is_error=answer.failed
    )
