"""The box of submissions that wait for their turn: each is a file beside the lab until the lab holds its experiment.

A client is told that its submission was accepted only once the file is on disk, so that a kill of the controller loses
none. The file is deleted when the fate of the submission is known: the lab holds its experiment, or it was sent back.
A kill in between leaves the file, and the next start compares it with the lab.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from threading import Condition

from pydantic import BaseModel, ConfigDict, ValidationError

from controller.errors import LabError
from controller.lab.durable_files import write_durably

log = logging.getLogger(__name__)

FATES = 1_000
"""Submissions sent back whose reason is remembered for whoever asks: a client asks within minutes."""

OFFERED_AGAIN_SECONDS = 1_800.0
"""Seconds after which a submission that was taken, and of which nothing was heard, is given out again. A fault between
agent and lab lost it; a smoke test takes a minute."""

_NAME = re.compile(r"(\d{13}-[0-9a-f]{8})\.json")


class BoxFull(Exception):
    """As many submissions wait as may. Never leaves the package."""


class Submission(BaseModel):
    """An edit that a client has submitted."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    ticket: str
    """The name by which the client asks what became of it."""

    base: str
    """Commit that the edit changes."""

    files: Mapping[str, str]
    """Whole new text of each changed file, by its path."""

    program: str
    """Fingerprint of the whole edited program (`novelty.fingerprint`)."""

    diff: str
    """Unified diff against the base."""

    title: str
    hypothesis: str
    expected_effect: str
    notes: str | None
    agent: str
    strategy: str
    declared_dollars: float


def new_ticket(at: float) -> str:
    """A fresh ticket; tickets in the order of their names are in the order of time. at: Unix time in seconds."""
    return f"{round(at * 1000):013d}-{token_hex(4)}"


class SubmissionBox:
    """The submissions of one campaign without a known fate; safe to share between threads."""

    def __init__(self, folder: Path, *, most: int) -> None:
        """folder: where they are kept; it need not exist. most: submissions that may wait. Raises OSError."""
        self._folder, self._most = folder, most
        self.changed = Condition()
        """Notified when something was submitted, and by whoever wants those who wait to look around."""
        self._waiting = OrderedDict((each.ticket, each) for each in _read_all(folder))
        self._taken: dict[str, float] = {}
        self._sent_back: OrderedDict[str, str] = OrderedDict()

    @property
    def waiting(self) -> tuple[Submission, ...]:
        """Submissions without a known fate, oldest first; some of them were taken."""
        with self.changed:
            return tuple(self._waiting.values())

    def put(self, submission: Submission) -> Submission:
        """Keep a submission, durably; gives the one that holds the ticket. That is another one if it has the same
        program, because its client did not hear the answer. Raises BoxFull and OSError."""
        with self.changed:
            for known in self._waiting.values():
                if known.program == submission.program:
                    return known
            if len(self._waiting) >= self._most:
                raise BoxFull
            write_durably(self._folder, f"{submission.ticket}.json", submission.model_dump_json().encode())
            self._waiting[submission.ticket] = submission
            self.changed.notify_all()
            return submission

    def take(self, *, now: float) -> Submission | None:
        """The oldest submission that nobody has taken; None if there is none. now: seconds of any clock."""
        with self.changed:
            for ticket, submission in self._waiting.items():
                taken = self._taken.get(ticket)
                if taken is None or now - taken >= OFFERED_AGAIN_SECONDS:
                    self._taken[ticket] = now
                    return submission
        return None

    def settle(self, ticket: str, *, sent_back: str = "") -> None:
        """Forget a submission whose fate is known. Raises LabError.

        sent_back: the reason why it was sent back; empty if the lab holds it.
        """
        with self.changed:
            if ticket not in self._waiting:
                return
            file = self._folder / f"{ticket}.json"
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise LabError(f"cannot delete {file}, which the lab holds: {error.strerror}") from error
            del self._waiting[ticket]
            self._taken.pop(ticket, None)
            if sent_back:
                self._sent_back[ticket] = sent_back
                if len(self._sent_back) > FATES:
                    self._sent_back.popitem(last=False)

    def reason_of(self, ticket: str) -> str:
        """The reason why a submission was sent back; empty if it was not, as far as is remembered."""
        with self.changed:
            return self._sent_back.get(ticket, "")


def _read_all(folder: Path) -> list[Submission]:
    found = []
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = _NAME.fullmatch(file.name)
        if name is None or file.is_symlink() or not file.is_file():
            continue
        try:
            submission = Submission.model_validate_json(file.read_bytes())
        except ValidationError:
            # No process of ours leaves half a file. Whoever put it there finds it, and it holds nobody up.
            log.warning("%s is no submission, and is left alone", file)
            continue
        if submission.ticket == name[1]:
            found.append(submission)
    return found
