"""A log is shown as quoted data that nothing in it can leave, and a title tells its category."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.desk.experiment_text import LOG_CHARACTERS, category_of, fence_log
from controller.domain import Experiment
from tests.support.hostile_text import BREAKS_A_FENCE


@given(text=BREAKS_A_FENCE | st.lists(BREAKS_A_FENCE, max_size=6).map("\n".join))
def test_no_line_of_a_log_can_leave_its_fence(text: str) -> None:
    lines = fence_log(text).splitlines()

    assert lines[0].startswith("<training-log")
    assert lines[-1] == "</training-log>"
    assert all(line.startswith("| ") for line in lines[1:-1])
    assert not any(character in "".join(lines) for character in "\x1b\x00\x07\x08")


def test_a_log_is_cut_to_its_tail() -> None:
    fenced = fence_log("\n".join(f"step {n}" for n in range(100_000)))

    assert len(fenced) < LOG_CHARACTERS + 200
    assert "| step 99999\n" in fenced
    assert "| …\n" in fenced


def test_progress_rewritten_in_one_line_is_read_as_lines() -> None:
    assert "| step 2\n" in fence_log("step 1\rstep 2\r\nend")


@pytest.mark.parametrize("title", ["optimizer: x", "architecture: y"])
def test_the_category_is_read_from_the_title(title: str) -> None:
    experiment = Experiment(number=1, commit="c", base="b", title=title)

    assert category_of(experiment) == title.partition(":")[0]
    assert category_of(replace(experiment, title="fix: something")) == "other"
