"""The lab: a bare git repository that is the campaign's memory and its only database. Here it is read.

    refs/heads/autoresearch/<tag>       kept commits only, reads like a lab book
    refs/experiments/<tag>/<n>          every experiment's commit, failures for ever
    refs/notes/autoresearch/<tag>       one note per experiment: its record, the truth
    refs/attachments/<tag>              settings, log tails, transcripts
    refs/calls/<tag>                    every call to a model with what it cost

Readers need no lock, and cannot change anything: what writes is `writer.LabWriter`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self, cast

import pygit2

from controller import commits, gitstore
from controller.domain import BASELINE, Experiment
from controller.errors import LabError
from controller.records import decode
from controller.repository import open_repository, translated

MAIN = "refs/heads/autoresearch/{tag}"
EXPERIMENT = "refs/experiments/{tag}/{number}"
NOTES = "refs/notes/autoresearch/{tag}"
ATTACHMENTS = "refs/attachments/{tag}"
CALLS = "refs/calls/{tag}"
TROUBLE = "trouble.txt"


class Lab:
    """An open lab, to be read. Raises LabError when git or the disk refuses."""

    def __init__(self, repository: pygit2.Repository, path: Path) -> None:
        self._repository = repository
        self.path = path

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the lab at `path`. Raises LabError: missing, foreign-owned, or of a newer format."""
        return cls(open_repository(path, create=False), path)

    def tags(self) -> list[str]:
        """Campaigns in this lab."""
        prefix = NOTES.format(tag="")
        return sorted(name.removeprefix(prefix) for name in self._repository.references if name.startswith(prefix))

    def experiments(self, tag: str) -> list[Experiment]:
        """Every experiment of a campaign by number, the baseline first; empty where there is no campaign."""
        with translated(self.path):
            try:
                found = [decode(data) for _, data in gitstore.walk(self._repository, ref=NOTES.format(tag=tag))]
            except ValueError as error:
                raise LabError(f"the lab {self.path} holds a damaged record of {tag}: {str(error)[:200]}") from error
        return sorted(found, key=lambda experiment: experiment.number)

    def incumbent(self, tag: str) -> str:
        """Commit at the head of the campaign's branch."""
        with translated(self.path):
            return str(self._repository.references[MAIN.format(tag=tag)].target)

    def source(self, commit: str, path: str) -> str:
        """Text of `path` at `commit`. Raises LabError when there is none."""
        with translated(self.path):
            text = commits.read(self._repository, commit, path)
        if text is None:
            raise LabError(f"the lab {self.path} has no {path} at {commit[:7]}")
        return text

    def files(self, commit: str, paths: Sequence[str]) -> dict[str, str]:
        """Text of several paths at `commit`, those that exist."""
        with translated(self.path):
            tree = commits.tree_of(self._repository, commit)
        return {path: self.source(commit, path) for path in paths if path in tree}

    def message(self, commit: str) -> str:
        """Message of a commit."""
        with translated(self.path):
            return cast(pygit2.Commit, self._repository[commit]).message

    def diff(self, experiment: Experiment) -> str:
        """Unified diff of an experiment against its base; empty for the baseline."""
        if experiment.number == BASELINE:
            return ""
        with translated(self.path):
            return self._repository.diff(experiment.base, experiment.commit).patch or ""

    def attachment(self, tag: str, path: str) -> bytes | None:
        """An attached file of the campaign, or None."""
        with translated(self.path):
            return gitstore.get(self._repository, ref=ATTACHMENTS.format(tag=tag), path=path)

    def trouble(self, tag: str) -> str:
        """What the running controller says that only an operator can mend; empty when there is nothing."""
        return (self.attachment(tag, TROUBLE) or b"").decode()

    def attachments(self, tag: str, below: str) -> list[tuple[str, bytes]]:
        """All attached files below a folder, in order."""
        with translated(self.path):
            return list(gitstore.walk(self._repository, ref=ATTACHMENTS.format(tag=tag), below=below))

    def listing(self) -> bytes:
        """Every ref with its commit, as git's dumb protocol wants it in info/refs."""
        with translated(self.path):
            refs = self._repository.references
            return "".join(f"{refs[name].resolve().target}\t{name}\n" for name in sorted(refs)).encode()

    def calls(self, tag: str) -> list[bytes]:
        """Booked model calls, one JSON line each."""
        with translated(self.path):
            return [
                line
                for _, data in gitstore.walk(self._repository, ref=CALLS.format(tag=tag))
                for line in data.splitlines()
            ]


class LabNotebook:
    """Read-only view for an agent's thread; opens the lab anew, since threads cannot share a repository."""

    def __init__(self, path: Path, *, tag: str) -> None:
        self._path = path
        self._tag = tag

    def source(self, commit: str, path: str) -> str:
        """Text of `path` at `commit`. Raises LabError when there is none."""
        return Lab.open(self._path).source(commit, path)

    def diff(self, experiment: Experiment) -> str:
        """Unified diff of an experiment against its base."""
        return Lab.open(self._path).diff(experiment)

    def log_tail(self, experiment: Experiment) -> str:
        """End of the training log of the experiment's last attempt; untrusted text, empty where there is none."""
        logs = Lab.open(self._path).attachments(self._tag, f"{experiment.number:06d}")
        tails = [data.decode(errors="replace") for path, data in logs if path.endswith(".log")]
        return tails[-1] if tails else ""
