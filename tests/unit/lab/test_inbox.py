"""What an operator tells reaches the lab once, whoever holds it and whatever is in the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.domain import Remark
from controller.errors import LabError
from controller.lab import Lab
from controller.lab.attachments import REMARKS
from controller.lab.writer import LabWriter
from tests.support.labs import FILES

SAID_AT = 1_700_000_000.125


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[LabWriter]:
    """The lab of a campaign t, held by this process."""
    opened = LabWriter.open(tmp_path / "lab.git", create=True)
    with opened.lock(now=0.0):
        opened.begin("t", FILES, fingerprint="f0", settings="tag: t\n", at=1e9)
        yield opened


def files_in(lab: LabWriter) -> list[Path]:
    return list((lab.path / "inbox" / "t").iterdir())


def test_remark_left_while_another_process_holds_the_lab_is_taken_in_with_its_time(lab: LabWriter) -> None:
    reader = Lab.open(lab.path)
    reader.leave_remark("t", "try smaller vocabularies", at=SAID_AT)
    said = Remark(at=SAID_AT, text="try smaller vocabularies")
    assert reader.waiting_remarks("t") == [said]
    assert reader.remarks("t") == []

    assert lab.take_in_remarks("t", at=2e9) == [said]

    assert Lab.open(lab.path).remarks("t") == [said]
    assert files_in(lab) == []
    assert lab.take_in_remarks("t", at=2e9) == []


def test_writer_killed_between_lab_and_inbox_takes_a_remark_in_once(lab: LabWriter) -> None:
    lab.leave_remark("t", "no more layers", at=SAID_AT)
    [file] = files_in(lab)
    lab.attach("t", f"{REMARKS}/{file.name}", file.read_bytes(), at=2e9)

    lab.take_in_remarks("t", at=3e9)

    assert Lab.open(lab.path).remarks("t") == [Remark(at=SAID_AT, text="no more layers")]
    assert files_in(lab) == []


def test_half_a_file_and_files_of_others_are_no_remarks(lab: LabWriter) -> None:
    lab.leave_remark("t", "first", at=SAID_AT)
    folder = lab.path / "inbox" / "t"
    (folder / ".1700000000126-00000000.txt").write_text("half of o")
    (folder / "notes.txt").write_text("mine")
    (folder / "1700000000127-00000000.txt").symlink_to("/etc/hostname")

    assert [remark.text for remark in lab.take_in_remarks("t", at=2e9)] == ["first"]


def test_remarks_are_told_in_the_order_in_which_they_were_said(lab: LabWriter) -> None:
    for second in (3, 1, 2):
        lab.leave_remark("t", f"said {second}", at=SAID_AT + second)

    lab.take_in_remarks("t", at=2e9)

    assert [remark.text for remark in Lab.open(lab.path).remarks("t")] == ["said 1", "said 2", "said 3"]


def test_whatever_is_put_into_the_inbox_is_safe_text_of_bounded_length(lab: LabWriter) -> None:
    folder = lab.path / "inbox" / "t"
    folder.mkdir(parents=True)
    (folder / "1700000000127-00000000.txt").write_bytes(b"\x1b]52;c;aGk=\x07red\x1b[31m\xff\x00" + b"A" * 10_000_000)
    (folder / "1700000000128-00000000.txt").write_bytes(b"\x1b[31m")

    [remark] = lab.take_in_remarks("t", at=2e9)

    assert remark.text.startswith("red")
    assert len(remark.text) <= 2_000
    assert "\x1b" not in remark.text
    assert files_in(lab) == []


@pytest.mark.parametrize(("text", "why"), [(" \x1b[31m\n", "nothing to tell"), ("x" * 2_001, "2,000 at most")])
def test_remark_that_says_nothing_or_too_much_is_refused_in_a_sentence(lab: LabWriter, text: str, why: str) -> None:
    with pytest.raises(LabError, match=why):
        lab.leave_remark("t", text, at=SAID_AT)


def test_script_that_has_run_wild_does_not_fill_the_inbox(lab: LabWriter) -> None:
    for number in range(100):
        lab.leave_remark("t", f"{number}", at=SAID_AT)

    with pytest.raises(LabError, match="wait to be read already"):
        lab.leave_remark("t", "one more", at=SAID_AT)
