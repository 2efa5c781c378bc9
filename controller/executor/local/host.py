"""The host of an executor: this machine, the folders of the campaign, and a sandbox that was tried out.

Refuses to go on where data would be readable from inside, and where no sandbox can be made.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from controller.domain import Provenance
from controller.errors import DataError, SandboxError
from controller.executor.local import diagnoses
from controller.executor.local.capped_log import CappedLog
from controller.executor.local.confinement import Confinement
from controller.executor.local.environment import own_environment_of, with_environment
from controller.executor.local.frozen import Copies, copy_machine
from controller.executor.local.gpus import Accelerator
from controller.executor.local.machine import Bubblewrap, Machine, find_bubblewrap, find_libraries, look_around
from controller.executor.local.process import Cause, Confined, PhaseEnd, run_phase
from controller.executor.local.sandbox import ETC_FILES, NOTHING, Places, Scratch, in_bubblewrap
from controller.executor.local.surroundings import see_obstacles
from controller.executor.phases import Phase, PhaseName, trusted_files
from controller.executor.walls import WITH_COPY, Walls
from controller.folder import hidden_folders, shipped_task
from controller.settings import Settings, search_path

_NO_FILTER = 3
"""Exit code of exam/kit/system_calls.py on an architecture whose calls it does not know."""

_TORCH_SECONDS = 120
"""Starting PyTorch takes seconds; on a machine that has never done it, with its disk busy, a minute."""

# PyTorch raises nothing where driver and CUDA do not fit each other: it warns, and sees no GPU.
_ASK_TORCH = """
import warnings
import torch
with warnings.catch_warnings(record=True) as told:
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
print(seen, f"PyTorch {torch.__version__}:", *(str(one.message).split(chr(10))[0] for one in told[:1]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The things that all tries of an executor share. `bubblewrap` is None if there is no sandbox."""

    settings: Settings
    machine: Machine
    bubblewrap: Bubblewrap | None
    confinement: Confinement
    task_folder: Path
    data_folder: Path
    etc: Path
    filters: Path | None
    """Folder of the system-call filters; None where this architecture has none, and where there is no sandbox."""
    frozen: Copies
    """Copies of the kernel's files for sandboxes; none where there is no sandbox."""
    hidden: Sequence[Path]
    """Paths in the task folder that no phase sees: the agent's originals, data, campaign."""
    kit: Path | None = None
    """The package `exam` that ships with us, for a task whose examiner is one file; None for one that has its own."""
    shown_in_task: Sequence[tuple[Path, str]] = ()
    """Read-only folders in the task folder, which are mounted and not copied: path, and path below the task folder."""

    @property
    def provenance(self) -> Provenance:
        """The provenance of an exam's score on this machine."""
        return Provenance.SEALED if self.bubblewrap else Provenance.UNSEALED

    @property
    def walls(self) -> Walls:
        """The limits around an attempt on this machine, in the words of a reason."""
        limits, python, closed = self.settings.executor.limits, self.machine.interpreter, self.bubblewrap is not None
        seen = "the sandbox shows the programs in /usr, the task folder without names that begin with a dot"
        elsewhere = "or set task.environment_folder to an environment that has it (venv, conda, uv, node, Go, Rust)"
        if own := own_environment_of(self.task_folder):
            elsewhere = f"or set task.environment_folder to {own}, which lies in the task folder"
        if not closed:
            seen = "programs are looked for in /usr/local/bin, /usr/bin, /bin"
        network = ", and there is no network" if closed else ""
        install = "install it there beforehand"
        if foreign := self.machine.foreign_packages:
            linked = f"if it is there as a link (pip install -e), name what that leads to, such as {foreign[0]}"
            install = f"{install}; {linked}, in task.mounts"
        return Walls(
            closed=closed,
            programs=f"{seen}, and the environment of {python}: name one, as in [python, train.py], {elsewhere}",
            packages=f"only packages of {python} can be imported{network}: {install}, {elsewhere}",
            **({"writable": WITH_COPY} if self.settings.task.score == "log" else {}),
            memory=f"{limits.memory_gb:g} GB",
            scratch=f"{limits.scratch_gb:g} GB",
            artifact=f"{limits.artifact_gb:g} GB",
            shared=f"{limits.scratch_gb:g} GB (executor.limits.scratch_gb)",
            processes=f"it may have {limits.processes} processes and threads (executor.limits.processes)",
        )


def make_host(settings: Settings, confinement: Confinement, *, task: Path, data: Path, work: Path) -> Host:
    """Look at the machine and try the sandbox out. Raises SandboxError, DataError; OSError for the work folder."""
    machine = with_environment(look_around(), settings.task, folder=task)
    machine = replace(machine, held_out=find_libraries(machine.folders, hidden_folders(data)))
    etc = write_etc(work)
    shown = _shown_in_task(machine, task) if settings.task.score == "log" else ()
    host = Host(
        settings=settings,
        machine=machine,
        bubblewrap=None,
        confinement=confinement,
        task_folder=task,
        data_folder=_usable_data(data, settings, nothing=etc / NOTHING),
        etc=etc,
        hidden=(*_hidden(settings, task=task, data=data, work=work), *(path for path, _ in shown)),
        shown_in_task=shown,
        kit=shipped_task() / "exam" if trusted_files(settings.task) else None,
        filters=None,
        frozen=(),
    )
    if settings.executor.sandbox == "none":
        return host
    refuse_exposed(machine, (data, work))
    bubblewrap = find_bubblewrap(search_path())
    if bubblewrap is None:
        raise SandboxError(diagnoses.no_bubblewrap())
    host = replace(host, bubblewrap=bubblewrap, filters=write_filters(work), frozen=copy_machine(work / "frozen"))
    _try_out(host, bubblewrap, log_path=work / "self-test.log")
    refuse_blind_torch(host, bubblewrap, log_path=work / "self-test.log")
    return host


def _shown_in_task(machine: Machine, task: Path) -> tuple[tuple[Path, str], ...]:
    """Folders inside the task folder that the sandbox mounts: environments, and large folders that are only read."""
    folders = (Path(folder) for folder in machine.folders)
    return tuple((path, str(path.relative_to(task))) for path in folders if path.is_relative_to(task))


def with_own_python(host: Host) -> Host:
    """The host for looks of ours: by the controller's interpreter, since the task's may be broken, or any version."""
    return replace(host, machine=replace(host.machine, interpreter=sys.executable))


def write_etc(work: Path) -> Path:
    """Write the files of /etc that sandboxes see; returns their folder."""
    etc = work / "etc"
    (etc / NOTHING).mkdir(parents=True, exist_ok=True)
    for name, text in ETC_FILES.items():
        (etc / name).write_text(text)
    return etc


def write_filters(work: Path) -> Path | None:
    """Have the exam's own program write the filters, so that sandboxes here and in a cluster have the same."""
    filters = work / "filters"
    filters.mkdir(exist_ok=True)
    program = shipped_task() / "exam" / "kit" / "system_calls.py"
    # In a session of its own: Ctrl-C at the terminal asks the controller alone, which ends what it has begun.
    # -I: no PYTHON* variable, no module of the current folder and none of the user's own can interfere.
    written = subprocess.run(
        [sys.executable, "-I", str(program), str(filters)], capture_output=True, text=True, start_new_session=True
    )
    if written.returncode == _NO_FILTER:
        return None
    if written.returncode != 0:
        raise SandboxError(f"the system-call filter cannot be made: {program} failed: {written.stderr.strip()[-300:]}")
    return filters


def _usable_data(data: Path, settings: Settings, *, nothing: Path) -> Path:
    """The data folder; a task without an exam may have none. Raises DataError."""
    if data.is_dir():
        return data
    if settings.task.score == "exam":
        raise DataError(f"no data in {data}; make it with `autoresearch prepare`")
    return nothing


def _hidden(settings: Settings, *, task: Path, data: Path, work: Path) -> tuple[Path, ...]:
    """The agent's originals, and the campaign where it lies in the task folder: data, tries, lab."""
    campaign = work.parent
    own = () if task.is_relative_to(campaign) else (campaign,)
    return (*(task / name for name in settings.task.editable), data, work, *own)


def refuse_exposed(machine: Machine, secrets: Sequence[Path]) -> None:
    """Raise SandboxError where a sandbox would show one of these files and folders, or a part of one."""
    for folder in machine.folders:
        # What is mounted is the folder that a link leads to.
        for shown in {Path(folder), Path(folder).resolve()}:
            for secret in secrets:
                if secret.is_relative_to(shown):
                    raise SandboxError(f"{secret} lies in {folder}, which every sandbox can read; move it elsewhere")
                if shown.is_relative_to(secret):
                    raise SandboxError(f"{folder} lies in {secret}, which no sandbox may read; name a folder elsewhere")


def _try_out(host: Host, bubblewrap: Bubblewrap, *, log_path: Path) -> None:
    """Make one sandbox and start the interpreter in it."""
    end, said = _run_python(with_own_python(host), bubblewrap, "", seconds=30, log_path=log_path)
    if said or end.code != 0:
        raise SandboxError(
            diagnoses.refused_sandbox(said or f"exit code {end.code}", see_obstacles(bubblewrap.program))
        )


def refuse_blind_torch(host: Host, bubblewrap: Bubblewrap, *, log_path: Path) -> None:
    """Refuse to train the task that ships on a CPU where there is a GPU: PyTorch is asked in the first slot's sandbox.

    Of other tasks it is not known whether they use PyTorch, or a GPU. Raises SandboxError.
    """
    gpus = host.machine.accelerators_of(0, host.settings.executor.slots)
    if not gpus or host.settings.task.folder is not None:
        return
    end, said = _run_python(host, bubblewrap, _ASK_TORCH, seconds=_TORCH_SECONDS, log_path=log_path, gpus=gpus)
    if end.cause is Cause.EXITED and end.code == 0 and said.startswith("0 "):
        raise SandboxError(diagnoses.blind_torch(said.removeprefix("0 "), [gpu.name for gpu in gpus]))


def _run_python(
    host: Host,
    bubblewrap: Bubblewrap,
    program: str,
    *,
    seconds: float,
    log_path: Path,
    gpus: Sequence[Accelerator] = (),
) -> tuple[PhaseEnd, str]:
    """Run a line of Python in a sandbox; how it ended, and the last line that it printed."""
    phase = Phase(
        name=PhaseName.TRAIN,
        command=("python", "-c", program),
        environment={},
        mounts=(),
        seconds=seconds,
        accelerator=bool(gpus),
    )
    command = in_bubblewrap(
        phase,
        places=Places(volumes={}, task=(), etc=host.etc, filters=host.filters, frozen=host.frozen),
        machine=host.machine,
        bubblewrap=bubblewrap,
        # The size of a tmpfs is a limit and no reservation.
        scratch=Scratch(temporary_bytes=2**26),
        accelerators=gpus,
    )
    with CappedLog(log_path, limit=2**16) as log:
        confined = Confined(command=command, rlimits={}, cgroup=None)
        end = run_phase(confined, log=log, seconds=phase.seconds, stops=(), watch=lambda: None)
        said = log.last_line()
    log_path.unlink()
    return end, said
