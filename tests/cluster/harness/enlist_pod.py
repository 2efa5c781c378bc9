"""A chained CNI plugin: enlists each new pod in its namespace's address set before the pod's containers start.

With a packet filter rule on the set this stands for a network that enforces policies: see enforcement.py. Where no
set of the namespace exists, nothing is enforced and the pod passes unchanged. It runs as a script, per pod.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any


def address_set(namespace: str) -> str:
    """The name of a namespace's ipset, within ipset's limit of 31 characters."""
    return "np-" + hashlib.sha256(namespace.encode()).hexdigest()[:20]


def namespace_of(arguments: str) -> str:
    """The pod's namespace out of CNI_ARGS, which reads like A=x;B=y."""
    pairs = dict(pair.partition("=")[::2] for pair in arguments.split(";"))
    return pairs.get("K8S_POD_NAMESPACE", "")


def addresses_of(result: dict[str, Any]) -> list[str]:
    """The pod's own addresses without their prefix lengths."""
    return [ip["address"].partition("/")[0] for ip in result.get("ips", [])]


def main() -> None:
    config = json.load(sys.stdin)
    command = os.environ["CNI_COMMAND"]
    if command == "VERSION":
        print(json.dumps({"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}))
        return
    previous = config.get("prevResult", {})
    verb = {"ADD": "add", "DEL": "del"}.get(command)
    for address in addresses_of(previous) if verb else []:
        members = ["ipset", "-exist", verb, address_set(namespace_of(os.environ.get("CNI_ARGS", ""))), address]
        # A missing set means that this namespace is not enforced.
        subprocess.run([part for part in members if part], capture_output=True)
    if command == "ADD":
        print(json.dumps(previous))


if __name__ == "__main__":
    main()
