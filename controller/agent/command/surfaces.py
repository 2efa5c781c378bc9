"""Says what may be asked of the vendors' APIs: three addresses, and of each request what costs tokens, nothing else.

Pure. A vendor does more than answer: it searches the web, fetches addresses, runs programs, keeps files and
conversations, and sells speed. All of that would be a way out of the sandbox, or cost what no count of tokens tells.
So of a request only known fields are passed on, of its tools only those that the program runs itself, and a message
that names an address or something kept in the operator's account is sent back. So is a document that is no text: a page
of it is read as an image, and a few bytes can hold hundreds of pages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.agent.command.content import bound_tokens, find_images, find_reach
from controller.costs.model_calls import Vendor

MOST_BYTES = 32 * 2**20
"""Bytes of a request (32 MiB): the vendors take no more."""

OUTPUT_TOKENS = 32_000
"""Output tokens of a request that names no limit."""


class Unacceptable(Exception):
    """A request that is not passed on; the text says why, to whoever asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """One address of a vendor's API."""

    path: str
    vendor: Vendor

    fields: frozenset[str]
    """Fields of a request that are passed on."""

    limits: tuple[str, ...]
    """Fields that limit the output; the first one is set where a request has none."""

    conversation: tuple[str, ...]
    """Fields that hold what was said."""

    own_tools: tuple[str, ...]
    """Kinds of tools that the program runs itself, by how their names begin."""


