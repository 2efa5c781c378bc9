"""Who serves the model: the vendor's own API, Amazon Bedrock, Vertex AI or Microsoft Foundry, by the SDK's own clients.

A platform knows its customers by their identity in its cloud, so that no key is needed. What a platform lacks is not
asked of it: pages about models, counting tokens, a cache mark that moves by itself, and tools held to their schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from controller.costs.model_calls import Seller
from controller.errors import AgentError
from controller.settings import ClaudeSettings, Federation

if TYPE_CHECKING:
    from anthropic import Anthropic, AnthropicBedrock, AnthropicFoundry, AnthropicVertex

    Client = Anthropic | AnthropicBedrock | AnthropicVertex

NAMES = {"anthropic": "the API", "bedrock": "Amazon Bedrock", "vertex": "Vertex AI", "foundry": "Microsoft Foundry"}
"""How people call the platforms."""

EXCHANGE_SECONDS = 30.0
"""Timeout of exchanging a token for another."""

FOUNDRY_SCOPE = "https://ai.azure.com/.default"
GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"

MARK = {"type": "ephemeral", "ttl": "5m"}
"""What marks the end of a prefix to be kept in the prompt cache."""


def open_client(
    settings: ClaudeSettings, *, key: SecretStr | None, federation: Federation | None, **connection: Any
) -> Client:
    """The SDK's client for the platform of the settings. Raises AgentError if nothing here gives access to it.

    connection: its timeout, retries and HTTP client.
    """
    match settings.platform:
        case "bedrock":
            return _open_bedrock(settings, key=key, **connection)
        case "vertex":
            return _open_vertex(settings, **connection)
        case "foundry":
            return _open_foundry(settings, key=key, **connection)
        case "anthropic":
            return _open_anthropic(settings, key=key, federation=federation, **connection)


def require_access(settings: ClaudeSettings, *, key: SecretStr | None, federation: Federation | None) -> None:
    """Raise AgentError if nothing here gives access to the platform of the settings, or a package is missing for it.

    The vendor's API is not asked, nor is its SDK loaded for that.
    """
    if settings.platform != "anthropic":
        open_client(settings, key=key, federation=None)
    elif key is None and federation is None:
        raise AgentError(
            "agent claude needs a key: set ANTHROPIC_API_KEY, or ANTHROPIC_API_KEY_FILE to the path of a file, "
            "or run with --set agent.kind=perturb; workload identity and other platforms: docs/agents.md"
        )


def price_seller(settings: ClaudeSettings) -> Seller:
    """Whose prices apply: Vertex AI has others for regions than worldwide."""
    if settings.platform == "vertex":
        return "vertex" if settings.region == "global" else "vertex-region"
    return settings.platform


def mark_cache(settings: ClaudeSettings, options: Mapping[str, Any]) -> dict[str, Any]:
    """A request's options with a mark at its end, where the next request of the conversation goes on.

    The vendor's API sets such a mark by itself. Bedrock and Vertex AI refuse the field that asks for it, so there the
    last block of the last message has the mark; an assistant's block may be one that cannot have it.
    """
    if settings.platform == "anthropic":
        return {**options, "cache_control": MARK}
    *before, last = options["messages"]
    if last["role"] != "user":
        return dict(options)
    marked = {**last, "content": _mark_last_block(last["content"])}
    return {**options, "messages": [*before, marked]}


def access_faults(settings: ClaudeSettings) -> tuple[type[Exception], ...]:
    """Errors of a cloud's own library by which it says that it knows no identity of ours, or cannot ask about it."""
    faults: tuple[type[Exception], ...] = ()
    match settings.platform:
        case "bedrock":
            from botocore.exceptions import BotoCoreError, ClientError

            faults = (BotoCoreError, ClientError)
        case "vertex":
            from google.auth.exceptions import GoogleAuthError

            faults = (GoogleAuthError,)
        case "foundry" if _is_installed("azure.core"):
            from azure.core.exceptions import AzureError

            faults = (AzureError,)
        case _:
            pass
    return faults


def stream_faults(settings: ClaudeSettings) -> tuple[type[Exception], ...]:
    """Errors by which the decoder of Bedrock's own kind of stream says that the stream is malformed."""
    if settings.platform != "bedrock":
        return ()
    from botocore.eventstream import ParserError
    from botocore.parsers import ResponseParserError

    return (ParserError, ResponseParserError)


