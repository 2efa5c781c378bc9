"""A client of the Model Context Protocol researches a campaign in a real cluster, through what the notes name."""

from __future__ import annotations

import base64
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from controller.agent.mcp.address import Address
from tests.chart.live import PREPARATIONS, Release, a_release
from tests.cluster.harness import BuiltCluster
from tests.support.mcp import OutsideClient
from tests.support.waiting import wait_until

__all__ = ["PREPARATIONS"]

ONE_RUN: dict[str, Any] = {"judge": {"policy": "greedy", "baseline_runs": 1, "max_runs": 1}}
"""One training for each experiment: nothing here is about verdicts."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def token_of(release: Release) -> str:
    """The token in the Secret that the chart made."""
    return base64.b64decode(release.get("secret", "autoresearch-mcp")["data"]["token"]).decode()


@contextmanager
def forwarded(release: Release, port: int, *, token: str) -> Iterator[OutsideClient]:
    """A client on this machine, by the command that the notes name."""
    command = [release.cluster.kubectl_program, f"--kubeconfig={release.cluster.harness_kubeconfig}"]
    command += [f"--namespace={release.own}", "port-forward", "service/autoresearch-mcp", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forwarding:
        assert forwarding.stdout is not None
        try:
            assert f":{port}" in forwarding.stdout.readline()
            yield OutsideClient(Address(url=f"http://localhost:{port}/mcp", token=token, pid=0))
        finally:
            forwarding.terminate()


@pytest.mark.timeout(1800)
def test_client_submits_through_a_port_forward_and_its_token_outlives_restart_and_upgrade(
    built_cluster: BuiltCluster,
) -> None:
    port = free_port()
    # One experiment more than are submitted: a campaign that ends serves nobody any longer.
    agent = {"kind": "mcp", "mcp": {"port": port, "fallback": "none", "name": "outside"}}
    with a_release(built_cluster, campaign=ONE_RUN | {"budget": {"experiments": 3}, "agent": agent}) as release:
        said = release.install()
        assert f"port-forward svc/autoresearch-mcp {port}" in said
        release.wait_ready()
        token = token_of(release)
        assert token not in said

        with forwarded(release, port, token=token) as client:
            wait_until(lambda: not client.call("brief").failed, what="a campaign that asks for proposals", interval=1.0)
            ticket = client.submit("SMOOTHING = 0.3", "SMOOTHING = 0.2").ticket
            assert "SMOOTHING = 0.2" in client.await_verdict(ticket).text

        before = release.controller()["metadata"]["name"]
        release.values["controller"]["podAnnotations"] = {"example.com/upgraded": "yes"}
        release.upgrade()
        wait_until(lambda: release.controller()["metadata"]["name"] != before, what="the next controller")
        release.wait_ready()
        assert token_of(release) == token

        with forwarded(release, port, token=token) as client:
            wait_until(lambda: not client.call("brief").failed, what="a campaign that asks for proposals", interval=1.0)
            ticket = client.submit("UNIGRAM_SHARE = 0.1", "UNIGRAM_SHARE = 0.05").ticket
            assert "UNIGRAM_SHARE = 0.05" in client.await_verdict(ticket).text

        found = release.wait_judged(2)
        statuses = release.controller()["status"]["containerStatuses"]
    assert {each["agent"] for each in found} == {"mcp/outside"}
    assert [status["restartCount"] for status in statuses] == [0], "no probe killed it"
