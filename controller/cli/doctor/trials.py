"""Runs single attempts through the campaign's own executor: what they show is what its attempts will meet.

They are no experiments: they touch no lab, use up no slice of the reserve, and have a work folder of their own, of
which nothing stays. The next look clears away what a killed one left.
"""

from __future__ import annotations

import fcntl
import os
import queue
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from controller.domain import Outcome, Result, TryEnded, TryId, TryRequest
from controller.errors import AutoresearchError, SettingsError
from controller.executor.local.deletion import delete
from controller.executor.phases import phases
from controller.folder import CampaignFolder, task_files
from controller.ports import Executor
from controller.run.wiring import build_executor
from controller.settings import Settings

PATIENCE_SECONDS = 300.0
"""Longest wait beyond the deadlines of all phases, in seconds: for an image to be pulled, or a node to be found."""


WORK = ".autoresearch-doctor"
"""Name of their folder in that of the campaign. It is deleted, so it must be a name that nobody else would choose."""


def shorten(settings: Settings, seconds: float) -> Settings:
    """The settings with a training of at most so many seconds."""
    budget = settings.budget.model_copy(update={"train_seconds": min(seconds, settings.budget.train_seconds)})
    # A tag of its own, so that Jobs of a running campaign are left alone.
    tag = f"doctor-{secrets.token_hex(3)}"
    return settings.model_copy(update={"budget": budget, "tag": tag})


@dataclass(slots=True)
class Trials:
    """Attempts one after the other, each numbered as an experiment of its own."""

    settings: Settings
    executor: Executor
    files: Mapping[str, str]
    """Text of each editable file, unchanged, by its path."""
    ended: queue.SimpleQueue[TryEnded] = field(default_factory=queue.SimpleQueue)
    """The queue on which the executor reports the end of an attempt."""
    _count: int = 0

    def run(self, *, files: Mapping[str, str] | None = None, seed: int = 1) -> Result:
        """Run one attempt of these files to its end, of the unchanged ones where none are given."""
        self._count += 1
        request = TryRequest(
            id=TryId(self.settings.tag, self._count, 1, 1),
            commit="0" * 40,
            files={**self.files, **(files or {})},
            seed=seed,
            probe_set=self._count % max(1, self.settings.task.probe_sets),
        )
        longest = sum(phase.seconds for phase in phases(self.settings, request)) + PATIENCE_SECONDS
        self.executor.launch(request)
        try:
            result = self.ended.get(timeout=longest).result
        except queue.Empty:
            return Result(outcome=Outcome.LOST, reason=f"nothing was heard of it for {longest:.0f} s")
        self.executor.recorded(request.id)
        return result


@contextmanager
def trials(folder: CampaignFolder, settings: Settings, *, seconds: float) -> Iterator[Trials]:
    """Start the executor for some attempts, and stop it. Raises what its start raises."""
    short, work = shorten(settings, seconds), folder.path / WORK
    with _owned(work) if settings.executor.kind == "local" else nullcontext():
        executor = build_executor(folder, short, work=work)
        texts = task_files(short)
        some = Trials(short, executor, {name: texts[name] for name in short.task.editable})
        executor.start(some.ended.put)
        try:
            yield some
        finally:
            executor.stop()


@contextmanager
def _owned(work: Path) -> Iterator[None]:
    """Make the folder for this process alone, and delete it at the end. Raises SettingsError while another has it."""
    work.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(descriptor, work)
        try:
            yield
        finally:
            delete(work)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, work: Path) -> None:
    try:
        # The lock lies on the folder itself: it ends with the process, however that ends.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SettingsError(f"another `autoresearch doctor` looks at {work.parent}: wait for its end") from error


def sentence(error: AutoresearchError) -> str:
    """An error as what was seen."""
    return " ".join(str(error).split())
