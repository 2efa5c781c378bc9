"""Prices a call to a language model, and defines the record of it that is booked. Pure.

Prices come from the installed genai-prices package, which is never updated over the network, or from the settings if
an operator has negotiated others. A model without a known price stops a campaign before its first call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Literal

from controller.domain import Cost
from controller.errors import SettingsError

MILLION = 1_000_000
"""Tokens: the unit of prices in the settings."""

US_ONLY_FACTOR = 1.1
"""What the vendor multiplies the price by if a request is only answered within the United States.

A request asks for that, or its workspace does by default; the usage of a reply says whether it was so.
"""

FIELDS = ("input", "output", "cache_write", "cache_read", "cache_write_1h")
"""Names of prices that the settings may give for a model."""

Overrides = Mapping[str, Mapping[str, float]]
"""Prices of the settings: model, then one of FIELDS, to dollars per million tokens."""


Vendor = Literal["anthropic", "openai"]
"""Whose models are asked: two vendors may give two models one name, and count tokens in two ways."""

Seller = Literal["anthropic", "openai", "bedrock", "vertex", "vertex-region", "foundry"]
"""Who bills the call: a vendor, or a platform that serves a vendor's models at its own prices."""

PLATFORM_TABLES: Mapping[str, tuple[str, float]] = {
    "bedrock": ("aws", 1.0),
    "vertex": ("google", 1.0),
    "vertex-region": ("google", 1.1),
    "foundry": ("azure", 1.0),
}
"""For a platform the name of its table in genai-prices, and a factor.

Bedrock's table knows by a model's id whether it is served worldwide (`global.`) or in one region, which costs a tenth
more. Vertex AI asks the same for regions, by the vendor's list, but names the models alike.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call, by the price that they are billed at."""

    input: int = 0
    """Input tokens that were neither read from the prompt cache nor written to it."""

    output: int = 0

    cache_write_5m: int = 0
    """Input tokens written to the prompt cache for five minutes."""

    cache_write_1h: int = 0
    """Input tokens written to the prompt cache for an hour, at a higher price."""

    cache_read: int = 0
    """Input tokens read from the prompt cache, at a lower price."""

    us_only: bool = False
    """True if the call was answered within the United States alone, which costs more."""

    @property
    def context(self) -> int:
        """Tokens that the next request of the same conversation starts with."""
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read + self.output

    def count_by_kind(self) -> dict[str, int]:
        """Tokens of the four kinds that `Cost` counts."""
        return {
            "input": self.input,
            "output": self.output,
            "cache_write": self.cache_write_5m + self.cache_write_1h,
            "cache_read": self.cache_read,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call to a model, booked twice under one `id`: before it starts, and when it has ended.

    The first record carries the most that the call can cost, so that a crash in between forgets no dollar. The second
    record replaces it.
    """

    id: str
    """Unique in the lab; both records of a call carry it."""

    tag: str
    """The campaign."""

    proposal: int
    """Number of the request for a proposal, which is not the number of the experiment that may follow."""

    model: str

    at: float
    """Start of the call, in seconds since 1970."""

    outcome: str
    """`begun`, then the reply's stop reason or the name of the failure."""

    dollars: float
    """The most that the call can cost in the first record, what it did cost in the second."""

    prices: str
    """Source of the prices, with its version."""

    seconds: float = 0.0
    """Duration of the call; 0 in the first record."""

    usage: Usage = Usage()
    """Billed tokens; none in the first record."""

    raw: Mapping[str, Any] = field(default_factory=dict)
    """Usage as the API reported it, so that the dollars can be computed again from another table."""

    expected: float | None = None
    """Dollars that the call costs as a rule, while it is under way; None in the second record."""

    request_id: str = ""
    """The API's id of the request; empty if it gave none."""

    served: str = ""
    """The model that answered, as it calls itself; empty if there was no whole reply."""

    refusal: str = ""
    """Category of a refusal; empty if the model did not refuse."""

    vendor: Seller = "anthropic"
    """Who billed the call, and so how `raw` is to be read and priced."""

    @property
    def counted(self) -> float:
        """Dollars that this process counts: what the call cost, or is expected to cost while it is under way.

        Of a call without a recorded end that an earlier process made, the most is counted (`dollars`).
        """
        return self.dollars if self.expected is None else self.expected


def read_usage(reported: Mapping[str, Any], *, unsplit_for_an_hour: bool = False) -> Usage:
    """The tokens in the API's own usage object.

    `cache_creation_input_tokens` counts all cache writes; `cache_creation` splits them by lifetime and may be missing.
    Any number may be null. unsplit_for_an_hour: true if writes without a split may be for an hour; else they count as
    writes for five minutes.
    """
    written = reported.get("cache_creation_input_tokens") or 0
    split = reported.get("cache_creation")
    hour = (split or {}).get("ephemeral_1h_input_tokens") or 0
    if split is None and unsplit_for_an_hour:
        hour = written
    return Usage(
        us_only=reported.get("inference_geo") == "us",
        input=reported.get("input_tokens") or 0,
        output=reported.get("output_tokens") or 0,
        cache_write_5m=written - hour,
        cache_write_1h=hour,
        cache_read=reported.get("cache_read_input_tokens") or 0,
    )


def read_openai_usage(reported: Mapping[str, Any]) -> Usage:
    """The tokens in a usage object of OpenAI's APIs, of chat completions and of responses.

    Their input tokens count those read from the cache as well; reasoning is part of the output. Any number may be null.
    """
    details = reported.get("input_tokens_details") or reported.get("prompt_tokens_details") or {}
    total = reported.get("input_tokens") or reported.get("prompt_tokens") or 0
    cached = min(total, details.get("cached_tokens") or 0)
    output = reported.get("output_tokens") or reported.get("completion_tokens") or 0
    return Usage(input=total - cached, cache_read=cached, output=output)


def sum_calls(calls: Iterable[CallRecord]) -> Cost:
    """Sum of calls, each counted once by its last record."""
    last = {call.id: call for call in calls}
    tokens = dict.fromkeys(("input", "output", "cache_write", "cache_read"), 0)
    for call in last.values():
        for kind, count in call.usage.count_by_kind().items():
            tokens[kind] += count
    return Cost(dollars=sum(call.dollars for call in last.values()), tokens=tokens, calls=len(last))


def require_price(model: str, overrides: Overrides, vendor: Seller = "anthropic") -> None:
    """Raise SettingsError if calls of `model` cannot be priced."""
    price_call(Usage(input=1, output=1), model=model, overrides=overrides, vendor=vendor)


def price_call(
    usage: Usage, *, model: str, overrides: Overrides, served: str = "", vendor: Seller = "anthropic"
) -> float:
    """Dollars of one call. Raises SettingsError for a model that neither the table nor the settings know.

    served: the model that answered, if it is known. Of it and the model that was asked, the dearer price is taken,
    unless the settings name one for the model that was asked.
    """
    if model in overrides:
        dollars = _price_by_settings(usage, model=model, prices=overrides[model])
    else:
        dollars = _price_by_table(usage, model=model, vendor=vendor)
        # A model on Bedrock calls itself by the vendor's name, which the table holds for that of another price.
        if served not in ("", model) and vendor != "bedrock":
            dollars = max(dollars, _price_if_known(usage, model=served, overrides=overrides, vendor=vendor))
    return dollars * US_ONLY_FACTOR if usage.us_only else dollars


def price_dearest_call(
    *, input_tokens: int, max_tokens: int, model: str, overrides: Overrides, vendor: Seller = "anthropic"
) -> float:
    """The most that a call can cost, in dollars.

    Writing to the cache for an hour is the highest price of an input token; `max_tokens` limits the output; a workspace
    may have every call answered within the United States.
    """
    usage = dearest_usage(input_tokens=input_tokens, output_tokens=max_tokens, vendor=vendor)
    return price_call(usage, model=model, overrides=overrides, vendor=vendor)


def dearest_usage(*, input_tokens: int, output_tokens: int, vendor: Seller = "anthropic") -> Usage:
    """The usage of a call of which only the number of tokens is known, at the highest prices that may apply."""
    if vendor == "openai":  # it has no price for writing to the cache
        return Usage(input=input_tokens, output=output_tokens, us_only=True)
    return Usage(cache_write_1h=input_tokens, output=output_tokens, us_only=True)


def price_source(model: str, overrides: Overrides) -> str:
    """Name of the table that the price of `model` comes from, with its version."""
    return "settings" if model in overrides else f"genai-prices {version('genai-prices')}"


def _price_by_settings(usage: Usage, *, model: str, prices: Mapping[str, float]) -> float:
    unknown = set(prices) - set(FIELDS)
    missing = {"input", "output"} - set(prices)
    if unknown or missing or any(price < 0 for price in prices.values()):
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


def _price_if_known(usage: Usage, *, model: str, overrides: Overrides, vendor: Seller) -> float:
    """Dollars at that model's price; 0 if it has none, because a gateway may call a model what it likes."""
    try:
        if model in overrides:
            return _price_by_settings(usage, model=model, prices=overrides[model])
        return _price_by_table(usage, model=model, vendor=vendor)
    except SettingsError:
        return 0.0


def _price_by_table(usage: Usage, *, model: str, vendor: Seller) -> float:
    from genai_prices import Usage as Billed
    from genai_prices import calc_price

    written = usage.cache_write_5m + usage.cache_write_1h
    # genai-prices counts cache reads and writes within the input tokens; the API reports them beside each other.
    billed = Billed(
        input_tokens=usage.input + written + usage.cache_read,
        output_tokens=usage.output,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=written,
        cache_write_5m_tokens=usage.cache_write_5m,
        cache_write_1h_tokens=usage.cache_write_1h,
    )
    table, factor = PLATFORM_TABLES.get(vendor, (vendor, 1.0))
    try:
        return factor * float(calc_price(billed, model_ref=model, provider_id=table).total_price)
    except LookupError as error:
        raise SettingsError(
            f"agent.claude.model {model}: its price is not known; "
            f"add agent.claude.prices.{model} with dollars per million tokens"
        ) from error
