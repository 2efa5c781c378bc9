"""What the loop relies on whoever proposes: the same few properties of every agent that ships."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from math import inf
from pathlib import Path

import pytest

from controller.agent.perturb import PerturbAgent
from controller.agent.replay import ReplayAgent
from controller.costs.model_calls import CallRecord, sum_calls
from controller.domain import Proposal
from controller.edits.novelty import find_refusal
from controller.ports import Abandoned, Agent
from controller.settings import AgentSettings
from tests.standin import StandIn, say
from tests.support.campaign_in_memory import TASK, CampaignInMemory, Clock
from tests.support.claude import claude_agent
from tests.support.command import ASKS, command_agent
from tests.support.mcp import eager_client, mcp_agent
from tests.support.needs import need_bubblewrap
from tests.support.proposal_cluster import command_agent_in_jobs
from tests.support.waiting import PATIENCE_S

Booked = list[CallRecord]
Make = Callable[[Path, Booked], AbstractContextManager[Agent]]

PROGRAM = TASK.replace("    pass\n", "    print(DEPTH, WIDTH, MLP_RATIO, MATRIX_LR, EMBEDDING_LR, WARMDOWN_RATIO)\n")
"""The stand-in's task file, with a use of its constants: perturb changes none that has no effect."""

CLIMBS = """
    import json, os, re
    text = open("train.py").read()
    width = int(re.search(r"WIDTH = (\\d+)", text)[1]) + 8 * int(os.environ["AUTORESEARCH_PROPOSAL"])
    open("train.py", "w").write(re.sub(r"WIDTH = \\d+", f"WIDTH = {width}", text))
    json.dump({"title": f"width {width}", "hypothesis": "more room"}, open("proposal.json", "w"))
"""


@contextmanager
def perturb(folder: Path, booked: Booked) -> Iterator[Agent]:
    yield PerturbAgent(AgentSettings(), accelerator=False)


@contextmanager
def replay(folder: Path, booked: Booked) -> Iterator[Agent]:
    for width in range(136, 200, 8):
        changed = PROGRAM.replace("WIDTH = 128", f"WIDTH = {width}")
        patch = difflib.unified_diff(PROGRAM.splitlines(True), changed.splitlines(True), "a/train.py", "b/train.py")
        (folder / f"{width}-width.patch").write_text("".join(patch))
    yield ReplayAgent(AgentSettings(kind="replay", patches=folder))


@contextmanager
def claude(folder: Path, booked: Booked) -> Iterator[Agent]:
    clock = Clock()
    with StandIn(clock=clock) as standin:
        yield claude_agent(standin, clock, booked.append)


@contextmanager
def command(folder: Path, booked: Booked) -> Iterator[Agent]:
    need_bubblewrap()
    yield command_agent(folder, CLIMBS)


@contextmanager
def command_with_a_model(folder: Path, booked: Booked) -> Iterator[Agent]:
    need_bubblewrap()
    with StandIn(lambda _: say("wider")) as standin:
        yield command_agent(folder, ASKS, "assert ask()[0] == 200", CLIMBS, book=booked.append, standin=standin)


@contextmanager
def command_in_jobs(folder: Path, booked: Booked) -> Iterator[Agent]:
    with command_agent_in_jobs(CLIMBS) as agent:
        yield agent


@contextmanager
def command_in_jobs_with_a_model(folder: Path, booked: Booked) -> Iterator[Agent]:
    with (
        StandIn(lambda _: say("wider")) as standin,
        command_agent_in_jobs(ASKS, "assert ask()[0] == 200", CLIMBS, book=booked.append, standin=standin) as agent,
    ):
        yield agent


@contextmanager
def mcp(folder: Path, booked: Booked) -> Iterator[Agent]:
    with mcp_agent(folder, patience=PATIENCE_S) as agent, eager_client(folder):
        yield agent


AGENTS = pytest.mark.parametrize(
    "make",
    [
        perturb,
        replay,
        claude,
        command,
        command_with_a_model,
        command_in_jobs,
        command_in_jobs_with_a_model,
        mcp,
    ],
)


@pytest.fixture
def campaign() -> CampaignInMemory:
    return CampaignInMemory({"train.py": PROGRAM})


@AGENTS
def test_each_proposal_is_a_new_program_on_the_incumbent_by_whom_it_names(
    make: Make, tmp_path: Path, campaign: CampaignInMemory
) -> None:
    booked: Booked = []
    with make(tmp_path, booked) as agent:
        warnings = agent.check()
        for turn in range(3):
            request = campaign.request()
            answer = agent.propose(request)

            assert isinstance(answer, Proposal), answer
            assert answer.base == request.base
            assert set(answer.files) <= set(request.files)
            refusal = find_refusal(
                base=request.files, proposed=answer.files, tried=request.fingerprints, needs_load_model=True
            )
            assert refusal is None
            assert answer.title.strip()
            assert answer.agent.partition("/")[0] == agent.name
            assert answer.strategy
            campaign.judge(campaign.admit(answer, at=float(turn)), keep=False)
        assert agent.waiting == ()
    assert warnings == []
    assert sum_calls(booked).dollars == pytest.approx(sum(e.cost.dollars for e in campaign.experiments))


@AGENTS
def test_four_may_ask_at_once(make: Make, tmp_path: Path, campaign: CampaignInMemory) -> None:
    request = campaign.request()
    with make(tmp_path, []) as agent, ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: agent.propose(request), range(4)))

    assert all(isinstance(answer, Proposal | Abandoned) for answer in answers)
    assert any(isinstance(answer, Proposal) for answer in answers)


@AGENTS
def test_whoever_cannot_pay_makes_no_call_and_says_so(make: Make, tmp_path: Path, campaign: CampaignInMemory) -> None:
    booked: Booked = []
    with make(tmp_path, booked) as agent:
        answer = agent.propose(campaign.request(dollars_limit=1e-9))

    assert booked == []
    assert answer.cost.dollars == 0
    if isinstance(answer, Abandoned):
        assert answer.short_of_money


@AGENTS
def test_nothing_is_waited_for_once_it_was_told_to_stop(make: Make, tmp_path: Path, campaign: CampaignInMemory) -> None:
    with make(tmp_path, []) as agent:
        agent.stop()
        answer = agent.propose(campaign.request(dollars_limit=inf))

    assert isinstance(answer, Proposal | Abandoned)
    assert not isinstance(answer, Abandoned) or not answer.exhausted
