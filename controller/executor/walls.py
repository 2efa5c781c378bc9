"""Recognises that a program failed at one of the walls around it, and says how to do without what they refuse.

Programs in every language end with the kernel's errno or the C library's words for it; these are looked for, and
nothing is concluded from less. A wall that a machine does not have is never blamed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from controller.executor.last_words import STARTING


class Wall(Enum):
    """A limit that an attempt ran into."""

    MEMORY = auto()
    READ_ONLY = auto()
    NOT_EXECUTABLE = auto()
    PROGRAM = auto()
    MODULE = auto()
    HIDDEN = auto()
    NETWORK = auto()
    PROCESSES = auto()
    SHARED_MEMORY = auto()
    SPACE = auto()
    FILE_SIZE = auto()
    PERMISSION = auto()


WITH_COPY = "$AUTORESEARCH_ARTIFACT, /tmp and the task folder, of which each attempt has a copy,"
"""The places that an attempt without an exam can write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walls:
    """The limits around an attempt, in the words of a reason.

    closed: files are read-only and there is no network; nothing of the kind holds where there is no sandbox.
    programs, packages: where those that it may use come from, each as a sentence. memory, scratch, artifact, shared:
    amounts with their unit. processes: what bounds them, as a sentence. writable: the places that can be written.
    """

    closed: bool
    programs: str
    packages: str
    memory: str
    scratch: str
    artifact: str
    shared: str
    processes: str
    writable: str = "$AUTORESEARCH_ARTIFACT and /tmp"


_SHOWN = "task|data|artifact|answers|socket|tmp|usr|s?bin|lib|lib64|dev|proc|sys|etc|nix"
"""Folders at the root of a sandbox. A file that is missing in one of them was never there."""

_ELSEWHERE = rf"/(?!(?:{_SHOWN})\b)\w"
_NO_FILE = r"(?:(?i:no such file(?: or directory)?)|\bENOENT\b)"
_SIGNS: Sequence[tuple[Wall, str]] = (
    (
        Wall.MEMORY,
        r"\b_?(?:Array)?MemoryError\b|std::bad_alloc|[Cc]an(?:'|no)t allocate memory|\bENOMEM\b|\[Errno 12\]"
        r"|runtime: out of memory|memory allocation of \d+ bytes failed",
    ),
    (Wall.READ_ONLY, r"(?i:read-only file ?system)|\bEROFS\b|ReadOnlyFilesystem|\[Errno 30\]|\bos error 30\b"),
    (
        Wall.PROGRAM,
        r"^(?:\S*/)?(?:[a-z]*sh|busybox): (?:.*: )?[^\s:]+: (?:command )?not found$|command not found"
        r"|^\S+: (?:line )?\d+: (?:exec: )?[^\s:]+: not found$|executable file not found in \$PATH"
        r"|\bspawn \S+ ENOENT|^env: can't execute|bad interpreter|required file not found"
        r"|^make(?:\[\d+\])?: [^\s:]+: (?:Command not found|No such file or directory)"
        rf"|^FileNotFoundError: .*{re.escape(STARTING)}|^supervise: \[Errno 2\]",
    ),
    (Wall.MODULE, r"\bNo module named\b"),
    (
        Wall.HIDDEN,
        rf"(?:^|[\s'\"(]){_ELSEWHERE}[^\s'\"]*['\"]?:? {_NO_FILE}|{_NO_FILE}[^/]*[\s'\"(]{_ELSEWHERE}",
    ),
    (
        Wall.NETWORK,
        r"(?i:temporary failure (?:in name resolution|resolving))|\bEAI_AGAIN\b|\bENOTFOUND\b|\[Errno -[235]\]"
        r"|(?i:name or service not known|no address associated with hostname|could ?n[o']t resolve|no such host)"
        r"|(?i:unable to resolve host|failed to (?:lookup address|resolve)|couldn't connect to 'https?:)"
        r"|(?i:network is unreachable|no route to host)|\bENETUNREACH\b|\bEHOSTUNREACH\b|\[Errno 101\]"
        r"|\blookup \S+ on \S+:53: .*connection refused"
        r"|NetworkUnreachable|NameResolutionError|UnknownHostException|\bbad address '",
    ),
    (
        Wall.PROCESSES,
        rf"^BlockingIOError: .*{re.escape(STARTING)}|can't start new thread|[Cc]annot fork"
        r"|[Ff]ork.*[Rr]esource temporarily unavailable|\bspawn \S+ EAGAIN|failed to create new OS thread"
        r"|pthread_create.*[Rr]esource temporarily unavailable"
        r"|[Tt]hread creation failed|unable to create native thread|failed to spawn thread",
    ),
    (Wall.SHARED_MEMORY, r"(?i:bus error.*shared memory|out of shared memory)"),
    (Wall.SPACE, r"(?i:no space left on device|disk quota exceeded)|\bENOSPC\b|\bEDQUOT\b|StorageFull|\[Errno 28\]"),
    (Wall.FILE_SIZE, r"(?i:file too large|file size limit exceeded)|\bEFBIG\b|\[Errno 27\]"),
    (
        Wall.PERMISSION,
        r"(?i:permission denied|operation not permitted)|\bE(?:ACCES|PERM)\b|PermissionDenied"
        r"|\[Errno 1\]|\[Errno 13\]|\bos error 13?\b",
    ),
)
_COMPILED = tuple((wall, re.compile(sign)) for wall, sign in _SIGNS)
_BY_SIGNAL = {7: Wall.SHARED_MEMORY, 25: Wall.FILE_SIZE}
"""SIGBUS: a page of /dev/shm could not be had. SIGXFSZ: a file passed RLIMIT_FSIZE."""

