"""Check from the place of an attempt that code there can reach nothing and cannot take the node down.

`helm test` runs this in the trainer image, in the runner's namespace, with the limits of an attempt. The chart hands
the file to `python -c` with one JSON argument, so it uses the standard library only. A connection that is refused or
gets no answer is good; one that is established is a leak. Some network plug-ins let connections through in a pod's
first moment only. That is a leak for a task that starts at once, and harmless for one whose supervisor waits until
the network policy is in force.
"""

import importlib.util
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

CONNECT_SECONDS = 3.0
"""Time for one connection or answer, in seconds."""

NETWORK_POLICY_SECONDS = 5.0
"""Longest time that a supervisor waits for the network policy, in seconds (exam/kit/network_policy.py)."""

QUOTED_LINES = 8
"""Lines of a failing command's output that are quoted."""

QUERY = bytes.fromhex("a5a501000001000000000000") + b"\x07example\x03com\x00\x00\x01\x00\x01"
"""A DNS question for example.com."""


def reaches(host: str, port: int) -> bool:
    """True if a TCP connection is established."""
    try:
        with socket.create_connection((host, port), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False


def resolves(host: str, port: int) -> bool:
    """True if a resolver answers anything: a name that is asked for can carry a message out of the cluster."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(CONNECT_SECONDS)
        try:
            asking.sendto(QUERY, (host, port))
            return asking.recv(512)[:2] == QUERY[:2]
        except OSError:
            return False


def network(asked: dict[str, Any]) -> tuple[bool, str]:
    """Check that nothing answers: API server, kubelet, cloud metadata, resolvers, the internet."""
    trying = {f"{name} ({address})": partial(reaches, *split(address)) for name, address in asked["addresses"]}
    trying |= {f"the resolver ({host}:53)": partial(resolves, host, 53) for host in asked["resolvers"]}
    until = time.monotonic() + (NETWORK_POLICY_SECONDS if waits(asked["examiner"]) else 0)
    first = reached = open_among(trying, list(trying))
    while reached and time.monotonic() < until:
        reached = open_among(trying, reached)
    if reached:
        return False, (
            f"this pod reached {', '.join(reached)}: the cluster's network does not enforce NetworkPolicy, or not from "
            "a pod's first seconds on. Attempts run code that nobody has read: install a network plug-in that enforces "
            "it (Calico, Cilium, Antrea, kube-router; docs/install.md) before you run a campaign here"
        )
    late = " once the pod's policies have arrived, for which attempts wait" if first else ""
    return True, f"none of {len(trying)} addresses can be reached{late}"


def split(address: str) -> tuple[str, int]:
    """Split `host:port`; an IPv6 address is in brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def open_among(trying: Mapping[str, Callable[[], bool]], names: list[str]) -> list[str]:
    """Try these addresses all at once; returns the names of those that answer."""
    with ThreadPoolExecutor(max_workers=32) as pool:
        asking = {name: pool.submit(trying[name]) for name in names}
    return [name for name, answer in asking.items() if answer.result()]


def waits(examiner: str) -> bool:
    """True if the supervisor of this image waits for the network policy before it starts a training."""
    package = "exam" if examiner.endswith(".py") else examiner
    if not package or not importlib.util.find_spec(package):
        return False
    places = [f"{package}.network_policy"]  # of a package that a task brings itself
    places += [f"{package}.kit.network_policy"] if importlib.util.find_spec(f"{package}.kit") else []
    return any(importlib.util.find_spec(place) for place in places)


def processes(limit: int) -> tuple[bool, str]:
    """Check that fewer than `limit` processes can be started; the kernel counts threads as well.

    Only the kubelet sets this limit: a pod's specification has no field for it.
    """
    usual = threading.stack_size(65536)
    done = threading.Event()
    started: list[threading.Thread] = []
    try:
        while len(started) < limit:
            one = threading.Thread(target=done.wait, daemon=True)
            one.start()
            started.append(one)
        return False, (
            f"{limit} processes were started and more could be: a fork bomb would take the node down. Set "
            "podPidsLimit in the kubelet's configuration of these nodes, or tests.processes=0 to accept it"
        )
    except RuntimeError:
        return True, f"refused after {len(started)} processes"
    finally:
        done.set()
        for one in started:
            one.join()
        # The small stack was for this count only: later threads need a usual one.
        threading.stack_size(usual)


def command(*argv: str) -> tuple[bool, str]:
    """Run a Python command of the task in its folder; returns its last line, or its last lines if it fails."""
    ended = subprocess.run([sys.executable, *argv], capture_output=True, text=True, check=False)
    words = [line.strip() for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
    if not words:
        return ended.returncode == 0, f"exit {ended.returncode}"
    return ended.returncode == 0, words[-1] if ended.returncode == 0 else "; ".join(words[-QUOTED_LINES:])


def checks(asked: dict[str, Any]) -> Iterator[tuple[str, bool, str]]:
    """Yield for each check: its name, True if it passes, and a sentence."""
    yield "network", *network(asked)
    if asked["processes"]:
        yield "processes", *processes(asked["processes"])
    if asked["data"]:
        if Path("prepare.py").is_file():
            yield "data", *command("prepare.py", "--data", asked["data"], "--check")
        else:
            yield "data", Path(asked["data"]).is_dir(), f"the task has no prepare.py; looked for {asked['data']}"
    if asked["exam"]:
        # An examiner.py is tried by `autoresearch doctor --exam`; here the package below it shows that it runs.
        package = "exam" if asked["examiner"].endswith(".py") else asked["examiner"]
        yield "exam", *command("-m", f"{package}.selftest")


def main() -> int:
    """Print one line for each check; returns 1 if one fails."""
    failed = False
    for name, holds, words in checks(json.loads(sys.argv[1])):
        sys.stdout.write(f"{'ok  ' if holds else 'FAIL'} {name:<10} {words}\n")
        sys.stdout.flush()
        failed = failed or not holds
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
