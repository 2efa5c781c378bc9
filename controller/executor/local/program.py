"""Looks inside a sandbox for the program that a task names, before anything is trained.

A program can be there for the operator and not for the sandbox: outside of the folders that it shows, behind a name
that begins with a dot, or as a script whose interpreter lies elsewhere.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from controller.errors import TaskError
from controller.executor.local.capped_log import CappedLog
from controller.executor.local.host import Host, with_own_python
from controller.executor.local.process import Confined, run_phase
from controller.executor.local.sandbox import Command, Places, Scratch, in_bubblewrap, in_the_open
from controller.executor.local.task_copy import measure
from controller.executor.local.try_folder import task_entries
from controller.executor.phases import Phase, PhaseName
from controller.executor.walls import Wall, Walls, remedy
from controller.settings import search_path

SECONDS = 30
"""Seconds for the interpreter to start and look at two files. A machine that needs longer is stuck."""

_MANAGERS = ("uv", "uvx", "poetry", "pipenv", "pdm", "hatch", "rye", "pixi", "npx")
"""Programs that prepare an environment before they start another program."""

_INTERPRETERS = ("python", "sh", "bash", "dash", "node", "perl", "ruby", "Rscript", "julia")

# execve(2) reads up to 255 characters behind #!, and gives what follows the interpreter on as one argument.
LOOK = """\
import os, shutil, sys
program, script, runs_scripts = sys.argv[1], sys.argv[2], sys.argv[3] == "yes"

def say(*words):
    print(*words, sep="\\t")
    sys.exit()

found = shutil.which(program)
if not found:
    say("forbidden" if "/" in program and os.path.isfile(program) else "missing", program)
with open(found, "rb") as file:
    first = file.read(256).split(b"\\n")[0]
if first.startswith(b"#!") and first.endswith(b"\\r"):
    say("returns", program)
if first.startswith(b"#!"):
    words = first[2:].decode(errors="replace").split()
    wanted = words[1] if words and os.path.basename(words[0]) == "env" and len(words) > 1 else (words or [""])[0]
    if not wanted.startswith("-") and not shutil.which(wanted):
        say("interpreter", program, wanted)
if runs_scripts and script and not script.startswith("-") and not os.path.exists(script):
    say("script", script)
say("found")
"""
"""What is run in the task's folder by the interpreter of the sandbox, which is always there."""


def require_program(host: Host, *, log_path: Path) -> None:
    """Raise TaskError where the sandbox does not find the task's program, or the script that it is to run."""
    with CappedLog(log_path, limit=2**16) as log:
        confined = Confined(command=_command(with_own_python(host)), rlimits={}, cgroup=None)
        run_phase(confined, log=log, seconds=SECONDS, stops=(), watch=lambda: None)
        said = log.last_line()
    log_path.unlink()
    if fault := fault_of(said, host.walls):
        chosen = host.settings.task.environment_folder is not None
        raise TaskError(_told_where(said, has_environment=chosen) or fault)


def require_room_for_copy(host: Host) -> None:
    """Raise TaskError where the task folder is larger than the copy that every attempt without an exam gets of it."""
    if host.settings.task.score != "log":
        return
    limit = host.settings.executor.limits.task_gb
    entries = task_entries(host.task_folder, hidden=host.hidden, edited=None, names=())
    enough = int(limit * 2**30)
    if measure(entries, enough=enough) > enough:
        raise TaskError(
            f"task folder {host.task_folder} holds more than {limit:g} GB, and every attempt gets a copy to write to: "
            "name its large folders in task.mounts, put data into the campaign's data folder, or raise "
            "executor.limits.task_gb"
        )


