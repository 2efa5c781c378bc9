"""Reads the environment of this process: keys, which never become settings, and what tells of the machine.

Nothing else reads it, so that no other variable can change what a campaign does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr

KEY_FILES = ("ANTHROPIC_API_KEY_FILE", "OPENAI_API_KEY_FILE")
"""Variables that hold the path of a file with a key."""


class Secrets(BaseModel):
    """Values that only the environment may hold."""

    model_config = ConfigDict(frozen=True)
    anthropic_api_key: SecretStr | None = None

    anthropic_base_url: str | None = None
    """Address of a gateway, as the vendor's own programs read it; `agent.claude.base_url` goes before it."""

    openai_api_key: SecretStr | None = None

    openai_base_url: str | None = None
    """The same for OpenAI's programs, which write it with `/v1`."""

    key_files: tuple[Path, ...] = ()
    """Files that keys are read from; no sandbox may see them."""


def read_secrets(environment: Mapping[str, str] | None = None) -> Secrets:
    """Keys from the environment; they are never part of Settings, the lab or a Job."""
    source = os.environ if environment is None else environment
    key = _read_key_file(source.get("ANTHROPIC_API_KEY_FILE")) or source.get("ANTHROPIC_API_KEY")
    second = _read_key_file(source.get("OPENAI_API_KEY_FILE")) or source.get("OPENAI_API_KEY")
    return Secrets(
        anthropic_api_key=SecretStr(key) if key else None,
        anthropic_base_url=source.get("ANTHROPIC_BASE_URL") or None,
        openai_api_key=SecretStr(second) if second else None,
        openai_base_url=source.get("OPENAI_BASE_URL") or None,
        key_files=tuple(Path(source[name]) for name in KEY_FILES if source.get(name)),
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
