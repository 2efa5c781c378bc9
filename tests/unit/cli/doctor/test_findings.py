"""Findings as a table, and whether a campaign is fit."""

from __future__ import annotations

from controller.cli.doctor.findings import Finding, State, is_fit, table


def test_doubts_do_not_keep_a_campaign_from_running_and_what_is_bad_does() -> None:
    good, doubt = Finding("disk", State.GOOD, "40 GB free"), Finding("seed", State.DOUBTFUL, "ignored")
    assert is_fit([good, doubt])
    assert not is_fit([good, Finding("data", State.BAD, "none")])


def test_columns_stand_below_each_other() -> None:
    lines = table([Finding("disk", State.GOOD, "a"), Finding("interpreter", State.BAD, "b")])
    assert lines == ["  ok    disk         a", "  BAD   interpreter  b"]
