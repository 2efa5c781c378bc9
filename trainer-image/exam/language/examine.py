"""Score a candidate: `python -m exam.examine`, the only phase whose result counts.

It reads the test set, asks the candidate over a socket, normalises the answers and computes the score itself, applies
the tests, and ends with one line `@@RESULT v1 {...}`, which it also writes to AUTORESEARCH_RESULT. Exit 0 if there is a
verdict, scored or rejected; 2 if the data folder or the environment is wrong; 75 if no model was loaded in time. It
never imports, unpickles or executes anything that the agent wrote.

Covered: printed, patched or peeked scores, answers that are not normalised, looking ahead, memory between questions,
every fault of a reply (protocol.py, integrity.py).
Not covered: test text that is already in the weights (keep the data private); the channels that isolation.py lists as
open; a compromised kernel.
"""

from __future__ import annotations

import argparse
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from exam.kit import wire
from exam.kit.answer_cost import AnswerCost
from exam.kit.errors import Rejection, number, setting
from exam.kit.result import deliver
from exam.kit.rounds import Plan, draw_plan
from exam.kit.session import TimeLimits, accept_candidate
from exam.language import dataset, integrity, protocol
from exam.language.dataset import ExamData
from exam.language.evaluation import Answers, evaluate
from exam.language.integrity import Baseline, Limits
from exam.language.result import Report
from exam.language.scoring import Nats
from exam.language.session import Round, ask_all


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Wall-clock seconds of the steps of an exam."""

    seconds: dict[str, float | None] = field(
        default_factory=lambda: dict.fromkeys(("startup", "exam", "restart", "probe"))
    )
    """Seconds by step; None for a step that was not reached."""

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Add the time of a block to a step, also if the block fails."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round((self.seconds[name] or 0.0) + time.monotonic() - began, 3)


@dataclass(frozen=True, slots=True)
class Examination:
    """One exam: the data and the plan, the connection to the candidate, and the time limits."""

    data: ExamData
    plan: Plan
    socket: Path
    """Folder in which the examiner listens."""
    rows: int
    """Sequences in one question."""
    time_limits: TimeLimits
    watch: Stopwatch
    pool: Executor
    """Threads that score the answers."""
    cost: AnswerCost = field(default_factory=AnswerCost)
    """Cost so far of the answers on whole sequences."""

    def question_candidate(self) -> Answers:
        """Ask the three rounds, each of a fresh process: the probes last.

        A probe tells which places are compared. Nothing that one leaves behind is of use when no question follows;
        and what an earlier process could leave for it would have to name the label of every place at which that
        process had looked ahead.
        """
        latest = time.monotonic() + self.time_limits.total
        rounds = [("exam", self.plan.order), ("restart", self.plan.repeats)]
        nats = {}
        for step, order in reversed(rounds) if self.plan.short_first else rounds:
            asked = Round.of_sequences(self.data.sequences[order])
            nats[step] = self._ask_round(asked, step, wire.RESTART, latest, self.cost)
        probes = Round(self.data.spliced, self.data.labels[:, None], self.data.cuts)
        probed = self._ask_round(probes, "probe", wire.FINISH, latest, AnswerCost())
        whole = np.empty_like(nats["exam"])
        whole[self.plan.order] = nats["exam"]
        return Answers(probed[:, 0], whole, nats["restart"])

    def _ask_round(self, asked: Round, step: str, then: bytes, latest: float, cost: AnswerCost) -> Nats:
        with self.watch.timing("startup"):
            candidate = accept_candidate(self.socket, self.time_limits, latest)
        with closing(candidate):
            with self.watch.timing(step):
                nats = ask_all(
                    candidate, asked, vocabulary=self.data.vocabulary, rows=self.rows, pool=self.pool, cost=cost
                )
            with self.watch.timing("restart"):
                self.cost.add_peak(candidate.end(then))
        return nats


def hold_exam(examination: Examination, *, attempt: str, baseline: Baseline | None) -> Report:
    """Question the candidate and report the verdict; raises Unready.

    baseline: None where this is the exam of the baseline itself.
    """
    data, watch, limits = examination.data, examination.watch, Limits()
    rejected = Report(
        attempt=attempt,
        verdict="rejected",
        data=data.identity,
        probes=len(data.cuts),
        sequences=len(data.validation),
        fresh=len(data.fresh),
        seconds=watch.seconds,
    )
    try:
        answers = examination.question_candidate()
    except Rejection as rejection:
        return replace(rejected, test=rejection.test, explanation=rejection.explanation)
    seen, score = evaluate(data, examination.plan, answers, limits)
    failure = integrity.find_failure(seen, limits, baseline or integrity.noise_of(seen))
    return replace(
        rejected,
        verdict="rejected" if failure else "scored",
        test=failure.test if failure else None,
        explanation=failure.explanation if failure else None,
        val_bpb=score.val,
        raw_bpb=score.raw,
        holdout_bpb=score.holdout,
        tokens=score.tokens,
        bytes=score.bytes,
        inflation=seen.inflation,
        inflation_error=seen.inflation_error,
        hits=seen.hits,
        spread=seen.spread,
        restart=seen.restart,
        restart_error=seen.restart_error,
        freshness=seen.freshness,
        asked_error=seen.asked_error,
        freshness_error=seen.freshness_error,
        seconds_per_answer=examination.cost.seconds_each,
        answer_memory_gb=examination.cost.memory_gb,
    )


def examine(environment: Mapping[str, str], time_limits: TimeLimits, *, batch: int | None = None) -> Report:
    """Read the environment and the data, draw a plan, and hold the exam; raises DataError and Unready.

    batch: most sequences in one question; None for as many as a reply of about 16 MiB holds.
    """
    folders = {name: Path(setting(environment, f"AUTORESEARCH_{name}")) for name in ("DATA", "SOCKET")}
    attempt = setting(environment, "AUTORESEARCH_ATTEMPT")
    noise = {}
    for name in ("spread", "inflation_error", "restart_error"):
        variable = f"baseline_{name}".upper()
        noise[name] = number(environment, f"AUTORESEARCH_{variable}", default=0.0)
    baseline = None if "AUTORESEARCH_BASELINE_ITSELF" in environment else Baseline(**noise)
    data = dataset.load(
        folders["DATA"],
        reserve=environment.get("AUTORESEARCH_RESERVE"),
        holdout="AUTORESEARCH_HOLDOUT" in environment,
    )
    rows = protocol.batch_rows(data.length, data.vocabulary, batch)
    plan = draw_plan(len(data.sequences), np.random.default_rng(secrets.randbits(128)))
    with ThreadPoolExecutor(min(16, len(os.sched_getaffinity(0)))) as pool:
        examination = Examination(data, plan, folders["SOCKET"], rows, time_limits, Stopwatch(), pool)
        return hold_exam(examination, attempt=attempt, baseline=baseline)


def parse_arguments(arguments: Sequence[str]) -> tuple[TimeLimits, int | None]:
    """Read the time limits, and the most sequences in one question or None."""
    options = argparse.ArgumentParser(prog="exam.examine")
    for name, meaning in (
        ("startup", "until the model is loaded; more where it is compiled"),
        ("batch", "for each batch"),
        ("end", "for a restart"),
        ("total", "for all questions"),
    ):
        default = getattr(TimeLimits(), name)
        options.add_argument(f"--{name}-seconds", dest=name, type=float, default=default, help=meaning)
    options.add_argument("--batch-sequences", type=int, help="1 for models whose answers depend on the batch")
    chosen = vars(options.parse_args(arguments))
    rows = chosen.pop("batch_sequences")
    return TimeLimits(**chosen), rows


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Hold the exam and deliver its result line; returns the exit code."""
    time_limits, batch = parse_arguments(arguments)
    return deliver(lambda: examine(environment, time_limits, batch=batch).line(), environment)
