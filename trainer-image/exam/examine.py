"""Score a candidate: `python -m exam.examine`, the only phase whose word counts.

Reads the test set and the probe's answers, asks the candidate over a socket, normalises and sums itself,
judges, and ends with one line `@@RESULT v1 {...}`, also written to AUTORESEARCH_RESULT. Exit 0 for a
verdict, scored or rejected; 2 for a data folder or environment that is not as it must be.

Covered: printed, patched or peeked scores, unnormalised answers, looking ahead, memory between questions,
every fault of a reply (protocol.py, integrity.py).
Not covered: test text that is already in the weights (keep the data private); the channels that
isolation.py names as open; a compromised kernel. Never imports, unpickles or executes what the agent made.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from exam import dataset, integrity, protocol
from exam.answers import read_logits
from exam.dataset import ExamData
from exam.errors import EXIT_DATA, DataError, Rejection, number, setting
from exam.incarnation import Patience, admit
from exam.integrity import Limits
from exam.marking import Answers, Plan, draw_plan, weigh
from exam.result import Report
from exam.scoring import Nats, nll


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Wall seconds by name, None for what was not reached."""

    seconds: dict[str, float | None] = field(
        default_factory=lambda: dict.fromkeys(("startup", "exam", "probe_scoring", "restart"))
    )

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Add the time of a block to a name, whether or not the block succeeds."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round((self.seconds[name] or 0.0) + time.monotonic() - began, 3)


@dataclass(frozen=True, slots=True)
class Examination:
    """The shell of one exam: where the answers come from, and how long each step may take."""

    data: ExamData
    plan: Plan
    socket: Path
    rows: int
    patience: Patience
    watch: Stopwatch
    pool: Executor

    def probed(self, folder: Path) -> Nats:
        """The nll of the labels by the probe's answers."""
        with self.watch.timing("probe_scoring"):
            logits = read_logits(folder, rows=len(self.data.cuts), vocabulary=self.data.vocabulary)
            return nll(logits, self.data.labels, self.pool)

    def questioned(self) -> tuple[Nats, Nats]:
        """The nll of all targets in the order of the pool (S, T), and of the repeats by a fresh process (M, T)."""
        latest = time.monotonic() + self.patience.total
        if self.plan.short_first:
            fresh = self._round(self.plan.repeats, "restart", protocol.RESTART, latest)
            heard = self._round(self.plan.order, "exam", protocol.FINISH, latest)
        else:
            heard = self._round(self.plan.order, "exam", protocol.RESTART, latest)
            fresh = self._round(self.plan.repeats, "restart", protocol.FINISH, latest)
        whole = np.empty_like(heard)
        whole[self.plan.order] = heard
        return whole, fresh

    def _round(self, order: npt.NDArray[np.int64], name: str, then: bytes, latest: float) -> Nats:
        with self.watch.timing("startup"):
            incarnation = admit(self.socket, self.patience, latest)
        asked = self.data.sequences[order]
        with closing(incarnation):
            with self.watch.timing(name):
                heard = incarnation.ask_all(asked, vocabulary=self.data.vocabulary, rows=self.rows, pool=self.pool)
            with self.watch.timing("restart"):
                incarnation.end(then)
        return heard


def report(examination: Examination, answers: Path, *, attempt: str, baseline_spread: float) -> Report:
    """Hold the exam and say how it went."""
    data, watch, limits = examination.data, examination.watch, Limits()
    unheard = Report(
        attempt=attempt,
        verdict="rejected",
        data=data.identity,
        probes=len(data.cuts),
        sequences=len(data.validation),
        seconds=watch.seconds,
    )
    try:
        probed = examination.probed(answers)
        whole, fresh = examination.questioned()
    except Rejection as rejection:
        return replace(unheard, test=rejection.test, explanation=rejection.explanation)
    seen, score = weigh(data, examination.plan, Answers(probed, whole, fresh), limits)
    failure = integrity.find_failure(seen, limits, baseline_spread=baseline_spread)
    return replace(
        unheard,
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
    )


def examine(environment: Mapping[str, str], patience: Patience, *, batch: int | None = None) -> Report:
    """Read the environment and the data, draw a plan, hold the exam. Raises DataError.

    batch: at most so many sequences in one question.
    """
    folders = {name: Path(setting(environment, f"AUTORESEARCH_{name}")) for name in ("DATA", "ANSWERS", "SOCKET")}
    attempt = setting(environment, "AUTORESEARCH_ATTEMPT")
    baseline_spread = number(environment, "AUTORESEARCH_BASELINE_SPREAD", default=0.0)
    data = dataset.load(folders["DATA"])
    rows = protocol.batch_rows(data.length, data.vocabulary, batch)
    plan = draw_plan(len(data.sequences), np.random.default_rng(secrets.randbits(128)))
    with ThreadPoolExecutor(min(16, len(os.sched_getaffinity(0)))) as pool:
        examination = Examination(data, plan, folders["SOCKET"], rows, patience, Stopwatch(), pool)
        return report(examination, folders["ANSWERS"], attempt=attempt, baseline_spread=baseline_spread)


def parse_arguments(arguments: Sequence[str]) -> tuple[Patience, int | None]:
    """The waiting times, each with the default of Patience, and the most sequences in one question."""
    options = argparse.ArgumentParser(prog="exam.examine")
    for name, meaning in (
        ("startup", "until the model is loaded; more where it is compiled"),
        ("batch", "for each batch"),
        ("end", "for a restart"),
        ("total", "for all questions"),
    ):
        default = getattr(Patience(), name)
        options.add_argument(f"--{name}-seconds", dest=name, type=float, default=default, help=meaning)
    options.add_argument("--batch-sequences", type=int, help="1 for models whose answers depend on the batch")
    chosen = vars(options.parse_args(arguments))
    rows = chosen.pop("batch_sequences")
    return Patience(**chosen), rows


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Print the result line and write it to AUTORESEARCH_RESULT; returns 0 for a verdict, 2 for a DataError."""
    patience, batch = parse_arguments(arguments)
    try:
        target = Path(setting(environment, "AUTORESEARCH_RESULT"))
        line = examine(environment, patience, batch=batch).line()
    except DataError as error:
        print(f"examine: {error}", file=sys.stderr)
        return EXIT_DATA
    target.write_text(line + "\n")
    print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
