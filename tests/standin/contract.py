"""Refuses what the Messages API refuses, as a pure function of a request.

The server adds what needs memory: thinking blocks as they were issued, and the size of the context.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_args

from tests.standin.models import MODELS, THINKING_EFFORTS, Model

VERSION = "2026-10-21"
EARLIER = "2023-06-01"
"""The version that programs of earlier days speak, Claude Code among them: it wants the key in `x-api-key`."""

SAMPLING = {"temperature", "top_k", "top_p"}
"""Fields that VERSION does not know any more."""

CLAUDE_CODE_BETAS = {
    "claude-code-20250219",
    "advanced-tool-use-2025-11-20",
    "effort-2025-11-24",
    "per-turn-control-2026-07-01",
}
"""Betas that Claude Code 2.1.332 names and the SDK does not list."""

OAUTH_BETA = "oauth-2025-04-20"
"""What the SDK sends with a token that stands in for a key; it does not list it either."""

MARKS = 4

REQUEST = {
    "model", "max_tokens", "messages", "system", "tools", "tool_choice", "thinking", "output_config",
    "cache_control", "stream", "stop_sequences", "metadata", "service_tier", "diagnostics",
}  # fmt: skip
COUNT = {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"}
BLOCKS = {
    "text": ({"type", "text"}, {"cache_control"}),
    "tool_use": ({"type", "id", "name", "input"}, {"cache_control", "caller"}),
    "tool_result": ({"type", "tool_use_id"}, {"content", "is_error", "cache_control"}),
    "thinking": ({"type", "thinking", "signature"}, set()),
    "redacted_thinking": ({"type", "data"}, set()),
}
ROLES = {
    "user": {"text", "tool_result"},
    "assistant": {"text", "tool_use", "thinking", "redacted_thinking"},
    "system": {"text"},  # what holds from there on, beside the turn of a user
}
TOOL = (
    {"name", "input_schema"},
    {
        "description", "strict", "cache_control", "type", "input_examples",
        "defer_loading", "eager_input_streaming", "allowed_callers",
    },
)  # fmt: skip
SCHEMA = {"type", "properties", "required", "additionalProperties", "description", "enum", "const", "anyOf", "items"}
TYPES = {"string", "integer", "number", "boolean", "null", "object", "array"}


class Refused(Exception):
    """The request is turned down with an HTTP status and an error type."""

    def __init__(self, message: str, *, status: int = 400, kind: str = "invalid_request_error", code: str = "") -> None:
        super().__init__(message)
        self.status, self.kind, self.code = status, kind, code

    def body(self, request_id: str) -> dict[str, Any]:
        """The error as the API writes it."""
        error: dict[str, Any] = {"type": self.kind, "message": str(self)}
        if self.code:
            error["details"] = {"error_code": self.code}
        return {"type": "error", "error": error, "request_id": request_id}


def check_headers(headers: Mapping[str, str], *, key: str) -> str:
    """Check the key, the version and the betas of a request; returns the version."""
    version = headers.get("anthropic-version", "")
    if version not in (VERSION, EARLIER):
        raise Refused(f"anthropic-version: {version} is not a supported version")
    _check_key(headers, key=key, version=version)
    named = {name.strip() for name in headers.get("anthropic-beta", "").split(",")} - {""}
    if unknown := named - _known_betas():
        raise Refused(f"Unexpected value(s) {', '.join(sorted(unknown))} for the anthropic-beta header")
    return version


def _check_key(headers: Mapping[str, str], *, key: str, version: str) -> None:
    if version == VERSION and "x-api-key" in headers:
        raise Refused("x-api-key is not accepted in this version", status=401, kind="authentication_error")
    if version == EARLIER and "x-api-key" in headers:
        if headers["x-api-key"] != key:
            raise Refused("invalid x-api-key", status=401, kind="authentication_error")
    elif version == EARLIER or headers.get("authorization") != f"Bearer {key}":
        # In the earlier version a bearer is a token of another kind, and a key is none.
        raise Refused(f"invalid bearer token {headers.get('authorization')}", status=401, kind="authentication_error")


@cache
def _known_betas() -> frozenset[str]:
    from anthropic.types import AnthropicBetaParam

    listed = next(part for part in get_args(AnthropicBetaParam) if part is not str)
    return frozenset(get_args(listed)) | CLAUDE_CODE_BETAS | {OAUTH_BETA}


def known_model(name: object) -> Model:
    """The model, if it can still be asked."""
    model = MODELS.get(name) if isinstance(name, str) else None
    if model is None or model.lifecycle == "retired":
        raise Refused(f"model: {name}", status=404, kind="not_found_error")
    return model


def check_request(request: Mapping[str, Any], *, counting: bool = False, version: str = VERSION) -> None:
    """Everything that can be seen in the request alone."""
    allowed = (COUNT if counting else REQUEST) | (SAMPLING if version == EARLIER else set())
    required = {"model", "messages"} if counting else {"model", "messages", "max_tokens"}
    _keys(request, "", required=required, optional=allowed - required)
    model = known_model(request["model"])
    if not counting and not (_is_int(request["max_tokens"]) and 1 <= request["max_tokens"] <= model.max_tokens):
        raise Refused(f"max_tokens: must be 1 to {model.max_tokens}")
    _check_options(request, model)
    _check_tools(request.get("tools", []))
    for place, block in enumerate(_blocks(request.get("system", []), "system")):
        _check_block(block, f"system.{place}", {"text"})
    _check_messages(request["messages"])
    _check_marks(request)


def marks(request: Mapping[str, Any]) -> Iterator[str]:
    """Lifetimes of the cache marks in the order of the prompt, the automatic one last."""
    for block in prompt_blocks(request):
        if block.get("cache_control"):
            yield block["cache_control"].get("ttl", "5m")
    if request.get("cache_control"):
        yield request["cache_control"].get("ttl", "5m")


def prompt_blocks(request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All blocks in the order in which they are cached: tools, system, messages."""
    yield from request.get("tools", [])
    yield from _blocks(request.get("system", []), "system")
    for message in request["messages"]:
        yield from _blocks(message["content"], "content")


