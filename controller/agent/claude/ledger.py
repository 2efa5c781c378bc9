"""The bill of one proposal: each call is booked before it starts, and again before its reply is used.

The first record holds the most that the call can cost, so that a crash in between forgets nothing. A failed
call is booked as well: with what the API had told of its usage, or, where a question was sent and the answer
never came, with an estimate of its input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from controller import money
from controller.agent.claude.answers import Answer, Busy, GivenUp, Hopeless, Interrupted, Question, Reply, TooLong
from controller.agent.claude.purse import Share
from controller.agent.claude.untrusted import one_line
from controller.domain import Cost
from controller.ports import ProposalRequest


class Ledger:
    """Calls of one proposal. `book` must have stored a record durably when it returns."""

    def __init__(
        self,
        opening: Question,
        request: ProposalRequest,
        *,
        book: Callable[[money.CallRecord], None],
        clock: Callable[[], float],
        new_id: Callable[[], str],
        prices: money.Overrides,
        share: Share,
    ) -> None:
        self._opening = opening
        self._request = request
        self._book = book
        self._clock = clock
        self._new_id = new_id
        self._prices = prices
        self._share = share
        self._calls: list[money.CallRecord] = []

    @property
    def cost(self) -> Cost:
        """What was booked so far."""
        return money.total(self._calls)

    def begin(self, input_tokens: int, *, give_up: Callable[[], bool]) -> money.CallRecord | None:
        """Book a call that is about to start; None, and nothing booked, where it could cross the budget.

        Waits where calls of other proposals may leave something over, until `give_up` says so.
        """
        most = self._most(input_tokens)
        if not self._share.reserve(most, give_up=give_up):
            return None
        model = self._opening.model
        begun = money.CallRecord(
            id=self._new_id(),
            tag=self._request.tag,
            proposal=self._request.number,
            model=model,
            at=self._clock(),
            outcome="begun",
            dollars=most,
            prices=money.price_source(model, self._prices),
        )
        return self._add(begun)

    def settle(self, begun: money.CallRecord, answer: Answer, *, input_tokens: int) -> money.CallRecord:
        """Book how a call ended and what it cost; one that may have been billed in silence costs its input."""
        raw = {"input_tokens": input_tokens, "estimated": True} if _silent(answer) else answer.raw
        usage = money.usage_of(raw)
        ended = replace(
            begun,
            outcome=outcome(answer),
            dollars=money.dollars(usage, model=begun.model, overrides=self._prices),
            seconds=max(0.0, self._clock() - begun.at),
            usage=usage,
            raw=raw,
        )
        self._share.settle(most=begun.dollars, actual=ended.dollars)
        return self._add(ended)

    def _most(self, input_tokens: int) -> float:
        opening = self._opening
        return money.most_expensive(
            input_tokens=input_tokens,
            max_tokens=opening.max_tokens,
            model=opening.model,
            overrides=self._prices,
        )

    def _add(self, record: money.CallRecord) -> money.CallRecord:
        self._book(record)
        self._calls.append(record)
        return record


def _silent(answer: Answer) -> bool:
    """The question was sent, and nothing was told of its usage."""
    match answer:
        case Interrupted() | GivenUp():
            return not answer.raw
        case Busy():
            return answer.lost and not answer.raw
        case _:
            return False


def outcome(answer: Answer) -> str:
    """One word or two for how a call ended: the stop reason, or the kind of failure."""
    match answer:
        case Reply():
            return answer.stop_reason
        case Interrupted():
            return "interrupted"
        case Busy():
            return one_line(answer.reason.partition(":")[0], limit=40)
        case GivenUp():
            return "given up"
        case TooLong():
            return "too long"
        case Hopeless():
            return "refused"
        case _:
            assert_never(answer)
