"""The file in the campaign folder in which a client on this machine finds the server's address and its token.

Whoever may read the file may submit, so that only its owner can: mode 0600 from its first moment on. The token stays
the same from start to start, so that a client that was set up by hand goes on; delete the file for a new one.
"""

from __future__ import annotations

import os
from pathlib import Path
from secrets import token_hex, token_urlsafe

from pydantic import BaseModel, ConfigDict, ValidationError

from controller.errors import AgentError

NAME = "mcp.json"

TOKEN_BYTES = 32


class Address(BaseModel):
    """The place where a campaign serves its clients."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    token: str

    pid: int
    """The process that serves."""


def choose_token(folder: Path) -> str:
    """The token of the campaign so far; a fresh one if there is none, or if others could have read it."""
    known = read_address(folder)
    if known is None or not known.token or not _is_private(folder / NAME):
        return token_urlsafe(TOKEN_BYTES)
    return known.token


def write_address(folder: Path, address: Address) -> None:
    """Write the file anew, for its owner alone. Raises AgentError."""
    fresh = folder / f".{NAME}-{token_hex(4)}"
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(address.model_dump_json(indent=1) + "\n")
        fresh.rename(folder / NAME)
    except OSError as error:
        raise AgentError(
            f"cannot write {folder / NAME}, in which clients find the address: {error.strerror}; "
            "give the campaign a folder that can be written"
        ) from error


def read_address(folder: Path) -> Address | None:
    """The address as it was written last; None if there is none. Raises AgentError if it may not be read."""
    try:
        return Address.model_validate_json((folder / NAME).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    except OSError as error:
        raise AgentError(
            f"cannot read {folder / NAME}, which holds the address: {error.strerror}; run this as its owner"
        ) from error


def _is_private(file: Path) -> bool:
    """True if nobody but this user could have read it."""
    found = file.lstat()
    return found.st_uid == os.geteuid() and not found.st_mode & 0o077
