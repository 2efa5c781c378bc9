"""Lists the sandboxed phases of an attempt, as values that each executor renders in its own way.

Pure: (task, budget, deadlines, limits, request) -> phases. It decides who sees which data and what is writable;
how a sandbox enforces it is the executor's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from controller.domain import BASELINE, TryId, TryRequest
from controller.executor.score_file import place_of, with_file_printed
from controller.settings import LimitSettings, Settings, TaskSettings

TASK = "/task"
DATA = "/data"
ARTIFACT = "/artifact"
SOCKET = "/socket"
RESULT = "/result"


class Volume(StrEnum):
    """A place that outlives a phase; everything else in a sandbox vanishes with it."""

    TASK = "task"
    """The attempt's own copy of the task folder; a phase without it sees the folder itself, read-only."""

    DATA = "data"
    ARTIFACT = "artifact"
    SOCKET = "socket"
    RESULT = "result"


class PhaseName(StrEnum):
    """The steps of an attempt."""

    TRAIN = "train"
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
    supervised: its first process is the examiner's, made for being process 1 of its namespace. The kernel spares a
    process 1 from its own signals: there an abort of the task's own program reads as a segmentation fault.
    knows_questions: the agent's code meets questions of the exam in it, so nothing that it leaves in the kernel may
    reach a later phase.
    receives_messages: such a message would be of use in it.
    hides: files of the task folder that are not in it, because they are the examiner's.
    """

    name: PhaseName
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    seconds: float
    edited: bool = True
    accelerator: bool = True
    restarts: bool = False
    supervised: bool = True
    knows_questions: bool = False
    receives_messages: bool = False
    hides: tuple[str, ...] = ()

    @property
    def writes_to_task(self) -> bool:
        """True if it is given a copy of the task folder that it may change; else it sees the folder itself."""
        return any(mount.volume is Volume.TASK for mount in self.mounts)


def phases(settings: Settings, request: TryRequest) -> tuple[Phase, ...]:
    """The phases of one try, in order; `candidate` runs beside `examine`."""
    task, deadlines, limits = settings.task, settings.deadlines, settings.executor.limits
    budget = settings.budget.train_seconds
    if task.score == "log":
        return (_log_scored(task, request, budget=budget, seconds=deadlines.log_scored or 2 * budget),)
    train = _train(task, request, limits, budget=budget, seconds=budget + deadlines.train_grace)
    candidate = _candidate(task, limits, seconds=deadlines.examine)
    examine = _examine(task, request, seconds=deadlines.examine)
    return (train, candidate, examine)


def data_parts(settings: Settings) -> tuple[str, ...]:
    """Every part of the data folder that a phase of some try is shown, as paths below it."""
    parts: dict[str, None] = {}
    for probe_set in range(1 if settings.task.examiner_file else settings.task.probe_sets):
        request = TryRequest(id=TryId(settings.tag, 0, 1, 1), commit="", files={}, seed=0, probe_set=probe_set)
        for phase in phases(settings, request):
            parts.update({mount.subpath: None for mount in phase.mounts if mount.volume is Volume.DATA})
    if settings.task.score == "exam":
        parts.update({f"reserve/{number:03d}": None for number in range(settings.task.reserve_slices)})
    return tuple(part for part in parts if part)


def trusted_files(task: TaskSettings) -> tuple[str, ...]:
    """Files of the task folder that only the examiner may see: no phase of the agent's code is shown them."""
    return (task.examiner_file,) if task.score == "exam" and task.examiner_file else ()


def prepare_environment(task: TaskSettings) -> dict[str, str]:
    """Environment of the task's prepare.py. A task that has no presets need not know of it."""
    return {"AUTORESEARCH_PRESET": task.preset} if task.preset else {}


def _log_scored(task: TaskSettings, request: TryRequest, *, budget: float, seconds: float) -> Phase:
    place = place_of(task.score_file or "")
    return Phase(
        name=PhaseName.TRAIN,
        command=with_file_printed(task.command, place) if place else task.command,
        environment=_train_environment(task, request, budget=budget) | {"AUTORESEARCH_DATA": task.data_path},
        mounts=(
            Mount(Volume.TASK, TASK, writable=True),
            Mount(Volume.DATA, task.data_path),
            Mount(Volume.ARTIFACT, ARTIFACT, writable=True),
        ),
        seconds=seconds,
        supervised=False,
    )


def _train(task: TaskSettings, request: TryRequest, limits: LimitSettings, *, budget: float, seconds: float) -> Phase:
    return Phase(
        name=PhaseName.TRAIN,
        command=("python", "-m", f"{_package(task)}.supervise", "--", *task.command),
        environment=_train_environment(task, request, budget=budget) | _artifact_limit(limits),
        mounts=(*_data("train", *_tokenizer(task)), Mount(Volume.ARTIFACT, ARTIFACT, writable=True)),
        seconds=seconds,
        receives_messages=True,
        hides=trusted_files(task),
    )


