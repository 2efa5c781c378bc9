"""Calls of one proposal: booked before and after, never below what is billed, never beyond what may be spent."""

from __future__ import annotations

import json
from contextlib import ExitStack

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.agent.command.meter import Meter
from controller.agent.command.reading import Reading
from controller.agent.command.surfaces import MESSAGES, Call, read_call
from controller.agent.desk.purse import Purse
from controller.costs.model_calls import CallRecord, price_call, read_usage
from tests.support.requests import proposal_request

MODEL = "claude-opus-5-5"
REPLIES = st.lists(
    st.tuples(
        st.integers(1, 20_000),  # characters of the request
        st.floats(0, 1),  # tokens of the reply, as a share of what it may have
        st.sampled_from(["whole", "broken", "silent", "refused", "unsent"]),
    ),
    max_size=12,
)


def asked(characters: int) -> Call:
    message = {"role": "user", "content": "x" * characters}
    body = {"model": MODEL, "max_tokens": 30_000, "messages": [message], "stream": True}
    return read_call(MESSAGES, json.dumps(body).encode())


def event(**fields: object) -> bytes:
    return f"data: {json.dumps(fields)}\n".encode()


@settings(deadline=None)  # the first call reads the table of prices
@given(REPLIES, st.floats(0.01, 5), st.floats(0.01, 5))
def test_booked_is_never_below_billed_and_never_beyond_either_purse(
    replies: list[tuple[int, float, str]], of_proposal: float, of_campaign: float
) -> None:
    booked: list[CallRecord] = []
    billed = 0.0
    with ExitStack() as shares:
        meter = Meter(
            proposal_request({}),
            book=booked.append,
            clock=lambda: 0.0,
            new_id=lambda: str(len(booked)),
            prices={},
            shares=tuple(
                shares.enter_context(Purse().open_share(lambda limit=limit: limit))  # type: ignore[misc]  # a number
                for limit in (of_proposal, of_campaign)
            ),
            most_calls=10,
        )
        for characters, share, kind in replies:
            call = asked(characters)
            with meter.open_call(call, give_up=lambda: True) as opened:
                if opened is None:
                    continue
                reading = Reading(MESSAGES, streams=True)
                # A token has three characters or more.
                usage = {"input_tokens": characters // 3, "output_tokens": int(share * opened.most_output)}
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
    lost = [call for call in meter.calls if not call.raw or "input_tokens" not in call.raw]
    if not [call for call in lost if call.dollars]:
        # Of an answer that never came even the input is not known, and its most is booked.
        assert meter.cost.dollars <= min(of_proposal, of_campaign) + 1e-9
