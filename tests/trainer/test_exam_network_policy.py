"""Nothing of the agent's runs in a pod before the pod's network is shut."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from exam.kit.network_policy import POLL_SECONDS, await_network_policy

from tests.support.starting import time_to_begin
from tests.support.waiting import PATIENCE_S

TASK = Path(__file__).resolve().parents[2] / "trainer-image"


@contextmanager
def api_server(*, answers: int) -> Iterator[Mapping[str, str]]:
    """A port that answers so many connections and then, as behind a policy that has arrived, none."""

    def serve() -> None:
        with listening, suppress(OSError):
            for _ in range(answers):
                listening.accept()[0].close()

    listening = socket.create_server(("127.0.0.1", 0))
    host, port = listening.getsockname()
    thread = threading.Thread(target=serve)
    thread.start()
    yield {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}
    with suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)  # ends a wait that nobody will answer
    thread.join()


def test_outside_of_a_cluster_there_is_nothing_to_wait_for() -> None:
    assert await_network_policy({}) == 0


def test_open_network_is_waited_for_until_it_is_shut() -> None:
    with api_server(answers=3) as environment:
        assert 2 * POLL_SECONDS < await_network_policy(environment, seconds=60) < 60


def test_network_that_nobody_shuts_is_given_up_on() -> None:
    with api_server(answers=10_000) as environment:
        assert 0.3 <= await_network_policy(environment, seconds=0.3) < 60


def test_training_begins_when_the_network_is_shut_and_has_its_whole_budget(tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    (tmp_path / "train.py").write_text(
        "import os, socket, time\n"
        "host, port = os.environ['KUBERNETES_SERVICE_HOST'], int(os.environ['KUBERNETES_SERVICE_PORT'])\n"
        "try:\n    socket.create_connection((host, port)); print('open', flush=True)\n"
        "except ConnectionRefusedError:\n    print('shut', flush=True)\n"
        "open(os.environ['AUTORESEARCH_ARTIFACT'] + '/weights', 'w').write('w')\n"
        "began = time.monotonic()\n"
        "while True:\n    time.sleep(0.1); print(time.monotonic() - began, flush=True)\n"
    )
    budget = max(3.0, time_to_begin(times=20))  # longer where programs take long to begin
    with api_server(answers=int(budget / POLL_SECONDS / 2)) as environment:
        done = subprocess.run(
            [sys.executable, "-m", "exam.supervise", "--", sys.executable, "train.py"],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(TASK),
                "AUTORESEARCH_TRAIN_SECONDS": str(budget),
                "AUTORESEARCH_ARTIFACT": str(artifact),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    # The answers took half the budget or more: were they charged to it, training would have had less than that.
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "shut"
    assert float(done.stdout.splitlines()[-1]) > budget / 2
