"""The lab: a bare git repository that is the campaign's memory and its only database.

    refs/heads/autoresearch/<tag>       kept commits only, reads like a lab book
    refs/experiments/<tag>/<n>          every experiment's commit, failures for ever
    refs/notes/autoresearch/<tag>       one note per experiment: its record, the truth
    refs/attachments/<tag>              settings, log tails, transcripts
    refs/calls/<tag>                    every call to a model with what it cost

One writer: whoever holds `lock`. Readers need nothing. The note is always written before the refs that
show it, so that a crash in between leaves something `repair` can finish. It never decides anything.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Self, cast

import pygit2
from pygit2.enums import ConfigLevel, FileMode, Option

from controller import gitstore, merging
from controller.domain import BASELINE, Experiment, Proposal, Verdict
from controller.errors import LabError, LabInUse, Moved
from controller.records import FORMAT, decode, encode

MAIN = "refs/heads/autoresearch/{tag}"
EXPERIMENT = "refs/experiments/{tag}/{number}"
NOTES = "refs/notes/autoresearch/{tag}"
ATTACHMENTS = "refs/attachments/{tag}"
CALLS = "refs/calls/{tag}"
TROUBLE = "trouble.txt"
LOCK_POLL_SECONDS = 0.1


class Lab:
    """An open lab. Methods that write need the lock and raise LabError when git or the disk refuses."""

    def __init__(self, repository: pygit2.Repository, path: Path) -> None:
        self._repository = repository
        self.path = path

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Open the lab at `path`, or make it. Raises LabError: missing, foreign-owned, or of a newer format."""
        _trust_only_the_repository()
        with _translated(path):
            if create and not path.exists():
                _initialise(path)
            if not path.exists():
                raise LabError(f"no lab at {path}: start one with `autoresearch run`")
            repository = pygit2.Repository(str(path))
        _check_format(repository, path)
        return cls(repository, path)

    @contextmanager
    def lock(self, *, now: float, patience: float = 0.0) -> Iterator[None]:
        """Hold the lab for writing; wait up to `patience` seconds for a holder that is about to end.

        Raises LabInUse naming the holder's pid and since when.
        """
        descriptor = os.open(self.path / "autoresearch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _flock(descriptor, self.path, until=time.monotonic() + patience)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {now:.0f}\n".encode(), 0)
            self._remove_stale_ref_locks()
            yield
        finally:
            os.close(descriptor)

    def tags(self) -> list[str]:
        """Campaigns in this lab."""
        prefix = NOTES.format(tag="")
        return sorted(name.removeprefix(prefix) for name in self._repository.references if name.startswith(prefix))

    # -- reading --------------------------------------------------------------------------------------------------

    def experiments(self, tag: str) -> list[Experiment]:
        """Every experiment of a campaign by number, the baseline first; empty where there is no campaign."""
        with _translated(self.path):
            try:
                found = [decode(data) for _, data in gitstore.walk(self._repository, ref=NOTES.format(tag=tag))]
            except ValueError as error:
                raise LabError(f"the lab {self.path} holds a damaged record of {tag}: {str(error)[:200]}") from error
        return sorted(found, key=lambda experiment: experiment.number)

    def incumbent(self, tag: str) -> str:
        """Commit at the head of the campaign's branch."""
        with _translated(self.path):
            return str(self._repository.references[MAIN.format(tag=tag)].target)

    def source(self, commit: str, path: str) -> str:
        """Text of `path` at `commit`. Raises LabError when there is none."""
        with _translated(self.path):
            tree = cast(pygit2.Commit, self._repository[commit]).tree
            if path not in tree:
                raise LabError(f"the lab {self.path} has no {path} at {commit[:7]}")
            return cast(pygit2.Blob, tree[path]).data.decode("utf-8", errors="replace")

    def files(self, commit: str, paths: Sequence[str]) -> dict[str, str]:
        """Text of several paths at `commit`, those that exist."""
        tree = cast(pygit2.Commit, self._repository[commit]).tree
        return {path: self.source(commit, path) for path in paths if path in tree}

    def message(self, commit: str) -> str:
        """Message of a commit."""
        return cast(pygit2.Commit, self._repository[commit]).message

    def diff(self, experiment: Experiment) -> str:
        """Unified diff of an experiment against its base; empty for the baseline."""
        if experiment.number == BASELINE:
            return ""
        with _translated(self.path):
            return self._repository.diff(experiment.base, experiment.commit).patch or ""

    def attachment(self, tag: str, path: str) -> bytes | None:
        """An attached file of the campaign, or None."""
        with _translated(self.path):
            return gitstore.get(self._repository, ref=ATTACHMENTS.format(tag=tag), path=path)

    def trouble(self, tag: str) -> str:
        """What the running controller says that only an operator can mend; empty when there is nothing."""
        return (self.attachment(tag, TROUBLE) or b"").decode()

    def attachments(self, tag: str, below: str) -> list[tuple[str, bytes]]:
        """All attached files below a folder, in order."""
        with _translated(self.path):
            return list(gitstore.walk(self._repository, ref=ATTACHMENTS.format(tag=tag), below=below))

    def listing(self) -> bytes:
        """Every ref with its commit, as git's dumb protocol wants it in info/refs."""
        with _translated(self.path):
            refs = self._repository.references
            return "".join(f"{refs[name].resolve().target}\t{name}\n" for name in sorted(refs)).encode()

    def calls(self, tag: str) -> list[bytes]:
        """Booked model calls, one JSON line each."""
        with _translated(self.path):
            return [
                line
                for _, data in gitstore.walk(self._repository, ref=CALLS.format(tag=tag))
                for line in data.splitlines()
            ]

    # -- writing --------------------------------------------------------------------------------------------------

    def begin(self, tag: str, files: Mapping[str, str], *, fingerprint: str, settings: str, at: float) -> Experiment:
        """Start a campaign from the task's files; its baseline is experiment 0. Goes on where a crash left off."""
        with _translated(self.path):
            self.attach(tag, "campaign.yaml", settings.encode(), at=at)
            commit = self._commit(files, message=f"baseline of {tag}\n", parent=None, at=at)
            baseline = Experiment(
                number=BASELINE, commit=commit, base=commit, title="baseline", fingerprint=fingerprint, proposed_at=at
            )
            self.record(tag, baseline, at=at)
            self._show(tag, baseline)
            self._move(MAIN.format(tag=tag), old=None, new=commit, why="campaign begins")
        return baseline

    def admit(self, tag: str, number: int, proposal: Proposal, *, fingerprint: str, at: float) -> Experiment:
        """Commit a proposal on its base as experiment `number` and record it."""
        message = _message(tag, number, proposal)
        with _translated(self.path):
            commit = self._commit(proposal.files, message=message, parent=proposal.base, at=at)
            experiment = Experiment(
                number=number,
                commit=commit,
                base=proposal.base,
                title=proposal.title,
                hypothesis=proposal.hypothesis,
                agent=proposal.agent,
                strategy=proposal.strategy,
                expected_effect=proposal.expected_effect,
                line_change=self._line_change(proposal.base, commit),
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
        with _translated(self.path):
            changes = {_note(experiment): encode(experiment)}
            gitstore.put(self._repository, ref=NOTES.format(tag=tag), changes=changes, at=at)

    def attach(self, tag: str, path: str, data: bytes, *, at: float) -> None:
        """Keep a file with the campaign, durably."""
        with _translated(self.path):
            gitstore.put(self._repository, ref=ATTACHMENTS.format(tag=tag), changes={path: data}, at=at)

    def tell_trouble(self, tag: str, trouble: str, *, at: float) -> None:
        """Leave word for commands that only read the lab; empty takes it back."""
        with _translated(self.path):
            changes = {TROUBLE: trouble.encode() or None}
            gitstore.put(self._repository, ref=ATTACHMENTS.format(tag=tag), changes=changes, at=at)

    def add_call(self, tag: str, proposal: int, line: bytes, *, at: float) -> None:
        """Append one line to a proposal's calls, durably. Another thread may do so while the loop packs the lab."""
        with _translated(self.path), self._housekeeping(fcntl.LOCK_SH):
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
        with _translated(self.path):
            message = cast(pygit2.Commit, self._repository[experiment.commit]).message
            commit = self._commit(files, message=message, parent=onto, at=experiment.proposed_at)
            change = self._line_change(onto, commit)
            moved = replace(experiment, commit=commit, base=onto, fingerprint=fingerprint, line_change=change)
            changes = {_note(experiment): None, _note(moved): encode(moved)}
            gitstore.put(self._repository, ref=NOTES.format(tag=tag), changes=changes, at=at)
            self._show(tag, moved)
        return moved

    def kept_commit(self, experiment: Experiment, *, message: str, at: float) -> str:
        """The commit that a keep moves the branch to: the experiment's tree on its base, scores in the message."""
        with _translated(self.path):
            tree = cast(pygit2.Commit, self._repository[experiment.commit]).tree.id
            who = gitstore.signature(at)
            return str(self._repository.create_commit(None, who, who, message, tree, [experiment.base]))

    def advance(self, tag: str, experiment: Experiment) -> None:
        """Move the branch to what the experiment was kept as; nothing where it is there. Raises Moved."""
        if experiment.judgement and experiment.judgement.kept_as:
            why = f"keep {experiment.number}: {experiment.title}"
            self._move(MAIN.format(tag=tag), old=experiment.base, new=experiment.judgement.kept_as, why=why)

    def repair(self, tag: str) -> None:
        """Finish what a crash left between a note and the refs that show it."""
        with _translated(self.path):
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
        with _translated(self.path):
            ancestor, our, their = (cast(pygit2.Commit, self._repository[c]).tree for c in (base, ours, theirs))
            index = self._repository.merge_trees(ancestor, our, their)
            settled = [self._settled(sides) for sides in index.conflicts or ()]
            for path, text in filter(None, settled):
                del index.conflicts[path]
                index.add(pygit2.IndexEntry(path, self._repository.create_blob(text.encode()), FileMode.BLOB))
            if not all(settled):
                return None
            merged = cast(pygit2.Tree, self._repository[index.write_tree(self._repository)])
            return {path: cast(pygit2.Blob, merged[path]).data.decode() for path in paths if path in merged}

    def compact(self) -> None:
        """Pack loose objects and refs where git finds it worthwhile; a failure costs only speed."""
        command = ["git", "-C", str(self.path), "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet"]
        with _translated(self.path), self._housekeeping(fcntl.LOCK_EX):
            subprocess.run(command, check=False, capture_output=True, env={"PATH": os.defpath, "HOME": str(self.path)})

    # -- inside ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _housekeeping(self, share: int) -> Iterator[None]:
        """Keep writers of other threads and `git gc` apart: while it packs a ref, a write of that ref can be lost."""
        descriptor = os.open(self.path / "housekeeping.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, share)
            yield
        finally:
            os.close(descriptor)

    def _commit(self, files: Mapping[str, str], *, message: str, parent: str | None, at: float) -> str:
        tree = cast(pygit2.Commit, self._repository[parent]).tree if parent else None
        for path, text in files.items():
            blob = self._repository.create_blob(text.encode())
            tree = cast(pygit2.Tree, self._repository[gitstore.insert(self._repository, tree, path.split("/"), blob)])
        if tree is None:
            raise LabError("a commit needs at least one file")
        who = gitstore.signature(at)
        parents: list[pygit2.Oid | str] = [parent] if parent else []
        return str(self._repository.create_commit(None, who, who, message, tree.id, parents))

    def _settled(self, sides: Sequence[pygit2.IndexEntry | None]) -> tuple[str, str] | None:
        """Path and text of a file that both sides changed; None where one removed it, or a line conflicts."""
        entries = [side for side in sides if side]
        if len(entries) < 3:
            return None
        base, ours, theirs = (cast(pygit2.Blob, self._repository[side.id]).data.decode() for side in entries)
        text = merging.merged(base, ours, theirs)
        return None if text is None else (str(entries[0].path), text)

    def _line_change(self, base: str, commit: str) -> int:
        stats = self._repository.diff(base, commit).stats
        return stats.insertions - stats.deletions

    def _show(self, tag: str, experiment: Experiment) -> None:
        name = EXPERIMENT.format(tag=tag, number=experiment.number)
        if name not in self._repository.references:
            self._repository.references.create(name, experiment.commit)
        elif str(self._repository.references[name].target) != experiment.commit:
            self._repository.references[name].set_target(experiment.commit, "rebased")

    def _move(self, name: str, *, old: str | None, new: str, why: str) -> None:
        with _translated(self.path), self._repository.transaction() as transaction:
            transaction.lock_ref(name)
            known = name in self._repository.references
            now = str(self._repository.references[name].target) if known else None
            if now == new:
                return
            if now != old:
                raise Moved(f"{name} in {self.path} is at {now}, expected {old}: another writer moved it")
            transaction.set_target(name, pygit2.Oid(hex=new), message=why)

    def _remove_stale_ref_locks(self) -> None:
        for stale in [*(self.path / "refs").rglob("*.lock"), self.path / "packed-refs.lock"]:
            stale.unlink(missing_ok=True)


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


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Git's and the disk's errors as LabError, once for this border."""
    try:
        yield
    except (pygit2.GitError, OSError, KeyError) as error:
        raise LabError(f"the lab {path} cannot be used: {error}; nothing recorded before is lost") from error


@cache
def _trust_only_the_repository() -> None:
    """Ignore the user's git settings, which a HOME that cannot be read would turn into errors.

    Once: these options belong to the whole process, and no other thread may use git while they change.
    """
    for level in (ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.SYSTEM):
        pygit2.settings.search_path[level] = ""
    pygit2.option(Option.ENABLE_FSYNC_GITDIR, True)


def _initialise(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    repository = pygit2.init_repository(str(path), bare=True, initial_head="main")
    repository.config["autoresearch.format"] = FORMAT
    repository.config["uploadpack.allowAnySHA1InWant"] = True


def _check_format(repository: pygit2.Repository, path: Path) -> None:
    try:
        found = repository.config.get_int("autoresearch.format")
    except KeyError as error:
        raise LabError(f"{path} is a git repository but no lab: give the path of a new one") from error
    if found > FORMAT:
        raise LabError(f"the lab {path} has format {found}, this version reads {FORMAT}: upgrade the controller")


def _flock(descriptor: int, path: Path, *, until: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                break
            time.sleep(LOCK_POLL_SECONDS)
        else:
            return
    _raise_in_use(descriptor, path)


def _raise_in_use(descriptor: int, path: Path) -> None:
    holder = os.pread(descriptor, 64, 0).decode(errors="replace").split()
    pid, since = holder if len(holder) == 2 else ("?", "0")
    clock = datetime.fromtimestamp(float(since)).strftime("%H:%M")
    raise LabInUse(f"the lab {path} is in use by pid {pid} (since {clock}); stop it or give another --lab")


def _message(tag: str, number: int, proposal: Proposal) -> str:
    lines = [proposal.title, "", proposal.hypothesis, "", f"Experiment: {tag}-{number}", f"Agent: {proposal.agent}"]
    return "\n".join(lines) + "\n"


def _note(experiment: Experiment) -> str:
    return f"{experiment.commit[:2]}/{experiment.commit[2:]}"


def kept(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Kept experiments in the order of the branch, the baseline left out."""
    chosen = [e for e in experiments if e.number != BASELINE and e.judgement and e.judgement.verdict is Verdict.KEEP]
    return sorted(chosen, key=lambda e: e.judgement.order if e.judgement else 0)
