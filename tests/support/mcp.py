"""Clients from outside, by the official package, and the agent that serves them in this process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import anyio
import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from controller.agent.mcp import McpAgent
from controller.agent.mcp.address import Address, read_address
from controller.agent.mcp.server import HttpServer
from controller.settings import McpSettings
from tests.support.waiting import PATIENCE_S, wait_until


@dataclass(frozen=True, slots=True)
class Said:
    """The answer to a call."""

    text: str
    failed: bool

    @property
    def ticket(self) -> str:
        """The ticket in the answer to a submission."""
        found = re.search(r"^ticket: (\S+)$", self.text, re.MULTILINE)
        assert found, self.text
        return found[1]

    @property
    def base(self) -> str:
        """The commit in the answer of `incumbent`."""
        found = re.search(r"^base: (\S+)$", self.text, re.MULTILINE)
        assert found, self.text
        return found[1]


class OutsideClient:
    """Calls tools over HTTP, each call on a connection of its own; safe in several threads."""

    def __init__(self, address: Address, *, mode: str = "auto") -> None:
        self._address, self._mode = address, mode

    def call(self, name: str, **arguments: Any) -> Said:
        """Call one tool."""
        return anyio.run(self._call, name, arguments)

    def submit(self, old: str, new: str, **words: Any) -> Said:
        """Submit one replacement in train.py on the incumbent."""
        return self.call("submit", **submission(self.call("incumbent").base, old, new, **words))

    def await_verdict(self, ticket: str) -> Said:
        """Call `wait` until the submission has a verdict or was sent back."""
        return wait_until(
            lambda: None if is_open(said := self.call("wait", ticket=ticket, seconds=20)) else said,
            what=f"a verdict on {ticket}",
        )

    async def _call(self, name: str, arguments: Mapping[str, Any]) -> Said:
        headers = {"Authorization": f"Bearer {self._address.token}"}
        http = httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S, trust_env=False)
        async with http, Client(streamable_http_client(self._address.url, http_client=http), mode=self._mode) as client:
            return read_result(await client.call_tool(name, dict(arguments)))


def read_result(result: Any) -> Said:
    """The answer in a result of the official client."""
    return Said(text="\n".join(block.text for block in result.content), failed=result.is_error)


def is_open(said: Said) -> bool:
    """True if the answer of a `wait` says that there is no verdict yet."""
    return not said.failed and any(words in said.text for words in ("no verdict yet", "no experiment yet"))


def submission(base: str, old: str, new: str, **words: Any) -> dict[str, Any]:
    """The arguments of `submit` for one replacement in train.py."""
    edit = {"path": "train.py", "old": old, "new": new}
    told = {"category": "architecture", "title": f"{old} to {new}", "hypothesis": "more room"}
    return {"base": base, "edits": [edit], **told, **words}


@contextmanager
def mcp_agent(folder: Path, *, token: str = "", **settings: Any) -> Iterator[McpAgent]:
    """An agent that serves clients, with its files in this folder; it serves from its first use on.

    token: what the operator has chosen; empty for one of its own.
    """
    chosen = McpSettings(**settings)
    agent = McpAgent(
        chosen,
        folder=folder / "submissions",
        serve=lambda calls, is_ending: HttpServer(chosen, calls, folder=folder, is_ending=is_ending, token=token),
        needs_load_model=True,
    )
    try:
        yield agent
    finally:
        agent.stop()


def await_client(folder: Path, **options: Any) -> OutsideClient:
    """A client of the agent that serves from this folder, once it does."""
    return OutsideClient(wait_until(lambda: read_address(folder), what="the file with the address"), **options)


@contextmanager
def eager_client(folder: Path) -> Iterator[None]:
    """A client that submits one width of train.py after another, as soon as there is somebody to submit to."""
    ended = Event()

    def submit() -> None:
        width = 136
        while not ended.is_set():
            address = read_address(folder)
            if address is None:
                ended.wait(0.05)
                continue
            try:
                said = OutsideClient(address).submit("WIDTH = 128", f"WIDTH = {width}")
                width += 0 if said.failed else 8
            except* (MCPError, httpx2.HTTPError, OSError, AssertionError):
                pass  # it is not asked yet, or ends
            ended.wait(0.05)

    thread = Thread(target=submit, name="eager-client")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
