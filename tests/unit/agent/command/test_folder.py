"""The folder of a program that proposes holds what the operator has said, beside the brief."""

from __future__ import annotations

from dataclasses import replace

from controller.agent.command.folder import lay_out
from controller.domain import Remark
from tests.support.campaign_in_memory import TASK, CampaignInMemory


def test_words_of_the_operator_stand_in_the_brief() -> None:
    request = CampaignInMemory({"train.py": TASK}).request()
    said = replace(request, remarks=(Remark(at=1.7e9, text="try smaller vocabularies"),))

    before, after = (lay_out(each, [], way="open")["BRIEF.md"] for each in (request, said))

    assert after.startswith(before)
    assert "The operator of this campaign has said" in after
    assert "try smaller vocabularies" in after
