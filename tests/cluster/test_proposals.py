"""Programs that propose as Jobs on a real cluster: what they may do, what ends them, and what is left of them.

Their network is tried with the chart's policies, in test_chart_proposals.py.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from controller.agent.command import CommandAgent
from controller.agent.command.upstream import Account, Upstream
from controller.costs.model_calls import CallRecord, sum_calls
from controller.domain import Proposal
from controller.executor.kubernetes import ClusterWorkshop
from controller.ports import Abandoned
from controller.settings import Settings
from tests.cluster.executor_task import TaskNamespace, running
from tests.cluster.harness import BuiltCluster
from tests.cluster.harness.images import base_image, base_step
from tests.standin import KEY, StandIn, say
from tests.support.command import ASKS, PROPOSES
from tests.support.requests import proposal_request
from tests.support.waiting import PATIENCE_S, wait_until

PREPARATIONS = [base_step()]

REQUEST = proposal_request({"train.py": "WIDTH = 4\n"})
FOREVER = "import time; time.sleep(3600)"
FILLS = """
    import time
    with open("large", "wb") as file:
        for _ in range(1200):
            file.write(bytes(2**20))
    time.sleep(3600)
"""


def settings_of(namespace: TaskNamespace, *program: str, **changes: Any) -> Settings:
    """A campaign whose agent is this Python program, in an image with a real Python."""
    cluster = namespace.cluster
    assert isinstance(cluster, BuiltCluster)
    image = cluster.import_image(base_image())
    text = "".join(textwrap.dedent(part) for part in program)
    command = {
        "run": ["python3", "-c", text],
        "name": "script",
        "seconds": PATIENCE_S,
        "address": cluster.host_address,
        "port": 0,
        "memory_gb": 0.25,
        "cpus": 0.25,
        **changes.pop("command", {}),
    }
    return namespace.settings(
        f"p{secrets.token_hex(4)}",
        kubernetes={"image": image},
        agent={"kind": "command", "command": command},
        **changes,
    )


@contextmanager
def agent_of(
    settings: Settings, *, standin: StandIn | None = None, booked: list[CallRecord] | None = None
) -> Iterator[CommandAgent]:
    """The agent of these settings. standin: whom it may ask in Anthropic's place."""
    upstream = None
    if standin is not None:
        account = Account(vendor="anthropic", address=standin.url, read_key=lambda: SecretStr(KEY))
        upstream = Upstream({"anthropic": account})
    agent = CommandAgent(
        settings.agent.command,
        workshop=ClusterWorkshop(settings, warn=print),
        upstream=upstream,
        book=(booked if booked is not None else []).append,
    )
    try:
        yield agent
    finally:
        agent.stop()


def said_by(answer: Proposal | Abandoned) -> str:
    """What the program printed."""
    said: str = json.loads(answer.transcript.splitlines()[-1])["output"]
    return said


def jobs(namespace: TaskNamespace, settings: Settings) -> list[str]:
    """Names of the campaign's Jobs that nobody has deleted."""
    return [
        one["metadata"]["name"] for one in namespace.jobs(settings.tag) if "deletionTimestamp" not in one["metadata"]
    ]


def test_program_proposes_asks_its_model_and_leaves_nothing(own_namespace: TaskNamespace) -> None:
    booked: list[CallRecord] = []
    settings = settings_of(own_namespace, ASKS, "assert ask()[0] == 200", PROPOSES, "print('done')")
    with StandIn(lambda _: say("wider")) as standin, agent_of(settings, standin=standin, booked=booked) as agent:
        assert agent.check() == []
        answer = agent.propose(REQUEST)

    assert isinstance(answer, Proposal), answer
    assert answer.files == {"train.py": "WIDTH = 4\n\nWIDTH = 5\n"}
    assert answer.title == "wider"
    assert answer.agent == "command/script/claude-opus-5-5"
    assert said_by(answer) == "done\n"
    assert answer.cost.dollars == pytest.approx(sum_calls(booked).dollars) != 0
    assert jobs(own_namespace, settings) == []


LOOKS = """
    import json, os, socket, urllib.error, urllib.request
    found = {}
    found["key"] = [name for name, value in os.environ.items() if KEY in value or "PORTER" in name]
    found["others"] = [path for path in os.listdir("/proc") if path.isdigit() and int(path) != os.getpid()]
    found["token"] = os.path.exists("/var/run/secrets")
    found["user"] = os.getuid()
    def writes(path):
        try:
            open(path, "w").write("x")
            return True
        except OSError:
            return False
    found["writes"] = [path for path in ("/x", "/usr/x", "/etc/x", "/proc/sys/kernel/hostname") if writes(path)]
    base = os.environ["ANTHROPIC_BASE_URL"]
    def status(path, key, body=None):
        request = urllib.request.Request(base + path, body, {"authorization": f"Bearer {key}"})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
    own = os.environ["ANTHROPIC_API_KEY"]
    found["folder"] = [status("/folder", key) for key in (own, "", "porter-", KEY)]
    forged = json.dumps({"files": {"train.py": "Zm9yZ2Vk"}, "faults": {}}).encode()
    found["result"] = [status("/result", key, forged) for key in (own, "", KEY)]
    print(json.dumps(found))
"""


