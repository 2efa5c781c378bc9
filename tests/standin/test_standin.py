"""The stand-in refuses what the Messages API refuses, bills caching as it does, and breaks as it is told."""

from __future__ import annotations

import copy
import http.client
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.standin import KEY, Fault, StandIn, Turn, call, say
from tests.standin.cache import Cache, tokens
from tests.standin.contract import VERSION, Refused, check_request
from tests.standin.models import MODELS
from tests.standin.researcher import untried
from tests.support.campaign_in_memory import Clock

TOOL = {
    "name": "read",
    "description": "Read.",
    "strict": True,
    "input_schema": {
        "type": "object",
        "properties": {"path": {"type": "string"}},
        "required": ["path"],
        "additionalProperties": False,
    },
}
MARK = {"type": "ephemeral", "ttl": "1h"}
HEADERS = {"authorization": f"Bearer {KEY}", "anthropic-version": VERSION, "content-type": "application/json"}
EARLIER = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "content-type": "application/json"}


def valid() -> dict[str, Any]:
    return {
        "model": "claude-opus-5-5",
        "max_tokens": 1000,
        "system": [{"type": "text", "text": "Rules.", "cache_control": MARK}],
        "tools": [TOOL],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "medium"},
        "messages": [
            {"role": "user", "content": "Go."},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "read", "input": {"path": "a"}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "text"}]},
        ],
    }


