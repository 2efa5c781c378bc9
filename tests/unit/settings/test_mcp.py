"""Settings of an agent that is a client from outside: a mistake is one sentence at the start."""

from __future__ import annotations

import pytest

from controller.errors import SettingsError
from controller.settings.file import load_settings

MCP = ["agent.kind=mcp", "budget.experiments=3"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["agent.mcp.name=a/b"], "agent.mcp.name"),
        (["agent.mcp.port=70000"], "agent.mcp.port"),
        (["agent.mcp.patience=-1"], "agent.mcp.patience"),
        (["agent.mcp.most_waiting=0"], "agent.mcp.most_waiting"),
        (["agent.mcp.token=x"], "token"),
    ],
)
def test_mistake_is_one_sentence_that_names_the_setting(given: list[str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        load_settings(None, [*MCP, *given])


def test_it_listens_on_this_machine_alone_and_costs_no_dollars_of_the_campaign() -> None:
    settings = load_settings(None, [*MCP, "agent.mcp.hosts=lab.example.org:443"])

    assert settings.agent.mcp.host == "127.0.0.1"
    assert settings.agent.mcp.hosts == ("lab.example.org:443",)
    assert not settings.agent.asks_models
