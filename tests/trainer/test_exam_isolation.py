"""One process that runs agent code can leave nothing for the next, by two lines of defence."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from exam.kit import system_calls

from tests.support.needs import need_bubblewrap, need_machine
from tests.trainer.small_task import TASK


@pytest.fixture
def filtered() -> None:
    """For tests of the filter of system calls."""
    need_machine(system_calls.ARCHITECTURES)


@pytest.fixture
def container() -> list[str]:
    """A sandbox whose first process is the test's program, with empty /tmp and /dev/shm of its own."""
    namespaces = ["--unshare-pid", "--unshare-ipc", "--as-pid-1"]
    places = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
    return [need_bubblewrap(without_tmp=True), *namespaces, *places]


def run(program: str, *inside: str) -> str:
    """Output of a program that has exam on its path, in a process of its own."""
    command = [*inside, sys.executable, "-c", textwrap.dedent(program)]
    environment = os.environ | {"PYTHONPATH": str(TASK), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.usefixtures("filtered")
def test_a_confined_process_makes_unix_sockets_and_no_others() -> None:
    program = """
        import socket
        from exam.kit.isolation import install_filter
        assert install_filter()
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


@pytest.mark.usefixtures("filtered")
@pytest.mark.parametrize("call", ["shmget(0, 4096, 0o1600)", "msgget(0, 0o1600)", "semget(0, 1, 0o1600)"])
def test_a_confined_process_makes_no_system_v_objects(call: str) -> None:
    program = f"""
        import ctypes, errno
        from exam.kit.isolation import install_filter
        assert install_filter()
        print(ctypes.CDLL(None, use_errno=True).{call}, errno.errorcode[ctypes.get_errno()])
    """
    assert run(program) == "-1 EPERM\n"


@pytest.mark.usefixtures("filtered")
def test_confinement_holds_for_threads_that_were_there_and_for_children() -> None:
    program = """
        import socket, subprocess, sys, threading
        from exam.kit.isolation import install_filter
        go, said = threading.Event(), []
        def try_it():
            go.wait()
            try:
                socket.socket()
            except PermissionError:
                said.append("thread refused")
        thread = threading.Thread(target=try_it)
        thread.start()
        assert install_filter()
        go.set()
        thread.join()
        child = subprocess.run([sys.executable, "-c", "import socket; socket.socket()"], capture_output=True, text=True)
        print(*said, "PermissionError" in child.stderr)
    """
    assert run(program) == "thread refused True\n"


@pytest.mark.usefixtures("filtered")
def test_torch_works_in_a_confined_process() -> None:
    program = """
        from exam.kit.isolation import install_filter
        assert install_filter()
        import torch
        print((torch.ones(300, 300) @ torch.ones(300, 300)).sum().item())
    """
    assert run(program) == "27000000.0\n"


@pytest.mark.usefixtures("filtered")
def test_data_loaders_and_processes_that_train_together_work_under_the_filter_of_training(tmp_path: Path) -> None:
    """Loaders with workers share memory through /dev/shm, and gloo makes TCP connections over loopback."""
    program = tmp_path / "train.py"
    program.write_text(textwrap.dedent(TOGETHER))
    environment = os.environ | {"PYTHONPATH": str(TASK), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.splitlines()) == ["loaded 4950.0", "rank 0 sum 3.0", "rank 1 sum 3.0"]


TOGETHER = """
    import os, tempfile
    import torch
    from exam.kit.isolation import install_filter

    def work(rank, place):
        import torch.distributed as together
        store = together.TCPStore("127.0.0.1", place, is_master=False)
        together.init_process_group("gloo", store=store, rank=rank, world_size=2)
        mine = torch.ones(1) * (rank + 1)
        together.all_reduce(mine)
        print(f"rank {rank} sum {mine.item()}", flush=True)
        together.destroy_process_group()

    if __name__ == "__main__":
        assert install_filter("training")
        data = torch.utils.data.TensorDataset(torch.arange(100.0))
        loader = torch.utils.data.DataLoader(data, batch_size=10, num_workers=2)
        print("loaded", sum(batch[0].sum().item() for batch in loader), flush=True)
        met_at = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        torch.multiprocessing.start_processes(work, (met_at.port,), nprocs=2, start_method="fork")
"""


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
    from exam.kit.isolation import empty_shared_places
    empty_shared_places()
    print(os.listdir("/tmp"), os.listdir("/dev/shm"))
    print([len(Path("/proc/sysvipc", table).read_text().splitlines()) - 1 for table in ("shm", "msg", "sem")])
    print(os.path.exists("/etc/passwd"))
"""


def test_the_first_process_of_a_container_scrubs_what_was_left(container: list[str]) -> None:
    assert run(textwrap.dedent(LEFTOVERS) + textwrap.dedent(LEFT), *container) == "[] []\n[0, 0, 0]\nTrue\n"


def test_what_cannot_be_removed_stops_the_candidate(container: list[str]) -> None:
    program = """
        from exam.kit.errors import DataError
        from exam.kit.isolation import empty_shared_places
        try:
            empty_shared_places()
        except DataError as error:
            print(error)
    """
    busy = [*container, "--tmpfs", "/tmp/mounted"]
    assert "cannot be emptied" in run(program, *busy)


def test_a_checkout_below_the_temporary_folder_is_left_and_what_lies_beside_it_is_not(container: list[str]) -> None:
    program = """
        import os
        from pathlib import Path
        from exam.kit.isolation import empty_shared_places
        Path("/tmp/checkout/note").write_text("memory")
        empty_shared_places()
        print(os.listdir("/tmp"), os.listdir("/tmp/checkout"), os.stat("/tmp/checkout").st_mtime)
        print(Path("/tmp/checkout/environment/passwd").exists(), Path("/tmp/checkout/file").exists())
    """
    mounts = ["--ro-bind", "/etc", "/tmp/checkout/environment", "--ro-bind", "/etc/hosts", "/tmp/checkout/file"]

    printed = run(program, *container, *mounts).splitlines()

    assert printed[0].endswith("0.0")
    assert "note" not in printed[0]
    assert printed[1] == "True True"


def test_outside_a_container_nothing_is_scrubbed() -> None:
    program = """
        import tempfile
        from pathlib import Path
        from exam.kit.isolation import empty_shared_places
        with tempfile.NamedTemporaryFile(dir="/tmp") as file:
            empty_shared_places()
            print(Path(file.name).exists())
    """
    assert run(program) == "True\n"