def changed(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda request: request.update(values)


def message(place: int, **values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda request: request["messages"][place].update(values)


def tool(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda request: request.update(tools=[{**TOOL, **values}])


RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "text"}
USE = {"type": "tool_use", "id": "t1", "name": "read", "input": {}}
TEXT = {"type": "text", "text": "Well."}
MARKED = {**TEXT, "cache_control": MARK}

REFUSED: Mapping[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "temperature": (changed(temperature=1.0), "temperature: Extra inputs"),
    "an unknown field": (changed(thread=True), "thread: Extra inputs"),
    "no max_tokens": (lambda r: r.pop("max_tokens"), "max_tokens: Field required"),
    "too many tokens": (changed(max_tokens=200_000), "max_tokens"),
    "no messages": (changed(messages=[]), "at least one message"),
    "an unknown role": (message(0, role="system"), "role"),
    "an assistant first": (lambda r: r["messages"].pop(0), "first message"),
    "an unknown block": (message(0, content=[{"type": "video"}]), "type"),
    "an unknown key of a block": (message(0, content=[{**TEXT, "lang": "en"}]), "lang: Extra inputs"),
    "empty text": (message(0, content=[{"type": "text", "text": " "}]), "non-whitespace"),
    "empty content": (message(0, content=[]), "non-empty content"),
    "an unanswered tool_use": (message(2, content=[TEXT]), "without tool_result"),
    "a tool_use at the end": (lambda r: r["messages"].pop(), "without tool_result"),
    "a tool_result without its tool_use": (message(2, content=[RESULT, {**RESULT, "tool_use_id": "t9"}]), "unexpected"),
    "a tool_result given twice": (message(2, content=[RESULT, RESULT]), "given twice"),
    "text before a tool_result": (message(2, content=[TEXT, RESULT]), "must come first"),
    "the same id twice": (message(1, content=[USE, USE]), "unique"),
    "a tool_use by the user": (message(0, content=[USE]), "type"),
    "an input that is a string": (message(1, content=[{**USE, "input": "{}"}]), "must be an object"),
    "a tool's bad name": (tool(name="read file"), "name"),
    "two tools of one name": (changed(tools=[TOOL, TOOL]), "unique"),
    "a strict schema that is open": (tool(input_schema={"type": "object", "properties": {}}), "additionalProperties"),
    "a strict schema with an open list": (
        tool(
            input_schema={
                "type": "object",
                "properties": {"all": {"type": "array", "items": {"type": "object", "properties": {}}}},
                "required": ["all"],
                "additionalProperties": False,
            }
        ),
        "additionalProperties",
    ),
    "a keyword that strict schemas lack": (
        tool(input_schema={**TOOL["input_schema"], "minProperties": 1}),  # type: ignore[dict-item]
        "minProperties",
    ),
    "a forced tool": (changed(tool_choice={"type": "tool", "name": "read"}), "forcing a tool"),
    "thinking off": (changed(thinking={"type": "disabled"}), "thinking.type"),
    "a thinking budget": (changed(thinking={"type": "adaptive", "budget_tokens": 2000}), "budget_tokens"),
    "the most effort without thinking": (
        changed(model="claude-haiku-5-5", thinking={"type": "disabled"}, output_config={"effort": "xhigh"}),
        "not allowed with thinking off",
    ),
    "thinking off where progress is told between tools": (
        changed(model="claude-sonnet-5-5", thinking={"type": "disabled"}),
        "thinking.type",
    ),
    "an effort that the model lacks": (
        changed(model="claude-opus-4-8", output_config={"effort": "xhigh"}),
        "not supported",
    ),
    "an unknown effort": (changed(output_config={"effort": "huge"}), "effort"),
    "five marks": (message(0, content=[MARKED] * 4), "maximum of 4"),
    "a lifetime of a day": (changed(cache_control={"type": "ephemeral", "ttl": "1d"}), "ttl"),
    "a longer lifetime after a shorter": (
        lambda r: (r["system"][0].update(cache_control={"type": "ephemeral"}), r.update(cache_control=MARK)),
        "must not come after",
    ),
    "an unknown model": (changed(model="claude-unknown-9"), "model: claude-unknown-9"),
    "a retired model": (changed(model="claude-opus-4-5"), "model: claude-opus-4-5"),
}


def test_a_request_as_it_should_be_passes() -> None:
    check_request(valid())
    check_request(valid() | {"cache_control": {"type": "ephemeral", "ttl": "5m"}, "stream": True})


@pytest.mark.parametrize(("change", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_request_is_refused_with(change: Callable[[dict[str, Any]], Any], reason: str) -> None:
    request = copy.deepcopy(valid())
    change(request)

    with pytest.raises(Refused, match=reason):
        check_request(request)


def post(
    standin: StandIn, request: Mapping[str, Any], *, headers: Mapping[str, str] = HEADERS, path: str = "/v1/messages"
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", int(standin.url.rsplit(":", 1)[1]), timeout=60)
    try:
        connection.request("POST", path, json.dumps(request), dict(headers))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def asked(*messages: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"model": "claude-opus-5-5", "max_tokens": 1000, "messages": list(messages), "tools": [TOOL], **values}


HELLO = {"role": "user", "content": "Go."}


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        pytest.param({**HEADERS, "x-api-key": KEY}, 401, "authentication_error", id="x-api-key"),
        pytest.param({**HEADERS, "authorization": "Bearer other"}, 401, "authentication_error", id="another key"),
        pytest.param({**HEADERS, "anthropic-version": "2023-01-01"}, 400, "invalid_request_error", id="an old version"),
        pytest.param({**HEADERS, "anthropic-version": "2023-06-01"}, 401, "authentication_error", id="an earlier one"),
        pytest.param({**EARLIER, "x-api-key": "other"}, 401, "authentication_error", id="another x-api-key"),
        pytest.param({**EARLIER, "anthropic-beta": "made-up"}, 400, "invalid_request_error", id="an unknown beta"),
    ],
)
def test_whoever_asks_in_the_wrong_way_is_turned_away(headers: dict[str, str], status: int, kind: str) -> None:
    with StandIn(lambda _: say("Hello.")) as standin:
        answered, body = post(standin, asked(HELLO), headers=headers)

    assert (answered, body["error"]["type"]) == (status, kind)


def test_earlier_version_wants_the_key_elsewhere_and_knows_sampling() -> None:
    betas = "claude-code-20250219,interleaved-thinking-2025-05-14"
    with StandIn(lambda _: say("Hello.")) as standin:
        earlier, _ = post(
            standin,
            asked(HELLO, temperature=1),
            headers={**EARLIER, "anthropic-beta": betas},
            path="/v1/messages?beta=true",
        )
        later, body = post(standin, asked(HELLO, temperature=1))

    assert (earlier, later) == (200, 400)
    assert "temperature" in body["error"]["message"]


def test_thinking_must_come_back_as_it_was_and_where_it_was() -> None:
    with StandIn(lambda _: call(("read", {"path": "a"}))) as standin:
        _, reply = post(standin, asked(HELLO))
        thinking, use = reply["content"]
        result = {"role": "user", "content": [{**RESULT, "tool_use_id": use["id"]}]}
        statuses = {
            name: post(standin, asked(first, {"role": "assistant", "content": content}, result))[0]
            for name, first, content in (
                ("as it was", HELLO, [thinking, use]),
                ("left out", HELLO, [use]),
                ("another text", HELLO, [{**thinking, "thinking": "I know."}, use]),
                ("another beginning", {"role": "user", "content": "Stop."}, [thinking, use]),
            )
        }
        other_model = asked(HELLO, {"role": "assistant", "content": [thinking, use]}, result, model="claude-sonnet-5-5")
        statuses["another model"] = post(standin, other_model)[0]

    assert statuses == {
        "as it was": 200,
        "left out": 400,
        "another text": 400,
        "another beginning": 400,
        "another model": 400,
    }


def test_an_answer_cannot_be_prefilled_but_a_paused_one_goes_on() -> None:
    with StandIn(lambda _: say("Done."), faults=[Fault.PAUSE]) as standin:
        _, paused = post(standin, asked(HELLO))
        goes_on = post(standin, asked(HELLO, {"role": "assistant", "content": paused["content"]}))
        prefilled = post(standin, asked(HELLO, {"role": "assistant", "content": [{"type": "text", "text": "I would"}]}))

    assert paused["stop_reason"] == "pause_turn"
    assert goes_on[0] == 200
    assert (prefilled[0], "prefill" in prefilled[1]["error"]["message"]) == (400, True)


def test_a_prompt_beyond_the_context_is_refused_and_tokens_are_counted() -> None:
    small = {"claude-opus-5-5": MODELS["claude-opus-5-5"]}
    with StandIn(lambda _: say("Hello."), models=small) as standin:
        huge = {"role": "user", "content": "word " * 800_000}
        status, body = post(standin, asked(huge))
        counted = post(standin, {"model": "claude-opus-5-5", "messages": [HELLO]}, path="/v1/messages/count_tokens")
        extra = post(standin, asked(HELLO), path="/v1/messages/count_tokens")

    assert status == 400
    assert body["error"]["message"].startswith("prompt is too long")
    assert 0 < counted[1]["input_tokens"] < 50
    assert "max_tokens: Extra inputs" in extra[1]["error"]["message"]


def blocks(*sizes: int, marks: tuple[int, ...] = ()) -> dict[str, Any]:
    """One user message of so many blocks, some of them marked."""
    content = [
        {"type": "text", "text": f"{place} " + "x" * size, **({"cache_control": MARK} if place in marks else {})}
        for place, size in enumerate(sizes)
    ]
    return {"model": "claude-opus-5-5", "messages": [{"role": "user", "content": content}]}


OPUS = MODELS["claude-opus-5-5"]


def test_a_prefix_is_written_once_and_read_until_it_expires() -> None:
    cache = Cache()
    request = blocks(9000, 100, marks=(0,))

    first = cache.bill(request, model=OPUS, now=0.0)
    second = cache.bill(request, model=OPUS, now=3599.0)
    kept_alive = cache.bill(request, model=OPUS, now=3599.0 + 3599.0)
    expired = cache.bill(request, model=OPUS, now=20_000.0)

    assert first.read == 0
    assert first.written["1h"] > 2500
    assert second.read == kept_alive.read == first.written["1h"]
    assert second.written == {}
    assert expired.read == 0
    assert first.total == second.total == expired.total


def test_one_changed_byte_loses_everything_behind_it() -> None:
    cache = Cache()
    cache.bill(blocks(9000, 9000, marks=(0, 1)), model=OPUS, now=0.0)
    changed_tail = blocks(9000, 9001, marks=(0, 1))
    changed_head = blocks(9001, 9000, marks=(0, 1))

    assert 2500 < cache.bill(changed_tail, model=OPUS, now=1.0).read < 2700
    assert cache.bill(changed_head, model=OPUS, now=1.0).read == 0


def test_a_prefix_below_the_smallest_size_is_not_cached_and_nothing_is_said() -> None:
    cache = Cache()
    small = blocks(1500, marks=(0,))

    assert [cache.bill(small, model=OPUS, now=0.0).written for _ in range(2)] == [{}, {}]


@pytest.mark.parametrize(("added", "found"), [(19, True), (20, True), (21, False)])
def test_a_mark_looks_back_over_twenty_blocks(added: int, found: bool) -> None:
    cache = Cache()
    cache.bill(blocks(9000, marks=(0,)), model=OPUS, now=0.0)

    longer = cache.bill(blocks(9000, *[10] * added, marks=(added,)), model=OPUS, now=1.0)

    assert (longer.read > 0) == found


def test_a_prefix_can_be_read_once_the_reply_that_wrote_it_has_begun() -> None:
    cache = Cache()
    request = blocks(9000, marks=(0,))
    first = cache.bill(request, model=OPUS, now=0.0, begun=False)
    beside = cache.bill(request, model=OPUS, now=0.0, begun=False)
    cache.publish(first)
    after = cache.bill(request, model=OPUS, now=0.0, begun=False)

    assert (beside.read, beside.written) == (0, first.written)
    assert after.read == first.written["1h"]


def test_thinking_is_billed_several_times_longer_than_it_is_shown() -> None:
    with StandIn(lambda _: call(("read", {"path": "a"}), thought="hm " * 500)) as standin:
        longer = post(standin, asked(HELLO, max_tokens=100_000))[1]
    with StandIn(lambda _: call(("read", {"path": "a"}), thought="hm")) as standin:
        shorter = post(standin, asked(HELLO))[1]

    shown = tokens(longer["content"]) - tokens(shorter["content"])
    assert longer["usage"]["output_tokens"] - shorter["usage"]["output_tokens"] > 6 * shown


def test_thinking_is_bound_to_system_and_tools() -> None:
    with StandIn(lambda _: call(("read", {"path": "a"}))) as standin:
        content = post(standin, asked(HELLO, system="One."))[1]["content"]
        use = next(block["id"] for block in content if block["type"] == "tool_use")
        more = [HELLO, {"role": "assistant", "content": content}]
        more.append({"role": "user", "content": [{**RESULT, "tool_use_id": use}]})
        same = post(standin, asked(*more, system="One."))
        other = post(standin, asked(*more, system="Two."))
        tools = post(standin, asked(*more, system="One.", tools=[{**TOOL, "description": "Read it."}]))

    assert (same[0], other[0], tools[0]) == (200, 400, 400)
    assert "cannot be modified" in other[1]["error"]["message"]


@pytest.mark.parametrize(("category", "billed"), [("frontier_llm", True), ("cyber", False)])
def test_a_refusal_before_any_output_is_billed_by_its_category(category: str, billed: bool) -> None:
    details = {"type": "refusal", "category": category, "explanation": "no"}
    with StandIn(lambda _: Turn(stop_reason="refusal", stop_details=details)) as standin:
        usage = post(standin, asked(HELLO))[1]["usage"]

    assert (usage["input_tokens"] > 0) == billed
    assert usage["output_tokens"] == 0


def test_every_answer_has_an_id_and_tells_its_rate_limits() -> None:
    with StandIn(lambda _: say("Hello."), faults=[None, Fault.OVERLOADED]) as standin:
        port = int(standin.url.rsplit(":", 1)[1])
        seen = []
        for _ in range(2):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", "/v1/messages", json.dumps(asked(HELLO)), dict(HEADERS))
            answer = connection.getresponse()
            body = json.loads(answer.read())
            seen.append((answer.headers["request-id"], answer.headers["anthropic-ratelimit-requests-limit"]))
            connection.close()

    assert [id for id, _ in seen] == [exchange.id for exchange in standin.journal]
    assert body["request_id"] == seen[1][0]
    assert all(limit for _, limit in seen)


def test_another_model_shares_no_prefix() -> None:
    cache = Cache()
    request = blocks(9000, marks=(0,))
    cache.bill(request, model=OPUS, now=0.0)

    assert cache.bill(request, model=MODELS["claude-sonnet-5-5"], now=1.0).read == 0


def test_the_cache_ages_by_the_stand_ins_clock() -> None:
    clock = Clock()
    request = asked({"role": "user", "content": [{"type": "text", "text": "x" * 9000, "cache_control": MARK}]})
    with StandIn(lambda _: say("Hello."), clock=clock) as standin:
        reads = []
        for gap in (0.0, 3000.0, 4000.0):
            clock.now += gap
            reads.append(post(standin, request)[1]["usage"]["cache_read_input_tokens"] > 0)

    assert reads == [False, True, False]


def test_the_journal_holds_every_exchange_and_what_it_billed() -> None:
    with StandIn(lambda _: say("Hello."), faults=[Fault.OVERLOADED]) as standin:
        for request in (asked(HELLO), asked(HELLO), asked(HELLO, temperature=1)):
            post(standin, request)

    assert [(e.status, e.fault, bool(e.usage)) for e in standin.journal] == [
        (529, Fault.OVERLOADED, False),
        (200, None, True),
        (400, None, False),
    ]


def test_the_researcher_changes_one_unambiguous_place_and_never_what_was_told() -> None:
    source = "if cuda:\n    MATRIX_LR = 0.04  # 0.01 to 0.1\nelse:\n    MATRIX_LR = 0.04  # 0.01 to 0.1\n"

    change = next(untried(source, told=""))
    other = next(untried(source, told="MATRIX_LR 0.04→0.06"))

    assert source.count(change.old) == 1
    assert source.replace(change.old, change.new).splitlines()[3] == "    MATRIX_LR = 0.06  # 0.01 to 0.1"
    assert source.replace(change.old, change.new).splitlines()[1] == "    MATRIX_LR = 0.04  # 0.01 to 0.1"
    assert other.after != "0.06"


def test_the_researcher_stays_in_the_range_that_a_comment_tells() -> None:
    source = "MUON_MOMENTUM = 0.97  # 0.8 to 0.98\n"

    values = [float(change.after) for change in untried(source, told="")]

    assert values
    assert all(0.8 <= value <= 0.98 for value in values)
