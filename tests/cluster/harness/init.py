"""Process 1 of a cluster's own mount, process and network namespaces: starts its components, reaps, and ends them all.

When this process ends, for whatever reason, the kernel ends every process of the cluster, containers included, and
drops its mounts, its links and its packet filter rules. So nothing outlives a cluster, even if its maker was killed.
It runs as a script without the project's packages, reads one JSON object of mounts from its argument, and answers
one JSON request per connection on a Unix socket. It knows nothing about Kubernetes.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

Table = dict[str, dict[str, Any]]


def mount_all(plan: dict[str, Any]) -> None:
    """Give the cluster a mount table of its own: later changes stay in here, changes outside still arrive."""
    _mount("--make-rslave", "/")
    _mount("--make-rshared", "/")
    _mount("-t", "proc", "proc", "/proc")
    for target in plan["tmpfs"]:
        Path(target).mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", target)
    for source, target in plan["binds"].items():
        Path(target).mkdir(parents=True, exist_ok=True)
        _mount("--bind", source, target)
    for number, path in enumerate(plan["shadows"]):
        # The kubelet sets these for its machine; a private copy of each keeps the real ones as they are.
        shadow = Path(plan["shadow_folder"]) / str(number)
        shadow.write_text(Path(path).read_text())
        _mount("--bind", str(shadow), path)


def serve(control: socket.socket, *, keep: bool) -> None:
    """Answer requests until told to stop or, unless `keep`, until standard input closes: then the maker is gone."""
    table: Table = {}
    signals, wakeup = socket.socketpair()
    for end in (signals, wakeup):
        end.setblocking(False)
    signal.set_wakeup_fd(wakeup.fileno())
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(signals, selectors.EVENT_READ)
    if not keep:
        selector.register(sys.stdin.buffer, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is signals:
                signals.recv(4096)
                reap(table)
            elif key.fileobj is control:
                answer(control, table)
            else:
                return


def reap(table: Table) -> None:
    """Collect every ended child, those handed over by other processes too, and note how the components ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        for component in table.values():
            if component["pid"] == pid:
                component["returncode"] = os.waitstatus_to_exitcode(status)


def answer(control: socket.socket, table: Table) -> None:
    """Read one request, carry it out, reply."""
    connection, _ = control.accept()
    with connection:
        connection.settimeout(60)
        try:
            request = json.loads(connection.makefile().readline())
            reply = {"ok": carry_out(request, table)}
        except (OSError, ValueError, KeyError) as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        connection.sendall(json.dumps(reply).encode() + b"\n")


def carry_out(request: dict[str, Any], table: Table) -> Any:
    """`start` a named command, send a `signal` to it, or tell the `status` of all."""
    match request["do"]:
        case "start":
            return start(request, table)
        case "signal":
            component = table[request["name"]]
            if component["returncode"] is None:
                os.kill(component["pid"], request["signal"])
            return True
        case "status":
            return table
    raise KeyError(request["do"])


def start(request: dict[str, Any], table: Table) -> int:
    """Start a command in a session of its own, its output appended to its log."""
    running = table.get(request["name"])
    if running and running["returncode"] is None:
        raise ValueError(f"{request['name']} runs already as process {running['pid']}")
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    argv: list[str] = request["argv"]
    pid = os.posix_spawnp(
        argv[0],
        argv,
        {**os.environ, **request["environment"]},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, request["log"], append, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=[signal.SIGPIPE],  # Python ignores it, and ignoring is inherited
    )
    table[request["name"]] = {"pid": pid, "returncode": None}
    return pid


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def main() -> None:
    plan = json.loads(sys.argv[1])
    mount_all(plan)
    control = socket.socket(socket.AF_UNIX)
    # Nobody finds it by its name before it listens.
    control.bind(f"{plan['control']}.new")
    control.listen(16)
    os.rename(f"{plan['control']}.new", plan["control"])
    serve(control, keep=plan["keep"])


if __name__ == "__main__":
    main()
