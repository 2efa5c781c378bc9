"""The attacks through what sandboxes of one machine share, many times each: verdicts, and what arrived.

    python -m tests.bench attacks                          all, 20 times each: about an hour
    python tests/bench/attacks.py --runs 5 probe:names     some of them
    python tests/bench/attacks.py --forgetful no ...       where the kernel is not told to forget: what is at stake

Whole attempts with the real exam, in real sandboxes of the local executor. `carriers` gives 512 random bits to each
carrier of tests/redteam/candidates/carriers.py and shows the most that arrived of any of them in any run.
"""

from __future__ import annotations

import argparse
import collections
import re
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from controller.domain import Outcome, Result
from controller.executor.local.cgroups import Cgroup
from tests.redteam import carrying, shared_kernel
from tests.support.local_task import TaskFolders

NOTHING = 1e-3
"""Bits per byte below which an attack has gained nothing."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an attack."""

    outcome: Outcome
    gained: float
    """Bits per byte; 0 where it was rejected."""
    arrived: int
    """Sequences, or the number of the label, that the receiver said it had got."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A task, and what an honest model scores in it."""

    folders: TaskFolders
    honest: float

    def hold(self, attack: Callable[[TaskFolders], tuple[Result, str]]) -> Run:
        """Run an attack once."""
        result, said = attack(self.folders)
        arrived = max(map(int, re.findall(r"heard (-?\d+)", said)), default=0)
        return Run(result.outcome, shared_kernel.gain(result, self.honest) or 0.0, arrived)


def by_files(folders: TaskFolders) -> tuple[Result, str]:
    """Attack from the exam to its probe round by files and System V memory."""
    [(result, logs)] = shared_kernel.attempts(folders, shared_kernel.source_of("passes_the_exam_on"))
    return result, logs["candidate"]


def attacks() -> Mapping[str, Callable[[TaskFolders], tuple[Result, str]]]:
    """Every attack by its name."""
    found = {"probe:files": by_files, "probe:duration": shared_kernel.to_probe_by_duration}
    for way in shared_kernel.WAYS:
        found[f"probe:{way}"] = partial(shared_kernel.to_probe, way=way)
        found[f"exam:{way}"] = partial(shared_kernel.from_exam, way=way)
    return found


def row(name: str, runs: list[Run]) -> str:
    """One line of the table."""
    outcomes = collections.Counter(run.outcome.value for run in runs)
    verdicts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    gains = [run.gained for run in runs]
    nothing = f"{sum(gain <= NOTHING for gain in gains)} of {len(runs)}"
    arrived = max(run.arrived for run in runs)
    return f"| {name} | {verdicts} | {nothing} | {statistics.mean(gains):.4f}, {max(gains):.4f} | {arrived} |"


def remember(_: Cgroup) -> None:
    """Have the kernel keep what a phase read."""


def print_attacks(names: list[str], runs: int) -> None:
    """Print a line for each attack."""
    with tempfile.TemporaryDirectory() as folder:
        folders = shared_kernel.make_task(Path(folder))
        bench = Bench(folders, shared_kernel.honest_score(folders))
        known = attacks()
        print(f"an honest model scores {bench.honest:.4f}\n")
        print("| attack | verdicts | gained nothing | bpb gained, mean and most | most that arrived |")
        print("|---|---|---|---|---|", flush=True)
        for name in names or known:
            print(row(name, [bench.hold(known[name]) for _ in range(runs)]), flush=True)


def print_carriers(runs: int) -> None:
    """Print the most bits that each carrier brought."""
    most: dict[str, list[float]] = {}
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            both = carrying.run_both(carrying.make_task(Path(folder)))
        for carrier in both[0].carriers:
            bits = [heard.carriers[carrier] for heard in both]
            most[carrier] = [max(pair) for pair in zip(bits, most.get(carrier, bits), strict=True)]
    print(f"\n| carrier, most of {runs} runs | candidate to candidate | candidate to next training |\n|---|---|---|")
    for carrier, bits in most.items():
        print(f"| {carrier} | {bits[0]:.1f} | {bits[1]:.1f} |", flush=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="probe:WAY, exam:WAY, carriers; default: all")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--forgetful", choices=["yes", "no"], default="yes", help="no: nothing is forgotten")
    options = parser.parse_args()
    if options.forgetful == "no":
        Cgroup.reclaim = remember  # type: ignore[method-assign, assignment]  # what is no setting, by hand
    names = [name for name in options.names if name != "carriers"]
    if names or not options.names:
        print_attacks(names, options.runs)
    if "carriers" in options.names or not options.names:
        print_carriers(options.runs)


if __name__ == "__main__":
    main()