def test_hostile_program_gets_no_key_no_token_no_folder_of_others_and_forges_no_result(
    own_namespace: TaskNamespace,
) -> None:
    settings = settings_of(own_namespace, f"KEY = {KEY!r}\n", LOOKS)
    with StandIn() as standin, agent_of(settings, standin=standin) as agent:
        answer = agent.propose(REQUEST)

    assert isinstance(answer, Abandoned)
    assert "changed nothing" in answer.reason
    found = json.loads(said_by(answer))
    assert found == {
        "key": [],
        "others": [],
        "token": False,
        "user": 65532,
        "writes": [],
        # The gateway answers for its own bearer: there is no such path. All others are turned away at the door.
        "folder": [404, 401, 401, 401],
        "result": [404, 401, 401],
    }


def test_links_out_of_the_folder_are_not_followed(own_namespace: TaskNamespace) -> None:
    settings = settings_of(
        own_namespace, PROPOSES, "import os; os.remove('train.py'); os.symlink('/etc/passwd', 'train.py')"
    )
    with agent_of(settings) as agent:
        answer = agent.propose(REQUEST)

    assert isinstance(answer, Abandoned)
    assert "no usable train.py: it cannot be read as a file" in answer.reason


@pytest.mark.parametrize(
    ("program", "seconds", "reason"),
    [
        (FOREVER, 3.0, "killed at its deadline"),
        ("print('no idea today'); raise SystemExit(3)", PATIENCE_S, "exit code 3; its last words: no idea today"),
        ("x = bytearray(2**30)", PATIENCE_S, "lack of memory"),
        (FILLS, PATIENCE_S, "wrote more than it may"),
    ],
    ids=["endless", "failed", "memory", "disk"],
)
def test_what_ends_a_program_is_told_and_its_job_is_gone(
    own_namespace: TaskNamespace, program: str, seconds: float, reason: str
) -> None:
    settings = settings_of(own_namespace, program, command={"seconds": seconds})
    with agent_of(settings) as agent:
        answer = agent.propose(REQUEST)

    assert isinstance(answer, Abandoned)
    assert reason in answer.reason
    assert answer.retry_after > 0
    assert jobs(own_namespace, settings) == []


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ({"image": "localhost/nonesuch:1"}, "image localhost/nonesuch:1 cannot be had"),
        ({"run": ["nonesuch"]}, "agent.command.run may name programs of its image alone"),
        ({"node_selector": {"pool": "nonesuch"}}, "no place for"),
        ({"memory_gb": 100_000}, "no place for"),
    ],
    ids=["image", "program", "node", "size"],
)
def test_what_the_cluster_cannot_do_is_told_as_the_reason(
    own_namespace: TaskNamespace, command: dict[str, Any], reason: str
) -> None:
    settings = settings_of(own_namespace, "pass", command=command, deadlines={"pending": 3})
    with agent_of(settings) as agent:
        answer = agent.propose(REQUEST)

    assert isinstance(answer, Abandoned)
    assert reason in answer.reason
    assert answer.retry_after > 0
    assert jobs(own_namespace, settings) == []


def test_stop_deletes_every_job_before_it_is_over(own_namespace: TaskNamespace) -> None:
    settings = settings_of(own_namespace, FOREVER)
    with agent_of(settings) as agent, ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(agent.propose, REQUEST) for _ in range(2)]
        wait_until(lambda: len(jobs(own_namespace, settings)) == 2, what="two Jobs")
        agent.stop()
        reasons = [answer.result(PATIENCE_S) for answer in answers]

        assert jobs(own_namespace, settings) == []
    assert all(isinstance(reason, Abandoned) and "the controller stopped" in reason.reason for reason in reasons)


def test_job_of_a_controller_that_was_killed_goes_when_the_next_one_starts(own_namespace: TaskNamespace) -> None:
    settings = settings_of(own_namespace, FOREVER)
    command = [sys.executable, "-m", __name__, settings.model_dump_json()]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as process:
        try:
            wait_until(lambda: jobs(own_namespace, settings), what="a Job of the first controller")
        finally:
            process.kill()
    assert jobs(own_namespace, settings) != []

    with running(own_namespace, tag=settings.tag):
        wait_until(lambda: not jobs(own_namespace, settings), what="the end of the Job")


def _be_a_controller(settings: Settings) -> None:
    with agent_of(settings) as agent:
        agent.propose(REQUEST)
        threading.Event().wait()


if __name__ == "__main__":
    _be_a_controller(Settings.model_validate_json(sys.argv[1]))
