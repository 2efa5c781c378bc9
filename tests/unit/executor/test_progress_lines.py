"""The curve of a loss survives in the end of a log, however its progress was printed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.executor.log_score import ScoreRule, read_log_score, read_summary
from controller.executor.phase_output import read_tail
from controller.executor.progress_lines import MOST_STATES, thin_progress

SUMMARY = "---\nval_bpb: 1.25\nnum_steps: 2000\n"


def states(count: int) -> list[str]:
    return [f"step {n:05d} ({n / count:.1%}) | loss: {9 - 8 * n / count:.6f} | dt: 20ms" for n in range(1, count + 1)]


def test_of_a_line_that_is_rewritten_2000_times_the_whole_curve_stays() -> None:
    log = "starting\n" + "".join(f"\r{state}" for state in states(2000)) + "\n" + SUMMARY

    kept = [line for line in read_tail(log.encode()).splitlines() if "loss" in line]

    assert len(kept) == MOST_STATES
    assert kept[0].startswith("step 00001")
    assert kept[-1].startswith("step 02000")
    steps = [int(line.split()[1]) for line in kept]
    assert max(after - before for before, after in pairwise(steps)) < 2 * 2000 / MOST_STATES


def test_of_a_line_for_each_step_the_whole_curve_stays() -> None:
    log = "starting\n" + "\n".join(states(2000)) + "\n" + SUMMARY

    lines = read_tail(log.encode()).splitlines()

    assert lines[0] == "starting"
    assert len(lines) == 1 + MOST_STATES + 3


@given(count=st.integers(0, 300), rewritten=st.booleans(), value=st.floats(0.1, 9))
def test_score_and_summary_are_read_as_before(count: int, rewritten: bool, value: float) -> None:
    progress = "".join(f"\r{s}" for s in states(count)) if rewritten else "\n".join(states(count))
    log = f"{progress}\n---\nval_bpb: {value:.4f}\nnum_steps: {count}\n"

    text = read_tail(log.encode())

    assert read_log_score(text, ScoreRule(metric="val_bpb")).value == float(f"{value:.4f}")
    assert read_summary(text) == {"val_bpb": float(f"{value:.4f}"), "num_steps": float(count)}


@given(st.binary(max_size=2000))
def test_no_log_breaks_it_and_its_last_state_stays(log: bytes) -> None:
    thinned = thin_progress(log)

    last = [state for state in log.replace(b"\r\n", b"\n").split(b"\n")[-1].split(b"\r") if state.strip()]
    assert thinned.split(b"\n")[-1] == (last[-1] if last else b"")
    assert b"\r" not in thinned


def test_lines_that_say_different_things_all_stay() -> None:
    log = "\n".join(f"warning about layer {chr(97 + n % 26)}{'x' * n}" for n in range(200))

    assert thin_progress(log.encode()).decode() == log


@pytest.mark.parametrize(
    "move",
    [
        pytest.param("\x1b[1G\x1b[2K", id="to the first column"),
        pytest.param("\x1b[2K\x1b[1A", id="up a line"),
        pytest.param("\x1b[200D\x1b[K", id="to the left"),
        pytest.param("\x1b[H\x1b[2J", id="to the top, the screen cleared"),
        pytest.param("\x1b[12;1H", id="to a place"),
        pytest.param("\x1b8", id="back to where it was saved"),
        pytest.param("\b" * 12, id="by backspaces"),
    ],
)
def test_line_that_is_rewritten_by_moving_the_cursor_ends_in_its_last_state(move: str) -> None:
    log = move.join(["val_bpb: 0.9", "val_bpb: 0.8", "val_bpb: 0.7"])

    score = read_log_score(read_tail(log.encode()), ScoreRule(metric="val_bpb"))

    assert score.value == 0.7


def test_a_gap_that_the_cursor_leaves_is_a_gap() -> None:
    assert read_log_score(read_tail(b"val_bpb\x1b[10C0.7\n"), ScoreRule(metric="val_bpb")).value == 0.7