_NOT_FOUND, _CANNOT_EXECUTE = 127, 126
"""Exit codes by which shells and launchers tell that a program is missing, or cannot be executed."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A wall, and the line of the log that shows it; empty where the exit code does."""

    wall: Wall
    line: str = ""


def find_wall(lines: Sequence[str], code: int) -> Hit | None:
    """The wall that these lines of a log, the most telling first, or the exit code show; None where they show none."""
    for line in lines:
        if code == _NOT_FOUND and re.search(r"not found|No such file", line):
            return Hit(Wall.PROGRAM, line)
        wall = next((wall for wall, sign in _COMPILED if sign.search(line)), None)
        if wall is not None:
            starting = code == _CANNOT_EXECUTE or line.endswith(STARTING)
            return Hit(Wall.NOT_EXECUTABLE if wall is Wall.PERMISSION and starting else wall, line)
    return Hit(_BY_SIGNAL[code - 128]) if code - 128 in _BY_SIGNAL else None


def remedy(wall: Wall, walls: Walls) -> str:
    """Advice about a wall, one sentence; empty if the wall is none of ours."""
    match wall:
        case Wall.READ_ONLY | Wall.PERMISSION if walls.closed:
            return f"only {walls.writable} can be written: write there"
        case Wall.HIDDEN if walls.closed:
            seen = "only the task folder and the data folder can be seen"
            return f"{seen}: put it into one of them beforehand, or name it in task.mounts"
        case Wall.NETWORK if walls.closed:
            return "there is no network inside: put what it needs into the data folder beforehand"
        case Wall.NOT_EXECUTABLE:
            return "make it executable, or name its interpreter first in task.command, as in [sh, train.sh]"
        case Wall.PROGRAM:
            return walls.programs
        case Wall.MODULE:
            return walls.packages
        case Wall.PROCESSES:
            return walls.processes
        case Wall.SHARED_MEMORY:
            return f"/dev/shm, which it may have filled, holds {walls.shared}"
        case Wall.SPACE:
            return f"/tmp holds {walls.scratch}, the artifact {walls.artifact} (executor.limits)"
        case Wall.FILE_SIZE:
            return f"a file may have {walls.artifact} (executor.limits.artifact_gb)"
        case _:
            return ""
