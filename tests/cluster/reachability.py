"""Asks from inside a pod which addresses answer."""

from __future__ import annotations

import json
import secrets

from tests.chart.live import Release, pod_like_an_attempt
from tests.support.waiting import PATIENCE_S

ASKING = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reaches(host, port, udp):
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as asking:
        asking.settimeout(10)
        try:
            asking.connect((host, port))
            return not udp or bool(asking.send(b"?") and asking.recv(9))
        except OSError:
            return False
wanted = json.loads(sys.argv[1])
with ThreadPoolExecutor(len(wanted)) as pool:
    reached = list(pool.map(lambda address: reaches(*address), wanted.values()))
print(json.dumps([name for name, answers in zip(wanted, reached) if answers]))
"""
"""Prints the names of the addresses that answer."""

Addresses = dict[str, tuple[str, int, bool]]
"""Host, port and whether it is asked by UDP, by name."""


def reached_once(release: Release, addresses: Addresses, **labels: str) -> set[str]:
    """Which of them a pod among the attempts reaches when its policies have arrived, as an attempt waits for that."""
    # Longer than an attempt would: a busy machine enforces them later.
    waiting = "import os\nfrom exam.kit.network_policy import await_network_policy\n"
    waiting += f"await_network_policy(os.environ, seconds={PATIENCE_S})\n"
    spec = pod_like_an_attempt(release)
    spec["containers"][0]["command"] = ["python", "-c", waiting + ASKING, json.dumps(addresses)]
    name = f"asking-{secrets.token_hex(3)}"
    metadata = {"name": name, "namespace": release.runs, "labels": labels}
    release.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    release.cluster.wait_for(
        *("pod", name, f"--namespace={release.runs}"),
        until=lambda pod: pod["status"].get("phase") in ("Succeeded", "Failed"),
        what=f"the end of {name}",
    )
    said = release.kubectl("logs", name, namespace=release.runs)
    release.kubectl("delete", "pod", name, "--wait=false", namespace=release.runs)
    return set(json.loads(said))
