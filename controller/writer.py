"""The lab's writer: experiments admitted, recorded, moved and kept, and what belongs to them put beside them.

One process writes, whoever holds `lock`. The note is always written before the refs that show it, so that a crash in
between leaves something `repair` can finish. It decides nothing.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Self

import pygit2

from controller import commits, gitstore, locks
from controller.domain import BASELINE, Experiment, Proposal
from controller.errors import Moved
from controller.lab import ATTACHMENTS, CALLS, EXPERIMENT, MAIN, NOTES, TROUBLE, Lab
from controller.records import encode, experiment_message
from controller.repository import open_repository, translated


class LabWriter(Lab):
    """A lab that can be written to. Its methods need the lock and raise LabError when git or the disk refuses."""

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Open the lab at `path`, or make it. Raises LabError: missing, foreign-owned, or of a newer format."""
        return cls(open_repository(path, create=create), path)

    def lock(self, *, now: float, patience: float = 0.0) -> AbstractContextManager[None]:
        """Hold the lab for writing; wait up to `patience` seconds for a holder that is about to end.

        Raises LabInUse naming the holder's pid and since when.
        """
        return locks.writer(self.path, now=now, patience=patience)

    def begin(self, tag: str, files: Mapping[str, str], *, fingerprint: str, settings: str, at: float) -> Experiment:
        """Start a campaign from the task's files; its baseline is experiment 0. Goes on where a crash left off."""
        with translated(self.path):
            self.attach(tag, "campaign.yaml", settings.encode(), at=at)
            commit = commits.write(self._repository, files, message=f"baseline of {tag}\n", parent=None, at=at)
            baseline = Experiment(
                number=BASELINE, commit=commit, base=commit, title="baseline", fingerprint=fingerprint, proposed_at=at
            )
            self.record(tag, baseline, at=at)
            self._show(tag, baseline)
            self._move(MAIN.format(tag=tag), old=None, new=commit, why="campaign begins")
        return baseline

    def admit(self, tag: str, number: int, proposal: Proposal, *, fingerprint: str, at: float) -> Experiment:
        """Commit a proposal on its base as experiment `number` and record it."""
        message = experiment_message(proposal, tag=tag, number=number)
        with translated(self.path):
            commit = commits.write(self._repository, proposal.files, message=message, parent=proposal.base, at=at)
            experiment = Experiment(
                number=number,
                commit=commit,
                base=proposal.base,
                title=proposal.title,
                hypothesis=proposal.hypothesis,
                agent=proposal.agent,
                strategy=proposal.strategy,
                expected_effect=proposal.expected_effect,
                line_change=commits.line_change(self._repository, proposal.base, commit),
                fingerprint=fingerprint,
                cost=proposal.cost,
                proposed_at=at,
            )
            if proposal.transcript:
                self.attach(tag, f"{number:06d}/transcript.jsonl", proposal.transcript.encode(), at=at)
            self.record(tag, experiment, at=at)
            self._show(tag, experiment)
        return experiment

    def record(self, tag: str, experiment: Experiment, *, at: float) -> None:
        """Write the experiment's record as the note of its commit, durably."""
        with translated(self.path):
            changes = {_note(experiment): encode(experiment)}
            gitstore.put(self._repository, ref=NOTES.format(tag=tag), changes=changes, at=at)

    def attach(self, tag: str, path: str, data: bytes, *, at: float) -> None:
        """Keep a file with the campaign, durably."""
        with translated(self.path):
            gitstore.put(self._repository, ref=ATTACHMENTS.format(tag=tag), changes={path: data}, at=at)

    def tell_trouble(self, tag: str, trouble: str, *, at: float) -> None:
        """Leave word for commands that only read the lab; empty takes it back."""
        with translated(self.path):
            changes = {TROUBLE: trouble.encode() or None}
            gitstore.put(self._repository, ref=ATTACHMENTS.format(tag=tag), changes=changes, at=at)

    def add_call(self, tag: str, proposal: int, line: bytes, *, at: float) -> None:
        """Append one line to a proposal's calls, durably. Another thread may do so while the loop packs the lab."""
        with translated(self.path), locks.outside_housekeeping(self.path):
            ref, path = CALLS.format(tag=tag), f"{proposal // 100:04d}/{proposal:06d}.jsonl"
            known = gitstore.get(self._repository, ref=ref, path=path) or b""
            gitstore.put(self._repository, ref=ref, changes={path: known + line + b"\n"}, at=at)

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
        """Put an experiment that has not run yet on another base, its record moving with it in one step."""
        with translated(self.path):
            message = self.message(experiment.commit)
            commit = commits.write(self._repository, files, message=message, parent=onto, at=experiment.proposed_at)
            change = commits.line_change(self._repository, onto, commit)
            moved = replace(experiment, commit=commit, base=onto, fingerprint=fingerprint, line_change=change)
            changes = {_note(experiment): None, _note(moved): encode(moved)}
            gitstore.put(self._repository, ref=NOTES.format(tag=tag), changes=changes, at=at)
            self._show(tag, moved)
        return moved

    def kept_commit(self, experiment: Experiment, *, message: str, at: float) -> str:
        """The commit that a keep moves the branch to: the experiment's tree on its base, scores in the message."""
        with translated(self.path):
            return commits.restate(self._repository, experiment.commit, message=message, parent=experiment.base, at=at)

    def advance(self, tag: str, experiment: Experiment) -> None:
        """Move the branch to what the experiment was kept as; nothing where it is there. Raises Moved."""
        if experiment.judgement and experiment.judgement.kept_as:
            why = f"keep {experiment.number}: {experiment.title}"
            self._move(MAIN.format(tag=tag), old=experiment.base, new=experiment.judgement.kept_as, why=why)

    def repair(self, tag: str) -> None:
        """Finish what a crash left between a note and the refs that show it."""
        with translated(self.path):
            experiments = self.experiments(tag)
            for experiment in experiments:
                self._show(tag, experiment)
            if MAIN.format(tag=tag) not in self._repository.references:
                self._move(MAIN.format(tag=tag), old=None, new=experiments[0].commit, why="campaign begins")
            kept = [e for e in experiments if e.judgement and e.judgement.kept_as and e.base == self.incumbent(tag)]
            for experiment in kept:
                self.advance(tag, experiment)

    def merge(self, *, base: str, ours: str, theirs: str, paths: Sequence[str]) -> dict[str, str] | None:
        """Three-way merge of the editable files; None where both sides changed the same line."""
        with translated(self.path):
            return commits.merge(self._repository, base=base, ours=ours, theirs=theirs, paths=paths)

    def compact(self) -> None:
        """Pack loose objects and refs where git finds it worthwhile; a failure costs only speed."""
        command = ["git", "-C", str(self.path), "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet"]
        with translated(self.path), locks.housekeeping(self.path):
            subprocess.run(command, check=False, capture_output=True, env={"PATH": os.defpath, "HOME": str(self.path)})

    def _show(self, tag: str, experiment: Experiment) -> None:
        name = EXPERIMENT.format(tag=tag, number=experiment.number)
        if name not in self._repository.references:
            self._repository.references.create(name, experiment.commit)
        elif str(self._repository.references[name].target) != experiment.commit:
            self._repository.references[name].set_target(experiment.commit, "rebased")

    def _move(self, name: str, *, old: str | None, new: str, why: str) -> None:
        with translated(self.path), self._repository.transaction() as transaction:
            transaction.lock_ref(name)
            known = name in self._repository.references
            now = str(self._repository.references[name].target) if known else None
            if now == new:
                return
            if now != old:
                raise Moved(f"{name} in {self.path} is at {now}, expected {old}: another writer moved it")
            transaction.set_target(name, pygit2.Oid(hex=new), message=why)


def _note(experiment: Experiment) -> str:
    return f"{experiment.commit[:2]}/{experiment.commit[2:]}"
