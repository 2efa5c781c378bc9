"""Holds the examiners of examples/ many times over: honest programs must pass, and no cheat may gain.

python -m tests.bench examples                         20 runs of each program of every example
python -m tests.bench.examples search --runs 3         3 runs of those of one

Attempts of the real local executor, on the smaller data of the tests, drawn anew for each example. A run counts as held
if an honest program was scored, or if a cheat was rejected or scored no better than the honest programs of its base.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from controller.cli.doctor.exam import Honest
from controller.cli.doctor.trials import Trials
from controller.domain import Outcome, Result
from tests.support.example_tasks import KEPT, attempts_of, edited, idea

RUNS = 20

SMALLER: dict[str, tuple[str, ...]] = {
    "search": ("--most", "400", "--slices", "2"),
    "speed": ("--slices", "2"),
    "protocol": ("--cases", "120", "--slices", "2"),
    "control": (),
}
"""Arguments of prepare.py with which an attempt takes seconds."""

CHEATS: dict[str, tuple[str, ...]] = {
    "search": ("07", "08"),
    "speed": ("06", "07", "08", "09"),
    "protocol": ("09", "10", "11"),
    "control": ("07", "08", "09", "10"),
}
"""Ideas that are cheats, by the first two digits of their names. Each is tried on the unchanged program."""


@dataclass(slots=True)
class Tally:
    """The ends of one program's runs."""

    name: str
    cheats: bool
    scores: list[float] = field(default_factory=list)
    rejected: int = 0
    others: list[str] = field(default_factory=list)
    """How each run ended that was neither scored nor rejected."""

    def add(self, result: Result) -> None:
        """Count one run."""
        if result.outcome is Outcome.SCORED and result.score is not None:
            self.scores.append(result.score.value)
        elif result.outcome is Outcome.REJECTED:
            self.rejected += 1
            if not self.cheats:
                self.others.append(f"rejected: {result.reason}")
        else:
            self.others.append(f"{result.outcome.value}: {result.reason}")

    @property
    def runs(self) -> int:
        """All runs that were counted."""
        return len(self.scores) + len(self.others) + (self.rejected if self.cheats else 0)

    def held(self, honest: Honest) -> int:
        """Runs that ended as they should."""
        if not self.cheats:
            return len(self.scores)
        return self.rejected + sum(not honest.is_beaten_by(score) for score in self.scores)


def hold(task: str, runs: int, *, say: Callable[[str], None]) -> list[tuple[Tally, int]]:
    """Every honest program and every cheat of an example, `runs` times in turns, with the runs that ended well."""
    with tempfile.TemporaryDirectory() as root, closing(attempts_of(task, Path(root), *SMALLER[task])) as attempts:
        trials = next(attempts)
        programs = _programs(task, Path(root) / "edits")
        plain, *_ = tallies = [tally for tally, _ in programs]
        error = 0.0
        with suppress(KeyboardInterrupt):  # what was counted so far is shown
            for run in range(1, runs + 1):
                for tally, files in programs:
                    result = trials.run(files=files, seed=run)
                    tally.add(result)
                    if tally is plain and result.exam:
                        error = max(error, result.exam.score_error or 0.0)
                say(f"  {task}: run {run} of {runs}")
        honest = Honest(tuple(plain.scores), error, _minimizes(trials))
        return [(tally, tally.held(honest)) for tally in tallies]


def _programs(task: str, work: Path) -> list[tuple[Tally, dict[str, str]]]:
    work.mkdir()
    kept = KEPT[task]
    honest = [
        (Tally("unchanged", cheats=False), edited(task, work / "plain")),
        (Tally(f"with {', '.join(kept)}", cheats=False), edited(task, work / "kept", *kept)),
    ]
    cheats = [
        (Tally(idea(task, number).stem, cheats=True), edited(task, work / number, number)) for number in CHEATS[task]
    ]
    return honest + cheats


def _minimizes(trials: Trials) -> bool:
    return trials.settings.task.direction == "minimize"


def rows(task: str, tallies: Iterable[tuple[Tally, int]]) -> list[str]:
    """Lines of a table in Markdown."""
    lines = []
    for tally, held in tallies:
        scored = f"{min(tally.scores):.4g} to {max(tally.scores):.4g}" if tally.scores else "-"
        kind = "cheat" if tally.cheats else "honest"
        lines.append(f"| {task} | {kind} | {tally.name} | {tally.rejected} | {scored} | {held} of {tally.runs} |")
        lines += [f"  {tally.name} {fault}" for fault in tally.others]
    return lines


def main(arguments: Sequence[str] = ()) -> None:
    """Print a row for each program, and below it what ended otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.examples")
    parser.add_argument("tasks", nargs="*", choices=[[], *CHEATS], default=[])
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args(arguments)
    print("| task | | program | rejected | scored | held |\n|---|---|---|---|---|---|", flush=True)
    for task in given.tasks or CHEATS:
        tallies = hold(task, given.runs, say=lambda line: print(line, file=sys.stderr, flush=True))
        print("\n".join(rows(task, tallies)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
