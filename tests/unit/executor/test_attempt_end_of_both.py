"""One log, one verdict: both executors read the same end of it, and say the same about it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain import Outcome, Result, TryId
from controller.executor.attempt_end import log_scored
from controller.executor.kubernetes.logs import LIMIT_BYTES, fetch_log_end
from controller.executor.kubernetes.observation import EndCause, TryEnd
from controller.executor.kubernetes.result import conclude, walls_of
from controller.executor.local.capped_log import CappedLog
from controller.executor.local.outcome import failed
from controller.executor.local.process import Cause as LocalCause
from controller.executor.local.process import PhaseEnd
from controller.executor.log_score import read_summary
from controller.executor.phase_output import READ_BYTES, TAIL_BYTES, read_tail
from controller.settings import Settings
from tests.support.kubernetes_api import Reply, Request, ScriptedApi, client_of

SETTINGS = Settings.model_validate({"task": {"score": "log"}, "executor": {"kind": "kubernetes"}})
RUNTIMES_LINE = 16_384
"""Bytes at which containerd breaks a line into entries of its log file."""


class KubeletsLog(ScriptedApi):
    """Answers for one container's log as a kubelet does: the last entries, and of these the first bytes."""

    def __init__(self, log: bytes) -> None:
        super().__init__()
        self._entries = [
            line[i : i + RUNTIMES_LINE] for line in _lines(log) for i in range(0, len(line), RUNTIMES_LINE)
        ]

    def reply_to(self, request: Request) -> Reply:
        self.requests.append(request)
        chosen = self._entries[-int(request.query["tailLines"]) :] if request.query["tailLines"] != "0" else []
        return Reply(body=b"".join(chosen)[: int(request.query["limitBytes"])])


def _lines(log: bytes) -> list[bytes]:
    """Lines that end with a line feed, and with nothing else."""
    *whole, last = log.split(b"\n")
    return [line + b"\n" for line in whole] + ([last] if last else [])


def in_cluster(log: bytes, code: int) -> Result:
    with client_of(KubeletsLog(log)) as client:
        end = fetch_log_end(client, "p", "train")
    ended = TryEnd(cause=EndCause.FINISHED, container="train")
    if code:
        ended = TryEnd(cause=EndCause.CRASH, exit_code=code, container="train")
    return conclude(SETTINGS, TryId("t", 1, 1, 1), ended, exam_log=None, train_log=end)


def here(log: bytes, code: int, *, limit: int = 2**20, chunk: int = 100_000) -> Result:
    with tempfile.TemporaryDirectory() as folder, CappedLog(Path(folder) / "train.log", limit=limit) as file:
        for start in range(0, len(log), chunk):
            file.write(log[start : start + chunk])
        text = read_tail(file.end())
    end = PhaseEnd(cause=LocalCause.EXITED, code=code)
    walls = walls_of(SETTINGS)
    failure = failed(
        end,
        text=text,
        task=SETTINGS.task,
        train_seconds=SETTINGS.budget.train_seconds,
        walls=walls,
    )
    result = failure or log_scored(text, task=SETTINGS.task, walls=walls)
    return replace(result, summary=read_summary(text), log_tail=text)


def told(result: Result) -> tuple[object, ...]:
    return result.outcome, result.score, result.reason, dict(result.summary), result.log_tail


LINES = (
    *(b"---\n", b"val_bpb: 0.9\n", b"val_bpb: nan\n", b"val_bpb: -1e300\n", b"val_bpb = 0.9\n", b"peak_vram_mb: 12\n"),
    *(b"Traceback (most recent call last):\n", b'  File "x", line 1\n', b"KeyError: 'x'\n", b"MemoryError\n"),
    *(b"OSError: [Errno 30] Read-only file system\n", b"sh: 1: uv: not found\n", b"50%\r", b"\x1b[31m", b"\n", b"---"),
)
PARTS = st.one_of(
    st.sampled_from(LINES),
    st.binary(max_size=30),
    st.builds(lambda width, count: (b"y" * width + b"\n") * count, st.integers(0, 200), st.integers(0, 5000)),
    st.builds(lambda width: b"z" * width, st.integers(0, 600_000)),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(PARTS, max_size=12), st.sampled_from([0, 1, 124, 127, 134, 137, 255]))
def test_both_executors_read_one_log_alike(parts: Sequence[bytes], code: int) -> None:
    log = b"".join(parts)

    assert told(here(log, code)) == told(in_cluster(log, code))


@pytest.mark.parametrize("width", [9, 80, 20_000, 3_000_000])
def test_score_that_much_output_follows_is_lost_to_both(width: int) -> None:
    log = b"---\nval_bpb: 0.9\n" + (b"x" * width + b"\n") * (6_000_000 // (width + 1))

    assert told(here(log, 0)) == told(in_cluster(log, 0))
    assert here(log, 0).outcome is Outcome.CRASHED
    assert "printed no val_bpb in the last 64 KiB of its log" in here(log, 0).reason


@pytest.mark.parametrize("width", [0, 80, 20_000])
def test_score_that_little_output_follows_is_read_by_both(width: int) -> None:
    log = b"x" * 6_000_000 + b"\n---\nval_bpb: 0.9\n" + (b"x" * width + b"\n") * (60_000 // (width + 1))

    assert told(here(log, 0)) == told(in_cluster(log, 0))
    assert here(log, 0).outcome is Outcome.SCORED


def test_how_much_of_a_log_is_kept_on_disk_changes_nothing() -> None:
    log = b"x\n" * 100_000 + b"---\nval_bpb: 0.9\n" + b"y\n" * 20_000

    assert {told(here(log, 0, limit=limit)) == told(in_cluster(log, 0)) for limit in (2, 10_000, 2**24)} == {True}


@pytest.mark.parametrize("shape", [(b"x\n", 500_000), (b"x" * 3000 + b"\n", 5000), (b"x" * 9_000_000, 1)])
def test_cluster_is_asked_a_few_times_for_the_end_of_a_log_and_gives_all_of_it(shape: tuple[bytes, int]) -> None:
    line, count = shape
    log = line * count + b"short\n" * 150
    api = KubeletsLog(log)
    with client_of(api) as client:
        assert fetch_log_end(client, "p", "train") == log[-READ_BYTES:]
    assert len(api.requests) < 8


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 300)), max_size=6))
def test_end_of_a_log_is_whole_whatever_its_lines(shapes: Sequence[tuple[int, int]]) -> None:
    log = b"".join((b"x" * width + b"\n") * count for width, count in shapes)
    with client_of(KubeletsLog(log)) as client:
        assert fetch_log_end(client, "p", "train") == log[-READ_BYTES:]


def test_answer_of_the_api_holds_what_is_read_even_of_the_longest_lines() -> None:
    assert LIMIT_BYTES > 200 * RUNTIMES_LINE > READ_BYTES > TAIL_BYTES
