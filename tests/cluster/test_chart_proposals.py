"""A release whose agent is a program in a Job: what it proposes is trained, and its network leads nowhere else."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.live import OUTSIDE_PORT, PREPARATIONS, Release, a_release
from tests.cluster.harness import BuiltCluster
from tests.cluster.reachability import ASKING, reached_once

__all__ = ["PREPARATIONS"]

# Sizes that the data have, so that a training's log tells by which proposal it was written.
COUNTS_FEWER = """
import os, re
text = open("train.py").read()
size = 40_000 * (1 + int(os.environ["AUTORESEARCH_PROPOSAL"]))
open("train.py", "w").write(re.sub(r"(?m)^TOTAL_BATCH_SIZE = [0-9_]+", f"TOTAL_BATCH_SIZE = {size}", text))
json.dump({"title": f"{size} tokens", "hypothesis": "fewer counts do as well"}, open("proposal.json", "w"))
"""

LOOKS = """
import os
names = [name for name in os.environ if "KEY" in name or "TOKEN" in name]
print(json.dumps({"keys": names, "token": os.path.exists("/var/run/secrets/kubernetes.io")}))
"""


@pytest.fixture
def release(built_cluster: BuiltCluster) -> Iterator[Release]:
    """A release whose program tries to reach what there is, and proposes."""
    cluster = built_cluster
    with socket.create_server((cluster.host_address, OUTSIDE_PORT)), a_release(cluster) as release:
        host = cluster.host_address
        addresses: dict[str, Any] = {
            "API server": (cluster.layout.api_service_address, 443, False),
            "kubelet": (cluster.node_address, 10250, False),
            "the world": (host, OUTSIDE_PORT, False),
            "resolver": (cluster.layout.api_service_address, 53, True),
        }
        program = f"import sys\nsys.argv = ['', {json.dumps(json.dumps(addresses))}]\n{ASKING}{LOOKS}{COUNTS_FEWER}"
        release.values["campaign"]["agent"] = {
            "kind": "command",
            "command": {
                "run": ["python", "-c", program],
                "name": "counts",
                "memory_gb": 0.25,
                "cpus": 0.2,
                "fallback": "none",
            },
        }
        # The door for proposals is shut once the campaign has ended, so this one does not end meanwhile.
        release.values["campaign"]["budget"]["experiments"] = 100
        release.install()
        release.wait_ready()
        yield release


def test_programs_in_jobs_propose_what_is_trained_and_reach_nothing_but_the_controller(release: Release) -> None:
    judged = release.wait_judged(2)

    for experiment in judged:
        size, unit = experiment["title"].split()
        assert unit == "tokens"
        # The training's own last line: what the program wrote is what ran.
        assert f"num_steps:        {size}\n" in release.ask("show", str(experiment["number"]))
    assert {experiment["agent"] for experiment in judged} == {"command/counts"}
    said = release.ask("show", str(judged[0]["number"]), "--transcript")
    output = json.loads(said.strip().splitlines()[-1])["output"]
    reached, found = map(json.loads, output.splitlines())
    assert reached == []
    assert found == {"keys": [], "token": False}

    # The port for proposals is open to pods with their labels, and neither the page to them nor that port to attempts.
    address = release.controller()["status"]["podIP"]
    ports = {"page": (address, 8080, False), "door": (address, 8642, False)}
    labels = {"app.kubernetes.io/managed-by": "autoresearch", "campaign": release.values["campaign"]["tag"]}
    assert reached_once(release, ports, **labels, proposal="1") == {"door"}
    assert reached_once(release, ports, **labels, experiment="1") == set()
