"""A program that proposes, in a real sandbox: what is taken of what it leaves, and what a model costs behind it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from controller.costs.model_calls import CallRecord, price_call, read_usage, sum_calls
from controller.domain import Proposal
from controller.errors import AgentError, SandboxError
from controller.executor.local.witness import OWN_USE
from controller.ports import Abandoned
from tests.standin import KEY, Fault, StandIn, say
from tests.support.campaign_in_memory import TASK, CampaignInMemory
from tests.support.command import ASKS, PROPOSES, command_agent, write_program
from tests.support.local_task import processes_with
from tests.support.needs import need_bubblewrap
from tests.support.openai_api import OpenAiStandIn
from tests.support.requests import proposal_request
from tests.support.waiting import PATIENCE_S, wait_until

REQUEST = proposal_request({"train.py": "WIDTH = 4\n"})


@pytest.fixture(autouse=True)
def _sandboxes() -> None:
    need_bubblewrap()


def test_plain_script_proposes_without_any_key(tmp_path: Path) -> None:
    answer = command_agent(tmp_path, PROPOSES).propose(REQUEST)

    assert isinstance(answer, Proposal)
    assert answer.files == {"train.py": "WIDTH = 4\n\nWIDTH = 5\n"}
    assert (answer.title, answer.hypothesis, answer.expected_effect) == ("wider", "more room", "+.3σ")
    assert answer.agent == "command/propose.py"
    assert answer.cost.dollars == 0


def test_program_finds_task_news_history_and_earlier_diffs_in_its_folder(tmp_path: Path) -> None:
    campaign = CampaignInMemory({"train.py": TASK}, brief="# Brief\nAbout widths.")
    look = """
        import json, os
        from pathlib import Path
        found = {str(path): path.read_text() for path in sorted(Path(".").rglob("*")) if path.is_file()}
        print(json.dumps(found))
    """
    first = command_agent(tmp_path, PROPOSES).propose(campaign.request())
    assert isinstance(first, Proposal)
    campaign.judge(campaign.admit(first, at=1.0), keep=False)

    answer = command_agent(tmp_path, look).propose(campaign.request())

    assert isinstance(answer, Abandoned)
    found = json.loads(json.loads(answer.transcript.splitlines()[-1])["output"])
    assert "About widths." in found["BRIEF.md"]
    assert "`train.py`" in found["TASK.md"]
    assert "#1 discard" in found["NEWS.md"]
    assert [json.loads(line)["title"] for line in found["history.jsonl"].splitlines()] == ["baseline", "wider"]
    assert "+WIDTH = 5" in found["experiments/0001/edit.diff"]
    assert found["train.py"] == TASK


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ("open('train.py', 'w').write('WIDTH = 4\\n')", "changed nothing"),
        ("os.remove('proposal.json')", "no usable proposal.json: it is not there"),
        ("os.remove('train.py'); os.symlink('/etc/passwd', 'train.py')", "cannot be read as a file"),
        ("os.remove('train.py'); os.mkfifo('train.py')", "it is no regular file"),
        ("os.remove('train.py'); os.mkdir('train.py')", "it is no regular file"),
        ("os.remove('train.py')", "no usable train.py: it is not there"),
        ("open('train.py', 'w').write('#' * (2**20 + 1))", "1048577 bytes, and 1048576 are allowed"),
        ("open('train.py', 'wb').write(b'\\xff')", "something other than UTF-8"),
        ("open('proposal.json', 'w').write('{')", "proposal.json: Invalid JSON"),
        ("open('proposal.json', 'w').write('{\"title\": 3}')", "proposal.json: title"),
        ("sys.exit('no idea today')", "exit code 1; its last words: no idea today"),
        ("time.sleep(3600)", "killed at its deadline"),
    ],
)
def test_what_is_no_proposal_is_told_and_nothing_else_is_taken(tmp_path: Path, then: str, reason: str) -> None:
    seconds = 3.0 if "sleep" in then else PATIENCE_S
    agent = command_agent(tmp_path, "import os, sys, time\n", PROPOSES, then, seconds=seconds)

    answer = agent.propose(REQUEST)

    assert isinstance(answer, Abandoned)
    assert reason in answer.reason
    assert answer.retry_after > 0


def test_work_of_a_session_is_the_campaigns_own_and_no_neighbours(tmp_path: Path) -> None:
    burn = "import os\nwhile os.times().user < 1.5: sum(range(100_000))"
    agent = command_agent(tmp_path, burn)
    agent.check()
    before = OWN_USE.seconds() - os.times().user

    answer = agent.propose(REQUEST)

    assert isinstance(answer, Abandoned)
    assert OWN_USE.seconds() - os.times().user - before > 1.0


def test_nothing_of_a_session_stays_and_other_files_are_not_taken(tmp_path: Path) -> None:
    leaves = """
        import os
        os.makedirs("deep/" * 50)
        os.chmod("deep", 0)
        open("prepare.py", "w").write("mine")
        os.symlink("/", "root")
    """
    warned: list[str] = []
    answer = command_agent(tmp_path, PROPOSES, leaves, warn=warned.append).propose(REQUEST)

    assert isinstance(answer, Proposal)
    assert set(answer.files) == {"train.py"}
    kept = {"etc", "filters", "frozen", "trash", "cgroups.json"}
    assert {path.name for path in (tmp_path / "campaign/sessions").iterdir()} <= kept
    assert not warned


@pytest.mark.parametrize("shown", ["campaign/data", "campaign/data/holdout", "link", "campaign"])
def test_folder_that_would_show_what_no_program_may_see_is_refused(tmp_path: Path, shown: str) -> None:
    (tmp_path / "campaign" / "data" / "holdout").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "campaign")

    with pytest.raises(SandboxError, match="sandbox"):
        command_agent(tmp_path, PROPOSES, mounts=(tmp_path / "agent", tmp_path / shown)).check()


def test_program_that_the_sandbox_lacks_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"agent.command.run: nonesuch is not found in the sandbox"):
        command_agent(tmp_path, PROPOSES, run=("nonesuch",)).check()


def test_calls_are_passed_on_with_the_real_key_and_booked_before_and_after(tmp_path: Path) -> None:
    booked: list[CallRecord] = []
    with StandIn(lambda _: say("wider")) as standin:
        agent = command_agent(tmp_path, ASKS, "assert ask()[0] == 200", PROPOSES, book=booked.append, standin=standin)
        answer = agent.propose(REQUEST)

    assert isinstance(answer, Proposal)
    assert answer.agent == "command/propose.py/claude-opus-5-5"
    assert [record.outcome for record in booked] == ["begun", "end_turn"]
    assert booked[0].dollars >= booked[1].dollars > 0
    assert answer.cost.dollars == pytest.approx(sum_calls(booked).dollars)
    assert len(standin.answered) == 1


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
def test_key_is_put_where_the_version_of_the_api_wants_it(tmp_path: Path, version: str, header: str) -> None:
    asks = f"""
        import json, os, urllib.request
        key = os.environ["ANTHROPIC_API_KEY"]
        body = {{"model": "claude-opus-5-5", "max_tokens": 50, "messages": [{{"role": "user", "content": "hello"}}]}}
        urllib.request.urlopen(urllib.request.Request(
            os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages?beta=true", json.dumps(body).encode(),
            {{"content-type": "application/json", "anthropic-version": "{version}",
              "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
              "{header}": key if "{header}" == "x-api-key" else "Bearer " + key}}))
    """
    with StandIn(lambda _: say("wider")) as standin:
        answer = command_agent(tmp_path, asks, PROPOSES, standin=standin).propose(REQUEST)

    assert isinstance(answer, Proposal), answer
    assert len(standin.answered) == 1


def test_money_that_is_used_up_is_answered_with_402_in_mid_session_and_what_was_done_counts(tmp_path: Path) -> None:
    booked: list[CallRecord] = []
    until_it_is_spent = """
        statuses = []
        while not statuses or statuses[-1][0] == 200:
            statuses.append(ask(max_tokens=200))
        assert len(statuses) > 2
        assert statuses[-1][0] == 402, statuses[-1]
        assert "used up" in statuses[-1][1]
    """
    with StandIn(lambda _: say("word " * 100)) as standin:
        agent = command_agent(
            tmp_path, ASKS, until_it_is_spent, PROPOSES, book=booked.append, standin=standin, dollars=0.02
        )
        answer = agent.propose(REQUEST)

    assert isinstance(answer, Proposal), answer
    assert 0.005 < answer.cost.dollars <= 0.02
    assert answer.cost.dollars == pytest.approx(sum_calls(booked).dollars)


def test_campaign_without_money_for_one_call_is_told_so(tmp_path: Path) -> None:
    with StandIn(lambda _: say("hello")) as standin:
        agent = command_agent(tmp_path, ASKS, "raise SystemExit(ask()[0] != 402)", standin=standin)
        answer = agent.propose(proposal_request({"train.py": "WIDTH = 4\n"}, dollars_limit=lambda: 1e-6))

    assert isinstance(answer, Abandoned)
    assert answer.short_of_money
    assert standin.journal == []


def test_proposal_whose_own_dollars_pay_no_call_says_so_and_does_not_end_the_campaign(tmp_path: Path) -> None:
    with StandIn(lambda _: say("hello")) as standin:
        agent = command_agent(tmp_path, ASKS, "raise SystemExit(ask()[0] != 402)", standin=standin, dollars=1e-6)
        answer = agent.propose(REQUEST)

    assert isinstance(answer, Abandoned)
    assert "of agent.command.dollars is left" in answer.reason
    assert not answer.short_of_money
    assert answer.retry_after > 0
    assert standin.journal == []


@pytest.mark.parametrize(
    "fault",
    [Fault.DROPPED, Fault.CUT_STREAM, Fault.MALFORMED, Fault.ERROR_EVENT, Fault.REFUSED_CONNECTION, Fault.OVERLOADED],
)
def test_call_that_breaks_is_booked_at_least_at_what_is_billed(tmp_path: Path, fault: Fault) -> None:
    booked: list[CallRecord] = []
    one_call = """
        try:
            ask(stream=True)
        except OSError:
            pass
        except Exception as error:
            assert "Incomplete" in type(error).__name__, error
    """
    with StandIn(lambda _: say("word " * 200), faults=[fault]) as standin:
        command_agent(tmp_path, ASKS, one_call, PROPOSES, book=booked.append, standin=standin).propose(REQUEST)

    billed = sum(
        price_call(read_usage(exchange.usage), model="claude-opus-5-5", overrides={}) for exchange in standin.journal
    )
    assert len(booked) == 2
    assert booked[0].outcome == "begun"
    assert booked[0].dollars >= booked[1].dollars >= billed


HOSTILE = """
    import glob, socket, subprocess, sys, threading, time

    wanted = [needle[::-1] for needle in REVERSED]
    def look_into(path):
        try:
            text = open(path, "rb").read(10**6).decode(errors="replace")
        except OSError:
            return
        found.extend(path for needle in wanted if needle in text)
    found = []
    for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/cmdline"):
        look_into(path)
    for folder, folders, files in os.walk("/"):
        if folder.startswith(("/proc", "/sys", "/usr")) or folder.endswith("site-packages"):
            folders.clear()
        for name in files:
            if name.startswith("classified"):
                found.append(folder + "/" + name)
            elif folder.startswith(("/task", "/socket", "/tmp", "/root", "/home", "/run", "/etc", "/var")):
                look_into(folder + "/" + name)
    reached = []
    for address in [("127.0.0.1", STANDIN), ("1.1.1.1", 443), ("169.254.169.254", 80)] + [
        ("127.0.0.1", port) for port in (22, 80, 443, 2375, 6443, 8080)
    ]:
        try:
            socket.create_connection(address, timeout=0.5).close()
            reached.append(address)
        except OSError:
            pass
    try:
        reached.append(socket.gethostbyname("example.com"))
    except OSError:
        pass
    answers = [
        ask(key="sk-proposal-" + "0" * 48),
        ask(path="/v1/models"),
        ask(path="/v1/files"),
        ask(path="/v1/messages/batches"),
        ask(path="/../v1/messages"),
        ask(messages=[{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": "http://example.com/?leak"}}]}]),
        ask(messages=[{"role": "user", "content": [
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}}]}]),
        ask(model="claude-nobody-9"),
    ]
    seen = ask(tools=[{"type": "web_search_20250305", "name": "web_search"}], mcp_servers=[{"url": "http://x"}])
    print(json.dumps({"found": found, "reached": reached, "statuses": [a[0] for a in answers], "seen": seen[0],
                      "texts": [a[1] for a in answers]}), flush=True)
    # Daemons that leave the session, and calls without end.
    subprocess.Popen([sys.executable, "-c", f"import time; MARK = {MARK!r}; time.sleep(600)"],
                     start_new_session=True)
    def drain():
        while True:
            try:
                ask(max_tokens=400)
            except Exception:
                pass
    for _ in range(100):
        threading.Thread(target=drain).start()
    os.kill(os.getppid(), 9)
    time.sleep(600)
"""


@pytest.mark.slow
def test_hostile_program_gets_nothing_ends_in_time_and_is_booked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, booked = "lab-content-7f3a", list[CallRecord]()
    daemon = f"hostile-daemon-{uuid4().hex}"  # of this run: another one may go on beside it
    for place in ("campaign/lab.git/classified-lab", "campaign/data/classified-exam"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(secret)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with StandIn(lambda _: say("word " * 50)) as standin:
        # Backwards, or the program would find itself.
        told_it = (
            f"STANDIN, REVERSED = {standin.url.rpartition(':')[2]}, {[KEY[::-1], secret[::-1]]}\nMARK = {daemon!r}\n"
        )
        # It has looked everywhere within seconds, which are many beside busy neighbours.
        began = time.monotonic()
        command_agent(tmp_path, PROPOSES).propose(REQUEST)
        seconds = min(150.0, max(30.0, 30 * (time.monotonic() - began)))
        agent = command_agent(
            tmp_path, told_it, ASKS, HOSTILE, book=booked.append, standin=standin, seconds=seconds, dollars=0.05
        )
        answer = agent.propose(REQUEST)
    told = json.loads(json.loads(answer.transcript.splitlines()[-1])["output"].splitlines()[0])

    assert isinstance(answer, Abandoned)
    assert "killed at its deadline" in answer.reason
    assert KEY not in answer.transcript
    assert told["found"] == []
    assert told["reached"] == []
    assert told["statuses"] == [401, 404, 404, 404, 404, 400, 400, 400]
    assert told["seen"] == 200
    assert all("tools" not in e.request and "mcp_servers" not in e.request for e in standin.journal)
    assert not processes_with(daemon)
    assert 0 < answer.cost.dollars <= 0.05
    assert answer.cost.dollars == pytest.approx(sum_calls(booked).dollars)
    billed = sum(price_call(read_usage(e.usage), model="claude-opus-5-5", overrides={}) for e in standin.answered)
    assert answer.cost.dollars >= billed
    last = {record.id: record for record in booked}
    assert all(record.outcome != "begun" for record in last.values())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_openai_surfaces_are_metered_too(tmp_path: Path, path: str, stream: bool) -> None:
    booked: list[CallRecord] = []
    calls = f"""
        import json, os, urllib.request
        body = {{"model": "gpt-5.5", "stream": {stream}, "service_tier": "priority", "store": True,
                "tools": [{{"type": "web_search"}}, {{"type": "function", "name": "f", "function": {{"name": "f"}}}}]}}
        said = [{{"role": "user", "content": "hello"}}]
        body |= {{"input": said}} if "responses" in "{path}" else {{"messages": said}}
        request = urllib.request.Request(
            os.environ["OPENAI_BASE_URL"] + "{path}".removeprefix("/v1"), json.dumps(body).encode(),
            {{"content-type": "application/json", "authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}})
        assert "hello back" in urllib.request.urlopen(request).read().decode()
    """
    with OpenAiStandIn() as standin:
        agent = command_agent(tmp_path, calls, PROPOSES, book=booked.append, openai=standin.url)
        answer = agent.propose(REQUEST)

    assert isinstance(answer, Proposal), answer
    assert answer.agent == "command/propose.py/gpt-5.5"
    assert len(booked) == 2
    assert (booked[1].usage.input, booked[1].usage.cache_read, booked[1].usage.output) == (900, 100, 50)
    assert booked[0].dollars > booked[1].dollars > 0
    (seen,) = standin.requests
    assert [tool["type"] for tool in seen["tools"]] == ["function"]
    assert "service_tier" not in seen
    assert seen.get("store", False) is False


def test_program_that_takes_more_memory_than_it_may_gives_no_proposal(tmp_path: Path) -> None:
    takes = "held = b'x' * 2**29\n"
    answer = command_agent(tmp_path, takes, PROPOSES, memory_gb=0.25).propose(REQUEST)

    assert isinstance(answer, Abandoned)
    assert re.search(r"lack of memory|MemoryError", answer.reason)


def test_stop_ends_session_and_call_whatever_the_vendor_does(tmp_path: Path) -> None:
    booked: list[CallRecord] = []
    with StandIn(lambda _: say("never"), faults=[Fault.SILENCE]) as standin:
        agent = command_agent(tmp_path, ASKS, "ask()", book=booked.append, standin=standin)
        with ThreadPoolExecutor(1) as threads:
            proposing = threads.submit(agent.propose, REQUEST)
            wait_until(lambda: booked, what="the call to begin")
            agent.stop()
            answer = proposing.result(PATIENCE_S)

    assert isinstance(answer, Abandoned)
    assert "the controller stopped" in answer.reason
    assert [record.outcome for record in booked] == ["begun", "broken off"]
    assert booked[1].dollars > 0


def test_campaign_of_a_plain_script_names_it_in_every_view(tmp_path: Path) -> None:
    task = tmp_path / "task"
    task.mkdir()
    (task / "train.py").write_text("WIDTH = 4\n\nprint('---')\nprint(f'val_bpb: {2 - WIDTH / 100}')\n")
    program = write_program(
        tmp_path,
        """
        import json, os
        width = 5 + int(os.environ["AUTORESEARCH_PROPOSAL"])
        text = open("train.py").read().replace("WIDTH = 4", f"WIDTH = {width}")
        open("train.py", "w").write(text)
        json.dump({"title": f"width {width}"}, open("proposal.json", "w"))
        """,
    )
    folder = tmp_path / "campaign"
    options = {
        "task.folder": task,
        "task.score": "log",
        "task.metric": "val_bpb",
        "budget.experiments": 1,
        "budget.train_seconds": 5,
        "deadlines.log_scored": 60,
        "agent.kind": "command",
        "agent.command.run": f"[python, {program}]",
        "agent.command.mounts": f"[{program.parent}]",
        "agent.command.fallback": "none",
    }
    words = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    ran = [sys.executable, "-m", "controller.cli", "run", str(folder), *words]
    done = subprocess.run(ran, capture_output=True, text=True, check=False)
    views = {
        view: subprocess.run(
            [sys.executable, "-m", "controller.cli", *view.split(), str(folder)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for view in ("status", "report", "log")
    }

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"proposed by .*\n *command/propose.py +1 ", views["status"])
    assert re.search(r"width \d+ \[unverified\]", views["log"])
    assert "| `command/propose.py` | 1 | 1 |" in (folder / "report.md").read_text()
