"""A training cannot become a researcher: it can neither read the token of the clients nor reach their address."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from controller.agent.mcp.address import NAME
from controller.domain import BASELINE
from controller.errors import LabError
from controller.lab import Lab
from tests.support.http import free_port
from tests.support.needs import need_bubblewrap
from tests.support.waiting import wait_until

ATTACKS = """\
import os, pathlib, socket
WIDTH = 4
if __name__ == "__main__":
    found = []
    for folder, _, files in os.walk("/", onerror=lambda _: None):
        if folder.startswith(("/proc", "/sys")):
            continue
        found += [os.path.join(folder, name) for name in files if name == "NAME"]
    print("token:", found or "hidden")
    for host, port in (("127.0.0.1", PORT), ("localhost", PORT)):
        try:
            socket.create_connection((host, port), timeout=60).close()
            print("address:", "reached")
        except OSError:
            print("address:", "closed")
    print("---")
    print("val_bpb: 1.5")
"""


def test_training_in_a_sandbox_finds_neither_token_nor_address(tmp_path: Path) -> None:
    need_bubblewrap()
    task, folder, port = tmp_path / "task", tmp_path / "campaign", free_port()
    task.mkdir()
    (task / "train.py").write_text(ATTACKS.replace("NAME", NAME).replace("PORT", str(port)))
    options = {
        "tag": "c",
        "task.folder": task,
        "task.score": "log",
        "task.metric": "val_bpb",
        "budget.experiments": 5,
        "budget.train_seconds": 120,
        "agent.kind": "mcp",
        "agent.mcp.port": port,
        "agent.mcp.fallback": "none",
    }
    words = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    process = subprocess.Popen(
        [sys.executable, "-m", "controller.cli", "run", str(folder), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def read_log() -> str:
        assert process.poll() is None, process.communicate()
        try:
            logs = Lab.open(folder / "lab.git").logs("c", BASELINE)
        except LabError:
            return ""
        return logs[0].text if logs else ""

    try:
        log = wait_until(read_log, what="the log of a training")
        # From outside of a sandbox both are there.
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
        assert (folder / NAME).exists()
    finally:
        process.kill()
        process.communicate()

    assert "token: hidden" in log
    assert log.count("address: closed") == 2
