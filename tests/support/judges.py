"""Judges by the name of their policy."""

from __future__ import annotations

from controller.judge import Judge, make_judge
from controller.settings import JudgeSettings


def judge_of(policy: str, *, minimize: bool = True, max_runs: int = 5) -> Judge:
    """A judge of this policy, with no other setting changed."""
    return make_judge(JudgeSettings.model_validate({"policy": policy, "max_runs": max_runs}), minimize=minimize)
