"""Text of agents and trainings is made safe: what is unsafe goes, what a person reads stays, and nothing takes long."""

from __future__ import annotations

import json
import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.text.safe_text import find_unsafe, one_line, safe_tail, safe_text, visible_code, visible_json
from tests.support.hostile_text import HOSTILE, find_hostile

ANY_TEXT = st.text(alphabet=st.characters(), max_size=300) | st.sampled_from(HOSTILE)


def test_every_code_point_that_is_no_sign_is_removed_or_ends_a_line() -> None:
    for code in range(sys.maxunicode + 1):
        shown = safe_text(f"a{chr(code)}b")
        assert find_hostile(shown) is None, hex(code)
        if unicodedata.category(chr(code))[0] in "LNPS" and shown != f"a{chr(code)}b":
            assert code in (0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0), f"{code:x} is a sign and was taken"


@given(ANY_TEXT)
def test_safe_text_is_safe_stays_as_it_is_and_can_be_written(text: str) -> None:
    safe = safe_text(text)

    assert find_hostile(safe) is None
    assert safe_text(safe) == safe
    safe.encode()


@given(ANY_TEXT, st.integers(2, 200))
def test_one_line_is_one_line_of_its_length_and_stays_as_it_is(text: str, limit: int) -> None:
    line = one_line(text, limit)

    assert len(line.splitlines()) <= 1
    assert len(line) <= limit
    assert find_hostile(line) is None
    assert one_line(line, limit) == line


ANY_BYTES = st.binary(max_size=400) | ANY_TEXT.map(lambda text: text.encode(errors="replace"))


@given(ANY_BYTES, st.integers(1, 100))
def test_tail_is_short_and_safe_whatever_the_bytes(data: bytes, limit: int) -> None:
    tail = safe_tail(data, limit)

    assert len(tail.encode()) <= limit
    assert find_hostile(tail) is None


def test_tail_starts_with_a_whole_line() -> None:
    assert safe_tail(b"first\nsecond\nthird\n", 14) == "second\nthird\n"
    assert safe_tail(b"0123456789", 4) == "6789"
    assert safe_tail("ends in é".encode(), 1) == ""


def test_terminal_commands_and_rewrites_leave_the_text_alone() -> None:
    log = b"\x1b]0;title\x07plain \x1b[1;31mred\x1b[0m\n10%\r20%\r30%\n\x1b(Bend\n"

    assert safe_tail(log, 4096) == "plain red\n30%\nend\n"


@pytest.mark.parametrize(
    "text",
    [
        "größer → 0,3 × σ ± 2 \N{ROCKET}",
        "学习率 0.2",
        "שלום עולם",
        "نص عربي",
        "हिन्दी",
        "ภาษาไทย",
        "tabs\tand\nlines",
        "e\N{COMBINING ACUTE ACCENT}",
    ],
)
def test_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert safe_text(text) == text
    assert find_unsafe(text) is None


def test_marks_that_pile_up_over_other_lines_are_limited() -> None:
    assert safe_text("a" + "\N{COMBINING ACUTE ACCENT}" * 1000 + "b") == "a" + "\N{COMBINING ACUTE ACCENT}" * 4 + "b"


@given(ANY_TEXT)
def test_code_is_shown_with_its_unsafe_characters_as_escapes(text: str) -> None:
    shown = visible_code(text)

    assert find_hostile(shown) is None
    assert shown.count("\n") == text.count("\n")


def test_code_shows_what_hides_in_it() -> None:
    assert visible_code("x = 1  # \x1b[2K\r\u202eimport os\U000e0041\r\n") == (
        "x = 1  # \\x1b[2K\\x0d\\u202eimport os\\U000e0041\n"
    )


@given(st.recursive(ANY_TEXT | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner)))
def test_json_means_the_same_and_holds_nothing_unsafe(value: object) -> None:
    shown = visible_json(json.dumps(value, ensure_ascii=False))

    assert find_hostile(shown) is None
    # JSON joins two halves of a surrogate pair that stood in two characters.
    assert json.loads(shown) == json.loads(json.dumps(value))


@pytest.mark.parametrize("hidden", [*"\x00\x1b\x7f\x9b\r\u200b\u202e\u2066\u2028\ud800"])
def test_hidden_character_of_a_program_is_found_unless_it_was_there(hidden: str) -> None:
    assert find_unsafe(f"a = 1\nb = '{hidden}'\n") == 11
    assert find_unsafe(f"a = 1\nb = '{hidden}'\n", known=hidden) is None


def test_line_ends_of_windows_form_feeds_and_emoji_hide_nothing() -> None:
    assert find_unsafe("a = 1\r\n\fprint('⚠\ufe0f 👩\u200d🔬')\n") is None


@pytest.mark.parametrize("piece", ["x", "\x1b[", "\x1b]52;c;", "\u202e", "\u0301"])
def test_ten_megabytes_take_no_time_where_the_length_is_bounded(piece: str) -> None:
    text = piece * 5_000_000
    began = time.thread_time()

    assert len(one_line(text)) <= 300
    assert len(safe_text(text, limit=8000)) <= 8000
    assert len(safe_tail(text.encode(), 65_536).encode()) <= 65_536

    assert time.thread_time() - began < 2.0
