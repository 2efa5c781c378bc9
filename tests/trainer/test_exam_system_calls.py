"""The filter of system calls: its numbers are the kernel's, and under it nothing tells or moves what others see."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from exam.kit import system_calls

from tests.support.needs import need_machine
from tests.trainer.small_task import TASK

HEADERS = (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm-generic/unistd.h"))
"""Numbers of x86_64, and of all newer architectures, aarch64 among them; distributions ship both with a compiler."""

ARGUMENT_RULES = {
    "ioctl": (16, 29),
    "fcntl": (72, 25),
    "madvise": (28, 233),
    "socket": (41, 198),
    "getsockopt": (55, 209),
    "setsockopt": (54, 208),
    "prctl": (157, 167),
    "setsid": (112, 157),
    "preadv2": (327, 286),
    "pwritev2": (328, 287),
    "personality": (135, 92),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fallocate": (285, 47),
    "seccomp": (317, 277),
}
PRELUDE = """
    import ctypes, errno, mmap, os, platform
    from exam.kit.isolation import install_filter
    from exam.kit import system_calls
    libc = ctypes.CDLL(None, use_errno=True)
    column = system_calls.ARCHITECTURES[platform.machine()].column
    def call(number, *arguments):
        ctypes.set_errno(0)
        result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(one) for one in arguments))
        return result if result >= 0 else errno.errorcode[ctypes.get_errno()]
"""


def run(program: str, name: str = "exam") -> list[str]:
    """Lines that a program prints under the filter of this name."""
    need_machine(system_calls.ARCHITECTURES)
    source = textwrap.dedent(PRELUDE) + f"assert install_filter({name!r})\n" + textwrap.dedent(program)
    environment = os.environ | {"PYTHONPATH": str(TASK), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-W", "error", "-c", source]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.parametrize("column", [0, 1], ids=["x86_64", "aarch64"])
def test_numbers_are_those_of_the_kernels_headers(column: int) -> None:
    if not HEADERS[column].exists():
        pytest.skip("the headers of the kernel are not installed: apt-get install linux-libc-dev")
    told = HEADERS[column].read_text()
    numbers = {name: int(n) for name, n in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", told)}

    for name, pair in {**system_calls.REFUSED, **system_calls.ADVICE, **ARGUMENT_RULES}.items():
        if name in numbers:  # the headers of an old distribution lack the newest calls
            assert pair[column] == numbers[name], name
        elif numbers and (pair[column] or 0) < max(numbers.values()):
            assert pair[column] is None, f"{name} does not exist on this architecture"


def test_every_refused_call_is_refused() -> None:
    lines = run("""
        for name, numbers in system_calls.REFUSED.items():
            if numbers[column] is not None:
                print(name, call(numbers[column], 0, 0, 0, 0, 0, 0))
        print("newest", call(system_calls.NEWEST + 1))
        print("x32", call(0x40000000 + 39))
    """)

    refused = {name for name, numbers in system_calls.REFUSED.items() if numbers[_column()] is not None}
    assert dict(line.split() for line in lines) == dict.fromkeys(refused, "EPERM") | {
        "newest": "ENOSYS",
        "x32": "ENOSYS",
    }


def test_calls_of_a_32_bit_program_do_not_exist() -> None:
    """`int 0x80` serves the calls of another ABI under other numbers: 20 is getpid there, and writev in 64 bit."""
    if platform.machine() != "x86_64":
        pytest.skip("only x86 has it")
    lines = run("""
        code = bytes.fromhex("b814000000cd80c3")  # mov eax, 20; int 0x80; ret
        area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        area.write(code)
        get_pid = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(area)))
        print(errno.errorcode[-get_pid()])
    """)

    assert lines == ["ENOSYS"]


def test_advice_moves_no_page_of_a_file(tmp_path: Path) -> None:
    """What the kernel calls advice would write into the page cache, so it is taken and ignored."""
    file = tmp_path / "file"
    with file.open("wb") as written:
        written.write(os.urandom(1 << 20))
        os.fsync(written)
    run(f"""
        handle = os.open({str(file)!r}, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        area = mmap.mmap(handle, 0, prot=mmap.PROT_READ)
        for advice in (mmap.MADV_RANDOM, mmap.MADV_WILLNEED, 21, 20):
            area.madvise(advice)
        print(call({_number("readahead")}, handle, 0, 4096))
    """)

    assert _resident(file) == 256


def test_reads_that_tell_whether_a_page_is_there_are_not_supported(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(8192))
    lines = run(f"""
        handle = os.open({str(file)!r}, os.O_RDWR)
        print(os.preadv(handle, [bytearray(4)], 0))
        for flags in (os.RWF_NOWAIT, os.RWF_HIPRI, 0x20):
            try:
                print("made", os.preadv(handle, [bytearray(4)], 0, flags))
            except OSError as error:
                print(errno.errorcode[error.errno])
    """)

    assert lines == ["4", "ENOTSUP", "ENOTSUP", "ENOTSUP"]


def test_a_file_grows_only_by_what_is_written(tmp_path: Path) -> None:
    """posix_fallocate of the C library writes where the kernel has no fallocate, so a watch sees the size grow."""
    file = tmp_path / "file"
    lines = run(f"""
        handle = os.open({str(file)!r}, os.O_RDWR | os.O_CREAT)
        print(call({_number("fallocate")}, handle, 0, 0, 1 << 40))
        os.posix_fallocate(handle, 0, 1 << 16)
        print(os.fstat(handle).st_size)
    """)

    assert lines == ["ENOTSUP", str(1 << 16)]


@pytest.mark.parametrize(
    ("name", "made"),
    [("training", ["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"]), ("exam", ["AF_UNIX"])],
)
def test_sockets_of_a_training_reach_its_own_network_and_those_of_an_exam_nothing(name: str, made: list[str]) -> None:
    lines = run(
        """
        import socket
        for family in ("AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "AF_VSOCK", "AF_ALG", "AF_PACKET"):
            try:
                socket.socket(getattr(socket, family), socket.SOCK_DGRAM if family != "AF_ALG" else 5).close()
                print(family)
            except PermissionError:
                pass
        """,
        name,
    )

    assert lines == made


def test_namespaces_leases_notes_on_files_and_typing_are_refused(tmp_path: Path) -> None:
    lines = run(f"""
        import fcntl, signal, termios
        print(call({_number("clone")}, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0), call(435, 0, 0))
        handle = os.open({str(tmp_path)!r}, os.O_RDONLY)
        for attempt in (
            lambda: fcntl.fcntl(handle, fcntl.F_NOTIFY, 1),
            lambda: fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK),
            lambda: fcntl.fcntl(handle, 1036, (3).to_bytes(8, "little")),  # F_SET_RW_HINT
            lambda: fcntl.ioctl(0, termios.TIOCSTI, b"x"),
        ):
            try:
                print("made", attempt())
            except PermissionError:
                print("refused")
    """)

    assert lines == ["EPERM ENOSYS", "refused", "refused", "refused", "refused"]


def test_nothing_tells_how_many_processes_and_sockets_the_machine_has_made() -> None:
    """Each of these numbers counts up for everybody, so that one phase could count them up for another to read."""
    lines = run(f"""
        import signal, socket
        print("clone", call({_number("clone")}, 0x1000 | signal.SIGCHLD, 0, 0, 0, 0))
        ours, theirs = socket.socketpair()
        for option in (57, 71, 77):  # SO_COOKIE, SO_NETNS_COOKIE, SO_PEERPIDFD
            try:
                print(option, ours.getsockopt(socket.SOL_SOCKET, option, 8))
            except OSError as error:
                print(option, errno.errorcode[error.errno])
        try:
            print("SO_PASSPIDFD", ours.setsockopt(socket.SOL_SOCKET, 76, 1))
        except OSError as error:
            print("SO_PASSPIDFD", errno.errorcode[error.errno])
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 9)
        print(ours.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE))
        namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        print("NS_GET_ID", call({_number("ioctl")}, namespace, 0x8008B70D, 0))
    """)

    assert lines == [
        "clone EPERM",
        *("57 ENOPROTOOPT", "71 ENOPROTOOPT", "77 ENOPROTOOPT"),
        "SO_PASSPIDFD ENOPROTOOPT",
        "1",
        "NS_GET_ID ENOTSUP",
    ]


@pytest.mark.parametrize(("name", "new"), [("training", True), ("exam", False)])
def test_only_a_training_makes_sessions_which_the_kernel_numbers_for_the_whole_machine(name: str, new: bool) -> None:
    lines = run(
        """
        before = os.getsid(0)
        child = os.fork()
        if not child:
            os.setsid()
            os._exit(int(os.getsid(0) != before))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
        name,
    )

    assert lines == [str(int(new))]


