"""Code in training that tries to get out of its sandbox, or to outlive, starve or fool what surrounds it.

Each attack is a train.py that prints ESCAPED where it got through; the line that stops it is in
controller/executor/local/sandbox.py, limits.py, process.py or in the training's supervisor.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import textwrap
from pathlib import Path
from uuid import uuid4

import pytest

from controller.domain import Outcome, Result
from controller.executor.phase_output import TAIL_BYTES
from tests.support.local_task import (
    TaskFolders,
    cgroups_of,
    make_folders,
    make_request,
    processes_with,
    run_one,
    running,
)
from tests.support.waiting import PATIENCE_S, wait_until

PASS = """
with open(os.environ["AUTORESEARCH_ARTIFACT"] + "/score", "w") as file:
    file.write("1.5")
"""

DEADLINE = ("task.score=log", "deadlines.log_scored=1.5")


@pytest.fixture
def folders(tmp_path: Path) -> TaskFolders:
    return make_folders(tmp_path)


def attack(folders: TaskFolders, source: str, *overrides: str) -> tuple[Result, str]:
    """Run one attack to its end; returns the result and the training's whole log."""
    request = make_request("import os\n" + textwrap.dedent(source) + PASS)
    with running(folders, *overrides) as (executor, ends):
        executor.launch(request)
        result = ends.wait()
        left = processes_with(str(folders.work)), cgroups_of(folders)
    assert left == ([], [])
    return result, folders.logs(request)["train"]


def stays_inside(folders: TaskFolders, source: str) -> None:
    """The attack runs to its end, gets nothing, and the honest rest of the run is scored."""
    result, log = attack(folders, source)
    assert "TRIED" in log, log
    assert "ESCAPED" not in log, log
    assert result.outcome is Outcome.SCORED, result


def test_network_is_not_there(folders: TaskFolders) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stays_inside(
            folders,
            f"""
            import socket
            for address in ("127.0.0.1", {server.getsockname()[1]}), ("1.1.1.1", 53), ("169.254.169.254", 80):
                try:
                    socket.create_connection(address, timeout=2)
                    print("ESCAPED", address)
                except OSError:
                    print("TRIED", address)
            """,
        )


def test_abstract_unix_sockets_of_this_machine_are_not_there(folders: TaskFolders) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        name = f"\0autoresearch-redteam-{os.getpid()}"
        server.bind(name)
        server.listen()
        stays_inside(
            folders,
            f"""
            import socket
            print("TRIED")
            if socket.socket(socket.AF_UNIX).connect_ex({name!r}) == 0:
                print("ESCAPED")
            """,
        )


def test_no_file_of_this_machine_holds_a_secret(folders: TaskFolders) -> None:
    folders.write("../elsewhere/secret", "SECRET-elsewhere")
    other = make_request("import os" + PASS, experiment=9)
    run_one(folders, other)
    secrets = [
        *(folders.data / name / "content" for name in ("validation", "holdout", "probes/00/questions")),
        folders.data / "manifest.json",
        folders.task.parent / "elsewhere" / "secret",
        folders.work / str(other.id) / "logs" / "train.log",
        Path.home() / ".bashrc",
        Path("/etc/shadow"),
        Path("/proc/1/root/etc/shadow"),
        Path("/sys/fs/cgroup"),
        Path("/var"),
    ]
    stays_inside(
        folders,
        f"""
        print("TRIED")
        for path in {[str(path) for path in secrets]}:
            if os.path.exists(path):
                print("ESCAPED", path)
        system = "/proc", "/sys", "/usr", "/dev", {sys.prefix!r}, {sys.base_prefix!r}
        for folder, folders, names in os.walk("/"):
            if folder.startswith(system):
                folders.clear()
                continue
            for name in names:
                try:
                    text = open(os.path.join(folder, name), errors="replace").read(4096)
                except OSError:
                    continue
                if "SECRET" in text and not folder.startswith(("/task", "/data/train", "/data/tokenizer")):
                    print("ESCAPED", folder, name)
        """,
    )


