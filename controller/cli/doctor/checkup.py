"""Looks at a campaign before anything is spent. Each look gives one finding; a failed one tells what to do.

Short attempts are run through the campaign's executor, so that what is seen is what its attempts will meet.
"""

from __future__ import annotations

import ast
import os
import platform
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

from controller.campaign.preflight import check_start, require_data_parts
from controller.cli.doctor.findings import Finding, State
from controller.cli.doctor.trials import Trials, sentence, trials
from controller.domain import Outcome, Result, Witness
from controller.edits import syntax
from controller.errors import AutoresearchError
from controller.executor.attempt_end import in_unit_of
from controller.folder import CampaignFolder, check_preset, read_manifest, task_folder
from controller.folder.ballast import room_on
from controller.run.command_agent import look_for_program
from controller.run.prepare import prepare_data
from controller.run.wiring import check_agent, check_executor, training_device
from controller.settings import Device, Settings

BUSY = 0.3
"""Load for each core above which scores of this machine are noisier than they need be."""

WAITED = 0.1
"""Share of the time that a training waited for a CPU, above which it is not left alone."""

ENOUGH_DISK_GB = 2.0
"""Free gigabytes below which a night may end for lack of disk."""

LOOK = """\
import importlib.util, os, sys
print("doctor python", sys.version.split()[0], sys.executable)
missing = [name for name in {names!r} if importlib.util.find_spec(name) is None]
print("doctor missing", *missing)
if {torch!r} and importlib.util.find_spec("torch"):
    import torch
    seen = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    print("doctor gpu", seen)
"""
"""Put in place of the agent's file for one look from inside the sandbox."""


def check_up(folder: CampaignFolder, settings: Settings, *, seconds: float) -> Generator[Finding]:
    """Findings, each as soon as it was made. seconds: longest of the short trainings."""
    yield _look("settings and task", lambda: _start(folder, settings))
    yield _look("agent", lambda: _agent(folder, settings))
    yield _disk(folder.path)
    yield _machine(settings)
    data = _look("data", lambda: _data(folder, settings))
    yield data
    if settings.executor.kind == "kubernetes":
        yield _look("cluster", lambda: _cluster(settings))
    if data.state is State.BAD:
        return
    try:
        with trials(folder, settings, seconds=seconds) as some:
            where = "cluster" if settings.executor.kind == "kubernetes" else "sandbox"
            yield Finding(where, State.GOOD, "one was made, and a program ran in it")
            yield from _inside(some, settings)
            yield from _short_runs(some, settings)
    except AutoresearchError as error:
        yield Finding("sandbox", State.BAD, sentence(error))


def _look(subject: str, look: Callable[[], tuple[State, str]]) -> Finding:
    try:
        state, seen = look()
    except AutoresearchError as error:
        state, seen = State.BAD, sentence(error)
    return Finding(subject, state, seen)


def _start(folder: CampaignFolder, settings: Settings) -> tuple[State, str]:
    warnings = check_start(folder, settings)
    task = settings.task
    scored = f"{task.metric}, {task.direction}d, by {'its exam' if task.score == 'exam' else 'its own log: unverified'}"
    return (State.DOUBTFUL, "; ".join(warnings)) if warnings else (State.GOOD, scored)


def _agent(folder: CampaignFolder, settings: Settings) -> tuple[State, str]:
    check_agent(settings)
    agent = settings.agent
    if agent.kind == "command":
        look_for_program(folder, settings)
        if settings.executor.kind == "kubernetes":
            image = agent.command.image or settings.executor.kubernetes.image
            return State.GOOD, f"command: {agent.command.shown_name} runs in image {image}, where a Job looks for it"
        return State.GOOD, f"command: {agent.command.shown_name} is found in its sandbox"
    models = f", models {', '.join(agent.claude.models)}: access and prices are there" if agent.kind == "claude" else ""
    return State.GOOD, f"{agent.kind}{models}"


def _cluster(settings: Settings) -> tuple[State, str]:
    check_executor(settings.executor, serves=settings.server.enabled)
    cluster = settings.executor.kubernetes
    return State.GOOD, f"namespace {cluster.namespace} can be used; attempts run image {cluster.image}"


def _data(folder: CampaignFolder, settings: Settings) -> tuple[State, str]:
    if settings.task.score == "log":
        there = folder.data.is_dir()
        return State.GOOD, f"{folder.data} is shown at {settings.task.data_path}" if there else "the task is given none"
    if settings.executor.kind == "kubernetes":
        prepare_data(folder, settings, say=lambda _: None)
        return State.GOOD, "prepared on the cluster"
    made = not folder.data.exists()
    if made:
        prepare_data(folder, settings, say=lambda _: None)
    manifest = read_manifest(folder.data)
    check_preset(manifest, settings, folder.data)
    require_data_parts(folder.data, settings)
    identity = str(manifest.get("identity", ""))[:4]
    return State.GOOD, f"{'made now' if made else 'there'}, all files as the manifest says (sealed {identity}…)"


def _disk(path: Path) -> Finding:
    existing = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    free = room_on(existing) / 2**30
    if free < ENOUGH_DISK_GB:
        return Finding("disk", State.DOUBTFUL, f"{free:.1f} GB free: a night of attempts may fill it, so free some")
    return Finding("disk", State.GOOD, f"{free:.0f} GB free")


