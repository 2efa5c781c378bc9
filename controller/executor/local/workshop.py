"""Runs programs that propose edits, each in a sandbox of its own like that of a training: the Workshop protocol.

The program sees the system's programs, the folders that `agent.command.mounts` names, and its working folder, which
alone it may write. It sees no lab, no data, no exam, no other session, and no network: where it may ask a model, one
Unix socket leads to the gateway (`forwarder`). What limits a training limits it: memory, processes, disk, a deadline,
the filter of system calls. When it ends, nothing of it is left.

No session runs while an exam of this process is held: it is frozen as a whole, or waits, or is waited for
(`exam_hours`). Otherwise covered and not covered is what `sandbox` says of a phase.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

from controller.errors import AgentError, SandboxError
from controller.executor.local import diagnoses
from controller.executor.local.bench import Bench
from controller.executor.local.capped_log import CappedLog
from controller.executor.local.cgroups import Cgroup
from controller.executor.local.deletion import Trash
from controller.executor.local.disk_watch import Bound, DiskWatch
from controller.executor.local.exam_hours import EXAM_HOURS, ExamHours, ProgramHours
from controller.executor.local.process import Cause, PhaseEnd, Stop, run_phase
from controller.executor.local.program import LOOK, arguments
from controller.executor.local.session_place import SessionPlace, prepare_place
from controller.executor.local.session_setup import GATEWAY_PORT, confine_session
from controller.executor.local.surroundings import see_obstacles
from controller.executor.local.witness import OWN_USE
from controller.executor.workshop import FOLDER_GB, OUTPUT_SHOWN, Serve, Session, SessionCause, SessionEnd
from controller.settings import CommandSettings
from controller.text.safe_text import safe_tail

FOLDER_FILES = 20_000
"""Most files and folders in the folder of a session."""

OUTPUT_BYTES = 2**20
"""Bytes of its output that are kept while it runs (1 MiB)."""

LOOK_SECONDS = 30
"""For the interpreter to start and to look for a program; more means that the machine stands still."""

CAUSES = {
    Cause.EXITED: SessionCause.EXITED,
    Cause.DEADLINE: SessionCause.DEADLINE,
    Cause.MEMORY: SessionCause.MEMORY,
    Cause.OVERSIZE: SessionCause.OVERSIZE,
    Cause.DISK_FULL: SessionCause.DISK_FULL,
    Cause.STOPPED: SessionCause.STOPPED,
    Cause.NOT_STARTED: SessionCause.NOT_STARTED,
}


class LocalWorkshop:
    """Runs sessions on this machine; safe to call from several threads.

    folder: created if missing, and emptied at the first use; it belongs to one controller. secrets: files and folders
    that no program may see, such as the campaign. held_out: names of folders of Python's library that are hidden.
    has_exams: true if exams are held in this campaign. warn: takes a sentence for the operator, from any thread.
    """

    def __init__(
        self,
        settings: CommandSettings,
        *,
        folder: Path,
        secrets: Sequence[Path],
        held_out: Sequence[str] = (),
        has_exams: bool = True,
        exam_hours: ExamHours = EXAM_HOURS,
        warn: Callable[[str], None],
    ) -> None:
        self._settings, self._folder, self._secrets, self._warn = settings, folder.absolute(), secrets, warn
        self._held_out = held_out
        self._has_exams, self._exam_hours = has_exams, exam_hours
        self._stop = Stop()
        self._lock = Lock()
        self._made: SessionPlace | None = None

    @property
    def gateway_url(self) -> str:
        """The port of the program's own loopback at which the gateway answers."""
        return f"http://127.0.0.1:{GATEWAY_PORT}"

    def check(self, command: tuple[str, ...]) -> None:
        """Make a sandbox and look in it for the program. Raises SandboxError, TaskError, AgentError."""
        look = Session(
            command=("python", "-c", LOOK, *arguments(command)),
            environment={},
            files={},
            wanted={},
            seconds=LOOK_SECONDS,
        )
        end = self.run(look, serve=None)
        said = end.output.strip()
        if end.cause is not SessionCause.EXITED or end.code != 0:
            obstacles = see_obstacles(self._place.bubblewrap.program)
            raise SandboxError(diagnoses.refused_sandbox(end.detail or said or f"exit code {end.code}", obstacles))
        if fault := fault_of(said):
            raise AgentError(fault)

    def run(self, session: Session, *, serve: Serve | None) -> SessionEnd:
        """Run one session to its end. Raises SandboxError where this machine fails."""
        bench = Bench(self._folder / uuid.uuid4().hex)
        place = self._place
        try:
            bench.lay_out(session.files)
            with ExitStack() as open_while_it_runs:
                if serve is not None:
                    open_while_it_runs.enter_context(serve(open_while_it_runs.enter_context(bench.listen())))
                end, output, still = self._run(session, bench, place, forwards=serve is not None)
            files, faults = bench.read_back(session.wanted)
        except OSError as error:
            raise SandboxError(f"no session can be run in {self._folder}: {error}") from error
        finally:
            self._forget(bench.root, place.trash)
        return SessionEnd(
            cause=CAUSES[end.cause],
            code=end.code,
            seconds=end.seconds,
            still_seconds=still,
            detail=end.detail,
            output=safe_tail(output, OUTPUT_SHOWN),
            files=files,
            faults=faults,
        )

    def stop(self) -> None:
        """Kill every session, and let none begin any more."""
        self._stop.set()

    def _run(
        self, session: Session, bench: Bench, place: SessionPlace, *, forwards: bool
    ) -> tuple[PhaseEnd, bytes, float]:
        """Run it in a cgroup of its own where there is one; its end, its output, and seconds for which it stood still.

        Nothing of it is left when this returns.
        """
        limits = place.confinement.limits
        cgroup = place.confinement.cgroups.make(bench.root.name, limits) if place.confinement.cgroups else None
        freezer = cgroup.freezer if cgroup else None
        try:
            with self._exam_hours.hold_program(freezer, give_up=lambda: self._stop.is_set) as hours:
                if hours is None:
                    return PhaseEnd(cause=Cause.STOPPED), b"", 0.0
                try:
                    if cgroup:
                        OWN_USE.begin(cgroup)
                    end, output = self._run_beside(hours, session, bench, place, cgroup=cgroup, forwards=forwards)
                finally:
                    if cgroup:
                        # A frozen process of version 1 dies only when it is thawed, which this does.
                        cgroup.kill()
                        OWN_USE.end(cgroup)
                return end, output, hours.still_seconds
        finally:
            if cgroup:
                cgroup.remove()

    def _run_beside(
        self,
        hours: ProgramHours,
        session: Session,
        bench: Bench,
        place: SessionPlace,
        *,
        cgroup: Cgroup | None,
        forwards: bool,
    ) -> tuple[PhaseEnd, bytes]:
        """Run it to its end, the hours of exams not counted."""
        bound = Bound(bench.folder, FOLDER_GB, "the most of a session", FOLDER_FILES)
        disk = DiskWatch(bench.root, {"its folder": bound}, cgroup.processes if cgroup else tuple)
        with CappedLog(bench.log, limit=OUTPUT_BYTES) as log:
            end = run_phase(
                confine_session(session, bench, place, cgroup=cgroup, forwards=forwards),
                log=log,
                seconds=session.seconds,
                stops=(self._stop,),
                watch=disk.look,
                pause=disk.pause,
                stood_still=lambda: hours.still_seconds,
            )
            return end, log.end()

    def _forget(self, root: Path, trash: Trash) -> None:
        """Delete what a session left; what stays is told, and harms nobody."""
        if root.exists():
            trash.take(root)
        for sentence in trash.empty():
            self._warn(f"{sentence}; the campaign goes on")

    @property
    def _place(self) -> SessionPlace:
        with self._lock:
            if self._made is None:
                try:
                    self._made = prepare_place(
                        self._settings, self._folder, secrets=self._secrets, held_out=self._held_out
                    )
                except OSError as error:
                    raise SandboxError(f"the folder for sessions, {self._folder}, cannot be used: {error}") from error
                if self._has_exams and not self._made.freezes:
                    self._warn(diagnoses.no_freezer())
            return self._made


def fault_of(said: str) -> str:
    """The sentence for what LOOK printed; empty where the program was found, or where nothing was understood."""
    where = "name it whole, and the folder that it lies in in agent.command.mounts"
    match said.split("\t"):
        case ["missing", program]:
            return f"agent.command.run: {program} is not found in the sandbox: {where}"
        case ["forbidden", program]:
            return f"agent.command.run: {program} cannot be executed: chmod +x it, or name its interpreter first"
        case ["interpreter", program, wanted]:
            return f"agent.command.run: {program} is run by {wanted}, which is not found in the sandbox: {where}"
        case ["script", script]:
            return f"agent.command.run: {script} is not seen in the sandbox: {where}"
        case _:
            return ""