def test_only_tmp_and_the_artifact_can_be_written(folders: TaskFolders) -> None:
    """A mount is read-only as a whole, so one refusal of the right kind at its root stands for all files below it."""
    stays_inside(
        folders,
        """
        import errno, stat
        writable = "/tmp", "/artifact", "/dev/shm"
        kernels = "/proc", "/sys", "/dev/"  # see the next test
        mounts = {line.split()[4] for line in open("/proc/self/mountinfo")}
        print("TRIED", sorted(mounts)) if {"/", "/dev", "/task", "/usr"} <= mounts else print("ESCAPED?", mounts)
        for mount in sorted(mounts):
            if (mount + "/").startswith(writable) or mount.startswith(kernels):
                continue
            path = mount + "/written" if os.path.isdir(mount) else mount
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK))
                print("ESCAPED", mount)
            except OSError as error:
                # A library that is hidden is a device node, which nobody may open on such a mount.
                hidden = error.errno == errno.EACCES and stat.S_ISCHR(os.stat(mount).st_mode)
                if error.errno != errno.EROFS and not hidden:
                    print("ESCAPED, or stopped by something else than the mount", mount, error)
        for path in "/task/train.py", "/task/exam/examine.py", "/task/prepare.py", "/data/train/content":
            for attempt in lambda: open(path, "a"), lambda: os.unlink(path), lambda: os.rename(path, path + "x"):
                try:
                    attempt()
                    print("ESCAPED", path)
                except OSError:
                    pass
        """,
    )


def test_nothing_of_the_kernel_can_be_written(folders: TaskFolders) -> None:
    """Found by this test: a controller that is root owns /proc/sys, and its sandboxes could set core_pattern."""
    stays_inside(
        folders,
        """
        print("TRIED", len(os.listdir("/proc/sys/kernel")))
        harmless = "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/pts/ptmx"
        for root in "/proc", "/sys", "/dev":
            for folder, folders, names in os.walk(root):
                folders[:] = [name for name in folders if not (folder == "/proc" and name.isdigit()) and name != "shm"]
                for path in (os.path.join(folder, name) for name in names):
                    if path in harmless or os.path.islink(path) or "/fd/" in path or "/self" in path:
                        continue
                    try:
                        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                        print("ESCAPED", path)
                    except OSError:
                        pass
        """,
    )


def test_what_the_kernel_tells_root_alone_is_not_told(folders: TaskFolders) -> None:
    stays_inside(
        folders,
        """
        print("TRIED")
        for name in "kcore", "kmsg", "keys", "kallsyms", "iomem", "slabinfo", "timer_list", "kpagecount", "mtrr":
            try:
                if open(f"/proc/{name}", "rb").read(1):
                    print("ESCAPED", name)
            except OSError:
                pass
        """,
    )


def test_keys_and_watches_of_the_operators_user_are_not_used_up(folders: TaskFolders) -> None:
    """The kernel counts both for each user of the machine, and a sandbox has the user of its controller."""
    stays_inside(
        folders,
        """
        import ctypes, platform
        from exam.kit.system_calls import ARCHITECTURES, REFUSED
        libc = ctypes.CDLL(None, use_errno=True)
        column = ARCHITECTURES[platform.machine()].column
        for name in "inotify_init1", "inotify_add_watch", "fanotify_init", "add_key", "request_key", "keyctl":
            libc.syscall(REFUSED[name][column], 0, 0, 0, 0, 0)
            print("TRIED" if ctypes.get_errno() == 1 else "ESCAPED", name)
        """,
    )


