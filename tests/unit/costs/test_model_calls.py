"""Money: the table to the cent, the settings above it, and no call counted twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.costs.model_calls import (
    CallRecord,
    Usage,
    price_call,
    price_dearest_call,
    price_source,
    read_usage,
    require_price,
    sum_calls,
)
from controller.errors import SettingsError

COUNTS = st.integers(0, 500_000)
USAGES = st.builds(Usage, input=COUNTS, output=COUNTS, cache_write_5m=COUNTS, cache_write_1h=COUNTS, cache_read=COUNTS)
MODELS = ("claude-fable-5-2", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")


def record(id: str, *, outcome: str, dollars: float, usage: Usage = Usage()) -> CallRecord:  # noqa: B008 - frozen
    return CallRecord(
        id=id, tag="t", proposal=1, model="m", at=0.0, outcome=outcome, dollars=dollars, prices="", usage=usage
    )


def test_a_reply_with_all_kinds_of_tokens_costs_what_the_vendor_charges() -> None:
    reported = {
        "input_tokens": 12,
        "cache_creation_input_tokens": 3000,
        "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000},
        "cache_read_input_tokens": 90_000,
        "output_tokens": 800,
    }

    assert price_call(read_usage(reported), model="claude-opus-5-5", overrides={}) == pytest.approx(0.055048, abs=1e-9)


@pytest.mark.parametrize(
    ("model", "million"),
    [
        ("claude-fable-5-2", (8, 40, 10, 16, 0.2)),
        ("claude-opus-5-5", (4, 20, 5, 8, 0.2)),
        ("claude-sonnet-5-5", (2, 10, 2.5, 4, 0.1)),
        ("claude-haiku-5-5", (0.1, 0.5, 0.125, 0.2, 0.01)),
    ],
)
def test_each_kind_of_token_has_the_price_of_the_table(model: str, million: tuple[float, ...]) -> None:
    kinds = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")

    usages = [Usage(**{kind: 10_000}) for kind in kinds]  # type: ignore[arg-type]  # each a number of tokens
    found = [price_call(usage, model=model, overrides={}) * 100 for usage in usages]

    assert found == pytest.approx(million)


def test_a_long_prompt_of_haiku_costs_its_higher_tier() -> None:
    assert price_call(Usage(input=200_000), model="claude-haiku-5-5", overrides={}) == pytest.approx(0.10)


def test_an_unknown_model_stops_before_the_first_call_and_says_what_to_add() -> None:
    with pytest.raises(SettingsError, match=r"claude-mythos-5-1.*agent\.claude\.prices\.claude-mythos-5-1"):
        require_price("claude-mythos-5-1", {})


def test_a_price_in_the_settings_wins_over_the_table() -> None:
    prices = {"claude-opus-5-5": {"input": 1.0, "output": 2.0, "cache_write": 3.0, "cache_read": 0.5}}
    usage = Usage(
        input=1_000_000, output=1_000_000, cache_write_5m=1_000_000, cache_write_1h=1_000_000, cache_read=1_000_000
    )

    assert price_call(usage, model="claude-opus-5-5", overrides=prices) == pytest.approx(1 + 2 + 3 + 3 + 0.5)
    assert price_source("claude-opus-5-5", prices) == "settings"
    assert price_source("claude-sonnet-5-5", prices).startswith("genai-prices 0.")


@pytest.mark.parametrize(
    "prices",
    [
        pytest.param({"input": 1.0}, id="no output"),
        pytest.param({"input": 1.0, "output": -1.0}, id="negative"),
        pytest.param({"input": 1.0, "output": 1.0, "cached": 1.0}, id="a name that is none"),
        pytest.param({}, id="empty"),
    ],
)
def test_a_price_that_is_no_price_is_an_error_of_the_settings(prices: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=r"agent\.claude\.prices\.mine"):
        require_price("mine", {"mine": prices})


@given(usage=USAGES, model=st.sampled_from(MODELS))
def test_no_call_costs_more_than_was_reserved_for_it(usage: Usage, model: str) -> None:
    inputs = usage.context - usage.output

    most = price_dearest_call(input_tokens=inputs, max_tokens=usage.output, model=model, overrides={})

    assert price_call(usage, model=model, overrides={}) <= most + 1e-9


def test_a_call_is_counted_by_its_last_record() -> None:
    used = Usage(input=1, output=2, cache_write_1h=3, cache_read=4)
    calls = [
        record("a", outcome="begun", dollars=1.0),
        record("a", outcome="tool_use", dollars=0.25, usage=used),
        record("b", outcome="begun", dollars=0.5),
    ]

    cost = sum_calls(calls)

    assert (cost.dollars, cost.calls) == (0.75, 2)
    assert cost.tokens == {"input": 1, "output": 2, "cache_write": 3, "cache_read": 4}
