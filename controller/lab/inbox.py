"""The inbox of a lab: what an operator tells a campaign, kept in small files until the lab's writer takes it in.

Only one process may write to the lab, and a person must be able to say something at any moment. So a remark becomes a
file beside the repository, `inbox/<tag>/<milliseconds>-<random>.txt`, which needs no lock. The writer attaches it to
the campaign under the same name before it deletes the file: after a kill in between it attaches the same bytes again,
which changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from controller.domain import Remark
from controller.lab.durable_files import write_durably
from controller.text.safe_text import safe_text

REMARK_CHARACTERS = 2_000
"""Most characters of one remark: every prompt holds the newest ones."""

MOST_WAITING = 100
"""Most remarks that wait at once: more come from a script that has run wild."""

_NAME = re.compile(r"(\d{13})-[0-9a-f]{8}\.txt")

_READ_BYTES = 16 * REMARK_CHARACTERS
"""Most bytes that are read of a file, whoever put it there."""


@dataclass(frozen=True, slots=True)
class WaitingRemark:
    """A remark that the lab does not hold yet."""

    file: Path

    remark: Remark


def leave_remark(lab: Path, tag: str, text: str, *, at: float) -> None:
    """Put a remark into the inbox, durably. at: Unix time in seconds. Raises OSError."""
    name = f"{round(at * 1000):013d}-{token_hex(4)}.txt"
    write_durably(_folder(lab, tag), name, clean_remark(text).encode())


def list_waiting(lab: Path, tag: str) -> list[WaitingRemark]:
    """The remarks in the inbox, oldest first. Raises OSError if the inbox cannot be read."""
    folder = _folder(lab, tag)
    if not folder.is_dir():
        return []
    return list(_read_all(folder))


def clean_remark(text: str) -> str:
    """A remark as it is kept: safe text, bounded. Empty if nothing of it can be seen."""
    return safe_text(text, limit=REMARK_CHARACTERS).strip()


def time_of_remark(name: str) -> float | None:
    """Unix time in the name of a remark's file; None for the name of another file."""
    match = _NAME.fullmatch(name)
    return int(match[1]) / 1000 if match else None


def _read_all(folder: Path) -> Iterator[WaitingRemark]:
    # Names begin with the time, in as many digits until the year 2286.
    for file in sorted(folder.iterdir()):
        at = time_of_remark(file.name)
        if at is None or file.is_symlink() or not file.is_file():
            continue
        try:
            with file.open("rb") as opened:
                data = opened.read(_READ_BYTES)
        except FileNotFoundError:
            continue  # the writer has taken it in since the folder was listed
        yield WaitingRemark(file, Remark(at=at, text=clean_remark(data.decode(errors="replace"))))


def _folder(lab: Path, tag: str) -> Path:
    return lab / "inbox" / tag
