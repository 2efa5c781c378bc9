"""Lets a client that starts programs reach a campaign: answers it on stdin and stdout, and asks the server for it.

Every call takes a connection of its own and reads the address anew, so that the bridge outlives a restart of the
campaign. It keeps nothing, and never writes to stdout but what the protocol says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
import httpx2
import mcp_types as types
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from controller import __version__
from controller.agent.mcp.address import Address
from controller.agent.mcp.client_tools import LONGEST_WAIT_SECONDS
from controller.errors import AgentError, AutoresearchError

REPLY_SECONDS = LONGEST_WAIT_SECONDS + 600.0
"""Longest wait for a reply: a `submit` may hold a smoke test of a minute, behind another. On one machine that waits for
an hour without an exam, and on a cluster its node may have to pull the image first."""

T = TypeVar("T")


def run_bridge(find_address: Callable[[], Address]) -> None:
    """Serve the client at stdin and stdout until it hangs up. Raises what `find_address` raises, and AgentError.

    find_address: the address of the campaign as of now; raises AutoresearchError where none runs.
    """
    anyio.run(_serve, find_address)


async def _serve(find_address: Callable[[], Address]) -> None:
    # Looks at the campaign before the client is answered: whoever configured it reads one sentence and an exit code.
    fault, instructions = "", None
    try:
        async with _connect(find_address()) as campaign:
            instructions = campaign.instructions
    except* (MCPError, httpx2.HTTPError, OSError) as errors:
        fault = _first_of(errors)
    if fault:
        raise AgentError(f"the campaign does not answer: {fault}; try again, as it may be just starting or ending")

    async def list_tools(
        _: ServerRequestContext[dict[str, object]], __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        async with _connect(find_address()) as campaign:
            return await campaign.list_tools()

    async def call_tool(
        _: ServerRequestContext[dict[str, object]], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        fault = ""
        try:
            async with _connect(find_address()) as campaign:
                return await campaign.call_tool(params.name, params.arguments)
        except* AutoresearchError as errors:
            fault = _first_of(errors)
        except* (MCPError, httpx2.HTTPError, OSError) as errors:
            fault = f"the campaign does not answer: {_first_of(errors)}; ask its operator whether it runs"
        return types.CallToolResult(content=[types.TextContent(type="text", text=fault)], is_error=True)

    server = Server(
        "autoresearch",
        version=__version__,
        instructions=instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


@asynccontextmanager
async def _connect(address: Address) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {address.token}"}
    # A proxy of the environment is for other machines.
    http = httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(10.0, read=REPLY_SECONDS), trust_env=False)
    async with http, Client(streamable_http_client(address.url, http_client=http), cache=None) as client:
        yield client


def _first_of(errors: BaseExceptionGroup[BaseException]) -> str:
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return str(first) or type(first).__name__
