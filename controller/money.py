"""What a call to a model costs, and the record of it that is booked.

Prices come from the genai-prices table as installed (never fetched), or from the settings where an
operator has negotiated others. It refuses to guess: a model without a price stops a campaign before
its first call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from controller.domain import Cost
from controller.errors import SettingsError

MILLION = 1_000_000
FIELDS = ("input", "output", "cache_write", "cache_read", "cache_write_1h")

Overrides = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call by how they are billed; `input` is only what was neither read from cache nor written to it."""

    input: int = 0
    output: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0

    @property
    def context(self) -> int:
        """Tokens that the next request of the same conversation starts with."""
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read + self.output

    def by_kind(self) -> dict[str, int]:
        """The four kinds that `Cost` counts."""
        return {
            "input": self.input,
            "output": self.output,
            "cache_write": self.cache_write_5m + self.cache_write_1h,
            "cache_read": self.cache_read,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call to a model, booked twice under one `id`: before it starts, and when it has ended.

    The first record carries the most that the call can cost, so that a crash in between forgets nothing;
    the second replaces it. outcome: `begun`, then the reply's stop reason or the name of the failure.
    raw: usage as the API reported it, so that a total can be recomputed from another table.
    """

    id: str
    tag: str
    proposal: int
    model: str
    at: float
    outcome: str
    dollars: float
    prices: str
    seconds: float = 0.0
    usage: Usage = Usage()
    raw: Mapping[str, Any] = field(default_factory=dict)


def usage_of(reported: Mapping[str, Any]) -> Usage:
    """The API's own usage object, whose writes are split by lifetime where it says so."""
    written = reported.get("cache_creation_input_tokens") or 0
    hour = (reported.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0
    return Usage(
        input=reported.get("input_tokens") or 0,
        output=reported.get("output_tokens") or 0,
        cache_write_5m=written - hour,
        cache_write_1h=hour,
        cache_read=reported.get("cache_read_input_tokens") or 0,
    )


def total(calls: Iterable[CallRecord]) -> Cost:
    """Sum of calls, each counted once by its last record."""
    last = {call.id: call for call in calls}
    tokens = dict.fromkeys(("input", "output", "cache_write", "cache_read"), 0)
    for call in last.values():
        for kind, count in call.usage.by_kind().items():
            tokens[kind] += count
    return Cost(dollars=sum(call.dollars for call in last.values()), tokens=tokens, calls=len(last))


def require_price(model: str, overrides: Overrides) -> None:
    """Raise SettingsError where calls of `model` could not be priced."""
    dollars(Usage(input=1, output=1), model=model, overrides=overrides)


def dollars(usage: Usage, *, model: str, overrides: Overrides) -> float:
    """Price of one call. Raises SettingsError for a model that neither the table nor the settings know."""
    if model in overrides:
        return _by_settings(usage, model=model, prices=overrides[model])
    return _by_table(usage, model=model)


def most_expensive(*, input_tokens: int, max_tokens: int, model: str, overrides: Overrides) -> float:
    """The most that a call can cost: every input token written to the cache for an hour, every allowed one answered."""
    return dollars(Usage(cache_write_1h=input_tokens, output=max_tokens), model=model, overrides=overrides)


def price_source(model: str, overrides: Overrides) -> str:
    """Where the price of `model` comes from, with its version."""
    return "settings" if model in overrides else f"genai-prices {version('genai-prices')}"


def _by_settings(usage: Usage, *, model: str, prices: Mapping[str, float]) -> float:
    wrong = [name for name in prices if name not in FIELDS] + [
        name for name in ("input", "output") if name not in prices
    ]
    if wrong or any(price < 0 for price in prices.values()):
        raise SettingsError(
            f"agent.claude.prices.{model}: give input and output, and if they differ cache_write, cache_write_1h and "
            f"cache_read, in dollars per million tokens (found {', '.join(sorted(prices)) or 'nothing'})"
        )
    write = prices.get("cache_write", prices["input"])
    per_million = (
        usage.input * prices["input"]
        + usage.output * prices["output"]
        + usage.cache_write_5m * write
        + usage.cache_write_1h * prices.get("cache_write_1h", write)
        + usage.cache_read * prices.get("cache_read", prices["input"])
    )
    return per_million / MILLION


def _by_table(usage: Usage, *, model: str) -> float:
    from genai_prices import Usage as Billed
    from genai_prices import calc_price

    written = usage.cache_write_5m + usage.cache_write_1h
    billed = Billed(
        input_tokens=usage.input + written + usage.cache_read,
        output_tokens=usage.output,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=written,
        cache_write_5m_tokens=usage.cache_write_5m,
        cache_write_1h_tokens=usage.cache_write_1h,
    )
    try:
        return float(calc_price(billed, model_ref=model, provider_id="anthropic").total_price)
    except LookupError as error:
        raise SettingsError(
            f"agent.claude.model {model}: its price is not known; "
            f"add agent.claude.prices.{model} with dollars per million tokens"
        ) from error