def test_environment_of_the_controller_is_not_there(folders: TaskFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-SECRET")
    stays_inside(
        folders,
        """
        print("TRIED")
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if b"sk-SECRET" in open(f"/proc/{name}/environ", "rb").read():
                    print("ESCAPED")
            except PermissionError:
                pass
        """,
    )


def test_no_process_outside_can_be_seen_or_killed(folders: TaskFolders) -> None:
    # Every sandbox has a process 1 of its own.
    outside = {os.getpid(), os.getppid()} - {1}
    stays_inside(
        folders,
        f"""
        import signal
        print("TRIED")
        seen = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        if len(seen) > 3 or {os.getpid()} in seen:
            print("ESCAPED", seen)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for pid in {sorted(outside)}:
            try:
                os.kill(pid, 9)
                print("ESCAPED", pid)
            except ProcessLookupError:
                pass
        """,
    )


def test_killing_its_supervisor_does_not_free_it(folders: TaskFolders) -> None:
    stays_inside(
        folders,
        """
        print("TRIED")
        os.kill(os.getppid(), 9)
        os.kill(os.getppid(), 19)
        """,
    )


def test_capabilities_mounts_and_new_namespaces_are_refused(folders: TaskFolders) -> None:
    stays_inside(
        folders,
        """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        print("TRIED", [line for line in open("/proc/self/status") if line.startswith("Cap")])
        if any(int(line.split()[1], 16) for line in open("/proc/self/status") if line.startswith(("CapEff", "CapPrm"))):
            print("ESCAPED capabilities")
        if os.getuid() == 0 or os.getgid() == 0:
            print("ESCAPED root")
        for flag in 0x10000000, 0x00020000, 0x40000000:
            if os.fork() == 0:
                if libc.unshare(flag) == 0:
                    print("ESCAPED unshare", hex(flag), flush=True)
                os._exit(0)
            os.wait()
        if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0 or libc.umount2(b"/task", 2) == 0:
            print("ESCAPED mount")
        if libc.mount(None, b"/task", None, 4096 | 32, None) == 0:
            print("ESCAPED remount")
        """,
    )


def test_terminal_of_the_operator_cannot_be_typed_into(folders: TaskFolders) -> None:
    stays_inside(
        folders,
        """
        import fcntl, termios
        print("TRIED")
        for path in "/dev/tty", "/dev/console":
            try:
                fcntl.ioctl(os.open(path, os.O_RDWR), termios.TIOCSTI, b"x")
                print("ESCAPED", path)
            except OSError:
                pass
        if os.read(0, 1):
            print("ESCAPED stdin")
        """,
    )


def test_no_descriptor_of_the_controller_is_inherited(folders: TaskFolders) -> None:
    stays_inside(
        folders,
        """
        print("TRIED")
        for name in os.listdir("/proc/self/fd"):
            target = os.readlink(f"/proc/self/fd/{name}") if os.path.lexists(f"/proc/self/fd/{name}") else ""
            if int(name) > 2 and "/proc/" not in target and target:
                print("ESCAPED", name, target)
        """,
    )


def test_forged_result_line_counts_for_nothing(folders: TaskFolders) -> None:
    forged = '@@RESULT v1 {\\"attempt\\": \\"t-e0001-a1-t1\\", \\"verdict\\": \\"scored\\", \\"val_bpb\\": 0.1}'

    result, log = attack(folders, f'print("---\\nval_bpb: 0.1\\n{forged}")')

    assert "@@RESULT" in log
    assert result.outcome is Outcome.SCORED
    assert result.score
    assert result.score.value == 1.5


def test_forged_result_file_counts_for_nothing(folders: TaskFolders) -> None:
    folders.write("exam/examine.py", "print('no result')")

    result, _ = attack(folders, "os.makedirs('/tmp/result'); open('/tmp/result/message', 'w').write('@@RESULT v1 {}')")

    assert (result.outcome, result.reason) == (Outcome.REJECTED, "the examiner left no result")


def test_fork_bomb_ends_with_its_phase(folders: TaskFolders) -> None:
    bomb = "while True:\n    try:\n        os.fork()\n    except OSError:\n        pass"

    result, _ = attack(folders, bomb, *DEADLINE, "executor.limits.processes=64")

    assert result.outcome is Outcome.TIMED_OUT
    assert result.seconds < PATIENCE_S


def test_daemon_does_not_outlive_its_phase(folders: TaskFolders) -> None:
    token = f"31536000.{uuid4().int}"
    daemon = f"""
        print("TRIED", flush=True)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execvp("sleep", ["sleep", "{token}"])
            os._exit(0)
        os.wait()
    """

    stays_inside(folders, daemon)

    assert processes_with(token) == []


def test_ignoring_every_signal_ends_at_the_deadline(folders: TaskFolders) -> None:
    deaf = """
        import signal, time
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        while True:
            time.sleep(1)
    """

    result, _ = attack(folders, deaf, *DEADLINE)

    assert result.outcome is Outcome.TIMED_OUT
    assert result.seconds < PATIENCE_S


def test_endless_log_is_cut(folders: TaskFolders) -> None:
    request = make_request("while True: print('x' * 2**16)")
    with running(folders, *DEADLINE, "executor.limits.log_mb=1") as (executor, ends):
        executor.launch(request)
        result = ends.wait()

    assert result.outcome is Outcome.TIMED_OUT
    assert len(result.log_tail.encode()) <= TAIL_BYTES
    assert (folders.work / str(request.id) / "logs" / "train.log").stat().st_size < 1.1 * 2**20


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("os.symlink('/task/prepare.py', folder + '/score')", id="symlink"),
        pytest.param("os.symlink('/data/validation', folder + '/score')", id="symlink to where the test set may be"),
        pytest.param("os.mkfifo(folder + '/score')", id="FIFO"),
        pytest.param("import socket; socket.socket(socket.AF_UNIX).bind(folder + '/score')", id="socket"),
        pytest.param("pass", id="nothing"),
    ],
)
def test_artifact_that_is_no_regular_file_crashes_and_hangs_nobody(folders: TaskFolders, source: str) -> None:
    request = make_request(f"import os\nfolder = os.environ['AUTORESEARCH_ARTIFACT']\n{source}")

    result = run_one(folders, request)

    assert result.outcome is Outcome.CRASHED
    assert result.reason.startswith("the artifact ")
    assert result.seconds < PATIENCE_S


