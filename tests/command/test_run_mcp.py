"""`autoresearch run` with agent mcp and `autoresearch mcp`: a campaign whose researcher is a client from outside."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError

from controller.agent.mcp.address import NAME, read_address, write_address
from controller.domain import BASELINE, Experiment
from controller.errors import LabError
from controller.lab import Lab
from tests.support.mcp import OutsideClient, Said, is_open, read_result, submission
from tests.support.waiting import PATIENCE_S, wait_until

TRAIN = """\
import os
WIDTH = 4
if __name__ == "__main__":
    print("---")
    print(f"val_bpb: {2 - WIDTH / 100 + int(os.environ['AUTORESEARCH_SEED']) % 97 / 1e5:.6f}")
"""

SETTINGS = {
    "tag": "c",
    "task.score": "log",
    "task.metric": "val_bpb",
    "executor.sandbox": "none",
    "executor.slots": 1,
    "budget.experiments": 30,
    "budget.train_seconds": 20,
    "agent.kind": "mcp",
    "agent.mcp.fallback": "none",
}


@dataclass(frozen=True)
class Ran:
    """A campaign's folder, and its process."""

    folder: Path
    process: subprocess.Popen[str]

    @property
    def client(self) -> OutsideClient:
        """A client of this process, once it serves."""

        def look() -> OutsideClient | None:
            address = read_address(self.folder)
            assert self.process.poll() is None, self.process.communicate()
            return OutsideClient(address) if address and address.pid == self.process.pid else None

        client = wait_until(look, what="the campaign to serve")
        wait_until(lambda: not client.call("incumbent").failed, what="the campaign to ask for proposals")
        return client

    @property
    def experiments(self) -> list[Experiment]:
        """What the lab holds, the baseline left out; empty before it is made."""
        try:
            return [e for e in Lab.open(self.folder / "lab.git").experiments("c") if e.number != BASELINE]
        except LabError:
            return []

    def stop(self) -> int:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode


def autoresearch(*words: str) -> list[str]:
    return [sys.executable, "-m", "controller.cli", *words]


def environment() -> dict[str, str]:
    # A proxy of the environment is for other machines: nothing here may ask it.
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    return {name: value for name, value in os.environ.items() if name != "AUTORESEARCH_CAMPAIGN"} | proxies


