"""Which sandboxed phases an attempt has, as values that each executor renders in its own way.

Pure: (task, budget, deadlines, request) -> phases. It decides who sees which data and what is writable;
how a sandbox enforces it is the executor's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from controller.domain import TryRequest
from controller.settings import Settings

TASK = "/task"
DATA = "/data"
ARTIFACT = "/artifact"
ANSWERS = "/answers"
SOCKET = "/socket"
RESULT = "/result"


class Volume(StrEnum):
    """A place that outlives a phase; everything else in a sandbox vanishes with it."""

    DATA = "data"
    ARTIFACT = "artifact"
    ANSWERS = "answers"
    SOCKET = "socket"
    RESULT = "result"


class PhaseName(StrEnum):
    """The steps of an attempt."""

    TRAIN = "train"
    PROBE = "probe"
    CANDIDATE = "candidate"
    EXAMINE = "examine"


@dataclass(frozen=True, slots=True)
class Mount:
    """`subpath` of a volume, visible at `path` inside the sandbox."""

    volume: Volume
    path: str
    subpath: str = ""
    writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One sandbox: command, environment (paths as seen inside), mounts, and when it is killed.

    edited: the agent's files are in the task folder; in `examine` they are not there at all.
    restarts: the phase is started again when it ends, as often as it ends (the candidate).
    """

    name: PhaseName
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    seconds: float
    edited: bool = True
    accelerator: bool = True
    restarts: bool = False


def phases(settings: Settings, request: TryRequest) -> tuple[Phase, ...]:
    """The phases of one try, in order; `candidate` runs beside `examine`."""
    if settings.task.score == "log":
        return (_log_scored(settings, request),)
    return (
        _train(settings, request),
        _probe(settings, request),
        _candidate(settings),
        _examine(settings, request),
    )


def _log_scored(settings: Settings, request: TryRequest) -> Phase:
    task = settings.task
    return Phase(
        name=PhaseName.TRAIN,
        command=task.command,
        environment=_train_environment(settings, request) | {"AUTORESEARCH_DATA": task.data_path},
        mounts=(Mount(Volume.DATA, task.data_path), Mount(Volume.ARTIFACT, ARTIFACT, writable=True)),
        seconds=settings.deadlines.log_scored or 2 * settings.budget.train_seconds,
    )


def _train(settings: Settings, request: TryRequest) -> Phase:
    return Phase(
        name=PhaseName.TRAIN,
        command=("python", "-m", f"{settings.task.examiner}.supervise", "--", *settings.task.command),
        environment=_train_environment(settings, request) | _artifact_limit(settings),
        mounts=(*_data("train", "tokenizer"), Mount(Volume.ARTIFACT, ARTIFACT, writable=True)),
        seconds=settings.budget.train_seconds + settings.deadlines.train_grace,
    )


def _probe(settings: Settings, request: TryRequest) -> Phase:
    questions = Mount(Volume.DATA, f"{DATA}/questions", f"probes/{request.probe_set:02d}/questions")
    return Phase(
        name=PhaseName.PROBE,
        command=("python", "-m", f"{settings.task.examiner}.probe"),
        environment={
            "AUTORESEARCH_DATA": DATA,
            "AUTORESEARCH_ARTIFACT": ARTIFACT,
            "AUTORESEARCH_ANSWERS": ANSWERS,
            **_artifact_limit(settings),
        },
        mounts=(questions, Mount(Volume.ARTIFACT, ARTIFACT), Mount(Volume.ANSWERS, ANSWERS, writable=True)),
        seconds=settings.deadlines.probe,
    )


def _candidate(settings: Settings) -> Phase:
    return Phase(
        name=PhaseName.CANDIDATE,
        command=("python", "-m", f"{settings.task.examiner}.candidate"),
        environment={
            "AUTORESEARCH_ARTIFACT": ARTIFACT,
            "AUTORESEARCH_SOCKET": SOCKET,
            **_artifact_limit(settings),
        },
        mounts=(Mount(Volume.ARTIFACT, ARTIFACT), Mount(Volume.SOCKET, SOCKET)),
        seconds=settings.deadlines.examine,
        restarts=True,
    )


def _examine(settings: Settings, request: TryRequest) -> Phase:
    probe = Mount(Volume.DATA, f"{DATA}/probe", f"probes/{request.probe_set:02d}")
    spread = (
        {} if request.baseline_spread is None else {"AUTORESEARCH_BASELINE_SPREAD": f"{request.baseline_spread:.9f}"}
    )
    return Phase(
        name=PhaseName.EXAMINE,
        command=("python", "-m", f"{settings.task.examiner}.examine"),
        environment={
            "AUTORESEARCH_DATA": DATA,
            "AUTORESEARCH_ANSWERS": ANSWERS,
            "AUTORESEARCH_SOCKET": SOCKET,
            "AUTORESEARCH_RESULT": f"{RESULT}/message",
            "AUTORESEARCH_ATTEMPT": str(request.id),
            **spread,
        },
        mounts=(
            *_data("tokenizer", "validation", "holdout", "manifest.json"),
            probe,
            Mount(Volume.ANSWERS, ANSWERS),
            Mount(Volume.SOCKET, SOCKET, writable=True),
            Mount(Volume.RESULT, RESULT, writable=True),
        ),
        seconds=settings.deadlines.examine,
        edited=False,
        accelerator=False,
    )


def _data(*names: str) -> tuple[Mount, ...]:
    return tuple(Mount(Volume.DATA, f"{DATA}/{name}", name) for name in names)


def _train_environment(settings: Settings, request: TryRequest) -> dict[str, str]:
    return {
        "AUTORESEARCH_SEED": str(request.seed),
        "AUTORESEARCH_TRAIN_SECONDS": f"{settings.budget.train_seconds:g}",
        "AUTORESEARCH_DATA": DATA,
        "AUTORESEARCH_ARTIFACT": ARTIFACT,
    }


def _artifact_limit(settings: Settings) -> dict[str, str]:
    return {"AUTORESEARCH_ARTIFACT_BYTES": str(int(settings.executor.limits.artifact_gb * 2**30))}
