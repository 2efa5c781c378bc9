"""What one process that runs agent code can leave for the next: nothing, by two lines of defence."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import textwrap

import pytest
from exam import isolation

from tests.trainer.conftest import TASK

ON_KNOWN_MACHINE = pytest.mark.skipif(platform.machine() not in isolation.ARCHITECTURES, reason="no filter known")


def run(program: str, *inside: str) -> str:
    """Output of a program that has exam on its path, in a process of its own."""
    command = [*inside, sys.executable, "-c", textwrap.dedent(program)]
    environment = os.environ | {"PYTHONPATH": str(TASK), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@ON_KNOWN_MACHINE
def test_a_confined_process_makes_unix_sockets_and_no_others() -> None:
    program = """
        import socket
        from exam.isolation import confine
        assert confine()
        for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
            try:
                socket.socket(family, socket.SOCK_DGRAM).close()
                print(family.name, "made")
            except PermissionError:
                print(family.name, "refused")
        socket.socketpair()
    """
    assert run(program).split("\n")[:4] == [
        "AF_UNIX made",
        "AF_INET refused",
        "AF_INET6 refused",
        "AF_NETLINK refused",
    ]


@ON_KNOWN_MACHINE
@pytest.mark.parametrize("call", ["shmget(0, 4096, 0o1600)", "msgget(0, 0o1600)", "semget(0, 1, 0o1600)"])
def test_a_confined_process_makes_no_system_v_objects(call: str) -> None:
    program = f"""
        import ctypes, errno
        from exam.isolation import confine
        assert confine()
        print(ctypes.CDLL(None, use_errno=True).{call}, errno.errorcode[ctypes.get_errno()])
    """
    assert run(program) == "-1 EPERM\n"


@ON_KNOWN_MACHINE
def test_confinement_holds_for_threads_that_were_there_and_for_children() -> None:
    program = """
        import socket, subprocess, sys, threading
        from exam.isolation import confine
        go, said = threading.Event(), []
        def try_it():
            go.wait()
            try:
                socket.socket()
            except PermissionError:
                said.append("thread refused")
        thread = threading.Thread(target=try_it)
        thread.start()
        assert confine()
        go.set()
        thread.join()
        child = subprocess.run([sys.executable, "-c", "import socket; socket.socket()"], capture_output=True, text=True)
        print(*said, "PermissionError" in child.stderr)
    """
    assert run(program) == "thread refused True\n"


@ON_KNOWN_MACHINE
def test_torch_works_in_a_confined_process() -> None:
    program = """
        from exam.isolation import confine
        assert confine()
        import torch
        print((torch.ones(300, 300) @ torch.ones(300, 300)).sum().item())
    """
    assert run(program) == "27000000.0\n"


CONTAINER = [
    "bwrap", "--unshare-pid", "--unshare-ipc", "--as-pid-1", "--ro-bind", "/", "/", "--dev", "/dev",
    "--proc", "/proc", "--tmpfs", "/tmp",
]  # fmt: skip


def can_contain() -> bool:
    return (
        shutil.which("bwrap") is not None
        and subprocess.run([*CONTAINER, sys.executable, "-c", ""], capture_output=True, check=False).returncode == 0
    )


IN_CONTAINER = pytest.mark.skipif(
    not can_contain(), reason="needs bubblewrap with namespaces, and a checkout outside of /tmp"
)

LEFTOVERS = """
    import ctypes, os
    from pathlib import Path
    libc = ctypes.CDLL(None)
    assert min(libc.shmget(7, 4096, 0o1600), libc.msgget(7, 0o1600), libc.semget(7, 1, 0o1600)) >= 0
    os.makedirs("/tmp/a/b/c")
    Path("/tmp/a/b/c/file").write_text("memory")
    os.chmod("/tmp/a/b", 0)
    os.symlink("/etc", "/tmp/link")
    os.mkfifo("/dev/shm/fifo")
    Path("/dev/shm/file").write_text("memory")
"""
LEFT = """
    from exam.isolation import scrub
    scrub()
    print(os.listdir("/tmp"), os.listdir("/dev/shm"))
    print([len(Path("/proc/sysvipc", table).read_text().splitlines()) - 1 for table in ("shm", "msg", "sem")])
    print(os.path.exists("/etc/passwd"))
"""


@IN_CONTAINER
def test_the_first_process_of_a_container_scrubs_what_was_left() -> None:
    assert run(textwrap.dedent(LEFTOVERS) + textwrap.dedent(LEFT), *CONTAINER) == "[] []\n[0, 0, 0]\nTrue\n"


@IN_CONTAINER
def test_what_cannot_be_removed_stops_the_candidate() -> None:
    program = """
        from exam.errors import DataError
        from exam.isolation import scrub
        try:
            scrub()
        except DataError as error:
            print(error)
    """
    busy = [*CONTAINER, "--tmpfs", "/tmp/mounted"]
    assert "cannot be emptied" in run(program, *busy)


@IN_CONTAINER
def test_a_checkout_below_the_temporary_folder_is_left_and_what_lies_beside_it_is_not() -> None:
    program = """
        import os
        from pathlib import Path
        from exam.isolation import scrub
        Path("/tmp/checkout/note").write_text("memory")
        scrub()
        print(os.listdir("/tmp"), os.listdir("/tmp/checkout"), os.stat("/tmp/checkout").st_mtime)
        print(Path("/tmp/checkout/environment/passwd").exists(), Path("/tmp/checkout/file").exists())
    """
    mounts = ["--ro-bind", "/etc", "/tmp/checkout/environment", "--ro-bind", "/etc/hosts", "/tmp/checkout/file"]

    printed = run(program, *CONTAINER, *mounts).splitlines()

    assert printed[0].endswith("0.0")
    assert "note" not in printed[0]
    assert printed[1] == "True True"


def test_outside_a_container_nothing_is_scrubbed() -> None:
    program = """
        import tempfile
        from pathlib import Path
        from exam.isolation import scrub
        with tempfile.NamedTemporaryFile(dir="/tmp") as file:
            scrub()
            print(Path(file.name).exists())
    """
    assert run(program) == "True\n"
