"""The interface between an agent that is a program of the operator's and the place where that program runs.

Signatures and values only: the agent knows no sandbox, and whoever makes the sandbox no agent.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

FOLDER_GB = 1.0
"""Most that a session may write to its folder and to /tmp each, in GiB: an agent's notes and a copy of its own."""

OUTPUT_SHOWN = 2**16
"""Bytes of the end of what a program printed that are handed on (64 KiB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run of a program that is to change files in its folder."""

    command: tuple[str, ...]

    environment: Mapping[str, str]
    """All of its variables but PATH and HOME."""

    files: Mapping[str, str]
    """Text of the files that its folder holds at the beginning, by path."""

    wanted: Mapping[str, int]
    """Files that are read back at the end, by path, with the most bytes that each may have."""

    seconds: float
    """Seconds after which it is killed. Those for which it stands still do not count."""

    number: int = 0
    """Number of the proposal that it is to make, for people; 0 for none."""

    bearer: str = ""
    """Key that its calls of a model carry, by which those of several sessions are told apart; empty without a model."""


class SessionCause(StrEnum):
    """The cause of a session's end."""

    EXITED = "it ended by itself"
    DEADLINE = "it was killed at its deadline"
    MEMORY = "it was killed for lack of memory"
    OVERSIZE = "it was killed as it wrote more than it may"
    DISK_FULL = "it was killed as the disk is full"
    STOPPED = "the controller stopped while it ran"
    LOST = "the cluster took it away"
    NOT_STARTED = "it could not be started"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnd:
    """The end of a session, when none of its processes is left."""

    cause: SessionCause

    code: int = 0
    """Exit code, 128 + n for signal n; without meaning if it was killed."""

    seconds: float = 0.0
    """Seconds that it ran, without those for which it stood still."""

    still_seconds: float = 0.0
    """Seconds for which it was frozen, because an exam was held."""

    detail: str = ""
    """The limit that was exceeded, or the reason why it was not started or was lost; else empty."""

    output: str = ""
    """The end of what the program printed, safe to show."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    """Those of the wanted files that are there, and are what a file should be."""

    faults: Mapping[str, str] = field(default_factory=dict)
    """The faults of the others by path, each as the rest of a sentence."""


Serve = Callable[[socket.socket], AbstractContextManager[None]]
"""Answers connections to a listening socket, and is done with all of them at its end."""


class Workshop(Protocol):
    """Runs sessions, each in a sandbox of its own; safe to call from several threads."""

    @property
    def gateway_url(self) -> str:
        """Address at which a program reaches what serves its session. Raises SandboxError where there can be none."""

    def check(self, command: tuple[str, ...]) -> None:
        """Raise SandboxError if no sandbox can be made here, AgentError if it does not hold the program."""

    def run(self, session: Session, *, serve: Serve | None) -> SessionEnd:
        """Run one to its end. serve: what the program reaches at `gateway_url`; None for nothing at all.

        Raises SandboxError where the place itself fails.
        """

    def stop(self) -> None:
        """Kill every session, and let none begin any more."""
