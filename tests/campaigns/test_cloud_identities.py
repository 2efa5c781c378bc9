"""A cloud's own library finds an identity by the means of a cluster, and the platform takes it in place of a key.

The packages of the extras are in no lock file: a test is skipped where the one that it needs is not installed.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.agent.claude.platforms import require_access
from controller.costs.model_calls import price_call, read_usage
from controller.domain import Proposal
from controller.errors import AgentError
from controller.settings import ClaudeSettings
from tests.standin import KEY, Fault, StandIn
from tests.standin.platforms import ASSERTION, TOKEN, Platform
from tests.support.platforms import HERE, PlatformCase

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

PACKAGES = {"bedrock": "boto3", "vertex": "google.auth", "foundry": "azure.identity"}


@pytest.fixture(autouse=True)
def _clouds_leave_connections_open() -> Iterator[None]:
    yield
    gc.collect()


def need_package(platform: Platform) -> None:
    """Skip the test where the platform's extra is not installed."""
    reason = f"pip install 'autoresearch-controller[{platform}]' in an environment of its own: no lock file holds it"
    pytest.importorskip(PACKAGES[platform], reason=reason)


def identify_by_cloud(platform: Platform, standin: StandIn, tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    """Let the cloud's own library find an identity, by the means that it has in a cluster."""
    environment.setenv("HOME", str(tmp_path))
    token = tmp_path / "token"
    token.write_text(ASSERTION)
    match platform:
        case "bedrock":
            environment.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{standin.url}/cloud/aws")
        case "foundry":
            environment.setenv("IDENTITY_ENDPOINT", f"{standin.url}/cloud/azure")
            environment.setenv("IDENTITY_HEADER", "header")
        case "vertex":
            account = tmp_path / "account.json"
            account.write_text(
                json.dumps(
                    {
                        "type": "external_account",
                        "audience": "//iam.googleapis.com/locations/global/workforcePools/lab/providers/cluster",
                        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                        "token_url": f"{standin.url}/cloud/google",
                        "credential_source": {"file": str(token)},
                    }
                )
            )
            environment.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
        case _:
            pass


@pytest.mark.parametrize("platform", ["foundry", "bedrock", "vertex"])
def test_the_identity_of_the_cloud_stands_in_for_a_key(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_package(platform)
    with StandIn(platform=platform) as standin:
        identify_by_cloud(platform, standin, tmp_path, monkeypatch)
        case = PlatformCase(standin)
        answer = case.propose()

    assert isinstance(answer, Proposal)
    assert standin.exchanged > 0
    assert {exchange.status for exchange in standin.journal} == {200}
    assert TOKEN not in answer.transcript


def test_bedrock_takes_a_key_of_its_own() -> None:
    need_package("bedrock")
    with StandIn(platform="bedrock") as standin:
        case = PlatformCase(standin, key=KEY)
        answer = case.propose()

    assert isinstance(answer, Proposal)
    ended = [record for record in case.booked if record.outcome != "begun"]
    assert {record.model for record in ended} == {"global.anthropic.claude-opus-5-5"}
    billed = [price_call(read_usage(e.usage), model="claude-opus-5-5", overrides={}) for e in standin.answered]
    assert [record.dollars for record in ended] == pytest.approx(billed), "served worldwide at the vendor's price"


@pytest.mark.parametrize("fault", [Fault.MALFORMED, Fault.OVERLOADED, Fault.RATE_LIMIT, Fault.SERVER_ERROR], ids=str)
def test_a_passing_fault_on_bedrock_costs_a_call_but_not_the_proposal(fault: Fault) -> None:
    need_package("bedrock")
    with StandIn(platform="bedrock", faults=[None, fault]) as standin:
        answer = PlatformCase(standin, key=KEY).propose()

    assert isinstance(answer, Proposal)


def test_bedrock_names_itself_where_it_refuses_us() -> None:
    need_package("bedrock")
    with StandIn(platform="bedrock") as standin:
        case = PlatformCase(standin, key=KEY + "-wrong")
        with pytest.raises(AgentError, match=r"refuses us .* check the identity or key, and its rights") as refused:
            case.propose()

    assert KEY not in str(refused.value)


@pytest.mark.parametrize("platform", ["bedrock", "vertex"])
def test_missing_credentials_are_told_before_anything_is_spent(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_package(platform)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    settings = ClaudeSettings(platform=platform, **HERE[platform])

    with pytest.raises(AgentError, match=r"no access to .* give this process an? (AWS role|Google identity)"):
        require_access(settings, key=None, federation=None)
