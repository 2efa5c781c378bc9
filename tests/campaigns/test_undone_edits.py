"""Whoever proposes is told by which experiment a kept edit was undone, wherever he reads of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from controller.agent.claude.prompt import build_prompt
from controller.agent.command.folder import lay_out
from controller.agent.desk.desk import Desk
from controller.agent.desk.draft import Draft
from controller.agent.desk.history import Diffs
from controller.agent.desk.submissions import Submissions
from controller.agent.desk.tools import run_tool
from controller.agent.mcp.briefing import write_history
from controller.domain import Experiment, Proposal
from controller.ports import ProposalRequest
from tests.support.campaign_in_memory import CampaignInMemory, Clock

FILES = {"train.py": "A = 1\nB = 1\n"}


def proposal(campaign: CampaignInMemory, text: str, title: str) -> Proposal:
    return Proposal(base=campaign.incumbent, files={"train.py": text}, title=title, hypothesis="h", agent="a")


def request(*, undone: bool) -> ProposalRequest:
    """A campaign that kept A = 2, and whose third experiment leaves that out: with success, or it has no verdict."""
    campaign, clock = CampaignInMemory(FILES), Clock()
    campaign.judge(campaign.admit(proposal(campaign, "A = 2\nB = 1\n", "data: set A"), at=clock()), keep=True)
    campaign.judge(campaign.admit(proposal(campaign, "A = 2\nB = 2\n", "data: set B"), at=clock()), keep=False)
    kept, doubter = campaign.experiments[1], Experiment(number=3, commit="", base="", title="leave out 1", doubts=1)
    assert kept.judgement
    campaign.experiments[1] = replace(kept, judgement=replace(kept.judgement, kept_as="c1"))
    doubter = replace(doubter, base=campaign.incumbent, commit=campaign.base)
    if undone:
        judgement = replace(kept.judgement, order=3, kept_as="c3", reason="it gains nothing after all")
        doubter = replace(doubter, judgement=judgement)
    campaign.experiments.append(doubter)
    return campaign.request()


def views(asked: ProposalRequest) -> Mapping[str, str]:
    """What each kind of agent reads, by where it does."""
    tried = Diffs().tried(asked.experiments, asked.notebook.diff)
    desk = Desk(request=asked, tried=tried, needs_load_model=False, submissions=Submissions())
    prompt = build_prompt(asked, tried, tools=(), way="open", ttl="5m")
    folder = lay_out(asked, tried, way="open")
    draft = Draft.of(asked.files)
    return {
        "prompt": "\n".join(block["text"] for block in prompt.opening),
        "show_experiment": run_tool("show_experiment", {"number": 1}, draft=draft, desk=desk).text,
        "search_history": run_tool("search_history", {"words": "set a", "code": ""}, draft=draft, desk=desk).text,
        "NEWS.md": folder["NEWS.md"],
        "mcp history": "\n".join(write_history(asked, tried)),
        "history.jsonl": folder["history.jsonl"],
    }


def test_every_view_of_an_undone_edit_says_by_which_experiment() -> None:
    read = views(request(undone=True))

    told = [json.loads(line)["undone_by"] for line in read["history.jsonl"].splitlines()]
    assert told == [None, 3, None, None]
    for name in read.keys() - {"history.jsonl"}:
        lines = [line for line in read[name].splitlines() if line.startswith("#1 ")]
        assert [line for line in lines if "keep, undone by #3" in line], name
    assert "undone by #3: it gains nothing after all" in read["show_experiment"]


@pytest.mark.parametrize("name", ["prompt", "show_experiment", "search_history", "NEWS.md", "mcp history"])
def test_while_it_is_only_in_doubt_it_is_a_keep_as_any_other(name: str) -> None:
    text = views(request(undone=False))[name]

    assert "set A" in text
    assert "undone by" not in text