def _check_options(request: Mapping[str, Any], model: Model) -> None:
    thinking = request.get("thinking")
    if thinking is not None:
        kind = thinking.get("type") if isinstance(thinking, dict) else None
        if kind not in model.thinking:
            raise Refused(f"thinking.type: {kind!r} is not supported by this model")
        _keys(thinking, "thinking", required={"type"}, optional={"display"} if kind == "adaptive" else set())
    choice = request.get("tool_choice", {"type": "auto"})
    if choice.get("type") in ("any", "tool") and "disabled" not in model.thinking:
        raise Refused("tool_choice: forcing a tool is not possible while the model thinks")
    output = request.get("output_config", {})
    _keys(output, "output_config", required=set(), optional={"effort"})
    if output and output["effort"] not in model.efforts:
        raise Refused(f"output_config.effort: {output['effort']!r} is not supported by this model")
    if output and output["effort"] in THINKING_EFFORTS and thinking and thinking["type"] != "adaptive":
        raise Refused(f"output_config.effort: {output['effort']!r} is not allowed with thinking off")


def _check_tools(tools: Sequence[Any]) -> None:
    names = set()
    for place, tool in enumerate(tools):
        where = f"tools.{place}"
        _keys(tool, where, required=TOOL[0], optional=TOOL[1])
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool["name"]) or tool["name"] in names:
            raise Refused(f"{where}.name: must be unique and match ^[a-zA-Z0-9_-]{{1,64}}$")
        names.add(tool["name"])
        if tool["input_schema"].get("type") != "object":
            raise Refused(f"{where}.input_schema.type: must be object")
        if tool.get("strict"):
            _check_strict(tool["input_schema"], f"{where}.input_schema")


