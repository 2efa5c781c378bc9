"""Writes the lab: admits, records, rebases and keeps experiments, and attaches their logs and transcripts.

Only the process that holds `lock` writes. An experiment's note is always written before the refs that show it, so
`repair` can finish whatever a crash in between has left. Decisions are made elsewhere.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import pygit2

from controller.domain import BASELINE, Experiment, Proposal, Remark
from controller.errors import Moved
from controller.lab import commits, inbox, locks, presence, ref_files
from controller.lab.attachments import REMARKS, SETTINGS, transcript_path
from controller.lab.full_disk import write_patiently
from controller.lab.reader import ATTACHMENTS, CALLS, EXPERIMENT, MAIN, NOTES
from controller.lab.records import experiment_message, experiment_to_json
from controller.lab.repository import open_repository, translate_errors
from controller.lab.study_writer import StudyWriter


class LabWriter(StudyWriter):
    """An open lab for writing. Every method needs the lock, and raises LabError if git or the disk refuses.

    A full disk is waited for: what fills it may be an attempt that is killed for it. Until then the lab writes into
    the room of its ballast.
    """

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Open the lab at `path`, or make it. Raises LabError if it is missing, another user's, or newer."""
        return cls(open_repository(path, create=create), path)

    @contextmanager
    def lock(self, *, now: float, patience: float = 0.0) -> Iterator[None]:
        """Hold the lab for writing; wait up to `patience` seconds for a holder that is about to end.

        Raises LabInUse, which names the holder's process id and since when it holds the lab.
        """
        with translate_errors(self.path):
            self._ballast.keep()
        with locks.hold_writer_lock(self.path, now=now, patience=patience):
            yield

    def begin(self, tag: str, files: Mapping[str, str], *, fingerprint: str, settings: str, at: float) -> Experiment:
        """Start a campaign from the task's files; returns its baseline, experiment 0. May be repeated after a crash."""
        with translate_errors(self.path):
            self.attach(tag, SETTINGS, settings.encode(), at=at)
            message = f"baseline of {tag}\n"
            commit = write_patiently(
                lambda: commits.write_commit(self._repository, files, message=message, parent=None, at=at),
                self._ballast,
            )
            baseline = Experiment(
                number=BASELINE, commit=commit, base=commit, title="baseline", fingerprint=fingerprint, proposed_at=at
            )
            self.record(tag, baseline, at=at)
            self._show_ref(tag, baseline)
            self._move_ref(MAIN.format(tag=tag), old=None, new=commit, why="campaign begins")
        return baseline

    def begin_again(
        self, tag: str, baseline: Experiment, files: Mapping[str, str], *, settings: str, at: float
    ) -> Experiment:
        """Begin a baseline without a verdict again, with changed files and settings. Proposals are rebased later.

        baseline: its record with what is to be kept, its fingerprint that of the changed files.
        """
        with translate_errors(self.path):
            self.attach(tag, SETTINGS, settings.encode(), at=at)
            commit = commits.write_commit(self._repository, files, message=f"baseline of {tag}\n", parent=None, at=at)
            moved = replace(baseline, commit=commit, base=commit)
            changes = {_note_path(baseline): None, _note_path(moved): experiment_to_json(moved)}
            ref_files.put_files(self._repository, ref=NOTES.format(tag=tag), changes=changes, at=at)
            self._show_ref(tag, moved)
            self._move_ref(MAIN.format(tag=tag), old=baseline.commit, new=commit, why="campaign begins again")
        return moved

    def admit(self, tag: str, number: int, proposal: Proposal, *, fingerprint: str, at: float) -> Experiment:
        """Commit a proposal on its base as experiment `number` and record it."""
        message = experiment_message(proposal, tag=tag, number=number)
        with translate_errors(self.path):
            commit = write_patiently(
                lambda: commits.write_commit(
                    self._repository, proposal.files, message=message, parent=proposal.base, at=at
                ),
                self._ballast,
            )
            experiment = Experiment(
                number=number,
                commit=commit,
                base=proposal.base,
                title=proposal.title,
                hypothesis=proposal.hypothesis,
                agent=proposal.agent,
                strategy=proposal.strategy,
                retry_of=proposal.retry_of,
                undoes=proposal.undoes,
                doubts=proposal.doubts,
                expected_effect=proposal.expected_effect,
                line_change=commits.count_line_change(self._repository, proposal.base, commit),
                fingerprint=fingerprint,
                cost=proposal.cost,
                proposed_at=at,
                ticket=proposal.ticket,
            )
            if proposal.transcript:
                self.attach(tag, transcript_path(number), proposal.transcript.encode(), at=at)
            self.record(tag, experiment, at=at)
            self._show_ref(tag, experiment)
        return experiment

    def record(self, tag: str, experiment: Experiment, *, at: float) -> None:
        """Write the experiment's record as the note of its commit, durably."""
        with translate_errors(self.path):
            changes = {_note_path(experiment): experiment_to_json(experiment)}
            self._put(NOTES.format(tag=tag), changes, at=at)
            self._ballast.restore()

    def attach(self, tag: str, path: str, data: bytes, *, at: float) -> None:
        """Keep a file with the campaign, durably."""
        with translate_errors(self.path):
            self._put(ATTACHMENTS.format(tag=tag), {path: data}, at=at)

    def take_in_remarks(self, tag: str, *, at: float) -> list[Remark]:
        """Move what the operator told from the inbox into the campaign; returns it, oldest first."""
        taken = []
        with translate_errors(self.path):
            for waiting in inbox.list_waiting(self.path, tag):
                if waiting.remark.text:
                    self.attach(tag, f"{REMARKS}/{waiting.file.name}", waiting.remark.text.encode(), at=at)
                    taken.append(waiting.remark)
                # Only now: after a kill before this line the next start attaches the same file again.
                waiting.file.unlink(missing_ok=True)
        return taken

    def write_activity(self, data: bytes) -> None:
        """Write the loop's activity beside the lab, for commands that only read it."""
        presence.write_activity(self.path, data)

    def add_call(self, tag: str, proposal: int, line: bytes, *, at: float) -> None:
        """Append one line to a proposal's calls, durably. Other threads than the loop's call this."""
        with translate_errors(self.path), locks.keep_packing_out(self.path):
            # A hundred proposals share a folder: git rewrites the whole list of a folder when one entry changes.
            ref, path = CALLS.format(tag=tag), f"{proposal // 100:04d}/{proposal:06d}.jsonl"
            known = ref_files.get_file(self._repository, ref=ref, path=path) or b""
            self._put(ref, {path: known + line + b"\n"}, at=at)

    def rebase(
        self,
        tag: str,
        experiment: Experiment,
        files: Mapping[str, str],
        *,
        onto: str,
        fingerprint: str,
        at: float,
    ) -> Experiment:
        """Put an experiment that has not run yet on another base. Its record moves to the new commit in one step."""
        with translate_errors(self.path):
            message = self.message(experiment.commit)
            commit = write_patiently(
                lambda: commits.write_commit(
                    self._repository, files, message=message, parent=onto, at=experiment.proposed_at
                ),
                self._ballast,
            )
            change = commits.count_line_change(self._repository, onto, commit)
            moved = replace(experiment, commit=commit, base=onto, fingerprint=fingerprint, line_change=change)
            changes = {_note_path(experiment): None, _note_path(moved): experiment_to_json(moved)}
            self._put(NOTES.format(tag=tag), changes, at=at)
            self._show_ref(tag, moved)
        return moved

    def kept_commit(
        self,
        experiment: Experiment,
        *,
        onto: str,
        files: Mapping[str, str] | None = None,
        over: str = "",
        message: str,
        at: float,
    ) -> str:
        """Commit the experiment's files on the incumbent with its scores in the message; a keep moves the branch there.

        onto: the incumbent. files: the merged files if the experiment's own are not kept as they are. over: the commit
        that has the other files then; the incumbent by default.

        A commit's id covers its message, so the scores need a second commit of the same files.
        """
        with translate_errors(self.path):
            if files is not None:
                return commits.write_commit(self._repository, files, message=message, parent=onto, over=over, at=at)
            return write_patiently(
                lambda: commits.copy_commit(self._repository, experiment.commit, message=message, parent=onto, at=at),
                self._ballast,
            )

    def advance(self, tag: str, experiment: Experiment) -> None:
        """Move the branch to the kept commit, unless it is there already. Raises Moved if it is anywhere else."""
        if experiment.judgement and experiment.judgement.kept_as:
            why = f"keep {experiment.number}: {experiment.title}"
            old = experiment.judgement.onto or experiment.base
            self._move_ref(MAIN.format(tag=tag), old=old, new=experiment.judgement.kept_as, why=why)

    def repair(self, tag: str) -> None:
        """Create or move the refs of notes that a crash left without them."""
        with translate_errors(self.path):
            experiments = self.experiments(tag)
            for experiment in experiments:
                self._show_ref(tag, experiment)
            if MAIN.format(tag=tag) not in self._repository.references:
                self._move_ref(MAIN.format(tag=tag), old=None, new=experiments[0].commit, why="campaign begins")
            incumbent = self.incumbent(tag)
            if experiments[0].judgement is None and incumbent != experiments[0].commit:
                # The crash came while the campaign began again, between the baseline's note and the branch.
                self._move_ref(MAIN.format(tag=tag), old=incumbent, new=experiments[0].commit, why="begins again")
            for experiment in experiments:
                # Kept on today's incumbent: the crash came between the verdict's note and the move of the branch.
                judgement = experiment.judgement
                if judgement and judgement.kept_as and (judgement.onto or experiment.base) == incumbent:
                    self.advance(tag, experiment)

    def merge(
        self,
        *,
        base: str,
        ours: str,
        theirs: str,
        paths: Sequence[str],
        ours_files: Mapping[str, str] | None = None,
        prefer_theirs: bool = False,
    ) -> dict[str, str] | None:
        """Three-way merge of the editable files; None if both sides changed the same line.

        ours_files: files that our side has in place of those of its commit.
        prefer_theirs: take their lines there instead; None then only if one side removed a file.
        """
        with translate_errors(self.path):
            return commits.merge_commits(
                self._repository,
                base=base,
                ours=ours,
                theirs=theirs,
                paths=paths,
                ours_files=ours_files,
                prefer_theirs=prefer_theirs,
            )

    def compact(self) -> None:
        """Let git pack loose objects and refs if it finds that worthwhile. A failure costs only speed."""
        # gc.autoDetach would leave a process behind that goes on packing after the lock is released.
        # Below 6,700 loose objects and 50 packs --auto does nothing.
        command = ["git", "-C", str(self.path), "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet"]
        # HOME is a folder without git settings, so that the user's do not count.
        with translate_errors(self.path), locks.keep_writers_out(self.path):
            subprocess.run(
                command,
                check=False,
                capture_output=True,
                env={"PATH": os.defpath, "HOME": str(self.path)},
                start_new_session=True,  # Ctrl-C at the terminal asks the controller alone
            )

    def _show_ref(self, tag: str, experiment: Experiment) -> None:
        """Point the experiment's ref at its commit."""
        name, refs = EXPERIMENT.format(tag=tag, number=experiment.number), self._repository.references
        if name not in refs:
            # Without force libgit2 refuses a name that exists.
            write_patiently(lambda: refs.create(name, experiment.commit), self._ballast)
        elif str(refs[name].target) != experiment.commit:
            write_patiently(lambda: refs[name].set_target(experiment.commit, "rebased"), self._ballast)

    def _move_ref(self, name: str, *, old: str | None, new: str, why: str) -> None:
        """Move a ref by compare-and-swap: from `old` (None: it must be new) to `new`. Raises Moved."""
        with translate_errors(self.path):
            write_patiently(lambda: self._compare_and_swap(name, old=old, new=new, why=why), self._ballast)

    def _compare_and_swap(self, name: str, *, old: str | None, new: str, why: str) -> None:
        with self._repository.transaction() as transaction:
            # Takes git's own lock file of the ref, so that no other git program moves it before the transaction ends.
            transaction.lock_ref(name)
            known = name in self._repository.references
            now = str(self._repository.references[name].target) if known else None
            if now == new:
                return
            if now != old:
                raise Moved(f"{name} in {self.path} is at {now}, expected {old}: another writer moved it")
            # A bare repository keeps a reflog, and the message, only with core.logAllRefUpdates.
            transaction.set_target(name, pygit2.Oid(hex=new), message=why)


def _note_path(experiment: Experiment) -> str:
    """Path of a commit's note: its id, split after two digits into folder and name, which `git notes show` can read."""
    return f"{experiment.commit[:2]}/{experiment.commit[2:]}"
