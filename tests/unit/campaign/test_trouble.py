"""When a trouble that an operator must mend is told."""

from __future__ import annotations

from controller.campaign.trouble import RETOLD_SECONDS, TroubleTeller


def test_the_beginning_and_the_end_of_trouble_are_told_at_once() -> None:
    teller = TroubleTeller()

    assert not teller.is_news("", now=1e9)
    assert teller.is_news("no money", now=1e9)
    assert teller.is_news("", now=1e9 + 1)
    assert teller.is_news("no money", now=1e9 + 2)


def test_another_wording_of_a_lasting_trouble_is_told_after_five_minutes() -> None:
    teller = TroubleTeller()
    teller.is_news("pod a is refused", now=1e9)

    assert not teller.is_news("pod b is refused", now=1e9 + RETOLD_SECONDS - 1)
    assert teller.told == "pod a is refused"
    assert teller.is_news("pod c is refused", now=1e9 + RETOLD_SECONDS)
    assert not teller.is_news("pod c is refused", now=1e9 + 9 * RETOLD_SECONDS)
