"""Clients from outside and the loop: what a client submits is proposed, and whoever may not come in does not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from controller.agent.fallback import FallbackAgent
from controller.agent.mcp import McpAgent
from controller.agent.mcp.address import Address, read_address
from controller.agent.mcp.agent import LEAST_PATIENCE_ALONE
from controller.agent.mcp.server import MOST_BYTES, MOST_REQUESTS, HttpServer
from controller.agent.perturb import PerturbAgent
from controller.domain import Proposal
from controller.errors import AgentError
from controller.ports import Abandoned, ProposalRequest
from controller.settings import AgentSettings, McpSettings
from tests.support.campaign_in_memory import TASK, CampaignInMemory, Clock
from tests.support.mcp import await_client, is_open, mcp_agent
from tests.support.waiting import PATIENCE_S, wait_until

CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "wait", "arguments": {"number": 0, "seconds": 50}},
}
MORE = 8
"""Requests beyond those that may be under way."""

ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@pytest.fixture
def campaign() -> CampaignInMemory:
    return CampaignInMemory({"train.py": TASK})


@contextmanager
def asked(agent: McpAgent, request: ProposalRequest) -> Iterator[Future[Proposal | Abandoned]]:
    """A question of the loop under way."""
    with ThreadPoolExecutor(1) as threads:
        try:
            yield threads.submit(agent.propose, request)
        finally:
            agent.stop()


def address_of(folder: Path) -> Address:
    return wait_until(lambda: read_address(folder), what="the file with the address")


def post(address: Address, *, token: str | None = None, body: bytes | None = None, **headers: str) -> httpx2.Response:
    """One request with the right token, unless told otherwise."""
    bearer = {"authorization": f"Bearer {address.token if token is None else token}"}
    given = {"json": CALL} if body is None else {"content": body}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.post(address.url, headers=ACCEPT | bearer | named, trust_env=False, timeout=PATIENCE_S, **given)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_what_a_client_submits_is_what_the_loop_gets(tmp_path: Path, campaign: CampaignInMemory, mode: str) -> None:
    with mcp_agent(tmp_path, patience=PATIENCE_S, name="desktop") as agent, asked(agent, campaign.request()) as answer:
        client = await_client(tmp_path, mode=mode)
        said = client.submit("DEPTH = 3", "DEPTH = 4", expected_effect="+.3σ", notes="more", declared_dollars=1.5)
        proposal = answer.result()

    assert isinstance(proposal, Proposal)
    assert proposal.ticket == said.ticket
    assert proposal.base == campaign.incumbent
    assert proposal.files == {"train.py": TASK.replace("DEPTH = 3", "DEPTH = 4")}
    assert (proposal.agent, proposal.strategy, proposal.notes) == ("mcp/desktop", "open", "more")
    assert (proposal.cost.dollars, proposal.cost.declared_dollars) == (0.0, 1.5)


def test_whoever_has_no_token_gets_401_and_nothing_else(tmp_path: Path, campaign: CampaignInMemory) -> None:
    with mcp_agent(tmp_path) as agent, asked(agent, campaign.request()):
        address = address_of(tmp_path)
        answers = [
            post(address, token="wrong"),
            post(address, token="0"),
            post(address, token=f"{address.token}x"),
            post(address, token=address.token[:-1]),
            httpx2.post(address.url, headers=ACCEPT, json=CALL, trust_env=False, timeout=PATIENCE_S),
            httpx2.post(
                address.url,
                headers=ACCEPT,
                params={"token": address.token},
                json=CALL,
                trust_env=False,
                timeout=PATIENCE_S,
            ),
            httpx2.get(address.url.replace("/mcp", "/"), trust_env=False, timeout=PATIENCE_S),
            post(address, token="wrong", body=b"x" * (MOST_BYTES + 1)),
        ]

    assert [answer.status_code for answer in answers] == [401] * len(answers)
    assert all("brief" not in answer.text for answer in answers)
    assert answers[0].headers["www-authenticate"] == "Bearer"


def test_pages_of_browsers_and_requests_for_other_hosts_are_refused(tmp_path: Path, campaign: CampaignInMemory) -> None:
    with mcp_agent(tmp_path, hosts="lab.example.org:443") as agent, asked(agent, campaign.request()):
        address = address_of(tmp_path)
        port = httpx2.URL(address.url).port
        rebound = [post(address, host=host).status_code for host in (f"evil.example:{port}", "127.0.0.1", "")]
        pages = [post(address, origin=f"http://{name}:{port}").status_code for name in ("evil.example", "localhost")]
        agent.stop()

    assert all(400 <= status < 500 for status in rebound)
    assert pages == [403, 403]


def test_large_and_shapeless_requests_are_refused(tmp_path: Path, campaign: CampaignInMemory) -> None:
    with mcp_agent(tmp_path) as agent, asked(agent, campaign.request()):
        address = address_of(tmp_path)
        large = post(address, body=b"[" * (MOST_BYTES + 1))
        shapeless = [post(address, body=body).status_code for body in (b"", b"{", b"[]", b"\xff", b"[" * 100_000)]

    assert large.status_code == 413
    assert all(400 <= status < 500 for status in shapeless)


def test_no_more_requests_than_so_many_are_under_way_and_a_stop_answers_them(
    tmp_path: Path, campaign: CampaignInMemory
) -> None:
    async def crowd(address: Address, agent: McpAgent) -> tuple[list[int], list[int]]:
        """Statuses of those that were answered before the stop, and of the others."""
        bearer = {"authorization": f"Bearer {address.token}"}
        async with httpx2.AsyncClient(headers=ACCEPT | bearer, trust_env=False, timeout=PATIENCE_S) as http:
            under_way = {asyncio.create_task(http.post(address.url, json=CALL)) for _ in range(MOST_REQUESTS + MORE)}
            early: list[int] = []
            while len(early) < MORE:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                early += [task.result().status_code for task in done]
            await asyncio.to_thread(agent.stop)
            return early, [answer.status_code for answer in await asyncio.gather(*under_way)]

    with mcp_agent(tmp_path, patience=PATIENCE_S) as agent, asked(agent, campaign.request()) as answer:
        early, late = asyncio.run(crowd(address_of(tmp_path), agent))
        assert isinstance(answer.result(), Abandoned)

    assert early == [503] * MORE
    assert late == [200] * MOST_REQUESTS


def test_port_in_use_is_one_sentence_and_an_open_address_a_warning(tmp_path: Path) -> None:
    sentence = r"cannot listen on 127\.0\.0\.1:\d+: .*; set agent\.mcp\.host"
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        mcp_agent(tmp_path, port=taken.getsockname()[1]) as agent,
        pytest.raises(AgentError, match=sentence),
    ):
        agent.check()
    with mcp_agent(tmp_path, host="0.0.0.0") as agent:
        [warning] = agent.check()

    assert "can be reached from other machines, and the token travels unencrypted" in warning


def test_whoever_stops_hears_nothing_more_and_what_waits_is_proposed_after_the_start(
    tmp_path: Path, campaign: CampaignInMemory
) -> None:
    with mcp_agent(tmp_path, patience=PATIENCE_S) as agent, asked(agent, campaign.request()) as answer:
        client = await_client(tmp_path)
        first, second = (client.submit("DEPTH = 3", f"DEPTH = {depth}").ticket for depth in (4, 5))
        assert isinstance(answer.result(), Proposal)
    token = address_of(tmp_path).token
    with pytest.raises(BaseExceptionGroup):
        client.call("brief")

    with mcp_agent(tmp_path, patience=PATIENCE_S) as agent, ThreadPoolExecutor(1):
        again = [agent.propose(campaign.request()) for _ in range(2)]

    assert [proposal.ticket for proposal in again if isinstance(proposal, Proposal)] == [first, second]
    assert address_of(tmp_path).token == token


def test_what_the_lab_holds_is_proposed_once_and_what_became_old_is_sent_back(
    tmp_path: Path, campaign: CampaignInMemory
) -> None:
    with mcp_agent(tmp_path, patience=PATIENCE_S) as agent, asked(agent, campaign.request()) as answer:
        client = await_client(tmp_path)
        tickets = [client.submit("DEPTH = 3", f"DEPTH = {depth}").ticket for depth in (4, 5, 6)]
        held = answer.result()
    assert isinstance(held, Proposal)
    campaign.admit(held, at=1.0)  # and then the controller was killed, with the file still in the box
    twin = replace(held, files={"train.py": TASK.replace("DEPTH = 3", "DEPTH = 5")}, ticket="")
    campaign.admit(twin, at=2.0)

    with mcp_agent(tmp_path, patience=PATIENCE_S) as agent:
        proposal = agent.propose(campaign.request())
        client = await_client(tmp_path)
        sent_back = client.call("wait", ticket=tickets[1])
        taken = client.call("wait", ticket=tickets[0], seconds=0)

    assert isinstance(proposal, Proposal)
    assert proposal.ticket == tickets[2]
    assert "it was sent back: this program was already tried" in sent_back.text
    assert is_open(taken)


def test_fallback_proposes_while_nobody_submits_and_the_client_has_its_turn_again(
    tmp_path: Path, campaign: CampaignInMemory
) -> None:
    program = TASK.replace("    pass\n", "    print(DEPTH, WIDTH, MLP_RATIO)\n")
    campaign = CampaignInMemory({"train.py": program})
    times = iter(range(10_000))
    with mcp_agent(tmp_path, patience=0) as quiet:
        agent = FallbackAgent(
            quiet, PerturbAgent(AgentSettings(), accelerator=False), clock=lambda: float(next(times) * 10)
        )
        first = agent.propose(campaign.request())
        [waiting] = agent.waiting or [None]
        client = await_client(tmp_path)
        ticket = client.submit("DEPTH = 3", "DEPTH = 4").ticket
        second = agent.propose(campaign.request())

    assert isinstance(first, Proposal)
    assert first.agent == "perturb"
    assert isinstance(second, Proposal)
    assert second.ticket == ticket
    assert waiting is None or "no client has submitted" in waiting.text


def test_without_a_fallback_each_question_waits_a_while_and_then_ends(
    campaign: CampaignInMemory, tmp_path: Path
) -> None:
    settings, clock = McpSettings(fallback="none", patience=0), Clock(now=0.0)

    class Quiet:
        """Serves nobody."""

        def start(self) -> list[str]:
            """Nothing to start."""
            return []

        def close(self) -> None:
            """Nothing to end."""

    def pass_time() -> float:
        clock.now += 20.0
        return clock.now

    agent = McpAgent(settings, folder=tmp_path, serve=lambda *_: Quiet(), needs_load_model=False, clock=pass_time)
    asked_at = clock.now
    answer = agent.propose(campaign.request())

    assert isinstance(answer, Abandoned)
    assert clock.now - asked_at >= LEAST_PATIENCE_ALONE
    assert not answer.exhausted


def test_address_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    settings = McpSettings()
    missing = tmp_path / "gone"
    agent = McpAgent(
        settings,
        folder=tmp_path / "box",
        serve=lambda calls, is_ending: HttpServer(settings, calls, folder=missing, is_ending=is_ending),
        needs_load_model=False,
    )
    with pytest.raises(AgentError, match=r"cannot write .*mcp\.json, in which clients find the address"):
        agent.check()
    agent.stop()
