"""The scripts that `helm test` runs, against real sockets and processes."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.chart.rendering import CHART, one, render
from tests.support.waiting import PATIENCE_S

SCRIPTS = CHART / "scripts"
TASK = CHART.parent / "trainer-image"
"""The folder in which the pod runs them."""


def load(name: str, folder: Path = SCRIPTS) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"chart_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


isolation, rights, accelerators = load("isolation"), load("rights"), load("accelerators")


@contextmanager
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def asked(**changes: Any) -> dict[str, Any]:
    return {"addresses": [], "resolvers": [], "processes": 0, "data": "", "examiner": "", "exam": False, **changes}


def run(name: str, question: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """As the pod runs it: the text handed to Python, one JSON argument."""
    command = [sys.executable, "-c", (SCRIPTS / f"{name}.py").read_text(), json.dumps(question)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=TASK)


def test_reached_address_fails_and_is_named() -> None:
    with listener() as port:
        done = run("isolation", asked(addresses=[["the outside", f"127.0.0.1:{port}"]]))

    assert done.returncode == 1
    assert done.stdout.startswith(f"FAIL network    this pod reached the outside (127.0.0.1:{port})")
    assert "does not enforce NetworkPolicy" in done.stdout


def test_refused_connection_is_no_leak() -> None:
    # Bound and not listening: it refuses, and is no other server's meanwhile.
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        done = run("isolation", asked(addresses=[["the outside", f"127.0.0.1:{port}"], ["v6", f"[::1]:{port}"]]))

    assert (done.returncode, done.stdout) == (0, "ok   network    none of 2 addresses can be reached\n")


@pytest.mark.parametrize(("examiner", "code"), [("exam", 0), ("examiner.py", 0), ("", 1)])
def test_network_that_is_shut_a_moment_late_is_a_leak_for_those_that_do_not_wait(examiner: str, code: int) -> None:
    """One connection is answered; then the port is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_once() -> None:
            server.accept()[0].close()
            server.close()

        thread = threading.Thread(target=answer_once)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        thread.start()
        done = run("isolation", asked(addresses=[["the outside", address]], examiner=examiner))
        thread.join()

    assert done.returncode == code, done.stdout
    assert ("once the pod's policies have arrived, for which attempts wait" in done.stdout) == (code == 0)


def test_an_attempt_waits_as_long_as_the_test_grants() -> None:
    assert isolation.NETWORK_POLICY_SECONDS == load("network_policy", TASK / "exam/kit").WAIT_SECONDS


def test_resolver_that_answers_is_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:
            query, sender = server.recvfrom(512)
            server.sendto(query, sender)

        thread = threading.Thread(target=answer)
        thread.start()
        with monkeypatch.context() as patient:
            patient.setattr(isolation, "CONNECT_SECONDS", PATIENCE_S)
            assert isolation.resolves("127.0.0.1", server.getsockname()[1])
        thread.join()
    assert not isolation.resolves("127.0.0.1", 1)


def test_missing_process_limit_fails_and_says_what_to_set() -> None:
    holds, words = isolation.processes(20)

    assert not holds
    assert "podPidsLimit" in words
    assert threading.stack_size() == 0, "threads started later would have a stack of 64 kB"


def test_failing_command_is_told_by_its_last_words() -> None:
    assert isolation.command("-c", "print('fine')") == (True, "fine")
    assert isolation.command("-c", "raise SystemExit('manifest differs')") == (False, "manifest differs")


def test_question_of_rights_covers_all_that_is_granted_and_more() -> None:
    pod = one(render(), "Pod", "autoresearch-test-rights")
    question = json.loads(pod["spec"]["containers"][0]["command"][-1])

    granted = rights.granted(question["rules"], "research-runs")
    every = rights.questions(question)
    assert granted < every
    assert len(every) > 10 * len(granted)
    assert {q.namespace for q in every} == {"research-runs", "research", "kube-system", ""}
    assert rights.Question("research-runs", "create", "", "pods/exec") in every - granted
    assert rights.Question("research", "get", "", "secrets") in every - granted


@pytest.mark.parametrize(
    ("allocatable", "selector", "holds"),
    [
        pytest.param({"nvidia.com/gpu": "8"}, {}, True, id="enough"),
        pytest.param({"nvidia.com/gpu": "1"}, {}, False, id="fewer than one attempt wants"),
        pytest.param({}, {}, False, id="no device plugin"),
        pytest.param({"nvidia.com/gpu": "8"}, {"pool": "a100"}, False, id="on nodes that attempts may not use"),
    ],
)
def test_accelerators_count_where_attempts_may_run(
    allocatable: dict[str, str], selector: dict[str, str], holds: bool
) -> None:
    node = {"metadata": {"labels": {"pool": "cpu"}}, "status": {"allocatable": allocatable}}

    found, words = accelerators.verdict([node], resource="nvidia.com/gpu", wanted=2, selector=selector)
    assert found == holds
    assert ("gpus=0" in words) != holds
