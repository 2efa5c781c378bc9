"""The smoke test of an edited program: one step on the CPU, then its artifact is loaded. Pure.

It finds the crash that a reader overlooks, a name or a shape, before a slot and an accelerator are spent on it. It
judges nothing else: a program that is slow, needs more memory than there is, or asks for the accelerator passes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from controller.domain import Outcome, Result, TryRequest
from controller.edits import syntax
from controller.executor.attempt_end import KILLED
from controller.executor.last_words import evidence, last_words
from controller.executor.phases import Phase, Volume, phases
from controller.executor.walls import Wall, find_wall
from controller.ports import SmokeCrash
from controller.settings import Settings

SMOKE_SECONDS = 60.0
"""Most seconds of the whole smoke test; what runs longer has passed."""

STEP_SECONDS = "1"
"""Seconds of training that the program is told: they are over before its first step is, so that no second one begins.
"""

_ACCELERATOR = re.compile(r"cuda|nvidia|triton|\bgpu|\bhip\b|\brocm|\bnccl", re.IGNORECASE)
"""Words about an accelerator, in an error that its absence explains."""

_LOAD = (
    "import importlib, os, pathlib; "
    "importlib.import_module({module!r}).{name}(pathlib.Path(os.environ['AUTORESEARCH_ARTIFACT']))"
)
"""The import and the call of a candidate, which gives a path and not a text."""


def smoke_phases(settings: Settings, request: TryRequest) -> tuple[Phase, ...]:
    """The sandboxes of a smoke test, in order: the training's own without an accelerator, and a fresh one that loads.

    The second one is there for tasks with an exam, whose programs are asked by `load_model`, or by `load` where the
    examiner is a file of the task's. Neither sees anything that an exam asks, so what they print may be told.
    """
    train = phases(settings, request)[0]
    step = replace(
        train,
        # Without the exam's supervisor, which would end the training after the second that it is told of.
        command=settings.task.command if settings.task.score == "exam" else train.command,
        environment={
            **train.environment,
            "AUTORESEARCH_SMOKE": "1",
            "AUTORESEARCH_TRAIN_SECONDS": STEP_SECONDS,
        },
        supervised=False,
        accelerator=False,
        receives_messages=False,
        seconds=SMOKE_SECONDS,
    )
    load = _load_program(settings, request.files)
    if not load:
        return (step,)
    mounts = tuple(replace(m, writable=False) if m.volume is Volume.ARTIFACT else m for m in step.mounts)
    return (step, replace(step, command=("python", "-c", load), mounts=mounts))


def is_smoke_crash(result: Result | None, *, code: int, text: str, metric: str) -> bool:
    """True if the program itself failed, for a reason that has nothing to do with the place of the test.

    result: what an attempt would make of this end; None if it ended well. code, text: exit code and end of its output.
    """
    if result is None or result.outcome is not Outcome.CRASHED or code == KILLED:
        return False
    hit = find_wall(evidence(text, metric), code)
    short_of_memory = hit is not None and hit.wall is Wall.MEMORY
    return not short_of_memory and not _ACCELERATOR.search(last_words(text, metric))


def find_smoke_crash(result: Result | None, *, code: int, text: str, metric: str) -> SmokeCrash | None:
    """The crash of a smoke test that ended so; None if the program is not to blame, or did not fail."""
    if result is None or not is_smoke_crash(result, code=code, text=text, metric=metric):
        return None
    return SmokeCrash(reason=result.reason, log=text)


def _load_program(settings: Settings, files: Mapping[str, str]) -> str:
    """Python that loads the artifact as a candidate would; empty where nothing does."""
    task = settings.task
    if task.score != "exam" or task.serve:
        return ""
    if not task.needs_load_model:
        return _LOAD.format(module=task.answering_module, name="load")
    for path, text in files.items():
        tree = syntax.parse(text) if path.endswith(".py") else None
        if tree and "load_model" in syntax.top_level_names(tree.body):
            return _LOAD.format(module=path.removesuffix(".py").replace("/", "."), name="load_model")
    return ""
