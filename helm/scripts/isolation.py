"""What `helm test` asks in the place of an attempt: can code here reach anything, or take the node down?

Runs in the trainer image, in the runner's namespace, under the same walls as an attempt; standard library
only. The chart hands this file to `python -c` with one JSON argument. A connection that is refused or hangs
is what we want; one that is established is a leak. Where it can be established in a pod's first moment only,
it is one for tasks that begin at once, and none for those whose supervisor waits until the network is shut.
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

PATIENCE = 3.0
WALLS_SECONDS = 5.0
"""How long a supervisor that waits for the network to be shut does so (exam/walls.py)."""

SAID = 8
"""Lines that a failing command is quoted with."""

QUERY = bytes.fromhex("a5a501000001000000000000") + b"\x07example\x03com\x00\x00\x01\x00\x01"
"""A DNS question for example.com."""


def reaches(host: str, port: int) -> bool:
    """Whether a TCP connection can be made."""
    try:
        with socket.create_connection((host, port), timeout=PATIENCE):
            return True
    except OSError:
        return False


def resolves(host: str, port: int) -> bool:
    """Whether a resolver answers, whatever it says: names asked for carry messages out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(PATIENCE)
        try:
            asking.sendto(QUERY, (host, port))
            return asking.recv(512)[:2] == QUERY[:2]
        except OSError:
            return False


def network(asked: dict[str, Any]) -> tuple[bool, str]:
    """Nothing answers: API server, kubelet, cloud metadata, resolver, the world."""
    trying = {f"{name} ({address})": partial(reaches, *split(address)) for name, address in asked["addresses"]}
    trying |= {f"the resolver ({host}:53)": partial(resolves, host, 53) for host in asked["resolvers"]}
    until = time.monotonic() + (WALLS_SECONDS if waits(asked["examiner"]) else 0)
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
    """Host and port of `host:port`; the host of an IPv6 address stands in brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def open_among(trying: Mapping[str, Callable[[], bool]], names: list[str]) -> list[str]:
    """Which of them answer, all asked at once."""
    with ThreadPoolExecutor(max_workers=32) as pool:
        asking = {name: pool.submit(trying[name]) for name in names}
    return [name for name, answer in asking.items() if answer.result()]


def waits(examiner: str) -> bool:
    """Whether the supervisor of this image begins no training before the network is shut."""
    names = [examiner, f"{examiner}.walls"] if examiner else [""]
    return all(name and importlib.util.find_spec(name) for name in names)


def processes(limit: int) -> tuple[bool, str]:
    """More than `limit` processes are refused: no pod specification can ask for that, only the kubelet."""
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
        # Too small for what later threads of this process may call.
        threading.stack_size(usual)


def command(*argv: str) -> tuple[bool, str]:
    """A command of the task, in its folder; its last words are the answer, or all that matter where it fails."""
    ended = subprocess.run([sys.executable, *argv], capture_output=True, text=True, check=False)
    words = [line.strip() for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
    if not words:
        return ended.returncode == 0, f"exit {ended.returncode}"
    return ended.returncode == 0, words[-1] if ended.returncode == 0 else "; ".join(words[-SAID:])


def checks(asked: dict[str, Any]) -> Iterator[tuple[str, bool, str]]:
    """Name, whether it holds, and why not."""
    yield "network", *network(asked)
    if asked["processes"]:
        yield "processes", *processes(asked["processes"])
    if asked["data"]:
        if Path("prepare.py").is_file():
            yield "data", *command("prepare.py", "--data", asked["data"], "--check")
        else:
            yield "data", Path(asked["data"]).is_dir(), f"the task has no prepare.py; looked for {asked['data']}"
    if asked["exam"]:
        yield "exam", *command("-m", f"{asked['examiner']}.selftest")


def main() -> int:
    """Print one line for each check; 1 where one fails."""
    failed = False
    for name, holds, words in checks(json.loads(sys.argv[1])):
        sys.stdout.write(f"{'ok  ' if holds else 'FAIL'} {name:<10} {words}\n")
        sys.stdout.flush()
        failed = failed or not holds
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
