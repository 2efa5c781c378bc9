"""Reads the lab: a bare git repository that is the campaign's memory and its only database.

    refs/heads/autoresearch/<tag>       kept commits only, reads like a lab book
    refs/experiments/<tag>/<n>          every experiment's commit; failures are kept for ever
    refs/notes/autoresearch/<tag>       one note per experiment: its record, the truth
    refs/attachments/<tag>              settings, log tails, transcripts
    refs/calls/<tag>                    every call to a model with what it cost
    refs/studies/<tag>/...              claims and other studies (`study_records`)

A ref moves in one step, so reading needs no lock. `writer.LabWriter` is the class that writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self, cast

import pygit2

from controller.domain import BASELINE, Experiment, Remark
from controller.errors import LabError
from controller.lab import commits, inbox, presence, ref_files
from controller.lab.attachments import REMARKS, TryLog, experiment_folder, sort_logs, transcript_path
from controller.lab.merging import merge_texts
from controller.lab.records import experiment_from_json
from controller.lab.repository import open_repository, translate_errors
from controller.lab.study_records import RECORDS, records_from_files
from controller.studies.study import StudyRecord
from controller.text.safe_text import safe_text, visible_json

MAIN = "refs/heads/autoresearch/{tag}"
EXPERIMENT = "refs/experiments/{tag}/{number}"
NOTES = "refs/notes/autoresearch/{tag}"
ATTACHMENTS = "refs/attachments/{tag}"
CALLS = "refs/calls/{tag}"


class Lab:
    """An open lab for reading. Every method raises LabError if git or the disk refuses."""

    def __init__(self, repository: pygit2.Repository, path: Path) -> None:
        self._repository = repository
        self.path = path
        """The bare repository on disk."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the lab at `path`. Raises LabError if it is missing, another user's, or of a newer format."""
        return cls(open_repository(path, create=False), path)

    def tags(self) -> list[str]:
        """Tags of the campaigns in this lab."""
        # The notes are the first ref that a campaign gets.
        prefix = NOTES.format(tag="")
        return sorted(name.removeprefix(prefix) for name in self._repository.references if name.startswith(prefix))

    def experiments(self, tag: str) -> list[Experiment]:
        """Every experiment of a campaign by number, the baseline first; empty if there is no such campaign."""
        with translate_errors(self.path):
            try:
                # Notes are the files of one tree: reading all of them is one walk, which loads no experiment's commit.
                notes = ref_files.walk_files(self._repository, ref=NOTES.format(tag=tag))
                found = [experiment_from_json(data) for _, data in notes]
            except ValueError as error:
                raise LabError(f"the lab {self.path} holds a damaged record of {tag}: {str(error)[:200]}") from error
        return sorted(found, key=lambda experiment: experiment.number)

    def incumbent(self, tag: str) -> str:
        """Commit at the head of the campaign's branch."""
        with translate_errors(self.path):
            return str(self._repository.references[MAIN.format(tag=tag)].target)

    def source(self, commit: str, path: str) -> str:
        """Text of `path` at `commit`. Raises LabError if there is no such file."""
        with translate_errors(self.path):
            text = commits.read_blob_text(self._repository, commit, path)
        if text is None:
            raise LabError(f"the lab {self.path} has no {path} at {commit[:7]}")
        return text

    def files(self, commit: str, paths: Sequence[str]) -> dict[str, str]:
        """Text of each of `paths` that exists at `commit`."""
        with translate_errors(self.path):
            tree = commits.tree_of_commit(self._repository, commit)
        return {path: self.source(commit, path) for path in paths if path in tree}

    def message(self, commit: str) -> str:
        """Message of a commit, as safe text."""
        with translate_errors(self.path):
            return safe_text(cast(pygit2.Commit, self._repository[commit]).raw_message.decode(errors="replace"))

    def diff(self, experiment: Experiment) -> str:
        """Unified diff of an experiment against its base; empty for the baseline."""
        if experiment.number == BASELINE:
            return ""
        with translate_errors(self.path):
            # Without rename detection, libgit2 tells a renamed file as one removed and one added.
            return self._repository.diff(experiment.base, experiment.commit).patch or ""

    def attachment(self, tag: str, path: str) -> bytes | None:
        """An attached file of the campaign; None if there is none at `path`."""
        with translate_errors(self.path):
            return ref_files.get_file(self._repository, ref=ATTACHMENTS.format(tag=tag), path=path)

    def remarks(self, tag: str) -> list[Remark]:
        """Remarks of the operator, oldest first, without those that the writer has not taken in yet."""
        found = []
        with translate_errors(self.path):
            for path, data in ref_files.walk_files(self._repository, ref=ATTACHMENTS.format(tag=tag), below=REMARKS):
                at = inbox.time_of_remark(path.rpartition("/")[2])
                if at is not None:
                    found.append(Remark(at=at, text=inbox.clean_remark(data.decode(errors="replace"))))
        return found

    def leave_remark(self, tag: str, text: str, *, at: float) -> None:
        """Put what the operator tells into the inbox, from where the lab's writer takes it in. Needs no lock.

        Raises LabError if it says nothing, is too long, or if too many wait already.
        """
        length = len(safe_text(text).strip())
        if not length:
            raise LabError("there is nothing to tell: write what the agent should try or leave alone")
        if length > inbox.REMARK_CHARACTERS:
            raise LabError(f"what you say has {length:,} characters, {inbox.REMARK_CHARACTERS:,} at most: shorten it")
        with translate_errors(self.path):
            if len(inbox.list_waiting(self.path, tag)) >= inbox.MOST_WAITING:
                raise LabError(f"{inbox.MOST_WAITING} remarks wait to be read already: start the campaign first")
            inbox.leave_remark(self.path, tag, text, at=at)

    def waiting_remarks(self, tag: str) -> list[Remark]:
        """Remarks of the operator that the lab's writer has not taken in yet, oldest first."""
        with translate_errors(self.path):
            return [waiting.remark for waiting in inbox.list_waiting(self.path, tag)]

    def find_holder(self) -> tuple[int, float] | None:
        """The process id of the lab's writer and the Unix time at which it took the lab; None if the lab is free."""
        return presence.find_holder(self.path)

    def read_activity(self) -> bytes | None:
        """The activity that a loop on this lab wrote last; None if there is none. The loop may have ended since."""
        return presence.read_activity(self.path)

    def logs(self, tag: str, experiment: int) -> list[TryLog]:
        """Ends of the training logs of an experiment, in the order of its attempts and tries."""
        with translate_errors(self.path):
            below = experiment_folder(experiment)
            return sort_logs(ref_files.walk_files(self._repository, ref=ATTACHMENTS.format(tag=tag), below=below))

    def transcript(self, tag: str, experiment: int) -> str | None:
        """The agent's conversation that led to an experiment; None for an agent that has no conversations."""
        data = self.attachment(tag, transcript_path(experiment))
        return None if data is None else visible_json(data.decode(errors="replace"))

    def studies(self, tag: str) -> list[StudyRecord]:
        """Every study of a campaign by number, ended or not; empty if there is none."""
        with translate_errors(self.path):
            try:
                return records_from_files(ref_files.walk_files(self._repository, ref=RECORDS.format(tag=tag)))
            except ValueError as error:
                raise LabError(f"the lab {self.path} holds a damaged study of {tag}: {str(error)[:200]}") from error

    def version_of_studies(self, tag: str) -> str:
        """A text that changes whenever a campaign's studies do; empty if there is none."""
        with translate_errors(self.path):
            # The id of a tree follows from the content of its files.
            tree = ref_files.tree_of_ref(self._repository, RECORDS.format(tag=tag))
            return str(tree.id) if tree else ""

    def find_commit(self, name: str) -> str | None:
        """The id of the commit that an id, a beginning of one or a ref names; None if there is none."""
        try:
            # It takes what git takes: a ref, HEAD~2, or an id of which at least four digits are there.
            return str(self._repository.revparse_single(name).peel(pygit2.Commit).id)
        except (KeyError, ValueError, pygit2.GitError):
            return None

    def list_refs(self) -> bytes:
        """Every ref with its commit, in the format of info/refs: the file by which git's dumb HTTP protocol starts."""
        with translate_errors(self.path):
            refs = self._repository.references
            # `git update-server-info` writes the same: sorted by name, with a tab.
            return "".join(f"{refs[name].resolve().target}\t{name}\n" for name in sorted(refs)).encode()

    def calls(self, tag: str) -> list[bytes]:
        """Booked model calls, one JSON line each."""
        lines: list[bytes] = []
        with translate_errors(self.path):
            for _, data in ref_files.walk_files(self._repository, ref=CALLS.format(tag=tag)):
                lines.extend(data.splitlines())
        return lines


class LabNotebook:
    """Read-only view for an agent's thread. Each call opens the lab anew: threads cannot share an open repository."""

    def __init__(self, path: Path, *, tag: str) -> None:
        self._path = path
        self._tag = tag

    def source(self, commit: str, path: str) -> str:
        """Text of `path` at `commit`. Raises LabError if there is no such file."""
        return Lab.open(self._path).source(commit, path)

    def diff(self, experiment: Experiment) -> str:
        """Unified diff of an experiment against its base."""
        return Lab.open(self._path).diff(experiment)

    def merge(self, experiment: Experiment, path: str, text: str) -> str | None:
        """`text` with the experiment's edit of that file; None if they conflict. Raises LabError."""
        lab = Lab.open(self._path)
        return merge_texts(lab.source(experiment.base, path), text, lab.source(experiment.commit, path))

    def merge_texts(self, base: str, ours: str, theirs: str) -> str | None:
        """Two edits of one text in one, line by line; None if they conflict."""
        return merge_texts(base, ours, theirs)

    def log_tail(self, experiment: Experiment) -> str:
        """End of the training log of the experiment's last try; untrusted text, empty if there is no log."""
        logs = Lab.open(self._path).logs(self._tag, experiment.number)
        return logs[-1].text if logs else ""
