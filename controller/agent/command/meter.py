"""Books the calls that a program makes for one proposal: each before it starts, and when it has ended.

A call is made only if its likely most fits into what is left, of the campaign's dollars and of the proposal's own.
What a reply cost is known from its usage; of one that broke off the most that it can have cost is booked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock

from controller.agent.command.reading import Reading
from controller.agent.command.surfaces import Call
from controller.agent.desk.purse import Reservation, Share
from controller.costs import model_calls
from controller.domain import Cost
from controller.ports import ProposalRequest

USUAL_OUTPUT_TOKENS = 8_000
"""Output tokens that a call reserves at least: a program's turns are many and short."""

FIRST_TOKENS_PER_BYTE = 0.5
"""Tokens of a byte of a request before any reply told: code and JSON have about 0.3."""

LEAST_TOKENS_PER_BYTE = 0.3
"""Fewest that are learned from a reply: a program may send a million blanks, which are few tokens, and then text."""

SPARE = 1.1
"""Tokens of the next request in those that bytes of the last one had: the mix of text changes slowly."""

FASTEST_TOKENS_PER_SECOND = 400
"""More than any model makes in a second, so that the seconds of a broken stream bound its output."""


class OpenCall:
    """A call that is booked as begun."""

    def __init__(
        self,
        meter: Meter,
        call: Call,
        begun: model_calls.CallRecord,
        reservations: tuple[Reservation, ...],
        output: int,
    ) -> None:
        self.most_output = output
        """Output tokens that could be paid."""
        self.call = call
        self._meter, self._begun, self._reservations = meter, begun, reservations

    def settle(
        self, reading: Reading, *, status: int | None, hung_up: bool, request_id: str = ""
    ) -> model_calls.CallRecord:
        """Book the end. status: the answer's; None if none came, though the request may have arrived.

        hung_up: true if it was the program, or its end, that broke the connection.
        """
        ended = self._meter.end_call(self, self._begun, reading, status=status, hung_up=hung_up, request_id=request_id)
        for reservation in self._reservations:
            reservation.charge = ended.dollars
        return ended

    def settle_unsent(self) -> model_calls.CallRecord:
        """Book that the request never left."""
        ended = self._meter.cancel_call(self._begun)
        for reservation in self._reservations:
            reservation.charge = 0.0
        return ended