@contextmanager
def running(home: Path, **changes: Any) -> Iterator[Ran]:
    """The campaign of a home, begun or gone on with."""
    task = home / "task"
    task.mkdir(exist_ok=True)
    (task / "train.py").write_text(TRAIN)
    chosen = {**SETTINGS, "task.folder": task, **changes}
    words = [word for name, value in chosen.items() for word in ("--set", f"{name}={value}")]
    process = subprocess.Popen(
        autoresearch("run", str(home / "c"), *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield Ran(home / "c", process)
    finally:
        process.kill()
        process.communicate()


def over_the_bridge(folder: Path, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[Said]:
    """The answers to calls of the official client, which starts `autoresearch mcp`."""

    async def ask() -> list[Said]:
        [program, *words] = autoresearch("mcp", str(folder))
        started = StdioServerParameters(command=program, args=words, env=environment(), cwd=Path.cwd())
        async with Client(started) as client:
            assert [tool.name for tool in (await client.list_tools()).tools][-2:] == ["submit", "wait"]
            return [read_result(await client.call_tool(name, arguments)) for name, arguments in calls]

    return anyio.run(ask)


def view(name: str, folder: Path) -> str:
    shown = subprocess.run(
        autoresearch(*name.split(), "-C", str(folder)), capture_output=True, text=True, check=True, env=environment()
    )
    return shown.stdout


def test_one_client_over_http_and_one_over_the_bridge_research_one_campaign(tmp_path: Path) -> None:
    with running(tmp_path) as ran:
        client = ran.client
        first = client.submit(
            "WIDTH = 4", "WIDTH = 60", model="model-1", declared_dollars=0.25, notes="wider is better"
        )
        verdict = client.await_verdict(first.ticket)
        base = client.call("incumbent").base
        told, second = over_the_bridge(
            ran.folder, [("history", {}), ("submit", submission(base, "WIDTH = 60", "WIDTH = 70"))]
        )
        [again] = over_the_bridge(ran.folder, [("wait", {"ticket": second.ticket, "seconds": 50})])
        if is_open(again):
            again = client.await_verdict(second.ticket)
        status, shown = view("status", ran.folder), view("show 1", ran.folder)
        code = ran.stop()

    assert "#1 keep" in verdict.text
    assert "#1 keep" in told.text
    assert "wider is better" in told.text
    assert re.search(r"#2 (keep|discard)", again.text)
    assert [(e.title, e.agent, e.ticket) for e in ran.experiments] == [
        ("architecture: WIDTH = 4 to WIDTH = 60", "mcp/client/model-1", first.ticket),
        ("architecture: WIDTH = 60 to WIDTH = 70", "mcp/client", second.ticket),
    ]
    assert ran.experiments[0].cost.declared_dollars == 0.25
    assert "$0.25 declared by the client and not counted" in shown
    assert "mcp/client/model-1" in status
    assert code == 0
    assert list((ran.folder / "lab.git" / "submissions" / "c").iterdir()) == []
    assert (ran.folder / NAME).stat().st_mode & 0o777 == 0o600


def submit_until_it_is_gone(client: OutsideClient, widths: range, tickets: list[str]) -> None:
    """Submit one program after another; the tickets of those that were accepted."""
    gone = False
    for width in widths:
        try:
            edits = [{"path": "train.py", "text": TRAIN.replace("WIDTH = 4", f"WIDTH = {width}")}]
            words = submission(client.call("incumbent").base, "", "", title=f"width {width}")
            said = client.call("submit", **{**words, "edits": edits})
            # What was kept meanwhile may have changed the same line.
            tickets += [] if said.failed else [said.ticket]
        except* (MCPError, httpx2.HTTPError, OSError):
            gone = True
        if gone:
            return


def kill_while_submitting(ran: Ran, widths: range) -> list[str]:
    """Kill the campaign once two submissions were accepted and while the next one is made; the tickets."""
    tickets: list[str] = []
    with ThreadPoolExecutor(1) as threads:
        submitting = threads.submit(submit_until_it_is_gone, ran.client, widths, tickets)
        wait_until(lambda: submitting.done() or len(tickets) > 1, what="two to be accepted", interval=0.01)
        ran.process.kill()
        submitting.result()
    return tickets


@pytest.mark.slow
def test_no_accepted_submission_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    tickets: list[str] = []
    for start in (10, 20):
        with running(tmp_path) as ran:
            tickets += kill_while_submitting(ran, range(start, start + 5))

    with running(tmp_path) as ran:
        client = ran.client
        for ticket in tickets:
            client.await_verdict(ticket)
        ran.stop()

    assert len(tickets) >= 2
    held = [e.ticket for e in ran.experiments if e.retry_of is None and e.ticket]
    assert set(held) >= set(tickets)
    assert len(held) == len(set(held))
    titles = [e.title for e in ran.experiments if e.retry_of is None]
    assert len(titles) == len(set(titles))
    assert not [file for file in (ran.folder / "lab.git" / "submissions" / "c").iterdir() if file.stem in held]


def test_fallback_proposes_while_no_client_submits(tmp_path: Path) -> None:
    options = {"agent.mcp.fallback": "perturb", "agent.mcp.patience": 0, "budget.experiments": 1}
    with running(tmp_path, **options) as ran:
        printed, _ = ran.process.communicate(timeout=PATIENCE_S)

    assert f"connect by: autoresearch mcp {ran.folder}" in printed
    assert [e.agent for e in ran.experiments] == ["perturb"]
    assert ran.process.returncode == 0


def refused(*words: str) -> str:
    """The sentence of a command that ends with exit code 2, for what the operator has to change."""
    done = subprocess.run(autoresearch(*words), capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == "", "stdout is the protocol's"
    assert "Traceback" not in done.stderr
    return done.stderr


def test_bridge_says_in_a_sentence_that_nothing_is_there(tmp_path: Path) -> None:
    assert "holds no campaign: start one with" in refused("mcp", str(tmp_path / "none"))
    with running(tmp_path) as ran:
        assert not ran.client.call("brief").failed
        ran.stop()
    assert "does not run: start it with" in refused("mcp", str(ran.folder))


def test_bridge_says_in_a_sentence_that_another_agent_proposes(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with running(tmp_path, **{"agent.kind": "perturb", "budget.experiments": 1000}) as ran:
        wait_until(lambda: ran.experiments, what="an experiment")
        assert "runs, and serves no client: another agent proposes" in refused("mcp", str(ran.folder))


def test_bridge_says_in_a_sentence_that_nobody_answers(tmp_path: Path) -> None:
    with running(tmp_path) as ran:
        assert not ran.client.call("brief").failed
        known = read_address(ran.folder)
        assert known is not None
        # A port that somebody has and does not listen on refuses every connection.
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            write_address(ran.folder, known.model_copy(update={"url": f"http://127.0.0.1:{held.getsockname()[1]}/mcp"}))
            gone = refused("mcp", str(ran.folder))
        write_address(ran.folder, known.model_copy(update={"token": "another"}))
        unknown = refused("mcp", str(ran.folder))

    assert "the campaign does not answer" in gone
    assert "the campaign does not answer" in unknown


def test_page_about_it_shows_a_script_that_works(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "mcp.md").read_text()
    [script] = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "research.py").write_text(script)
    with running(tmp_path) as ran:
        assert not ran.client.call("brief").failed
        command = [sys.executable, str(tmp_path / "research.py"), str(ran.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "Make val_bpb lower" in done.stdout
    assert re.search(r"#1 (keep|discard)", done.stdout)


def test_another_major_version_of_the_package_is_refused_in_a_sentence(tmp_path: Path) -> None:
    found = tmp_path / "mcp-1.30.0.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: mcp\nVersion: 1.30.0\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[1:] = ['mcp', 'c']\n"
    script += "from controller.cli.__main__ import main; main()"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "mcp 1.30.0 is installed: pip install 'autoresearch-controller[mcp]'" in done.stderr
