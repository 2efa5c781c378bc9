"""Books the calls that a program makes for one proposal: each before it starts, and when it has ended.

A call is made only if the most that it can cost fits into what is left, of the campaign's dollars and of the proposal's
own, beside all that run now. That much is set aside until its end is booked, so that calls side by side never cost more
together than there is. A call for which too little is left gets fewer output tokens, or is refused. What a reply cost
is known from its usage; of one that broke off the most that it can have cost is booked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock

from controller.agent.command.reading import Reading
from controller.agent.command.sizes import KnownSizes
from controller.agent.command.surfaces import Call
from controller.agent.desk.purse import Reservation, Share
from controller.costs import model_calls
from controller.domain import Cost
from controller.ports import ProposalRequest

USUAL_OUTPUT_TOKENS = 8_000
"""Output tokens for which a call waits while other calls may give money back: a program's turns are many and short."""

ROOMY_OUTPUT_TOKENS = 16_000
"""Output tokens that a call may have although they take more than half of what is left. Programs ask for a hundred
thousand and use some hundred, and a call beside this one is to find something left."""

FEWEST_OUTPUT_TOKENS = 1_000
"""Output tokens with which a call is still made when nobody gives anything back: enough to finish a thought."""

LIKELY_TOKENS_PER_BYTE = 0.3
"""Tokens of a byte of code or JSON as a rule, for what a call is counted as while it is under way."""

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
        most: tuple[int, int],
    ) -> None:
        """most: input and output tokens for which money is set aside."""
        self.most_input, self.most_output = most
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


@dataclass(frozen=True, slots=True)
class Unpaid:
    """A call that is not made."""

    reason: str
    """A sentence for whoever asked."""


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
        shares: Mapping[str, Share],
        most_calls: int,
    ) -> None:
        """book: stores a record durably before it returns.

        shares: purses, each of which must have room for a call, by the settings that say how much there is.
        """
        self._request, self._book, self._clock, self._new_id = request, book, clock, new_id
        self._prices, self._shares, self._most_calls = prices, shares, most_calls
        self._lock = Lock()
        self._calls: list[model_calls.CallRecord] = []
        self._opened = 0
        self._sizes = KnownSizes()
        self.unpaid = ""
        """The reason for which a call was not made, the last one; empty if all were made."""
        self.too_small: frozenset[str] = frozenset()
        """Settings of the purses that had too little for a call."""

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
    def open_call(self, call: Call, *, give_up: Callable[[], bool]) -> Iterator[OpenCall | Unpaid]:
        """A call that is booked and about to start; Unpaid, with nothing booked, if it cannot be paid.

        Raises SettingsError if the model has no known price.
        """
        with self._lock:
            self._opened += 1
            tokens, too_many = self._sizes.bound(call), self._opened > self._most_calls
        if too_many:
            yield self._refuse(f"the {self._most_calls} calls for this proposal are used up (agent.command.calls)")
            return
        usual = min(call.most_output, max(USUAL_OUTPUT_TOKENS, call.least_output))
        fewest = min(call.most_output, max(FEWEST_OUTPUT_TOKENS, call.least_output))
        for output in dict.fromkeys((usual, fewest)):
            least, most = self._price_dearest(call, tokens, output), self._price_dearest(call, tokens, call.most_output)
            roomy = self._price_dearest(call, tokens, max(output, min(call.most_output, ROOMY_OUTPUT_TOKENS)))
            wanted = min(most, max(roomy, self._left / 2))
            with self._reserve(tuple(self._shares.values()), least, wanted, give_up) as reservations:
                if reservations:
                    granted = min(reservation.granted for reservation in reservations)
                    if most > least:
                        output += int((granted - least) / (most - least) * (call.most_output - output))
                    yield self._begin(call, reservations, granted=granted, most=(tokens, output))
                    return
        left = {name: max(0.0, share.left) for name, share in self._shares.items()}
        self.too_small |= {name for name, dollars in left.items() if dollars < least}
        scarce = min(left, key=lambda name: left[name])
        yield self._refuse(
            f"the money for this proposal is used up: this call may cost ${least:.4f} even with {output} tokens of "
            f"output, and ${left[scarce]:.4f} of {scarce} is left"
        )

    def _refuse(self, reason: str) -> Unpaid:
        self.unpaid = reason
        return Unpaid(f"{reason}; finish with what there is")

    @property
    def _left(self) -> float:
        """Dollars that are left for calls now, of the proposal or of the campaign."""
        return max(0.0, min(share.left for share in self._shares.values()))

    def _begin(
        self, call: Call, reservations: tuple[Reservation, ...], *, granted: float, most: tuple[int, int]
    ) -> OpenCall:
        """Book that a call begins."""
        likely = min(most[0], int(call.size * LIKELY_TOKENS_PER_BYTE) + 1)
        begun = model_calls.CallRecord(
            id=self._new_id(),
            tag=self._request.tag,
            proposal=self._request.number,
            model=call.model,
            vendor=call.surface.vendor,
            at=self._clock(),
            outcome="begun",
            dollars=granted,
            expected=min(granted, self._price_dearest(call, likely, min(most[1], USUAL_OUTPUT_TOKENS))),
            prices=model_calls.price_source(call.model, self._prices),
        )
        self._add(begun)
        # Until its end is booked, the call may have cost all of it: an exception gives nothing back from here on.
        for reservation in reservations:
            reservation.charge = begun.dollars
        return OpenCall(self, call, begun, reservations, most)

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
            with self._lock:
                self._sizes.learn(opened.call, usage.context - usage.output)
        else:
            output = _bound_output(opened, seconds=seconds, hung_up=hung_up)
            if raw:
                usage = replace(usage, output=max(usage.output, output))
            else:
                usage = model_calls.dearest_usage(
                    input_tokens=opened.most_input, output_tokens=output, vendor=begun.vendor
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