def _candidate(task: TaskSettings, limits: LimitSettings, *, seconds: float) -> Phase:
    return Phase(
        name=PhaseName.CANDIDATE,
        command=("python", "-m", *_candidate_program(task)),
        environment={
            "AUTORESEARCH_ARTIFACT": ARTIFACT,
            "AUTORESEARCH_SOCKET": SOCKET,
            **task.environment,
            **_artifact_limit(limits),
        },
        mounts=(Mount(Volume.ARTIFACT, ARTIFACT), Mount(Volume.SOCKET, SOCKET)),
        seconds=seconds,
        restarts=True,
        knows_questions=True,
        receives_messages=True,
        hides=trusted_files(task),
    )


def _examine(task: TaskSettings, request: TryRequest, *, seconds: float) -> Phase:
    texts, told = _texts_asked(request)
    file = task.examiner_file
    return Phase(
        name=PhaseName.EXAMINE,
        command=("python", "-m", *(("exam.kit.examine", file) if file else (f"{_package(task)}.examine",))),
        environment={
            "AUTORESEARCH_DATA": DATA,
            "AUTORESEARCH_SOCKET": SOCKET,
            "AUTORESEARCH_RESULT": f"{RESULT}/message",
            "AUTORESEARCH_ATTEMPT": str(request.id),
            **told,
            **(_metric(task) if file else _noise(request)),
        },
        mounts=(
            *_data(*_tokenizer(task), "validation", "manifest.json"),
            *texts,
            *(() if file else (Mount(Volume.DATA, f"{DATA}/probe", f"probes/{request.probe_set:02d}"),)),
            Mount(Volume.SOCKET, SOCKET, writable=True),
            Mount(Volume.RESULT, RESULT, writable=True),
        ),
        seconds=seconds,
        edited=False,
        accelerator=False,
    )


def _package(task: TaskSettings) -> str:
    """The package of the phases; a task with an examiner of its own has the training's from the one that ships."""
    return "exam" if task.examiner_file else task.examiner


def _candidate_program(task: TaskSettings) -> tuple[str, ...]:
    if not task.examiner_file:
        return (f"{_package(task)}.candidate",)
    if task.serve:
        return ("exam.kit.candidate", "--program", *task.serve)
    return ("exam.kit.candidate", "--module", task.answering_module)


def _tokenizer(task: TaskSettings) -> tuple[str, ...]:
    return () if task.examiner_file else ("tokenizer",)


def _metric(task: TaskSettings) -> dict[str, str]:
    return {"AUTORESEARCH_METRIC": task.metric, "AUTORESEARCH_DIRECTION": task.direction}


def _texts_asked(request: TryRequest) -> tuple[tuple[Mount, ...], dict[str, str]]:
    """The texts beside validation that the examiner asks: what it sees of them, and what it is told."""
    mounts: list[Mount] = []
    told = {}
    if request.reserve is not None:
        number = f"{request.reserve:03d}"
        mounts.append(Mount(Volume.DATA, f"{DATA}/reserve", f"reserve/{number}"))
        told["AUTORESEARCH_RESERVE"] = number
    if request.holdout:
        mounts += _data("holdout")
        told["AUTORESEARCH_HOLDOUT"] = "1"
    return tuple(mounts), told


def _noise(request: TryRequest) -> dict[str, str]:
    """The measurements of the baseline's exams, as variables such as AUTORESEARCH_BASELINE_SPREAD.

    The exam of the baseline itself is told so: people wrote it, and its noise is what is to be measured.
    """
    measured = asdict(request.baseline) if request.baseline else {}
    told = {}
    for name, value in measured.items():
        variable = f"baseline_{name}".upper()
        told[f"AUTORESEARCH_{variable}"] = f"{value:.9f}"
    return told | ({"AUTORESEARCH_BASELINE_ITSELF": "1"} if request.id.experiment == BASELINE else {})


def _data(*names: str) -> tuple[Mount, ...]:
    return tuple(Mount(Volume.DATA, f"{DATA}/{name}", name) for name in names)


def _train_environment(task: TaskSettings, request: TryRequest, *, budget: float) -> dict[str, str]:
    return {
        **task.environment,
        "AUTORESEARCH_SEED": str(request.seed),
        "AUTORESEARCH_TRAIN_SECONDS": f"{budget:g}",
        "AUTORESEARCH_DATA": DATA,
        "AUTORESEARCH_ARTIFACT": ARTIFACT,
    }


def _artifact_limit(limits: LimitSettings) -> dict[str, str]:
    return {
        "AUTORESEARCH_ARTIFACT_BYTES": str(int(limits.artifact_gb * 2**30)),
        "AUTORESEARCH_ARTIFACT_FILES": str(limits.artifact_files),
    }
