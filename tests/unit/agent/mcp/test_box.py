"""A submission that was accepted lasts until its fate is known, and waits in a place of bounded size."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.agent.mcp.box import OFFERED_AGAIN_SECONDS, BoxFull, Submission, SubmissionBox, new_ticket


def submission(program: str, *, at: float = 1_700_000_000.0) -> Submission:
    return Submission(
        ticket=new_ticket(at),
        base="c0",
        files={"train.py": f"# {program}\n"},
        program=program,
        diff="",
        title=program,
        hypothesis="",
        expected_effect="",
        notes=None,
        agent="mcp/client",
        strategy="open",
        declared_dollars=0.0,
    )


def test_what_was_put_in_is_there_after_a_restart_in_its_order(tmp_path: Path) -> None:
    box = SubmissionBox(tmp_path / "b", most=4)
    put = [box.put(submission(name, at=1e9 + place)) for place, name in enumerate("abc")]
    taken = box.take(now=0.0)
    assert taken == put[0]

    after_a_kill = SubmissionBox(tmp_path / "b", most=4)

    assert after_a_kill.waiting == tuple(put)
    assert [after_a_kill.take(now=0.0) for _ in range(4)] == [*put, None]


def test_what_was_settled_is_gone_also_after_a_restart_and_its_reason_is_known(tmp_path: Path) -> None:
    box = SubmissionBox(tmp_path, most=4)
    kept, refused = box.put(submission("a")), box.put(submission("b"))
    box.settle(kept.ticket)
    box.settle(refused.ticket, sent_back="tried before")
    box.settle("nobody's")

    assert box.waiting == ()
    assert (box.reason_of(kept.ticket), box.reason_of(refused.ticket)) == ("", "tried before")
    assert SubmissionBox(tmp_path, most=4).waiting == ()
    assert list(tmp_path.iterdir()) == []


def test_same_program_gets_the_ticket_that_it_has(tmp_path: Path) -> None:
    box = SubmissionBox(tmp_path, most=4)
    first = box.put(submission("a"))

    assert box.put(submission("a", at=1_700_000_001.0)) == first
    assert len(list(tmp_path.iterdir())) == 1


def test_full_box_takes_no_more_until_one_is_settled(tmp_path: Path) -> None:
    box = SubmissionBox(tmp_path, most=2)
    first = box.put(submission("a"))
    box.put(submission("b"))
    with pytest.raises(BoxFull):
        box.put(submission("c"))

    box.settle(first.ticket)

    box.put(submission("c"))
    assert [each.program for each in box.waiting] == ["b", "c"]


def test_what_got_lost_between_agent_and_lab_is_given_out_again_later(tmp_path: Path) -> None:
    box = SubmissionBox(tmp_path, most=2)
    box.put(submission("a"))
    assert box.take(now=0.0) is not None

    assert box.take(now=OFFERED_AGAIN_SECONDS - 1) is None
    assert box.take(now=OFFERED_AGAIN_SECONDS) is not None


def test_files_of_others_and_halves_are_left_alone(tmp_path: Path) -> None:
    box = SubmissionBox(tmp_path, most=4)
    kept = box.put(submission("a"))
    whole = (tmp_path / f"{kept.ticket}.json").read_text()
    (tmp_path / ".0000000000001-00000000.json").write_text(whole)
    (tmp_path / "1700000000001-00000000.json").write_text(whole[:-9])
    (tmp_path / "1700000000002-00000000.json").write_text(whole)  # of another ticket
    (tmp_path / "1700000000003-00000000.json").symlink_to(tmp_path / f"{kept.ticket}.json")
    (tmp_path / "notes.txt").write_text("mine")

    assert SubmissionBox(tmp_path, most=4).waiting == (kept,)
    assert len(list(tmp_path.iterdir())) == 6