def _machine(settings: Settings) -> Finding:
    if settings.executor.kind == "kubernetes":
        return Finding("machine", State.GOOD, "attempts run on the cluster's nodes")
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    seen = f"{cores} cores, load {load:.1f}, {platform.machine()}, trains on {training_device(settings.executor).value}"
    if load > BUSY * cores:
        return Finding("machine", State.DOUBTFUL, f"{seen}: something else computes here, which makes scores noisier")
    return Finding("machine", State.GOOD, seen)


def _inside(some: Trials, settings: Settings) -> Iterator[Finding]:
    """Finds out in the sandbox which interpreter the task has, and which of its imports that finds."""
    name = next((file for file in some.files if file.endswith(".py") and file in settings.task.command), "")
    if not name:
        yield Finding("interpreter", State.GOOD, "the command runs no editable Python file, so the short run looks")
        return
    names = _imports(some.files.values(), own={Path(file).parts[0].removesuffix(".py") for file in some.files})
    gpu = training_device(settings.executor) is Device.GPU
    result = some.run(files={name: LOOK.format(names=names, torch=gpu)})
    told = {}
    for line in result.log_tail.splitlines():
        if line.startswith("doctor "):
            subject, _, rest = line.removeprefix("doctor ").partition(" ")
            told[subject] = rest.strip()
    if "python" not in told:
        yield Finding("interpreter", State.BAD, result.reason or "it printed nothing")
        return
    task = {path.name.removesuffix(".py") for path in _task_entries(settings)}
    missing = [module for module in told.get("missing", "").split() if module not in task]
    if missing:
        yield Finding(
            "interpreter",
            State.BAD,
            f"{told['python']} does not find {', '.join(missing)}: install it there, or set task.environment_folder",
        )
        return
    yield Finding("interpreter", State.GOOD, f"Python {told['python']}, all of its {len(names)} imports are found")
    if gpu:
        none = told.get("gpu", "none") == "none"
        yield Finding("GPU", State.DOUBTFUL if none else State.GOOD, "PyTorch sees none" if none else told["gpu"])


def _task_entries(settings: Settings) -> list[Path]:
    return list(task_folder(settings).iterdir())


def _imports(sources: Iterable[str], *, own: set[str]) -> list[str]:
    """Top-level modules that these programs import, without their own."""
    found: set[str] = set()
    for source in sources:
        tree = syntax.parse(source)
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return sorted(found - own - {"__future__"})


def _short_runs(some: Trials, settings: Settings) -> Iterator[Finding]:
    """Three short trainings: one with another seed, so that noise and seeds are told apart."""
    first = in_unit_of("", some.run(seed=1), settings.task)
    yield _one_run(first, some, settings)
    if first.outcome is not Outcome.SCORED or first.score is None:
        return
    yield _noise(first.witness)
    again, other = (in_unit_of(first.score.unit, some.run(seed=seed), settings.task) for seed in (1, 2))
    if again.score is None or other.score is None:
        broken = again if again.score is None else other
        yield Finding("seed", State.DOUBTFUL, f"a second run of the same code {broken.outcome.value}: {broken.reason}")
        return
    yield _seeds(first.score.value, again.score.value, other.score.value)


def _one_run(result: Result, some: Trials, settings: Settings) -> Finding:
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.phase_seconds.items())
    short = some.settings.budget.train_seconds
    if result.outcome is Outcome.SCORED and result.score is not None:
        seen = f"{settings.task.metric} {result.score.value:.5g} ({result.score.provenance.value}); {took}"
        return Finding("short run", State.GOOD, seen)
    if result.outcome is Outcome.TIMED_OUT and short < settings.budget.train_seconds:
        return Finding(
            "short run",
            State.DOUBTFUL,
            f"it does not end within {short:g} s, so it was not scored: it may need all of its "
            f"{settings.budget.train_seconds:g} s (--seconds)",
        )
    return Finding("short run", State.BAD, f"{result.outcome.value}: {result.reason}")


def _noise(witness: Witness | None) -> Finding:
    if witness is None or witness.waited is None:
        return Finding("noise", State.DOUBTFUL, "this machine does not tell how long a training waits for CPUs")
    seen = f"the training waited for a CPU {100 * witness.waited:.0f} % of the time"
    if witness.waited > WAITED:
        return Finding("noise", State.DOUBTFUL, f"{seen}: leave the machine alone, or use fewer slots")
    return Finding("noise", State.GOOD, seen)


def _seeds(first: float, again: float, other: float) -> Finding:
    if first == again == other:
        return Finding(
            "seed",
            State.DOUBTFUL,
            "three runs with two seeds scored the same: the program has no chance in it, or ignores AUTORESEARCH_SEED",
        )
    if first == again:
        return Finding("seed", State.GOOD, f"obeyed: {first:.5g} twice with one seed, {other:.5g} with another")
    spread = max(first, again, other) - min(first, again, other)
    seen = f"one seed gives {first:.5g} and {again:.5g}, another {other:.5g}: {spread:.2g} apart"
    return Finding("seed", State.GOOD, seen)