def _check_strict(schema: Mapping[str, Any], where: str) -> None:
    """Strict schemas know few keywords, and objects name every property."""
    _keys(schema, where, required=set(), optional=SCHEMA)
    if schema.get("type", "object") not in TYPES:
        raise Refused(f"{where}.type: {schema['type']!r}")
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            raise Refused(f"{where}: strict objects need additionalProperties false")
        if not set(schema.get("required", [])) <= set(schema.get("properties", {})):
            raise Refused(f"{where}.required: names an unknown property")
    for name, child in schema.get("properties", {}).items():
        _check_strict(child, f"{where}.properties.{name}")
    if "items" in schema:
        _check_strict(schema["items"], f"{where}.items")
    for child in schema.get("anyOf", []):
        _check_strict(child, f"{where}.anyOf")


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise Refused("messages: at least one message is required")
    open_calls: list[str] = []
    for place, message in enumerate(messages):
        where = f"messages.{place}"
        _keys(message, where, required={"role", "content"}, optional=set())
        role = message["role"]
        if role not in ROLES:
            raise Refused(f"{where}.role: must be user, assistant or system")
        if place == 0 and role != "user":
            raise Refused("messages: first message must use the user role")
        blocks = list(_blocks(message["content"], where))
        if not blocks:
            raise Refused(f"{where}: all messages must have non-empty content")
        for index, block in enumerate(blocks):
            _check_block(block, f"{where}.content.{index}", ROLES[role])
        if role == "system":
            if messages[place - 1]["role"] != "user":
                raise Refused(f"{where}: a system message must follow one of the user")
            continue
        open_calls = _answered(open_calls, blocks, where) if role == "user" else _called(open_calls, blocks, where)
    if open_calls:
        raise Refused(f"messages: tool_use ids were found without tool_result blocks after: {', '.join(open_calls)}")


def _called(open_calls: list[str], blocks: Sequence[Mapping[str, Any]], where: str) -> list[str]:
    if open_calls:
        raise Refused(f"{where}: tool_use without tool_result before: {', '.join(open_calls)}")
    ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
    if len(set(ids)) < len(ids):
        raise Refused(f"{where}: tool_use ids must be unique")
    return ids


def _answered(open_calls: list[str], blocks: Sequence[Mapping[str, Any]], where: str) -> list[str]:
    results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    unknown = set(results) - set(open_calls)
    if unknown or len(set(results)) < len(results):
        raise Refused(f"{where}: unexpected tool_result for {', '.join(sorted(unknown)) or 'an id given twice'}")
    if set(results) != set(open_calls):
        missing = ", ".join(sorted(set(open_calls) - set(results)))
        raise Refused(f"{where}: tool_use ids were found without tool_result blocks immediately after: {missing}")
    if results and any(block["type"] != "tool_result" for block in blocks[: len(results)]):
        raise Refused(f"{where}: tool_result blocks must come first")
    return []


def _check_block(block: Any, where: str, kinds: set[str]) -> None:
    if not isinstance(block, dict) or block.get("type") not in kinds:
        raise Refused(f"{where}.type: must be one of {', '.join(sorted(kinds))}")
    required, optional = BLOCKS[block["type"]]
    _keys(block, where, required=required, optional=optional)
    if block["type"] == "text" and not block["text"].strip():
        raise Refused(f"{where}: text content blocks must contain non-whitespace text")
    if block["type"] == "tool_use" and not isinstance(block["input"], dict):
        raise Refused(f"{where}.input: must be an object")


def _check_marks(request: Mapping[str, Any]) -> None:
    for block in prompt_blocks(request):
        _check_mark(block.get("cache_control"))
    _check_mark(request.get("cache_control"))
    lifetimes = list(marks(request))
    if len(lifetimes) > MARKS:
        raise Refused(f"a maximum of {MARKS} blocks with cache_control may be provided, found {len(lifetimes)}")
    if lifetimes != sorted(lifetimes, key=lambda ttl: ttl != "1h"):
        raise Refused("cache_control: a ttl of 1h must not come after a ttl of 5m")


def _check_mark(mark: Any) -> None:
    if mark is not None:
        _keys(mark, "cache_control", required={"type"}, optional={"ttl"})
        if mark["type"] != "ephemeral" or mark.get("ttl", "5m") not in ("5m", "1h"):
            raise Refused("cache_control: must be ephemeral with a ttl of 5m or 1h")


def _blocks(content: Any, where: str) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        raise Refused(f"{where}: must be a string or a list of blocks")
    return content


def _keys(value: Any, where: str, *, required: set[str], optional: set[str]) -> None:
    if not isinstance(value, dict):
        raise Refused(f"{where}: must be an object")
    for name in sorted(value.keys() - required - optional):
        raise Refused(f"{where}.{name}: Extra inputs are not permitted".lstrip("."))
    for name in sorted(required - value.keys()):
        raise Refused(f"{where}.{name}: Field required".lstrip("."))


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