class Meter:
    """The calls of one proposal and their cost; safe to share between threads."""

    def __init__(
        self,
        request: ProposalRequest,
        *,
        book: Callable[[model_calls.CallRecord], None],
        clock: Callable[[], float],
        new_id: Callable[[], str],
        prices: model_calls.Overrides,
        shares: tuple[Share, ...],
        most_calls: int,
    ) -> None:
        """book: stores a record durably before it returns. shares: purses, each of which must have room for a call."""
        self._request, self._book, self._clock, self._new_id = request, book, clock, new_id
        self._prices, self._shares, self._most_calls = prices, shares, most_calls
        self._lock = Lock()
        self._calls: list[model_calls.CallRecord] = []
        self._opened = 0
        self._tokens_per_byte = FIRST_TOKENS_PER_BYTE
        self.short_of_money = False
        """True if a call could not be paid."""

    @property
    def cost(self) -> Cost:
        """The cost booked so far."""
        return model_calls.sum_calls(self.calls)

    @property
    def calls(self) -> tuple[model_calls.CallRecord, ...]:
        """The last record of each call, in the order of their beginnings."""
        with self._lock:
            return tuple({call.id: call for call in self._calls}.values())

    @contextmanager
    def open_call(self, call: Call, *, give_up: Callable[[], bool]) -> Iterator[OpenCall | None]:
        """A call that is booked and about to start; None, with nothing booked, if it cannot be paid.

        Raises SettingsError if the model has no known price.
        """
        with self._lock:
            self._opened += 1
            tokens = min(call.size, int(call.size * self._tokens_per_byte) + 1)
            too_many = self._opened > self._most_calls
        usual = min(call.most_output, max(USUAL_OUTPUT_TOKENS, call.least_output))
        expected, most = self._price_dearest(call, tokens, usual), self._price_dearest(call, tokens, call.most_output)
        with self._reserve(self._shares, expected, most, give_up) as reservations:
            if too_many or not reservations:
                self.short_of_money = True
                yield None
                return
            granted = min(reservation.granted for reservation in reservations)
            output = usual
            if most > expected:
                output += int((granted - expected) / (most - expected) * (call.most_output - usual))
            begun = model_calls.CallRecord(
                id=self._new_id(),
                tag=self._request.tag,
                proposal=self._request.number,
                model=call.model,
                vendor=call.surface.vendor,
                at=self._clock(),
                outcome="begun",
                # A byte is a token at most, so that this is the most that the call can cost.
                dollars=max(granted, self._price_dearest(call, call.size, output)),
                expected=expected,
                prices=model_calls.price_source(call.model, self._prices),
            )
            self._add(begun)
            # Until its end is booked, the call may have cost all of it: an exception gives nothing back from here on.
            for reservation in reservations:
                reservation.charge = begun.dollars
            yield OpenCall(self, call, begun, reservations, output)

    def end_call(
        self,
        opened: OpenCall,
        begun: model_calls.CallRecord,
        reading: Reading,
        *,
        status: int | None,
        hung_up: bool,
        request_id: str,
    ) -> model_calls.CallRecord:
        """Book the end of a call."""
        seconds = max(0.0, self._clock() - begun.at)
        usage, raw, outcome = reading.usage, dict(reading.raw), reading.ended or "broken off"
        if status is not None and status >= 400 and not raw:
            outcome = f"http {status}"
        elif reading.is_whole:
            self._learn_length(opened.call, usage)
        else:
            output = _bound_output(opened, seconds=seconds, hung_up=hung_up)
            if raw:
                usage = replace(usage, output=max(usage.output, output))
            else:
                usage = model_calls.dearest_usage(
                    input_tokens=opened.call.size, output_tokens=output, vendor=begun.vendor
                )
            raw |= {"output_tokens": usage.output, "estimated": True}
        ended = replace(
            begun,
            outcome=outcome,
            dollars=self._price(usage, begun, served=reading.served),
            expected=None,
            seconds=seconds,
            usage=usage,
            raw=raw,
            request_id=request_id,
            served=reading.served,
        )
        return self._add(ended)

    def cancel_call(self, begun: model_calls.CallRecord) -> model_calls.CallRecord:
        """Book that a call was not made."""
        return self._add(replace(begun, outcome="unreachable", dollars=0.0, expected=None))

    @contextmanager
    def _reserve(
        self, shares: tuple[Share, ...], least: float, most: float, give_up: Callable[[], bool]
    ) -> Iterator[tuple[Reservation, ...]]:
        """Set the dollars aside in each purse; nothing in any if one of them has too little."""
        first, *others = shares
        with first.reserve(least=least, most=most, give_up=give_up) as reservation:
            if reservation is None:
                yield ()
            elif not others:
                yield (reservation,)
            else:
                with self._reserve(tuple(others), least, max(least, reservation.granted), give_up) as further:
                    yield (reservation, *further) if further else ()

    def _learn_length(self, call: Call, usage: model_calls.Usage) -> None:
        with self._lock:
            learned = SPARE * (usage.context - usage.output) / max(1, call.size)
            self._tokens_per_byte = min(1.0, max(LEAST_TOKENS_PER_BYTE, learned))

    def _price_dearest(self, call: Call, tokens: int, output: int) -> float:
        return model_calls.price_dearest_call(
            input_tokens=tokens,
            max_tokens=output,
            model=call.model,
            overrides=self._prices,
            vendor=call.surface.vendor,
        )

    def _price(self, usage: model_calls.Usage, begun: model_calls.CallRecord, *, served: str) -> float:
        return model_calls.price_call(
            usage, model=begun.model, overrides=self._prices, served=served, vendor=begun.vendor
        )

    def _add(self, record: model_calls.CallRecord) -> model_calls.CallRecord:
        self._book(record)
        with self._lock:
            self._calls.append(record)
        return record


def _bound_output(opened: OpenCall, *, seconds: float, hung_up: bool) -> int:
    """Most output tokens of a reply that broke off.

    It can have been made to its full length, unless it was a stream on which we hung up: that ended with us.
    """
    if not (hung_up and opened.call.streams):
        return opened.most_output
    return min(opened.most_output, max(USUAL_OUTPUT_TOKENS, int(seconds * FASTEST_TOKENS_PER_SECOND)))
