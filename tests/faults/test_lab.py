"""The lab among other processes, dead ones too, on a full disk, and beside a user's own settings of git."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

from controller.errors import LabError, LabInUse
from controller.lab.writer import LabWriter
from tests.support.labs import FILES, admit
from tests.support.needs import need_mounts
from tests.support.waiting import PATIENCE_S


def test_second_writer_is_told_who_holds_the_lab(tmp_path: Path) -> None:
    lab = LabWriter.open(tmp_path / "lab.git", create=True)
    script = (
        "import sys; from pathlib import Path; from controller.lab.writer import LabWriter\n"
        "with LabWriter.open(Path(sys.argv[1])).lock(now=0): pass"
    )
    with lab.lock(now=0.0):
        command = [sys.executable, "-c", script, str(lab.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert f"is in use by pid {os.getpid()} (since" in done.stderr


def test_lock_of_a_dead_process_is_no_lock(tmp_path: Path) -> None:
    lab = LabWriter.open(tmp_path / "lab.git", create=True)
    script = (
        "import os, sys; from pathlib import Path; from controller.lab.writer import LabWriter\n"
        "with LabWriter.open(Path(sys.argv[1])).lock(now=0): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(lab.path)], check=False)

    with lab.lock(now=1.0), pytest.raises(LabInUse), LabWriter.open(lab.path).lock(now=2.0):
        pass


def test_successor_waits_for_a_holder_that_is_about_to_end(tmp_path: Path) -> None:
    lab = LabWriter.open(tmp_path / "lab.git", create=True)
    script = (
        "import sys; from pathlib import Path; from controller.lab.writer import LabWriter\n"
        "with LabWriter.open(Path(sys.argv[1])).lock(now=0): print(flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(lab.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin
    assert holder.stdout
    holder.stdout.readline()
    Timer(0.5, holder.stdin.close).start()

    with lab.lock(now=1.0, patience=PATIENCE_S):
        assert holder.wait(timeout=PATIENCE_S) == 0
    holder.stdout.close()


def test_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    need_mounts()
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    try:
        lab = LabWriter.open(disk / "lab.git", create=True)
        lab.begin("t", FILES, fingerprint="f", settings="", at=1e9)
        (disk / "filler").write_bytes(os.urandom(2**20 - 4096 * (sum(1 for _ in disk.rglob("*")) + 8)))
        with pytest.raises(LabError, match="nothing recorded before is lost"):
            for number in range(1, 50):
                admit(lab, number, text=f"A = {number}\n")
        (disk / "filler").unlink()
        with lab.lock(now=0.0):
            lab.repair("t")
        assert [e.number for e in lab.experiments("t")][:1] == [0]
        admit(lab, 50, text="A = 50\n")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_user_settings_of_git_are_not_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[this is not git\n")
    script = (
        "import sys; from pathlib import Path; from controller.lab.writer import LabWriter\n"
        "LabWriter.open(Path(sys.argv[1]), create=True)"
    )
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "lab.git")], env=environment, capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr
