"""The Claude agent before the stand-in behind the door of a platform."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from controller.costs.model_calls import CallRecord
from controller.domain import Proposal
from controller.ports import Abandoned
from controller.settings import Federation
from tests.standin import StandIn
from tests.standin.platforms import Platform
from tests.support.campaign_in_memory import TASK, CampaignInMemory, Clock
from tests.support.claude import claude_agent

HERE: dict[str, dict[str, str]] = {
    "anthropic": {},
    "bedrock": {"region": "us-east-1"},
    "vertex": {"region": "global", "project": "lab"},
    "foundry": {"resource": "lab"},
}
"""What each platform's settings must name."""

PATHS = {"anthropic": "", "bedrock": "", "vertex": "/v1", "foundry": "/anthropic"}
"""Where each platform's API begins, behind its host."""


class PlatformCase:
    """A stand-in behind a platform's door, an agent before it, and what was booked."""

    def __init__(
        self,
        standin: StandIn,
        *,
        key: str = "",
        federation: Federation | None = None,
        **settings: Any,
    ) -> None:
        platform: Platform = standin.platform
        self.booked: list[CallRecord] = []
        self.standin = standin
        self.campaign = CampaignInMemory({"train.py": TASK})
        self.agent = claude_agent(
            self.standin,
            Clock(),
            self.booked.append,
            key=SecretStr(key) if key else None,
            federation=federation,
            platform=platform,
            base_url=self.standin.url + PATHS[platform],
            **{**HERE[platform], **settings},
        )

    def propose(self) -> Proposal | Abandoned:
        return self.agent.propose(self.campaign.request())

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [dict(exchange.request) for exchange in self.standin.journal]
