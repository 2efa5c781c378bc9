"""Puts together the agent that is a client from outside, and finds the campaign for a client that is started here."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from pydantic import SecretStr

from controller.agent.mcp import McpAgent
from controller.agent.mcp.address import Address, read_address
from controller.errors import AgentError
from controller.folder import CampaignFolder
from controller.lab import Lab
from controller.settings import Settings, read_secrets

LEAST_TOKEN = 16
"""Fewest characters of a token that an operator chooses: whoever may connect may guess, as often as he likes."""

MAJOR = "2"
"""Major version of the package that the server and the bridge are written for."""


def make_mcp_agent(folder: CampaignFolder, settings: Settings) -> McpAgent:
    """The agent that serves clients. Raises AgentError where the package or the folder is missing."""
    require_package()
    from controller.agent.mcp.server import HttpServer

    mcp, token = settings.agent.mcp, require_long_token(read_secrets().client_token)
    try:
        return McpAgent(
            mcp,
            folder=folder.lab.resolve() / "submissions" / settings.tag,
            serve=lambda calls, is_ending: HttpServer(
                mcp, calls, folder=folder.path.resolve(), is_ending=is_ending, token=token
            ),
            needs_load_model=settings.task.needs_load_model,
        )
    except OSError as error:
        raise AgentError(f"cannot read the submissions that wait in {folder.lab}: {error.strerror}") from error


def require_long_token(given: SecretStr | None) -> str:
    """The token that the operator has chosen; empty if he has not (None).

    Raises AgentError if it is so short that it can be guessed, or has characters that no header can.
    """
    if given is None:
        return ""
    token = given.get_secret_value()
    if not re.fullmatch(rf"[!-~]{{{LEAST_TOKEN},}}", token):
        raise AgentError(
            f"the token of clients must have {LEAST_TOKEN} characters or more, without blanks (AUTORESEARCH_MCP_TOKEN, "
            "or the Secret of mcp.existingSecret): take one such as `openssl rand -hex 32` prints"
        )
    return token


def require_package() -> None:
    """Raise AgentError if the package mcp is not installed, or has another major version."""
    try:
        version = metadata.version("mcp")
    except metadata.PackageNotFoundError:
        version = ""
    if version.partition(".")[0] != MAJOR:
        there = f"mcp {version} is installed" if version else "it is not installed"
        raise AgentError(
            f"agent mcp needs the package mcp {MAJOR}, and {there}: pip install 'autoresearch-controller[mcp]'"
        )


def find_campaign(folder: CampaignFolder, tag: str) -> Address:
    """The address at which the campaign serves clients now. Raises AgentError if none runs, or runs with another agent,
    and LabError if there is no lab."""
    holder = Lab.open(folder.lab).find_holder()
    start = f"{folder.run_command} --set agent.kind=mcp"
    if holder is None:
        raise AgentError(f"campaign {tag} in {folder.path} does not run: start it with {start}")
    address = read_address(Path(folder.path))
    if address is None or address.pid != holder[0]:
        raise AgentError(
            f"campaign {tag} in {folder.path} runs, and serves no client: another agent proposes, or it is just "
            f"starting; its agent is mcp after {start}"
        )
    return address
