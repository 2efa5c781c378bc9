"""The bill of one conversation: each call is booked before it starts, and again before its reply is used.

The first record holds the most that the call can cost, so that a crash in between forgets no dollar. A call whose usage
the API did not report to its end is booked at the most that it can have been billed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock

from controller.agent.claude.answers import Answer, Question, Reply
from controller.agent.claude.api import Api
from controller.agent.claude.billed_usage import USUAL_OUTPUT_TOKENS, name_outcome, read_billed_usage
from controller.agent.desk.purse import Share
from controller.costs import model_calls
from controller.domain import Cost
from controller.ports import ProposalRequest

REMEMBERED_REPLIES = 200
"""Replies of this process from which the usual length is taken."""


class ReplyLengths:
    """Output tokens of the replies so far; safe to share between threads."""

    def __init__(self) -> None:
        self._lengths: deque[int] = deque(maxlen=REMEMBERED_REPLIES)
        self._lock = Lock()

    def add(self, tokens: int) -> None:
        """Take in the length of a whole reply."""
        with self._lock:
            self._lengths.append(tokens)

    @property
    def usual(self) -> int:
        """Output tokens that 99 of 100 replies do not exceed."""
        with self._lock:
            lengths = sorted(self._lengths)
        if not lengths:
            return USUAL_OUTPUT_TOKENS
        return max(USUAL_OUTPUT_TOKENS, lengths[int(0.99 * (len(lengths) - 1))])


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedAnswer:
    """An answer whose call is booked to its end."""

    answer: Answer
    call: model_calls.CallRecord

    allowed: int
    """Output tokens that the call was allowed: as many as could be paid."""


class Bill:
    """The calls of one conversation and their cost, over all models that it asks."""

    def __init__(
        self,
        request: ProposalRequest,
        *,
        api: Api,
        book: Callable[[model_calls.CallRecord], None],
        clock: Callable[[], float],
        new_id: Callable[[], str],
        prices: model_calls.Overrides,
        seller: model_calls.Seller,
        lengths: ReplyLengths,
        share: Share,
    ) -> None:
        """book: stores a record durably before it returns. share: the proposal's access to the common dollars."""
        self._request = request
        self._api = api
        self._book = book
        self._clock = clock
        self._new_id = new_id
        self._prices = prices
        self._seller = seller
        self._lengths = lengths
        self._share = share
        self._calls: list[model_calls.CallRecord] = []
        # Records whose cost a proposal carries that was offered already.
        self._settled = 0

    @property
    def cost(self) -> Cost:
        """The cost booked since the last proposal that was offered, so that each call is on one."""
        return model_calls.sum_calls(self._calls[self._settled :])

    def begin_proposal(self) -> None:
        """Another proposal carries what has been booked so far."""
        self._settled = len(self._calls)

    def ask(
        self,
        question: Question,
        *,
        input_tokens: int,
        least_output: int,
        give_up: Callable[[], bool],
        begun: Callable[[], None],
    ) -> BookedAnswer | None:
        """Book a call, make it, and book its end; None, with nothing booked, if it could cross the budget.

        Waits while calls of other proposals may leave enough, until `give_up` says so. Of the output tokens that the
        question allows, it gets as many as can be paid, at least the usual number and `least_output`.
        input_tokens: estimated tokens of the question. begun: called when the reply has begun.
        """
        usual = min(question.max_tokens, max(self._lengths.usual, least_output))
        expected = self._price_dearest(question, input_tokens, usual)
        most = self._price_dearest(question, input_tokens, question.max_tokens)
        with self._share.reserve(least=expected, most=most, give_up=give_up) as reservation:
            if reservation is None:
                return None
            granted = usual
            if most > expected:
                part = (reservation.granted - expected) / (most - expected)
                granted = usual + int(part * (question.max_tokens - usual))
            record = self._begin_call(question, dollars=reservation.granted, expected=expected)
            # Until its end is booked, the call may have cost all of it: an exception gives nothing back from here on.
            reservation.charge = reservation.granted
            allowed = replace(question, max_tokens=granted)
            answer = self._api.ask(allowed, give_up=give_up, begun=begun)
            ended = self._end_call(record, allowed, answer, input_tokens=input_tokens)
            reservation.charge = ended.dollars
            return BookedAnswer(answer=answer, call=ended, allowed=granted)

    def _begin_call(self, question: Question, *, dollars: float, expected: float) -> model_calls.CallRecord:
        return self._add(
            model_calls.CallRecord(
                id=self._new_id(),
                tag=self._request.tag,
                proposal=self._request.number,
                model=question.model,
                at=self._clock(),
                outcome="begun",
                dollars=dollars,
                expected=expected,
                prices=model_calls.price_source(question.model, self._prices),
                vendor=self._seller,
            )
        )

    def _end_call(
        self, begun: model_calls.CallRecord, question: Question, answer: Answer, *, input_tokens: int
    ) -> model_calls.CallRecord:
        seconds = max(0.0, self._clock() - begun.at)
        usage, raw, estimated = read_billed_usage(answer, question, input_tokens=input_tokens, seconds=seconds)
        if isinstance(answer, Reply) and not estimated:
            self._lengths.add(usage.output)
        served = answer.served if isinstance(answer, Reply) else ""
        ended = replace(
            begun,
            outcome=name_outcome(answer),
            dollars=model_calls.price_call(
                usage, model=begun.model, overrides=self._prices, served=served, vendor=self._seller
            ),
            expected=None,
            seconds=seconds,
            usage=usage,
            raw=raw,
            request_id=answer.request_id,
            served=served,
            refusal=answer.category if isinstance(answer, Reply) else "",
        )
        return self._add(ended)

    def _price_dearest(self, question: Question, input_tokens: int, output_tokens: int) -> float:
        return model_calls.price_dearest_call(
            input_tokens=input_tokens,
            max_tokens=output_tokens,
            model=question.model,
            overrides=self._prices,
            vendor=self._seller,
        )

    def _add(self, record: model_calls.CallRecord) -> model_calls.CallRecord:
        self._book(record)
        self._calls.append(record)
        return record
