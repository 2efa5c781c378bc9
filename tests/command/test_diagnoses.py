"""A refusal of the machine becomes one sentence of the command, with its cause and a remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from controller.lab.writer import LabWriter


def test_kernel_setting_that_forbids_namespaces_is_named_by_the_command(tmp_path: Path) -> None:
    """The real kernel refuses: in a user namespace of our own its limit can be set to 0 without harm to anybody."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, of util-linux, to forbid namespaces to one process")
    (tmp_path / "train.py").write_text("X = 1  # 1 to 2\nprint(X)\n")
    (tmp_path / "settings.yaml").write_text(f"tag: t\ntask: {{folder: {tmp_path}, score: log}}\n")
    run = f"{sys.executable} -m controller.cli run {tmp_path}/c --settings {tmp_path}/settings.yaml"
    forbid = "echo 0 > /proc/sys/user/max_user_namespaces"

    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", f"{forbid} || exit 77; {run}"],
        capture_output=True,
        text=True,
        check=False,
    )

    if done.returncode in (1, 77) and "unshare" in done.stderr:
        pytest.skip(f"needs user namespaces: {done.stderr}")
    assert done.returncode == 2, done.stderr
    said = done.stderr.strip().splitlines()[-1]
    assert "the kernel setting user.max_user_namespaces is 0; `sudo sysctl -w user.max_user_namespaces=15000`" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a lab to somebody else")
def test_lab_of_another_user_which_git_refuses_is_told(tmp_path: Path) -> None:
    LabWriter.open(tmp_path / "lab.git", create=True)
    (tmp_path / "campaign.yaml").write_text("tag: t\n")
    os.chown(tmp_path / "lab.git", 65533, -1)

    command = [sys.executable, "-m", "controller.cli", "status", "-C", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    [said] = done.stderr.splitlines()
    assert "lab.git belongs to user 65533, and this runs as root: run it as user 65533, or hand everything over" in said
    assert said.endswith(f"`sudo chown -R root {tmp_path}`; nothing recorded before is lost")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is denied to root")
def test_lab_that_may_not_be_entered_is_one_sentence(tmp_path: Path) -> None:
    LabWriter.open(tmp_path / "lab.git", create=True)
    (tmp_path / "campaign.yaml").write_text("tag: t\n")
    (tmp_path / "lab.git").chmod(0)

    command = [sys.executable, "-m", "controller.cli", "status", "-C", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (tmp_path / "lab.git").chmod(0o755)

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "there is no permission for" in done.stderr
