"""Hold the exam that a task's own examiner describes: `python -m exam.kit.examine examiner.py`.

The phase whose result counts: it alone reads the test data, and it never imports, unpickles or executes anything that
the agent wrote. It ends with one line `@@RESULT v1 {...}`, which it also writes to AUTORESEARCH_RESULT. Exit 0 if there
is a verdict, scored or rejected; 2 if the data, the settings or the author's file are wrong; 75 if nothing was loaded
in time.

Covered: printed or patched scores, answers of a wrong kind, shape, size or number, silence and slow senders, memory
between questions and between exams as far as repeats and fresh items show it, time measured by the candidate itself,
answers that would end the exam without a verdict.
Not covered: solutions that training could find in its data; mistakes in the author's file.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exam.examiner import Questions, Spent
from exam.kit import marking, wire
from exam.kit.answer_cost import AnswerCost
from exam.kit.asking import Asking, Examiner, hello, memory_by_choice, withholds
from exam.kit.errors import DataError, Rejection, setting
from exam.kit.interviews import Answered, ask_withheld, interview, shared_part
from exam.kit.loading import Pool, load_examiner, load_pool
from exam.kit.result import deliver, format_line
from exam.kit.rounds import Plan, draw_plan, draw_some
from exam.kit.session import TimeLimits, accept_candidate

KEPT_BYTES = 2 << 30
"""Most memory of the answers that are kept to be compared, where the candidate chooses their sizes (2 GiB). An examiner
that runs out of memory gives no verdict, and the try is run again."""


@dataclass(slots=True)
class Exam:
    """One exam in its course: what is asked, in which order, and what came of it."""

    examiner: Examiner
    pool: Pool
    plan: Plan
    withheld: npt.NDArray[np.int64]
    """What is asked last with its solution withheld, as indices into the pool; drawn apart from the repeats."""
    socket: Path
    """Folder in which the examiner listens."""
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("startup", "exam", "restart"), 0.0))
    """Wall-clock seconds of the steps."""
    answered: dict[int, Answered] = field(default_factory=dict)
    """Answers of the long round, by index in the pool."""
    again: dict[int, Answered] = field(default_factory=dict)
    """Answers of the short round."""
    blind: dict[int, Answered] = field(default_factory=dict)
    """Answers of the last round, to questions whose solution was withheld."""
    spent: list[Spent] = field(default_factory=list)
    """Time of each answer of the long round."""
    cost: AnswerCost = field(default_factory=AnswerCost)
    """Cost of the answers: the time of those of the long round, the memory of all rounds."""
    kept_bytes: int = 0
    """Memory that the kept answers may take, as far as the candidate chose their sizes."""
    peak_bytes: int = 0
    """Memory of the candidate at the end of the long round."""

    def hold(self) -> None:
        """Ask the rounds, each of a process of its own; raises Rejection, Unready and DataError."""
        latest = time.monotonic() + self.examiner.total_seconds
        rounds = [self._ask_long]
        if self.examiner.repeats is not None:
            rounds.insert(0 if self.plan.short_first else 1, self._ask_short)
        if len(self.withheld):
            rounds.append(self._ask_blind)
        for ask in rounds:
            ask(wire.FINISH if ask == rounds[-1] else wire.RESTART, latest)

    def _ask_long(self, then: bytes, latest: float) -> None:
        compared = {*self.plan.repeats.tolist(), *self.withheld.tolist()}
        with closing(self._accept(latest)) as asking:
            began = time.monotonic()
            for index in self.plan.order.tolist():
                found = interview(asking, self.pool.items[index])
                if index in compared:
                    self._count_kept(asking, index)
                # An answer may have megabytes, and only those that are asked again are compared.
                self.answered[index] = found if index in compared else Answered(found.numbers, None)
            self.seconds["exam"] = time.monotonic() - began
            self.spent = asking.spent
            # The first call compiles, which is paid once and not for each answer.
            timed = self.spent[1:] or self.spent
            self.cost.add(sum(each.wall_seconds for each in timed), answers=len(timed))
            self.peak_bytes = asking.candidate.read_usage().peak_bytes
            self._end(asking, then)

    def _ask_short(self, then: bytes, latest: float) -> None:
        with closing(self._accept(latest)) as asking:
            began = time.monotonic()
            for index in self.plan.repeats.tolist():
                self.again[index] = interview(asking, self.pool.items[index])
                self._count_kept(asking, index)
            self.seconds["restart"] += time.monotonic() - began
            self._end(asking, then)

    def _ask_blind(self, then: bytes, latest: float) -> None:
        with closing(self._accept(latest)) as asking:
            began = time.monotonic()
            for index in self.withheld.tolist():
                if found := ask_withheld(asking, self.pool.items[index]):
                    self.blind[index] = found
                    self._count_kept(asking, index)
            self.seconds["restart"] += time.monotonic() - began
            self._end(asking, then)

    def _count_kept(self, asking: Asking, index: int) -> None:
        """Raise Rejection if the answers that are kept take too much memory with this newest one."""
        if not isinstance(self.examiner, Questions):
            return  # of episodes and streams only a number is kept
        type_ = self.examiner.answer_type(self.pool.items[index])
        self.kept_bytes += memory_by_choice(type_, asking.received)
        if self.kept_bytes > KEPT_BYTES:
            raise Rejection("protocol", f"its answers are too long: together they may take {self.kept_bytes} bytes")

    def _accept(self, latest: float) -> Asking:
        began = time.monotonic()
        examiner = self.examiner
        limits = TimeLimits(
            startup=examiner.startup_seconds, batch=examiner.answer_seconds, total=examiner.total_seconds
        )
        candidate = accept_candidate(self.socket, limits, latest, hello=hello(examiner))
        self.seconds["startup"] += time.monotonic() - began
        asking = Asking(candidate, examiner)
        asking.begin()
        return asking

    def _end(self, asking: Asking, then: bytes) -> None:
        began = time.monotonic()
        self.cost.add_peak(asking.candidate.end(then))
        self.seconds["restart"] += time.monotonic() - began

    def find_difference(self) -> Rejection | None:
        """The rejection for answers that a fresh process did not give; None if it gave the same."""
        equality = self.examiner.repeats
        if equality is None:
            return None
        different = sum(not equality.holds(self.answered[at].answer, found.answer) for at, found in self.again.items())
        looking = 0
        for index, found in self.blind.items():
            whole = shared_part(self.examiner, self.pool.items[index], self.answered[index].answer)
            looking += not equality.holds(whole, found.answer)
        return marking.find_difference(len(self.again), different, withheld=len(self.blind), withheld_different=looking)

    def marks(self, part: slice) -> dict[str, list[float]]:
        """The numbers of one part of the pool by name, in its order; those that not every item has are left out."""
        found = [self.answered[index].numbers for index in range(*part.indices(len(self.pool.items)))]
        names = set.intersection(*map(set, found)) if found else set()
        return {name: [numbers[name] for numbers in found] for name in sorted(names)}


def report(exam: Exam, *, attempt: str) -> dict[str, Any]:
    """Hold the exam and return the fields of its result line; raises Unready and DataError."""
    examiner, pool = exam.examiner, exam.pool
    fields: dict[str, Any] = {
        "attempt": attempt,
        "verdict": "rejected",
        "test": None,
        "explanation": None,
        "data": pool.identity,
        "questions": pool.validation,
        "fresh": pool.fresh,
        "repeated": len(exam.plan.repeats) if examiner.repeats is not None else 0,
        "seconds": exam.seconds,
    }
    try:
        exam.hold()
        asked, fresh, kept = map(exam.marks, pool.parts)
        freshness = marking.compare_with_fresh(
            asked[examiner.metric], fresh.get(examiner.metric, ()), examiner.direction
        )
        if rejection := exam.find_difference() or marking.find_staleness(freshness):
            raise rejection
        score, error = marking.mean_and_error(asked.pop(examiner.metric))
        numbers = {name: marking.mean_and_error(values)[0] for name, values in asked.items()}
        holdout = marking.mean_and_error(kept[examiner.metric])[0] if kept else None
    except Rejection as rejection:
        _round(exam.seconds)
        return fields | {"test": rejection.test, "explanation": rejection.explanation}
    _round(exam.seconds)
    numbers |= marking.latency_numbers(exam.spent) | {"memory_mb": exam.peak_bytes / 2**20}
    return fields | {
        "verdict": "scored",
        examiner.metric: score,
        "score_error": error,
        "holdout": holdout,
        "freshness": freshness.difference if freshness else None,
        "asked_error": freshness.asked_error if freshness else None,
        "freshness_error": freshness.fresh_error if freshness else None,
        "seconds_per_answer": exam.cost.seconds_each,
        "answer_memory_gb": exam.cost.memory_gb,
        "numbers": {name: round(value, 6) for name, value in numbers.items()},
    }


def _round(seconds: dict[str, float]) -> None:
    seconds.update({name: round(value, 3) for name, value in seconds.items()})


def examine(environment: Mapping[str, str], file: Path) -> dict[str, Any]:
    """Read the author's file, the environment and the data, and hold the exam; raises DataError and Unready."""
    examiner = load_examiner(file)
    for name in ("metric", "direction"):
        wanted, has = environment.get(f"AUTORESEARCH_{name.upper()}"), getattr(examiner, name)
        if wanted is not None and wanted != has:
            raise DataError(f"{file.name} has {name} {has!r} and the settings have {wanted!r}: set task.{name}: {has}")
    pool = load_pool(
        examiner,
        Path(setting(environment, "AUTORESEARCH_DATA")),
        reserve=environment.get("AUTORESEARCH_RESERVE"),
        holdout="AUTORESEARCH_HOLDOUT" in environment,
    )
    # From the kernel's generator: no clock, process id or earlier draw foretells it.
    generator = np.random.default_rng(secrets.randbits(128))
    plan = draw_plan(len(pool.items), generator)
    withheld = draw_some(len(pool.items), generator) if withholds(examiner) else plan.repeats[:0]
    exam = Exam(examiner, pool, plan, withheld, Path(setting(environment, "AUTORESEARCH_SOCKET")))
    return report(exam, attempt=setting(environment, "AUTORESEARCH_ATTEMPT"))


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Hold the exam and deliver its result line; returns the exit code."""
    options = argparse.ArgumentParser(prog="exam.kit.examine")
    options.add_argument("file", type=Path, help="the task's examiner.py")
    chosen = options.parse_args(arguments)
    return deliver(lambda: format_line(examine(environment, chosen.file)), environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
