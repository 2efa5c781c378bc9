"""The doors of the platforms that serve the Messages API to their own customers: what each refuses, and how it answers.

What came in by a door is handed on as a request to the vendor's own API.
"""

from __future__ import annotations

import json
import re
import struct
from base64 import b64encode
from binascii import crc32
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal
from urllib.parse import unquote

from tests.standin.contract import VERSION, Refused

Platform = Literal["anthropic", "bedrock", "vertex", "foundry"]
TOKEN = "token-of-the-cloud-0123456789abcdef"
"""What a cloud gives whoever has shown his identity."""

ASSERTION = "assertion-of-the-pod-0123456789abcdef"
"""The token of a pod, which workload identity exchanges for TOKEN."""

SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=\w+/\d{8}/us-east-1/bedrock/aws4_request, "
    r"SignedHeaders=[\w;-]+, Signature=[0-9a-f]{64}"
)
BEDROCK = re.compile(r"/model/(?P<model>[^/]+)/invoke-with-response-stream")
VERTEX = re.compile(r"/v1/projects/lab/locations/[\w-]+/publishers/anthropic/models/(?P<model>[^/]+):\w+")


def enter(
    platform: Platform, path: str, headers: Mapping[str, str], body: bytes, *, key: str
) -> tuple[str, dict[str, str], bytes]:
    """Path, headers and body of the request as the vendor's API would have got it. Raises Refused."""
    own = {"anthropic-version": VERSION, "authorization": f"Bearer {key}"}
    match platform:
        case "foundry":
            if headers.get("authorization") != f"Bearer {TOKEN}" and headers.get("x-api-key") != key:
                raise Refused("Access denied", status=401, kind="authentication_error")
            if not path.startswith("/anthropic/v1/"):
                raise Refused("Resource not found", status=404, kind="not_found_error")
            return path.removeprefix("/anthropic"), own, body
        case "bedrock":
            given = headers.get("authorization", "")
            if given != f"Bearer {key}" and not SIGNED.fullmatch(given):
                raise Refused("The security token included in the request is invalid.", status=403)
            return "/v1/messages", own, _without_door(body, model=_model_in(BEDROCK, path), stream=True)
        case "vertex":
            if headers.get("authorization") != f"Bearer {TOKEN}":
                raise Refused("Request had invalid authentication credentials.", status=401)
            model = _model_in(VERTEX, path)
            if model == "count-tokens":
                return "/v1/messages/count_tokens", own, _without_door(body)
            return "/v1/messages", own, _without_door(body, model=model)
        case "anthropic":
            return path, dict(headers), body


def refuse(platform: Platform, refused: Refused) -> dict[str, Any] | None:
    """The body of an error in the platform's own words; None where it is the vendor's."""
    return {"message": str(refused)} if platform == "bedrock" else None


def identify(path: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """The answer to whoever asks for what stands in for a key; None for other paths. Raises Refused."""
    match path:
        case "/v1/oauth/token":
            return _exchange(headers, body)
        case "/cloud/aws":  # as EKS's agent answers a pod that has an identity
            return {
                "AccessKeyId": "AKIDEXAMPLE",
                "SecretAccessKey": "secret-of-the-cloud",
                "Token": TOKEN,
                "Expiration": "2099-01-01T00:00:00Z",
            }
        case "/cloud/azure":  # as a managed identity's endpoint answers
            return {"access_token": TOKEN, "expires_on": "4070908800", "resource": "", "token_type": "Bearer"}
        case "/cloud/google":  # as Google's STS answers a federated workload
            if ASSERTION not in body.decode():
                raise Refused("invalid_grant", status=400)
            kind = "urn:ietf:params:oauth:token-type:access_token"
            return {"access_token": TOKEN, "issued_token_type": kind, "token_type": "Bearer", "expires_in": 3600}
        case _:
            return None


def _exchange(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    asked = json.loads(body)
    if "oidc-federation" not in headers.get("anthropic-beta", "") or asked.get("assertion") != ASSERTION:
        raise Refused("no federation rule matches", status=401, kind="authentication_error")
    if (asked.get("federation_rule_id"), asked.get("organization_id")) != ("fdrl_lab", "org-lab"):
        raise Refused("no such rule", status=401, kind="authentication_error")
    return {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}


def frames(pieces: Iterable[tuple[str, Any]]) -> Iterator[bytes]:
    """Events in AWS's binary framing: lengths, headers, payload, and a checksum over each part."""
    for _, value in pieces:
        inner = b64encode(json.dumps(value).encode()).decode()
        yield frame({":message-type": "event", ":event-type": "chunk"}, {"bytes": inner})


def frame(named: Mapping[str, str], payload: Mapping[str, Any]) -> bytes:
    """One frame."""
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in {**named, ":content-type": "application/json"}.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack("!I", crc32(prelude)) + headers + body
    return message + struct.pack("!I", crc32(message))


def _model_in(pattern: re.Pattern[str], path: str) -> str:
    found = pattern.fullmatch(unquote(path))
    if found is None:
        raise Refused(f"unknown path {path}", status=404, kind="not_found_error")
    return found["model"]


def _without_door(body: bytes, *, model: str = "", stream: bool = False) -> bytes:
    """The body without what stands in the path or is the door's own. Raises Refused for what the door does not take."""
    request = json.loads(body)
    if request.pop("anthropic_version", "") != VERSION:
        raise Refused("anthropic_version: Field required")
    if "cache_control" in request:
        raise Refused("cache_control: Extra inputs are not permitted")
    if any("strict" in tool for tool in request.get("tools", ())):
        raise Refused("tools.0.custom.strict: Extra inputs are not permitted")
    if model:
        if "model" in request or (stream and "stream" in request):
            raise Refused("model: Extra inputs are not permitted")
        request["model"] = model.removeprefix("global.anthropic.")
    if stream:
        request["stream"] = True
    return json.dumps(request).encode()