def _command(host: Host) -> Command:
    task = host.settings.task
    look = Phase(
        name=PhaseName.TRAIN,
        command=("python", "-c", LOOK, *arguments(task.command)),
        environment={},
        mounts=(),
        seconds=SECONDS,
        accelerator=False,
    )
    entries = task_entries(host.task_folder, hidden=host.hidden, edited=host.task_folder, names=task.editable)
    shown = (*entries, *host.shown_in_task)
    places = Places(volumes={}, task=shown, etc=host.etc, filters=host.filters, frozen=host.frozen)
    if host.bubblewrap:
        scratch = Scratch(temporary_bytes=2**20)
        return in_bubblewrap(look, places=places, machine=host.machine, bubblewrap=host.bubblewrap, scratch=scratch)
    command = in_the_open(look, view=host.etc, places=places, machine=host.machine, processes=None, temporary=host.etc)
    # A phase gets a view of links to the task folder; a look needs none.
    return replace(command, folder=str(host.task_folder))


def _told_where(said: str, *, has_environment: bool) -> str:
    """The sentence for a program that the sandbox lacks and this machine has; empty where it has none either."""
    match said.strip().split("\t"):
        case ["missing", program]:
            lacks, wanted = f"task.command: {program} is not found", program
        case ["interpreter", program, wanted]:
            lacks = f"task.command: {program} is run by {wanted}, which is not found"
        case _:
            return ""
    # A relative path is one of the task folder. What a manager does needs the network, so the way is without it.
    if (not os.path.isabs(wanted) and "/" in wanted) or os.path.basename(wanted) in _MANAGERS:
        return ""
    found = shutil.which(wanted, path=search_path())
    return f"{lacks} in the sandbox; {way_to(found, has_environment=has_environment)}" if found else ""


def way_to(program: str, *, has_environment: bool) -> str:
    """How a task may run a program of this machine, given by its path; has_environment: it has chosen another one."""
    name, real = os.path.basename(program), os.path.realpath(program)
    if os.path.basename(real) == "rustup":
        return (
            f"on this machine {name} is started by rustup: set task.environment_folder to the folder of a toolchain, "
            "which `rustc --print sysroot` prints"
        )
    if re.fullmatch(r"python[0-9.]*", name):
        return f"on this machine it is {program}: make an environment with it, and name that in task.environment_folder"
    place = next((path for path in (program, real) if _has_own_folder(Path(path))), "")
    if not place:
        return f"on this machine it is {program}: install it in /usr/local, or in an environment of the task"
    folder = Path(place).parents[1]
    if has_environment:
        return f"on this machine it is {place}: name {folder} in task.mounts, and write {place} in task.command"
    return f"on this machine it is {place}: set task.environment_folder to {folder}"


def _has_own_folder(program: Path) -> bool:
    """True for a program in `bin` of a folder that holds little else, as installations of Go, node or conda do."""
    folder = program.parents[1] if len(program.parents) > 1 else program.parent
    return program.parent.name == "bin" and folder.name != ".local" and folder not in (Path("/"), Path.home())


def arguments(command: Sequence[str]) -> tuple[str, ...]:
    """Arguments of LOOK for a task's command."""
    program, script = command[0], command[1] if len(command) > 1 else ""
    name = program.rpartition("/")[2].rstrip("0123456789.")
    return program, script, "yes" if name in _INTERPRETERS else "no"


def fault_of(said: str, walls: Walls) -> str:
    """The sentence for what LOOK printed; empty where the program was found, or where nothing was understood."""
    match said.strip().split("\t"):
        case ["missing", program]:
            return f"task.command: {program} is not found; {walls.programs}"
        case ["forbidden", program]:
            return f"task.command: {program} cannot be executed; {remedy(Wall.NOT_EXECUTABLE, walls)}"
        case ["interpreter", program, wanted]:
            return f"task.command: {program} is run by {wanted}, which is not found; {walls.programs}"
        case ["returns", program]:
            return (
                f"task.command: {program} has line ends of Windows, with which its first line names no program: "
                "save it with those of Unix"
            )
        case ["script", script]:
            return f"task.command: {script} is not in the task folder"
        case _:
            return ""
