"""`make bench`: what docs/benchmarks.md holds; or parts: loop exam lab watching pipeline kills judging cluster."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import kills, lab_of_ten_thousand, loop, pipeline, watching

HERE = Path(__file__).parent


def in_folder(measure: Callable[[Path], dict[str, float]]) -> Callable[[], None]:
    """Measure in a temporary folder and print a line for each number."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            show(measure(Path(folder)))

    return run


def show(numbers: dict[str, float]) -> None:
    """One line a number."""
    for name, value in numbers.items():
        print(f"  {name:<42}{value:>12.4g}", flush=True)


def cluster() -> None:
    """On a real cluster: turnaround, requests, a thousand attempts in flight, twenty kills of the controller's Pod.

    Also its cost with sixteen attempts, a Prometheus operator, Kueue, and a line that is dead for five minutes.
    """
    folder = HERE.parent / "cluster"
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-s", "-m", "bench", str(folder)], check=True)


def script(name: str, *arguments: str) -> Callable[[], None]:
    """A measurement that prints by itself."""

    def run() -> None:
        subprocess.run([sys.executable, str(HERE / name), *arguments], check=True)

    return run


MEASUREMENTS: dict[str, Callable[[], None]] = {
    "loop": in_folder(loop.measure),
    "exam": script("measure_exam.py", "throughput"),
    "lab": in_folder(lab_of_ten_thousand.measure),
    "watching": in_folder(watching.measure),
    "pipeline": in_folder(pipeline.measure),
    "kills": lambda: show(kills.measure()),
    "judging": script("simulate_judging.py"),
    "cluster": cluster,
}


def main() -> None:
    """Run what was named, or everything."""
    chosen = sys.argv[1:] or list(MEASUREMENTS)
    unknown = [name for name in chosen if name not in MEASUREMENTS]
    if unknown:
        sys.exit(f"no measurement {unknown[0]}: choose from {' '.join(MEASUREMENTS)}")
    for name in chosen:
        print(f"{name}: {(sys.modules.get(f'tests.bench.{name}') or sys.modules[__name__]).__doc__}", flush=True)
        MEASUREMENTS[name]()


if __name__ == "__main__":
    main()
