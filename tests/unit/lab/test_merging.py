"""Merging line by line: edits of different lines always merge and both are there, edits of one line never do."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from controller.lab.merging import merge_texts

SETTINGS = "DEPTH = 3\nWIDTH = 128\nRATIO = 4\nRATE = 0.1\n"


def test_settings_in_neighbouring_lines_merge() -> None:
    ours, theirs = SETTINGS.replace("128", "256"), SETTINGS.replace("= 4", "= 8")

    assert merge_texts(SETTINGS, ours, theirs) == "DEPTH = 3\nWIDTH = 256\nRATIO = 8\nRATE = 0.1\n"


def test_one_line_set_to_two_values_conflicts_and_to_the_same_value_does_not() -> None:
    ours, theirs = SETTINGS.replace("128", "256"), SETTINGS.replace("128", "64")

    assert merge_texts(SETTINGS, ours, theirs) is None
    assert merge_texts(SETTINGS, ours, ours) == ours


@pytest.mark.parametrize(
    ("ours", "theirs", "both"),
    [
        ("DEPTH = 3\nNEW = 1\n", "WIDTH = 1\n", None),
        ("DEPTH = 3\nNEW = 1\nWIDTH = 128\n", "DEPTH = 5\nWIDTH = 128\n", "DEPTH = 5\nNEW = 1\nWIDTH = 128\n"),
        ("DEPTH = 3\nNEW = 1\nWIDTH = 128\n", "DEPTH = 3\nWIDTH = 9\n", "DEPTH = 3\nNEW = 1\nWIDTH = 9\n"),
        ("DEPTH = 3\nNEW = 1\nWIDTH = 128\n", "DEPTH = 3\nOTHER = 1\nWIDTH = 128\n", None),
        ("DEPTH = 3\nWIDTH = 128\nNEW = 1", "DEPTH = 4\nWIDTH = 128\n", "DEPTH = 4\nWIDTH = 128\nNEW = 1"),
        ("WIDTH = 128\n", "DEPTH = 3\nWIDTH = 9\n", "WIDTH = 9\n"),
        ("", "DEPTH = 3\nWIDTH = 9\n", None),
    ],
    ids=["insert inside", "insert below", "insert above", "both insert", "at the end", "delete above", "delete all"],
)
def test_insertions_and_deletions(ours: str, theirs: str, both: str | None) -> None:
    base = "DEPTH = 3\nWIDTH = 128\n"

    assert merge_texts(base, ours, theirs) == both
    assert merge_texts(base, theirs, ours) == both


LINE = st.text("ab =1\r\x0c\0é", max_size=4)
"""Few letters, so that lines repeat and blank ones abound, as in code; and what Python takes for a line's end."""


WHOSE = st.lists(st.sampled_from(["", "", "ours", "theirs"]), min_size=30, max_size=30)


@given(lines=st.lists(LINE, min_size=1, max_size=30), whose=WHOSE)
def test_edits_of_different_lines_merge_and_both_are_there(lines: list[str], whose: list[str]) -> None:
    base = [f"{place} {line}" for place, line in enumerate(lines)]

    both = merge_texts(text(base), text(edited(base, whose, "ours")), text(edited(base, whose, "theirs")))

    assert both == text(edited(edited(base, whose, "ours"), whose, "theirs"))


@given(base=st.lists(LINE, min_size=1, max_size=30), whose=WHOSE)
def test_no_edit_is_lost_where_lines_repeat_and_nobody_knows_which_of_them_was_edited(
    base: list[str], whose: list[str]
) -> None:
    both = merge_texts(text(base), text(edited(base, whose, "ours")), text(edited(base, whose, "theirs")))

    assert both is None or set(edited(edited(base, whose, "ours"), whose, "theirs")) >= set(both.split("\n")) - {""}
    assert both is None or all(f"{name} {place}" in both for place, name in enumerate(whose[: len(base)]) if name)


@given(
    base=st.lists(LINE, min_size=1, max_size=20), ours=st.lists(LINE, max_size=20), theirs=st.lists(LINE, max_size=20)
)
def test_one_side_alone_is_taken_as_it_is_and_the_order_of_sides_does_not_count(
    base: list[str], ours: list[str], theirs: list[str]
) -> None:
    assume(base != ours)

    assert merge_texts(text(base), text(ours), text(base)) == text(ours)
    assert merge_texts(text(base), text(ours), text(ours)) == text(ours)
    assert merge_texts(text(base), text(ours), text(theirs)) == merge_texts(text(base), text(theirs), text(ours))


def edited(base: list[str], whose: list[str], name: str) -> list[str]:
    """`base` with the lines changed that are this one's."""
    return [f"{name} {place}" if whose[place] == name else line for place, line in enumerate(base)]


def text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
