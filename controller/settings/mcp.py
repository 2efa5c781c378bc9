"""The settings of an agent that is a client from outside: where it is served, and how long it is waited for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from controller.settings.section import OneOrMore, Section


class McpSettings(Section):
    """A client of the Model Context Protocol that proposes, such as Claude Desktop, an editor or a script (mcp.md)."""

    host: str = Field("127.0.0.1", min_length=1)
    """Address to listen on; with any but a loopback address, other machines can reach it, and nothing is encrypted."""

    port: int = Field(0, ge=0, le=65535)
    """TCP port; 0 takes a free one at each start, which `autoresearch mcp` finds."""

    hosts: OneOrMore[str] = ()
    """Further names, with their port, by which clients may call it, such as `lab.example.org:443` of a proxy; empty:
    its address and localhost alone."""

    name: str = Field("client", max_length=60, pattern=r"^[A-Za-z0-9._-]+$")
    """Name under which its experiments are recorded, after `mcp/`."""

    patience: float = Field(120, ge=0, le=86_400)
    """Seconds without a submission after which the fallback proposes in the client's place."""

    most_waiting: int = Field(16, ge=1, le=100)
    """Most submissions that wait for their turn; a further one is refused until one was taken."""

    fallback: Literal["none", "perturb"] = "perturb"
    """Agent that proposes while no client submits."""