_MESSAGES_FIELDS = (
    "model messages system max_tokens tools tool_choice metadata stop_sequences stream temperature top_k top_p "
    "thinking output_config output_format cache_control"
)
_CHAT_FIELDS = (
    "model messages tools tool_choice parallel_tool_calls functions function_call stream stream_options "
    "max_completion_tokens max_tokens temperature top_p stop response_format reasoning_effort verbosity seed "
    "presence_penalty frequency_penalty logit_bias prompt_cache_key"
)
_RESPONSES_FIELDS = (
    "model input instructions tools tool_choice parallel_tool_calls reasoning stream include text max_output_tokens "
    "temperature top_p truncation prompt_cache_key"
)
MESSAGES = Surface(
    path="/v1/messages",
    vendor="anthropic",
    fields=frozenset(_MESSAGES_FIELDS.split()),
    limits=("max_tokens",),
    conversation=("messages", "system"),
    own_tools=("custom", "bash_", "text_editor_", "computer_", "memory_"),
)
CHAT = Surface(
    path="/v1/chat/completions",
    vendor="openai",
    fields=frozenset(_CHAT_FIELDS.split()),
    limits=("max_completion_tokens", "max_tokens"),
    conversation=("messages",),
    own_tools=("function", "custom"),
)
RESPONSES = Surface(
    path="/v1/responses",
    vendor="openai",
    fields=frozenset(_RESPONSES_FIELDS.split()),
    limits=("max_output_tokens",),
    conversation=("input", "instructions"),
    own_tools=("function", "custom", "local_shell", "apply_patch"),
)
SURFACES = (MESSAGES, CHAT, RESPONSES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request for a reply, as it is passed on."""

    surface: Surface
    model: str

    fields: Mapping[str, Any]
    """The request without what is not passed on."""

    most_output: int
    """Most output tokens that it asks for."""

    least_output: int
    """Fewest output tokens that the vendor accepts for it, because its thinking must fit."""

    left_out: tuple[str, ...]
    """Names of what is not passed on."""

    size: int
    """At least as many as it has tokens: a token has a byte or more, and what is no text is counted for itself."""

    counted: bytes
    """What the vendor counts, in the order in which it grows: tools, then what was said before, the newest last."""

    added: int
    """Most input tokens that come in beside that: of other fields, and of what the vendor adds for tools."""

    @property
    def streams(self) -> bool:
        """True if the reply comes in pieces."""
        return self.fields.get("stream") is True

    def encode(self, most_output: int) -> bytes:
        """The request with so many output tokens at most."""
        names = [name for name in self.surface.limits if name in self.fields] or [self.surface.limits[0]]
        return json.dumps({**self.fields, **dict.fromkeys(names, most_output)}).encode()


def find_surface(path: str) -> Surface | None:
    """The surface at a path; None if nothing is passed on there. What follows a question mark does not count."""
    plain = path.partition("?")[0]
    return next((surface for surface in SURFACES if surface.path == plain), None)


def read_call(surface: Surface, body: bytes) -> Call:
    """Read a request. Raises Unacceptable."""
    try:
        request = json.loads(body)
        if not isinstance(request, dict):
            raise Unacceptable("the request is no JSON object")
        for name in surface.conversation:
            if reach := find_reach(request.get(name)):
                raise Unacceptable(f"{name}: {reach}: there is no network beyond the model; give the content itself")
        images = [data for name in surface.conversation for data in find_images(request.get(name))]
    except (ValueError, RecursionError) as error:
        raise Unacceptable("the request is not valid JSON") from error
    model = request.get("model")
    if not isinstance(model, str) or not model:
        raise Unacceptable("model: name one")
    fields = {name: value for name, value in request.items() if name in surface.fields}
    left_out = sorted(request.keys() - fields.keys())
    if "tools" in fields:
        left_out += _take_out_hosted_tools(surface, fields)
    if surface is RESPONSES:
        fields["store"] = False  # or it could be asked for again, by another proposal
    if surface is CHAT and fields.get("stream") is True:
        fields["stream_options"] = {"include_usage": True}  # or nothing tells what it cost
    return Call(
        surface=surface,
        model=model,
        fields=fields,
        most_output=_read_limit(surface, fields),
        least_output=_read_thinking(fields) + 1,
        left_out=tuple(left_out),
        size=bound_tokens(surface.vendor, fields.get("tools", ()), size=len(body), images=images),
        counted=_encode_counted(surface, fields),
        added=_bound_rest(surface, fields),
    )


def _counted_names(surface: Surface) -> tuple[str, ...]:
    """Fields that hold what the vendor counts, the conversation last: it is the first of those of the surface."""
    return "tools", *surface.conversation[1:], surface.conversation[0]


def _encode_counted(surface: Surface, fields: Mapping[str, Any]) -> bytes:
    return json.dumps([fields.get(name) for name in _counted_names(surface)]).encode()


def _bound_rest(surface: Surface, fields: Mapping[str, Any]) -> int:
    """Most input tokens of what is not among the counted fields, such as the form of an answer."""
    counted = _counted_names(surface)
    rest = len(json.dumps({name: value for name, value in fields.items() if name not in counted}))
    return bound_tokens(surface.vendor, fields.get("tools", ()), size=rest, images=())


def _take_out_hosted_tools(surface: Surface, fields: dict[str, Any]) -> list[str]:
    """Leave only tools that the program runs itself; returns the kinds of the others."""
    tools = fields["tools"] if isinstance(fields["tools"], list) else []
    own, hosted = [], []
    for tool in tools:
        kind = str(tool.get("type") or "custom") if isinstance(tool, dict) else ""
        if kind.startswith(surface.own_tools):
            own.append(tool)
        else:
            hosted.append(f"tool {kind[:60]}")
    fields["tools"] = own
    if not own:
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            fields.pop(name, None)
    return hosted


def _read_limit(surface: Surface, fields: Mapping[str, Any]) -> int:
    given = [fields[name] for name in surface.limits if fields.get(name) is not None]
    if any(type(limit) is not int or limit < 1 for limit in given):
        raise Unacceptable(f"{surface.limits[0]}: give a number of tokens above 0")
    return max(given, default=OUTPUT_TOKENS)


def _read_thinking(fields: Mapping[str, Any]) -> int:
    """Tokens that a request sets aside for thinking; 0 if it names none."""
    thinking = fields.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    return budget if type(budget) is int and budget > 0 else 0


def describe_error(vendor: Vendor, status: int, text: str) -> bytes:
    """An error in the vendor's own form, which its programs show to whoever started them."""
    kinds = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 404: "not_found_error"}
    kind = kinds.get(status, "api_error")
    if vendor == "anthropic":
        return json.dumps({"type": "error", "error": {"type": kind, "message": text}}).encode()
    code = "insufficient_quota" if status == 402 else kind
    return json.dumps({"error": {"message": text, "type": kind, "param": None, "code": code}}).encode()
