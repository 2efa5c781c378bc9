"""Compares an attempt in the campaign's loop with the same phases run one after another in the same sandboxes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from controller.domain import BASELINE, TryId, TryRequest
from controller.executor.local import LocalExecutor
from controller.executor.local.sandbox import Command
from controller.executor.phases import PhaseName, phases
from controller.folder import task_folder
from controller.lab import Lab
from controller.settings import Settings
from controller.settings.file import load_settings

RUNS = 3


def measure(folder: Path, *, seconds: float = 20) -> dict[str, float]:
    """Measure their ratio, and the share of the exam in an attempt; takes about five minutes at 20 s."""
    overrides = [f"budget.train_seconds={seconds:g}", "budget.experiments=1", f"judge.baseline_runs={RUNS}"]
    flags = [part for override in overrides for part in ("--set", override)]
    subprocess.run([sys.executable, "-m", "controller.cli", "prepare", str(folder)], check=True, capture_output=True)
    settings = load_settings(folder / "campaign.yaml", overrides)
    by_hand = [_by_hand(folder, settings, number) for number in range(RUNS)]
    subprocess.run(
        [sys.executable, "-m", "controller.cli", "run", str(folder), *flags], check=True, capture_output=True
    )
    through = _through_the_loop(folder, settings)
    results = [a.result for e in Lab.open(folder / "lab.git").experiments("demo") for a in e.attempts if a.result]
    parts = {name: sum(r.phase_seconds[name] for r in results) / len(results) for name in ("train", "examine")}
    return {
        "by hand, s": sum(by_hand) / RUNS,
        "through the loop, s": through,
        "ratio": through / (sum(by_hand) / RUNS),
        "ratio to its own phases (steady under load)": through / _own_phases(folder, settings),
        **{f"{name}, s": value for name, value in parts.items()},
        "exam, share of an attempt": parts["examine"] / sum(parts.values()),
        "the same at 300 s, from these parts": parts["examine"] / (parts["examine"] + 300),
    }


def _through_the_loop(folder: Path, settings: Settings) -> float:
    """Mean seconds from launch to launch of the baseline's attempts, which include the loop's own work."""
    experiments = Lab.open(folder / "lab.git").experiments(settings.tag)
    launched = [a.tries[0].launched_at for a in experiments[BASELINE].attempts]
    following = experiments[1].attempts[0].tries[0].launched_at
    return (following - launched[0]) / len(launched)


def _own_phases(folder: Path, settings: Settings) -> float:
    """Mean seconds of the phases of the baseline's attempts, without the time between them."""
    attempts = Lab.open(folder / "lab.git").experiments(settings.tag)[BASELINE].attempts
    return sum(sum(a.result.phase_seconds.values()) for a in attempts if a.result) / len(attempts)


def _by_hand(folder: Path, settings: Settings, number: int) -> float:
    """Seconds of one try's sandbox commands, run as a shell script would run them."""
    text = (task_folder(settings) / "train.py").read_text()
    id = TryId("hand", BASELINE, number + 1, 1)
    request = TryRequest(id=id, commit="", files={"train.py": text}, seed=number, probe_set=number)
    commands = _commands(folder, settings, request)
    began = time.perf_counter()
    _start(commands[PhaseName.TRAIN]).wait()
    examine = _start(commands[PhaseName.EXAMINE])
    candidate = _start(commands[PhaseName.CANDIDATE])
    while examine.poll() is None:
        if candidate.poll() is not None:
            candidate = _start(commands[PhaseName.CANDIDATE])
        time.sleep(0.005)
    candidate.kill()
    candidate.wait()
    if examine.returncode:
        raise RuntimeError(f"the exam failed with {examine.returncode}")
    return time.perf_counter() - began


def _commands(folder: Path, settings: Settings, request: TryRequest) -> dict[PhaseName, Command]:
    """Ask the executor for its sandbox commands, before the time is taken."""
    executor = LocalExecutor(
        settings, task_folder=task_folder(settings), data_folder=folder / "data", work_folder=folder / str(request.id)
    )
    executor.start(lambda _: None)
    runner = executor._make_runner(request, host=executor._started, folder=executor._folder(request.id)).runner
    runner._folder.create(request.files.items(), short_socket=False)
    return {phase.name: runner._setup.command(phase) for phase in phases(settings, request)}


def _start(command: Command) -> subprocess.Popen[bytes]:
    # The sandbox writes a byte to descriptor 3 when it exists; here nobody reads it.
    argv = ["sh", "-c", 'exec "$@" 3>/dev/null', "sh", *command.argv]
    return subprocess.Popen(argv, env=dict(command.environment), cwd=command.folder, stdout=subprocess.DEVNULL)
