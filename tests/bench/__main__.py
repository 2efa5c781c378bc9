"""Runs the measurements of docs/benchmarks.md (`make bench`).

python -m tests.bench            all of them
python -m tests.bench NAME ...   some: the names are the keys of MEASUREMENTS
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import examples, kills, lab_of_ten_thousand, loop, neighbour, pipeline, studies, walls, watching

HERE = Path(__file__).parent


def in_folder(measure: Callable[[Path], dict[str, float]]) -> Callable[[], None]:
    """Measure in a temporary folder and print a line for each number."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            show(measure(Path(folder)))

    return run


def show(numbers: dict[str, float]) -> None:
    """Print each number on a line of its own."""
    for name, value in numbers.items():
        print(f"  {name:<42}{value:>12.4g}", flush=True)


def cluster() -> None:
    """Measure on a real cluster.

    Turnaround, requests to the API server, a thousand attempts at once, twenty kills of the controller's pod, its cost
    with sixteen attempts, a Prometheus operator, Kueue, and a connection that is dead for five minutes.
    """
    folder = HERE.parent / "cluster"
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-s", "-m", "bench", str(folder)], check=True)


def script(name: str, *arguments: str) -> Callable[[], None]:
    """Run a script that prints its numbers itself."""

    def run() -> None:
        subprocess.run([sys.executable, str(HERE / name), *arguments], check=True)

    return run


MEASUREMENTS: dict[str, Callable[[], None]] = {
    "loop": in_folder(loop.measure),
    "exam": script("measure_exam.py", "throughput"),
    "attacks": script("attacks.py"),
    "carriers": script("carriers.py"),
    "honest": script("honest.py"),
    "walls": in_folder(walls.measure),
    "lab": in_folder(lab_of_ten_thousand.measure),
    "watching": in_folder(watching.measure),
    "pipeline": in_folder(pipeline.measure),
    "neighbour": in_folder(neighbour.measure),
    "kills": lambda: show(kills.measure()),
    "judging": script("simulate_judging.py"),
    "doubts": script("simulate_doubts.py", "--campaigns", "20"),
    "pruning": script("simulate_pruning.py", "--campaigns", "20"),
    "examples": examples.main,
    "studies": lambda: show(studies.measure()),
    "cluster": cluster,
}


def main() -> None:
    """Run the named measurements, or all."""
    chosen = sys.argv[1:] or list(MEASUREMENTS)
    unknown = [name for name in chosen if name not in MEASUREMENTS]
    if unknown:
        sys.exit(f"no measurement {unknown[0]}: choose from {' '.join(MEASUREMENTS)}")
    for name in chosen:
        print(f"{name}: {(sys.modules.get(f'tests.bench.{name}') or sys.modules[__name__]).__doc__}", flush=True)
        MEASUREMENTS[name]()


if __name__ == "__main__":
    main()
