"""Checks for `helm test` that a node has the accelerators that an attempt asks for.

It runs in the controller's image, with an account that exists for this test only and may list nodes. The chart hands
the file to `python -c` with one JSON argument, so it uses the standard library only.
"""

import json
import ssl
import sys
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def list_nodes(address: str) -> list[dict[str, Any]]:
    """List all nodes of the cluster."""
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    request = urllib.request.Request(f"https://{address}/api/v1/nodes", headers=headers)
    with urllib.request.urlopen(request, context=context, timeout=10) as reply:
        found: list[dict[str, Any]] = json.load(reply)["items"]
    return found


def verdict(found: list[dict[str, Any]], *, resource: str, wanted: int, selector: dict[str, str]) -> tuple[bool, str]:
    """Return True if a node that attempts may use has enough accelerators for one of them, and a sentence."""
    fitting = [node for node in found if selector.items() <= node["metadata"].get("labels", {}).items()]
    amounts = [int(node["status"].get("allocatable", {}).get(resource, 0)) for node in fitting]
    where = f"{len(fitting)} of {len(found)} nodes" + (f" that have {selector}" if selector else "")
    if max(amounts, default=0) >= wanted:
        return True, f"{sum(amounts)} {resource} allocatable on {where}"
    return False, (
        f"no node has {wanted} {resource} allocatable; looked at {where}. Is the device plugin installed? Training "
        "on CPUs is campaign.executor.kubernetes.gpus=0; where nodes come on demand, set tests.accelerators=false"
    )


def main() -> int:
    """Print one line; returns 1 if attempts would wait for ever."""
    asked = json.loads(sys.argv[1])
    holds, words = verdict(
        list_nodes(asked["api"]), resource=asked["resource"], wanted=asked["wanted"], selector=asked["selector"]
    )
    sys.stdout.write(f"{'ok  ' if holds else 'FAIL'} accelerators {words}\n")
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
