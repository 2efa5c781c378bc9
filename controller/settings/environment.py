"""Reads the environment of this process: keys, which never become settings, and what tells of the machine.

Nothing else reads it, so that no other variable can change what a campaign does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr

KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "AWS_BEARER_TOKEN_BEDROCK", "ANTHROPIC_FOUNDRY_API_KEY")
"""Variables that hold a key; with `_FILE` behind its name, one holds the path of a file with the key."""

CLIENT_TOKEN = "AUTORESEARCH_MCP_TOKEN"
"""Variable that holds the token of clients from outside (`agent.kind: mcp`); `_FILE` behind it as with a key."""

IDENTITY_FILES = (
    "ANTHROPIC_IDENTITY_TOKEN_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_FEDERATED_TOKEN_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
)
"""Variables that hold the path of a file by which a cloud knows this process."""


class Federation(BaseModel):
    """Workload identity: a token of this machine or pod, which the vendor's API exchanges for one of its own."""

    model_config = ConfigDict(frozen=True)
    token_file: Path
    rule: str
    organization: str
    service_account: str | None = None
    workspace: str | None = None


class Secrets(BaseModel):
    """Values that only the environment may hold."""

    model_config = ConfigDict(frozen=True)
    anthropic_api_key: SecretStr | None = None

    anthropic_federation: Federation | None = None
    """What stands in for that key; a key goes before it."""

    anthropic_base_url: str | None = None
    """Address of a gateway, as the vendor's own programs read it; `agent.claude.base_url` goes before it."""

    openai_api_key: SecretStr | None = None

    openai_base_url: str | None = None
    """The same for OpenAI's programs, which write it with `/v1`."""

    bedrock_api_key: SecretStr | None = None
    """A key of Amazon Bedrock; without one, AWS credentials are used."""

    foundry_api_key: SecretStr | None = None
    """A key of Microsoft Foundry; without one, an Entra identity is used."""

    client_token: SecretStr | None = None
    """What clients from outside must show; without one, the campaign makes its own."""

    key_files: tuple[Path, ...] = ()
    """Files that keys are read from, or by which a cloud knows this process; no sandbox may see them."""


def read_secrets(environment: Mapping[str, str] | None = None) -> Secrets:
    """Keys from the environment; they are never part of Settings, the lab or a Job."""
    source = os.environ if environment is None else environment
    anthropic, openai, bedrock, foundry = (_read_key(source, name) for name in KEYS)
    files = (*(f"{name}_FILE" for name in (*KEYS, CLIENT_TOKEN)), *IDENTITY_FILES)
    return Secrets(
        anthropic_api_key=anthropic,
        anthropic_federation=_read_federation(source),
        anthropic_base_url=source.get("ANTHROPIC_BASE_URL") or None,
        openai_api_key=openai,
        openai_base_url=source.get("OPENAI_BASE_URL") or None,
        bedrock_api_key=bedrock,
        foundry_api_key=foundry,
        client_token=_read_client_token(source),
        key_files=tuple(Path(source[name]) for name in files if source.get(name)),
    )


def _read_key(source: Mapping[str, str], name: str) -> SecretStr | None:
    key = _read_key_file(source.get(f"{name}_FILE")) or source.get(name)
    return SecretStr(key) if key else None


def _read_client_token(source: Mapping[str, str]) -> SecretStr | None:
    """The token of clients. Where a file is named and holds none it is empty, so that nothing else takes its place."""
    token = _read_key(source, CLIENT_TOKEN)
    return SecretStr("") if token is None and source.get(f"{CLIENT_TOKEN}_FILE") else token


def _read_federation(source: Mapping[str, str]) -> Federation | None:
    """Workload identity by the vendor's own variables; None if one of those that it needs is missing."""
    file, rule = source.get("ANTHROPIC_IDENTITY_TOKEN_FILE"), source.get("ANTHROPIC_FEDERATION_RULE_ID")
    organization = source.get("ANTHROPIC_ORGANIZATION_ID")
    if not (file and rule and organization):
        return None
    return Federation(
        token_file=Path(file),
        rule=rule,
        organization=organization,
        service_account=source.get("ANTHROPIC_SERVICE_ACCOUNT_ID") or None,
        workspace=source.get("ANTHROPIC_WORKSPACE_ID") or None,
    )


def _read_key_file(path: str | None) -> str:
    """The key in a file, as a mounted Secret holds it; empty if there is no such file now, or nothing in it."""
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def home_of_campaigns(environment: Mapping[str, str] | None = None) -> Path | None:
    """The campaign folder named by AUTORESEARCH_CAMPAIGN, for people who do not want to repeat it."""
    source = os.environ if environment is None else environment
    return Path(source["AUTORESEARCH_CAMPAIGN"]) if source.get("AUTORESEARCH_CAMPAIGN") else None


def own_environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process with more in it, for a program that the operator would start himself."""
    return {**os.environ, **more}


def visible_devices() -> tuple[str | None, str | None]:
    """CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, by which an operator chooses among GPUs; None where not set."""
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER")


def search_path() -> str:
    """PATH, for finding programs such as bubblewrap."""
    return os.environ.get("PATH", os.defpath)
