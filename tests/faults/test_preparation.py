"""Things that are made once are listed, watched and made by one process; what is missing is told as it is."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CONFTEST = """
import pytest
from pathlib import Path
from tests.cluster.harness.preparation import Step
from tests.cluster.harness.errors import ClusterError
from tests.conftest import Preparing, pytest_addhooks, pytest_collection_finish, pytest_configure, pytest_runtest_setup

MADE = Path(__file__).with_name("made")

def make():
    with MADE.open("a") as file:
        file.write("once ")

def pytest_preparations(items):
    return [Step("a cake", 7, made=MADE.exists, make=make), Step("an old cake", 2, made=lambda: True, make=make)]
"""
TEST = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(8))
def test_is_made(number):
    assert Path(__file__).with_name("made").read_text() == "once "
"""


def run_tests(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """pytest in a folder of its own, with the preparations of this project's conftest.py."""
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "--rootdir", str(folder), *options]
    mine = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "AUTORESEARCH_"))}
    environment |= {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run(
        [*command, str(folder)], capture_output=True, text=True, check=False, env=mine | environment, cwd=folder
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_cake.py").write_text(TEST)
    return tmp_path


@pytest.mark.parametrize("workers", [[], ["--numprocesses", "3"]], ids=["alone", "workers"])
def test_what_is_missing_is_made_once_before_the_tests_and_told_at_the_terminal(
    folder: Path, workers: list[str]
) -> None:
    done = run_tests(folder, *workers)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout
    told = [line.partition("] ")[2] for line in done.stderr.splitlines() if line.startswith("[test cluster]")]
    assert told[0] == "made once, before the tests: a cake (7 min); in all about 7 min on two idle cores"
    assert told[1] == "1 of 1, a cake: begins; usually 7 min; 0 of 7 min are done"
    assert told[2].startswith("1 of 1, a cake: made in 0.")
    assert told[3].startswith("all is made, in 0.")
    assert len(told) == 4
    assert "[test cluster]" not in run_tests(folder, *workers).stderr, "all is there"


@pytest.mark.parametrize("workers", [[], ["--numprocesses", "3"]], ids=["alone", "workers"])
@pytest.mark.parametrize("required", ["0", "1"])
def test_what_cannot_be_made_is_tried_once_and_told_by_each_test_that_needs_it(
    folder: Path, workers: list[str], required: str
) -> None:
    broken = CONFTEST.replace('with MADE.open("a")', 'raise ClusterError("no flour here")\n    with MADE.open("a")')
    (folder / "conftest.py").write_text(broken)

    done = run_tests(folder, *workers, AUTORESEARCH_REQUIRE_CLUSTER=required)

    assert ("8 skipped" if required == "0" else "8 errors") in done.stdout, done.stdout + done.stderr
    assert "a cake could not be made: no flour here" in done.stdout
    assert done.stderr.count("a cake: could not be made, its tests will not run: no flour here") == 1


NEEDS = """
import pytest
from tests.support import needs

def test_sandbox():
    needs.need_bubblewrap()

def test_sandbox_without_tmp(monkeypatch):
    monkeypatch.setattr(needs, "CHECKOUT", needs.Path("/tmp/checkout"))
    needs.need_bubblewrap(without_tmp=True)
"""


def test_bubblewrap_of_the_python_package_is_enough_for_every_test_that_needs_one(tmp_path: Path) -> None:
    (tmp_path / "test_needs.py").write_text(NEEDS)

    done = run_tests(tmp_path, PATH=str(tmp_path))

    assert "1 passed, 1 skipped" in done.stdout, done.stdout
    assert "/tmp/checkout lies below /tmp, which the sandbox of this test hides: move it" in done.stdout


def test_what_is_required_fails_instead_of_being_skipped(tmp_path: Path) -> None:
    (tmp_path / "test_needs.py").write_text(NEEDS)

    done = run_tests(tmp_path, AUTORESEARCH_REQUIRE_SANDBOX="1")

    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "AUTORESEARCH_REQUIRE_SANDBOX=1: it must run here" in done.stdout


def test_who_needs_nothing_more_does_not_wait_for_another_run_that_prepares(folder: Path) -> None:
    (folder / "made").write_text("once ")
    lock = folder / "cache" / "autoresearch-tests" / "preparing.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        ran = run_tests(folder)

    assert "8 passed" in ran.stdout
    assert "waits" not in ran.stdout + ran.stderr