def describe_lack(settings: ClaudeSettings, error: Exception | str) -> str:
    """One sentence for an operator who has no access to the platform."""
    wanted = {
        "anthropic": "check the identity token and the federation rule",
        "bedrock": "give this process an AWS role, or set AWS_BEARER_TOKEN_BEDROCK",
        "vertex": "give this process a Google identity, or run `gcloud auth application-default login`",
        "foundry": "give this process an Entra identity, or set ANTHROPIC_FOUNDRY_API_KEY",
    }
    first = str(error).strip().partition("\n")[0]
    return f"no access to {NAMES[settings.platform]} ({first[:300]}): {wanted[settings.platform]}"


def _open_anthropic(
    settings: ClaudeSettings, *, key: SecretStr | None, federation: Federation | None, **connection: Any
) -> Anthropic:
    from anthropic import Anthropic

    require_access(settings, key=key, federation=federation)
    if key is not None or federation is None:
        return Anthropic(api_key=key.get_secret_value() if key else "", base_url=settings.base_url, **connection)
    import httpx2
    from anthropic.lib.credentials import IdentityTokenFile, WorkloadIdentityCredentials

    credentials = WorkloadIdentityCredentials(
        identity_token_provider=IdentityTokenFile(federation.token_file),
        federation_rule_id=federation.rule,
        organization_id=federation.organization,
        service_account_id=federation.service_account,
        workspace_id=federation.workspace,
        http_client=httpx2.Client(timeout=EXCHANGE_SECONDS, limits=httpx2.Limits(max_keepalive_connections=0)),
    )
    return Anthropic(credentials=credentials, base_url=settings.base_url, **connection)


def _open_bedrock(settings: ClaudeSettings, *, key: SecretStr | None, **connection: Any) -> AnthropicBedrock:
    # Even with a key: Bedrock's streams are decoded by the package.
    _require_package("boto3", settings)
    from anthropic import AnthropicBedrock

    if key is None:
        import boto3

        try:
            found = boto3.Session(region_name=settings.region).get_credentials()
        except access_faults(settings) as error:
            raise AgentError(describe_lack(settings, error)) from error
        if found is None:
            raise AgentError(describe_lack(settings, "no AWS credentials are found"))
    return AnthropicBedrock(
        aws_region=settings.region,
        api_key=key.get_secret_value() if key else None,
        base_url=settings.base_url,
        **connection,
    )


def _open_vertex(settings: ClaudeSettings, **connection: Any) -> AnthropicVertex:
    _require_package("google.auth", settings)
    import google.auth
    from anthropic import AnthropicVertex

    try:
        # The client would look for them anew in each of its copies.
        credentials, _ = google.auth.default(scopes=[GOOGLE_SCOPE])
    except access_faults(settings) as error:
        raise AgentError(describe_lack(settings, error)) from error
    return AnthropicVertex(
        region=settings.region or "",
        project_id=settings.project or "",
        credentials=credentials,
        base_url=settings.base_url,
        **connection,
    )


def _open_foundry(settings: ClaudeSettings, *, key: SecretStr | None, **connection: Any) -> AnthropicFoundry:
    from anthropic import AnthropicFoundry

    return AnthropicFoundry(
        base_url=settings.base_url or f"https://{settings.resource}.services.ai.azure.com/anthropic/",
        api_key=key.get_secret_value() if key else None,
        azure_ad_token_provider=None if key else _find_entra_identity(settings),
        **connection,
    )


def _find_entra_identity(settings: ClaudeSettings) -> Callable[[], str]:
    """A function that gives a token of the moment. Raises AgentError if there is no identity to give one."""
    _require_package("azure.identity", settings)
    from azure.identity import DefaultAzureCredential, get_bearer_token_provider

    provider: Callable[[], str] = get_bearer_token_provider(DefaultAzureCredential(), FOUNDRY_SCOPE)
    try:
        provider()
    except access_faults(settings) as error:
        raise AgentError(describe_lack(settings, error)) from error
    return provider


def _require_package(module: str, settings: ClaudeSettings) -> None:
    """Raise AgentError if the module of an extra is not installed."""
    if not _is_installed(module):
        raise AgentError(
            f"agent.claude.platform {settings.platform} needs a package that is not installed: "
            f"pip install 'autoresearch-controller[{settings.platform}]'"
            + (", or set ANTHROPIC_FOUNDRY_API_KEY" if settings.platform == "foundry" else "")
        )


def _is_installed(module: str) -> bool:
    above, _, _ = module.partition(".")
    return find_spec(above) is not None and find_spec(module) is not None


def _mark_last_block(blocks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [*blocks[:-1], {**blocks[-1], "cache_control": MARK}]
