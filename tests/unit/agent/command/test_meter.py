"""Calls of one proposal: booked before and after, never below what is billed, never beyond what may be spent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from threading import Barrier

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.agent.command.meter import Meter, OpenCall, Unpaid
from controller.agent.command.reading import Reading
from controller.agent.command.surfaces import MESSAGES, Call, read_call
from controller.agent.desk.purse import Purse
from controller.costs.model_calls import CallRecord, price_call, read_usage
from tests.support.requests import proposal_request
from tests.support.waiting import PATIENCE_S

MODEL = "claude-opus-5-5"
REPLIES = st.lists(
    st.tuples(
        st.integers(1, 20_000),  # characters of the request
        st.floats(0, 1),  # tokens of the reply, as a share of what it may have
        st.sampled_from(["whole", "broken", "silent", "refused", "unsent"]),
    ),
    max_size=12,
)


def asked(characters: int, *, text: str = "x", most: int = 30_000) -> Call:
    message = {"role": "user", "content": text * characters}
    body = {"model": MODEL, "max_tokens": most, "messages": [message], "stream": True}
    return read_call(MESSAGES, json.dumps(body).encode())


def event(**fields: object) -> bytes:
    return f"data: {json.dumps(fields)}\n".encode()


@contextmanager
def open_meter(booked: list[CallRecord], *limits: float) -> Iterator[Meter]:
    """A meter of at most ten calls with a purse for each limit."""
    numbers = count()
    with ExitStack() as shares:
        yield Meter(
            proposal_request({}),
            book=booked.append,
            clock=lambda: 0.0,
            new_id=lambda: str(next(numbers)),
            prices={},
            shares={
                f"purse {number}": shares.enter_context(
                    Purse().open_share(lambda limit=limit: limit)  # type: ignore[misc]  # a number
                )
                for number, limit in enumerate(limits)
            },
            most_calls=10,
        )


def answer(opened: OpenCall, *, read: int, written: int) -> float:
    """Have a call end with so many tokens; returns the dollars that are billed for it."""
    usage = {"input_tokens": read, "output_tokens": written}
    reading = Reading(MESSAGES, streams=True)
    reading.take_line(event(type="message_start", message={"model": MODEL, "usage": {**usage, "output_tokens": 1}}))
    reading.take_line(event(type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": written}))
    opened.settle(reading, status=200, hung_up=False)
    return price_call(read_usage(usage), model=MODEL, overrides={})


@settings(deadline=None)  # the first call reads the table of prices
@given(REPLIES, st.floats(0.01, 5), st.floats(0.01, 5), st.floats(0, 1))
def test_booked_is_never_below_billed_and_never_beyond_either_purse(
    replies: list[tuple[int, float, str]], of_proposal: float, of_campaign: float, tokens_per_byte: float
) -> None:
    booked: list[CallRecord] = []
    billed = 0.0
    with ExitStack() as shares:
        meter = shares.enter_context(open_meter(booked, of_proposal, of_campaign))
        for characters, share, kind in replies:
            call = asked(characters)
            with meter.open_call(call, give_up=lambda: True) as opened:
                if isinstance(opened, Unpaid):
                    continue
                reading = Reading(MESSAGES, streams=True)
                # A token has a byte or more, and the same text has as many each time.
                read, written = int(tokens_per_byte * characters), int(share * opened.most_output)
                usage = {"input_tokens": read, "output_tokens": written}
                if kind in ("whole", "broken"):
                    begun = {"model": MODEL, "usage": {"input_tokens": usage["input_tokens"], "output_tokens": 1}}
                    reading.take_line(event(type="message_start", message=begun))
                if kind == "whole":
                    end = {"stop_reason": "end_turn"}
                    reading.take_line(
                        event(type="message_delta", delta=end, usage={"output_tokens": usage["output_tokens"]})
                    )
                if kind == "unsent":
                    opened.settle_unsent()
                    continue
                status = {"silent": None, "refused": 529}.get(kind, 200)
                opened.settle(reading, status=status, hung_up=False)
                if kind != "refused":
                    billed += price_call(read_usage(usage), model=MODEL, overrides={})

    assert meter.cost.dollars >= billed - 1e-12
    assert len(booked) == 2 * len(meter.calls)
    assert all(before.dollars >= after.dollars for before, after in zip(booked[::2], booked[1::2], strict=True))
    assert len(meter.calls) <= 10
    assert meter.cost.dollars <= min(of_proposal, of_campaign) + 1e-9


def test_calls_side_by_side_never_cost_more_together_than_there_is() -> None:
    """Text of one token a byte, full replies, and calls that all begin before one of them has ended."""
    booked: list[CallRecord] = []
    limit, waiting = 1.0, Barrier(8, timeout=PATIENCE_S)
    asked_for = asked(20_000)

    def ask(meter: Meter) -> tuple[float, int]:
        waiting.wait()
        with meter.open_call(asked_for, give_up=lambda: False) as opened:
            if isinstance(opened, Unpaid):
                return 0.0, 0
            return answer(opened, read=asked_for.size, written=opened.most_output), 1

    with open_meter(booked, limit, 100.0) as meter, ThreadPoolExecutor(8) as threads:
        ended = list(threads.map(ask, [meter] * 8))

    billed, made = sum(dollars for dollars, _ in ended), sum(number for _, number in ended)
    assert made > 1
    assert 0 < billed <= meter.cost.dollars <= limit
    assert set(most_at_once(booked)) <= {True}


def most_at_once(booked: list[CallRecord]) -> Iterator[bool]:
    """Whether what was booked stayed within a dollar, after each record; begun calls count at their most."""
    last: dict[str, float] = {}
    for record in booked:
        last[record.id] = record.dollars
        yield sum(last.values()) <= 1 + 1e-9


def test_call_that_cannot_be_paid_says_what_it_may_cost_and_what_is_left() -> None:
    with open_meter([], 0.01, 5.0) as meter, meter.open_call(asked(20_000), give_up=lambda: False) as opened:
        assert isinstance(opened, Unpaid)
        assert re.search(
            r"may cost \$\d\.\d+ even with 1000 tokens of output, and \$0\.0100 of purse 0 is left", opened.reason
        )
    assert meter.too_small == {"purse 0"}
    assert meter.unpaid in opened.reason


def test_small_purse_gets_a_short_reply_and_not_none() -> None:
    with open_meter([], 0.05, 5.0) as meter, meter.open_call(asked(100), give_up=lambda: False) as opened:
        assert isinstance(opened, OpenCall)
        assert 1000 <= opened.most_output < 8000
    assert meter.cost.dollars <= 0.05


def test_conversation_that_grows_is_taken_byte_for_byte_only_where_it_is_new() -> None:
    short, longer, other = asked(100_000), asked(101_000), asked(100_000, text="y")
    with open_meter([], 100.0) as meter:
        for call, most in ((short, short.size), (longer, 35_000), (other, other.size)):
            with meter.open_call(call, give_up=lambda: False) as opened:
                assert isinstance(opened, OpenCall)
                assert opened.most_input <= most
                if call is not longer:
                    assert opened.most_input == call.size
                answer(opened, read=30_000, written=10)


def test_refusal_that_is_not_billed_teaches_nothing() -> None:
    with open_meter([], 100.0) as meter:
        for _ in range(2):
            with meter.open_call(asked(5_000), give_up=lambda: False) as opened:
                assert isinstance(opened, OpenCall)
                assert opened.most_input == opened.call.size
                answer(opened, read=0, written=0)


def test_call_that_asks_for_all_leaves_room_for_one_beside_it() -> None:
    with open_meter([], 3.0) as meter, meter.open_call(asked(100, most=100_000), give_up=lambda: False) as first:
        assert isinstance(first, OpenCall)
        assert first.most_output > 30_000
        with meter.open_call(asked(100, most=100_000), give_up=lambda: True) as second:
            assert isinstance(second, OpenCall)
            assert second.most_output >= 16_000