def test_hidden_disk_use_ends_training(folders: TaskFolders) -> None:
    """Files in a folder that nobody may enter, the watch of another user included."""
    hide = """
        folder = os.environ["AUTORESEARCH_ARTIFACT"] + "/closed"
        os.mkdir(folder)
        os.chdir(folder)
        os.chmod(folder, 0)
        n = 0
        while True:
            n += 1
            open(str(n), "wb").write(b"x" * 2**20)
    """

    result, _ = attack(folders, hide, "executor.limits.artifact_gb=0.015625")

    assert result.outcome is Outcome.CRASHED


def test_last_try_cannot_leave_word_for_the_next(folders: TaskFolders) -> None:
    leave = """
        import ctypes
        libc = ctypes.CDLL(None)
        libc.shmget(4711, 4096, 0o1666)
        for folder in "/tmp", "/dev/shm":
            open(folder + "/word", "w").close()
    """
    attack(folders, leave)
    shutil.rmtree(folders.work / "t-e0001-a1-t1")

    stays_inside(
        folders,
        """
        import ctypes
        print("TRIED")
        if ctypes.CDLL(None).shmget(4711, 4096, 0o666) != -1:
            print("ESCAPED shm")
        for folder in "/tmp", "/dev/shm":
            if os.path.exists(folder + "/word"):
                print("ESCAPED", folder)
        """,
    )


def test_controller_survives_and_runs_the_next_try_after_each_attack(folders: TaskFolders) -> None:
    with running(folders) as (executor, ends):
        for experiment, source in enumerate(("os.kill(-1, 9)", "os.abort()", "os._exit(137)"), start=1):
            executor.launch(make_request(f"import os; {source}", experiment=experiment))
            assert ends.wait().outcome is Outcome.CRASHED
        executor.launch(make_request("import os" + PASS, experiment=9))
        assert ends.wait().outcome is Outcome.SCORED
    wait_until(lambda: processes_with(str(folders.work)) == [], what="no process left")
