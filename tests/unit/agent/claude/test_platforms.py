"""The platforms that serve the model: what each is sent, what is booked, and what is said where access is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from controller.agent.claude.platforms import price_seller, require_access
from controller.costs.model_calls import Usage, price_call, read_usage
from controller.domain import Proposal
from controller.errors import AgentError
from controller.settings import ClaudeSettings, Federation, read_secrets
from tests.standin import KEY, StandIn
from tests.standin.platforms import ASSERTION, TOKEN, Platform
from tests.support.platforms import HERE, PlatformCase


def test_foundry_is_asked_with_its_key_and_booked_at_its_price() -> None:
    with StandIn(platform="foundry") as standin:
        case = PlatformCase(standin, key=KEY)
        warnings = case.agent.check()
        answer = case.propose()

    assert warnings == []
    assert isinstance(answer, Proposal)
    assert standin.looked_up == 0, "Foundry has no pages about models"
    assert all("cache_control" not in request for request in case.requests)
    assert all(request["messages"][-1]["content"][-1]["cache_control"] for request in case.requests)
    assert not any("strict" in tool for request in case.requests for tool in request["tools"])
    ended = [record for record in case.booked if record.outcome != "begun"]
    assert {record.vendor for record in ended} == {"foundry"}
    billed = [price_call(read_usage(e.usage), model="claude-opus-5-5", overrides={}) for e in standin.answered]
    assert [record.dollars for record in ended] == pytest.approx(billed)
    assert KEY not in answer.transcript


def test_what_was_said_before_is_read_from_the_cache_where_each_request_marks_its_own_end() -> None:
    with StandIn(platform="foundry") as standin:
        PlatformCase(standin, key=KEY).propose()

    read = [exchange.usage["cache_read_input_tokens"] for exchange in standin.answered]
    assert len(read) > 2
    assert read[1:] == sorted(read[1:])
    assert all(tokens > 0 for tokens in read[1:])


def test_a_platform_that_refuses_us_is_named() -> None:
    with StandIn(platform="foundry") as standin:
        case = PlatformCase(standin, key=KEY + "-wrong")
        with pytest.raises(AgentError, match=r"refuses us .* check the identity or key, and its rights") as refused:
            case.propose()

    assert KEY not in str(refused.value)


def federation_of(token: Path) -> Federation:
    return Federation(token_file=token, rule="fdrl_lab", organization="org-lab")


def test_the_token_of_a_pod_stands_in_for_the_vendors_own_key(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(ASSERTION)
    with StandIn() as standin:
        standin.token = TOKEN
        case = PlatformCase(standin, federation=federation_of(token))
        warnings = case.agent.check()
        first, second = case.propose(), case.propose()

    assert warnings == []
    assert isinstance(first, Proposal)
    assert isinstance(second, Proposal)
    assert standin.exchanged == 1, "the access token is kept while it lives"
    assert TOKEN not in first.transcript
    assert ASSERTION not in first.transcript


def test_a_token_that_no_rule_knows_is_told_at_the_start_and_nothing_is_asked(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("another")
    with StandIn() as standin:
        case = PlatformCase(standin, federation=federation_of(token))
        for fails in (case.agent.check, case.propose):
            with pytest.raises(AgentError, match=r"no access to the API .* check the identity token"):
                fails()

    assert standin.journal == []
    assert [record.dollars for record in case.booked if record.outcome != "begun"] == []


def test_a_token_file_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    with StandIn() as standin:
        case = PlatformCase(standin, federation=federation_of(tmp_path / "none"))
        with pytest.raises(AgentError, match="no access to the API"):
            case.agent.check()


def test_workload_identity_is_read_from_the_vendors_variables_and_its_files_are_hidden() -> None:
    environment = {
        "ANTHROPIC_IDENTITY_TOKEN_FILE": "/var/run/token",
        "ANTHROPIC_FEDERATION_RULE_ID": "fdrl_lab",
        "ANTHROPIC_ORGANIZATION_ID": "org-lab",
        "ANTHROPIC_WORKSPACE_ID": "",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/aws",
    }
    secrets = read_secrets(environment)

    assert secrets.anthropic_federation == federation_of(Path("/var/run/token"))
    assert secrets.key_files == (Path("/var/run/token"), Path("/var/run/aws"))
    for needed in list(environment)[:3]:
        assert read_secrets({**environment, needed: ""}).anthropic_federation is None


@pytest.mark.parametrize("platform", ["bedrock", "vertex", "foundry"])
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.agent.claude.platforms.find_spec", lambda _: None)
    settings = ClaudeSettings(platform=platform, **HERE[platform])

    with pytest.raises(AgentError, match=rf"not installed: pip install 'autoresearch-controller\[{platform}\]'"):
        require_access(settings, key=None, federation=None)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"platform": "bedrock"}, "needs agent.claude.region"),
        ({"platform": "vertex", "region": "global"}, "needs agent.claude.project"),
        ({"platform": "foundry"}, "needs agent.claude.resource"),
        ({"platform": "foundry", "resource": "lab.example.org/x"}, "agent.claude.resource may hold"),
        ({**HERE["bedrock"], "platform": "bedrock", "model": "claude-opus-5-5"}, "us.anthropic.claude-opus-5-5"),
    ],
)
def test_what_a_platform_needs_is_asked_for(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ClaudeSettings(**settings)


def test_bedrock_names_the_usual_models_in_its_own_way() -> None:
    settings = ClaudeSettings(platform="bedrock", **HERE["bedrock"])

    assert settings.models == ("global.anthropic.claude-opus-5-5", "global.anthropic.claude-opus-5")
    assert ClaudeSettings(platform="bedrock", **HERE["bedrock"], refusal_model=None).refusal_model is None


@pytest.mark.parametrize(
    ("platform", "region", "model", "factor"),
    [
        ("bedrock", "us-east-1", "global.anthropic.claude-opus-5-5", 1.0),
        ("bedrock", "us-east-1", "us.anthropic.claude-opus-5-5", 1.1),
        ("vertex", "global", "claude-opus-5-5", 1.0),
        ("vertex", "eu", "claude-opus-5-5", 1.1),
        ("foundry", None, "claude-opus-5-5", 1.0),
    ],
)
def test_prices_are_those_of_the_platform(platform: Platform, region: str | None, model: str, factor: float) -> None:
    named = {**HERE[platform], **({"region": region} if region else {})}
    settings = ClaudeSettings(platform=platform, model=model, **named)
    usage = Usage(input=1_000_000, output=100_000, cache_write_5m=50_000, cache_write_1h=10_000, cache_read=400_000)

    price = price_call(usage, model=model, overrides={}, served="claude-opus-5-5", vendor=price_seller(settings))

    assert price == pytest.approx(factor * price_call(usage, model="claude-opus-5-5", overrides={}))
    assert price_call(replace(usage, us_only=True), model=model, overrides={model: {"input": 1, "output": 1}}) > 0
