"""The pretended machine of one cluster: namespaces with a process 1 (init.py), and commands run within them."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE_S, wait_until

from .errors import ClusterError
from .layout import Layout
from .processes import Process

# What the kubelet would set for the whole machine.
KUBELET_SYSCTLS = (
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/kernel/keys/root_maxkeys",
    "/proc/sys/kernel/keys/root_maxbytes",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A running init.py. process: it, seen from outside; control: its socket; logs: where components write.

    lifeline: the child whose standard input the cluster lives by; None for a cluster that another process started.
    """

    process: Process
    control: Path
    logs: Path
    lifeline: subprocess.Popen[bytes] | None = None

    @classmethod
    def boot(cls, layout: Layout, *, keep: bool) -> Machine:
        """Make the namespaces and their process 1, and plug in the network cable. keep: outlive the caller."""
        plan = _mount_plan(layout, keep=keep)
        lifeline = _start_init(plan, layout.logs / "init.log", keep=keep)
        wait_until(layout.control_socket.exists, what=f"process 1 of {layout.name}: see {layout.logs}")
        machine = replace(cls.find(layout), lifeline=lifeline)
        machine._plug_in(layout)
        return machine

    @classmethod
    def find(cls, layout: Layout) -> Machine:
        """The machine that listens in this layout. Raises ClusterError if none does."""
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(layout.control_socket))
                # The kernel translates the peer's process id out of its own process namespace into ours.
                credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
                connection.sendall(b'{"do": "status"}\n')
                connection.makefile().readline()
            except OSError as error:
                raise ClusterError(f"no cluster runs in {layout.root}: {error}") from error
        process = Process.of(struct.unpack("3i", credentials)[0])
        if process is None:
            raise ClusterError(f"the cluster in {layout.root} has just ended")
        return cls(process=process, control=layout.control_socket, logs=layout.logs)

    def start(self, name: str, argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        """Start a component under a name. Raises ClusterError when it runs already or cannot be executed."""
        log = str(self.logs / f"{name}.log")
        self._ask(do="start", name=name, argv=list(argv), log=log, environment=dict(environment or {}))

    def kill(self, name: str, *, number: int = signal.SIGKILL, seconds: float = PATIENCE_S) -> None:
        """Send a component a signal and wait until it has ended."""
        self._ask(do="signal", name=name, signal=int(number))
        wait_until(lambda: not self.runs(name), what=f"the end of {name}", seconds=seconds, interval=0.02)

    def runs(self, name: str) -> bool:
        """True if the component was started and has not ended."""
        component = self._ask(do="status").get(name)
        return component is not None and component["returncode"] is None

    def ended(self) -> dict[str, int]:
        """The components that ended, and their exit codes (negative: the signal)."""
        status = self._ask(do="status")
        return {name: c["returncode"] for name, c in status.items() if c["returncode"] is not None}

    def run(self, *argv: str, stdin: str | None = None, check: bool = True) -> str:
        """Run a command inside and return its output. Raises ClusterError with its errors when it fails."""
        done = subprocess.run(
            ["nsenter", f"--target={self.process.pid}", "--mount", "--net", "--pid", "--", *argv],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
        )
        if check and done.returncode != 0:
            raise ClusterError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def end(self) -> None:
        """End every process inside at once; mounts, links and rules go with the last of them."""
        self.process.kill()
        if self.lifeline is not None:
            self.lifeline.communicate(timeout=PATIENCE_S)

    def _ask(self, **request: Any) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_S)
            try:
                connection.connect(str(self.control))
                connection.sendall(json.dumps(request).encode() + b"\n")
                reply = json.loads(connection.makefile().readline())
            except (OSError, ValueError) as error:
                raise ClusterError(f"{self.control}: the cluster's process 1 does not answer: {error}") from error
        if "error" in reply:
            raise ClusterError(f"{request['do']} {request.get('name', '')}: {reply['error']}")
        return reply["ok"]

    def _plug_in(self, layout: Layout) -> None:
        outside, inside = layout.host_link, "eth0"
        peer = ["peer", "name", inside, "netns", str(self.process.pid)]
        _run("ip", "link", "add", outside, "type", "veth", *peer)
        _run("ip", "address", "add", f"{layout.host_address}/24", "dev", outside)
        _run("ip", "link", "set", outside, "up")
        for destination in (layout.pod_range, layout.service_range):
            _run("ip", "route", "replace", destination, "via", layout.node_address)
        batch = [
            "link set lo up",
            f"address add {layout.node_address}/24 dev {inside}",
            f"link set {inside} up",
            f"route add default via {layout.host_address}",
        ]
        self.run("ip", "-batch", "-", stdin="\n".join(batch) + "\n")
        self.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")


def _mount_plan(layout: Layout, *, keep: bool) -> dict[str, Any]:
    shadows = layout.root / "sysctl"
    binds = {"kubelet": "/var/lib/kubelet", "pod-logs": "/var/log/pods"}
    for folder in (shadows, layout.logs, layout.store, *(layout.root / name for name in binds)):
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "control": str(layout.control_socket),
        "keep": keep,
        "tmpfs": ["/run", "/var/lib/cni", "/var/log/containers", str(layout.root / "etcd")],
        "binds": {
            **{str(layout.root / name): target for name, target in binds.items()},
            str(layout.store): "/var/lib/containerd",
        },
        "shadow_folder": str(shadows),
        "shadows": [path for path in KUBELET_SYSCTLS if Path(path).exists()],
    }


def _start_init(plan: dict[str, Any], log: Path, *, keep: bool) -> subprocess.Popen[bytes]:
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "slave"]
    init = [sys.executable, "-I", "-S", str(Path(__file__).with_name("init.py")), json.dumps(plan)]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*unshare, *init],
            stdin=subprocess.DEVNULL if keep else subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={"PATH": os.environ["PATH"], "HOME": "/root"},
        )


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