def test_no_order_to_a_file_system_and_no_merging_of_memory(tmp_path: Path) -> None:
    """A key that is added to a file system stays there when its process has ended, also where all is read-only."""
    file = tmp_path / "file"
    file.write_bytes(bytes(8192))
    orders = {"add a key": 0xC0506617, "flags": 0x80086601, "places": 0xC020660B, "clone": 0x40049409, "id": 0x80111500}
    lines = run(f"""
        import fcntl
        handle = os.open({str(file)!r}, os.O_RDONLY)
        for name, order in {orders}.items():
            print(name, call({_number("ioctl")}, handle, order, 0))
        ready, waiting = os.pipe()
        os.write(waiting, b"three")
        print("bytes that wait", int.from_bytes(fcntl.ioctl(ready, 0x541B, bytes(4)), "little"))
        print("merging", call({_number("prctl")}, 67, 1, 0, 0, 0))
        print("name", call({_number("prctl")}, 15, ctypes.addressof(ctypes.create_string_buffer(b"attempt")), 0, 0, 0))
    """)

    refused = [f"{name} ENOTSUP" for name in orders]
    assert lines == [*refused, "bytes that wait 5", "merging EINVAL", "name 0"]


def _column() -> int:
    return system_calls.ARCHITECTURES[platform.machine()].column


def _number(name: str) -> int:
    number = {**system_calls.ADVICE, **ARGUMENT_RULES}[name][_column()]
    assert number is not None
    return number


def _resident(file: Path) -> int:
    """Pages of a file that lie in the page cache."""
    import ctypes
    import mmap

    with file.open("r+b") as handle, mmap.mmap(handle.fileno(), 0) as area:
        vector = (ctypes.c_ubyte * (len(area) // mmap.PAGESIZE))()
        start = ctypes.addressof(ctypes.c_char.from_buffer(area))
        ctypes.CDLL(None).mincore(ctypes.c_void_p(start), ctypes.c_size_t(len(area)), vector)
        return sum(one & 1 for one in vector)
