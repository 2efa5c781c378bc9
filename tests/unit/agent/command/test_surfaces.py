"""What a program may ask of a vendor: only what costs tokens and reaches nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from controller.agent.command.content import IMAGE_TOKENS
from controller.agent.command.surfaces import (
    CHAT,
    MESSAGES,
    OUTPUT_TOKENS,
    RESPONSES,
    Surface,
    Unacceptable,
    find_surface,
    read_call,
)


def request(surface: Surface, **fields: Any) -> bytes:
    said = {"input": "hello"} if surface is RESPONSES else {"messages": [{"role": "user", "content": "hello"}]}
    return json.dumps({"model": "m", **said, **fields}).encode()


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages?beta=true", "/v1/chat/completions", "/v1/responses"])
def test_three_addresses_are_passed_on(path: str) -> None:
    assert find_surface(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/messages/batches",
        "/v1/messages/count_tokens",
        "/v1/files",
        "/v1/models",
        "//v1/messages",
        "/v1/../v1/messages",
    ],
)
def test_no_other_is(path: str) -> None:
    assert find_surface(path) is None


@pytest.mark.parametrize(
    ("surface", "field"),
    [
        (MESSAGES, {"mcp_servers": [{"url": "http://x"}]}),
        (MESSAGES, {"container": "c1"}),
        (MESSAGES, {"speed": "fast"}),
        (MESSAGES, {"service_tier": "auto"}),
        (MESSAGES, {"thread": "t1"}),
        (MESSAGES, {"fallbacks": [{"model": "dearer"}]}),
        (CHAT, {"n": 100}),
        (CHAT, {"web_search_options": {}}),
        (CHAT, {"service_tier": "priority"}),
        (RESPONSES, {"previous_response_id": "r1"}),
        (RESPONSES, {"conversation": "c1"}),
        (RESPONSES, {"background": True}),
        (RESPONSES, {"prompt": {"id": "p1"}}),
    ],
)
def test_what_costs_more_than_tokens_or_is_kept_at_the_vendor_is_left_out(
    surface: Surface, field: dict[str, Any]
) -> None:
    call = read_call(surface, request(surface, **field))

    assert set(field) & set(json.loads(call.encode(100))) == set()
    assert set(field) <= set(call.left_out)


@pytest.mark.parametrize(
    ("surface", "hosted", "own"),
    [
        (MESSAGES, {"type": "web_fetch_20250910", "name": "web_fetch"}, {"name": "edit", "input_schema": {}}),
        (MESSAGES, {"type": "code_execution_20260120", "name": "x"}, {"type": "bash_20250124", "name": "bash"}),
        (CHAT, {"type": "mcp"}, {"type": "function", "function": {"name": "f"}}),
        (RESPONSES, {"type": "web_search"}, {"type": "function", "name": "f"}),
        (RESPONSES, {"type": "mcp", "server_url": "http://x"}, {"type": "local_shell"}),
        (RESPONSES, {"type": "file_search", "vector_store_ids": ["v"]}, {"type": "custom", "name": "apply_patch"}),
    ],
)
def test_tools_that_the_vendor_runs_are_taken_out(
    surface: Surface, hosted: dict[str, Any], own: dict[str, Any]
) -> None:
    both = read_call(surface, request(surface, tools=[hosted, own], tool_choice="auto"))
    alone = read_call(surface, request(surface, tools=[hosted], tool_choice="auto"))

    assert both.fields["tools"] == [own]
    assert "tools" not in alone.fields
    assert "tool_choice" not in alone.fields


@pytest.mark.parametrize(
    ("surface", "content"),
    [
        (MESSAGES, [{"type": "image", "source": {"type": "url", "url": "https://x/leak"}}]),
        (MESSAGES, [{"type": "document", "source": {"type": "file", "file_id": "f"}}]),
        (MESSAGES, [{"type": "container_upload", "file_id": "f"}]),
        (
            MESSAGES,
            [{"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": "http://x"}}]}],
        ),
        (CHAT, [{"type": "image_url", "image_url": {"url": "http://x/leak"}}]),
        (CHAT, [{"type": "file", "file": {"file_id": "f"}}]),
        (RESPONSES, [{"type": "input_image", "image_url": "http://x/leak"}]),
        (RESPONSES, [{"type": "input_file", "file_url": "http://x/leak"}]),
        (RESPONSES, [{"type": "item_reference", "id": "m"}]),
        (RESPONSES, [{"id": "m"}]),
        (RESPONSES, [{"type": None, "id": "m"}]),
        (
            MESSAGES,
            [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}}],
        ),
        (CHAT, [{"type": "file", "file": {"filename": "x.pdf", "file_data": "data:application/pdf;base64,JVBE"}}]),
        (CHAT, [{"type": "image_url", "image_url": {"url": "data:application/pdf;base64,JVBE"}}]),
        (CHAT, [{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}]),
        (RESPONSES, [{"type": "input_file", "filename": "x.pdf", "file_data": "JVBE"}]),
    ],
)
def test_addresses_kept_files_and_what_has_no_known_cost_are_refused(surface: Surface, content: list[Any]) -> None:
    said = {"input": content} if surface is RESPONSES else {"messages": [{"role": "user", "content": content}]}

    with pytest.raises(Unacceptable):
        read_call(surface, request(surface, **said))


def test_what_a_tool_was_called_with_and_inline_pictures_pass() -> None:
    content = [
        {"type": "tool_use", "id": "t", "name": "fetch", "input": {"url": "https://example.org", "file_id": "x"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        {"type": "text", "text": "see https://example.org"},
    ]
    assert read_call(MESSAGES, request(MESSAGES, messages=[{"role": "assistant", "content": content}]))


PNG = {"type": "base64", "media_type": "image/png"}


@pytest.mark.parametrize("characters", [8, 1_000_000])
@pytest.mark.parametrize(
    ("surface", "image"),
    [
        (MESSAGES, lambda data: {"type": "image", "source": {**PNG, "data": data}}),
        (CHAT, lambda data: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}),
        (RESPONSES, lambda data: {"type": "input_image", "image_url": f"data:image/png;base64,{data}"}),
    ],
)
def test_an_image_counts_for_what_it_may_cost_whatever_its_bytes(
    surface: Surface, image: Callable[[str], Any], characters: int
) -> None:
    content = [image("A" * characters)] * 3
    said = {"input": content} if surface is RESPONSES else {"messages": [{"role": "user", "content": content}]}

    assert 3 * 4_784 < read_call(surface, request(surface, **said)).size < 3 * IMAGE_TOKENS[surface.vendor] + 500


def test_text_that_looks_like_an_image_counts_by_its_bytes() -> None:
    called = {"type": "tool_use", "id": "t", "name": "x", "input": {"url": "data:image/png," + "A" * 100_000}}
    assert read_call(MESSAGES, request(MESSAGES, messages=[{"role": "assistant", "content": [called]}])).size > 100_000


def test_tools_whose_description_the_vendor_keeps_count_for_more_than_their_bytes() -> None:
    bash = {"type": "bash_20250124", "name": "bash"}
    assert read_call(MESSAGES, request(MESSAGES, tools=[bash])).size > 2_000


@pytest.mark.parametrize(
    ("surface", "fields", "expected"),
    [
        (MESSAGES, {}, {"max_tokens": 50}),
        (MESSAGES, {"max_tokens": 70}, {"max_tokens": 50}),
        (CHAT, {"max_tokens": 70}, {"max_tokens": 50}),
        (CHAT, {"max_completion_tokens": 70, "max_tokens": 80}, {"max_completion_tokens": 50, "max_tokens": 50}),
        (RESPONSES, {}, {"max_output_tokens": 50}),
    ],
)
def test_output_never_exceeds_what_could_be_paid(
    surface: Surface, fields: dict[str, int], expected: dict[str, int]
) -> None:
    call = read_call(surface, request(surface, **fields))
    sent = json.loads(call.encode(50))

    assert {name: sent[name] for name in expected} == expected
    assert call.most_output == max(fields.values(), default=OUTPUT_TOKENS)


def test_streamed_chat_tells_its_usage_and_nothing_is_stored() -> None:
    chat = json.loads(read_call(CHAT, request(CHAT, stream=True, stream_options={"include_usage": False})).encode(1))
    stored = json.loads(read_call(RESPONSES, request(RESPONSES, store=True)).encode(1))

    assert chat["stream_options"] == {"include_usage": True}
    assert stored["store"] is False


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'"x"',
        b'{"messages": []}',
        b'{"model": 3}',
        b"[" * 100_000,
        b'{"model": "m", "max_tokens": 0}',
        b'{"model": "m", "max_tokens": true}',
        b'{"model": "m", "messages": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_broken_requests_are_refused_and_harm_nobody(body: bytes) -> None:
    with pytest.raises(Unacceptable):
        read_call(MESSAGES, body)
