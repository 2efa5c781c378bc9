"""Tries every kernel object that outlives a process: System V memory, a keyring, an Internet socket's TIME_WAIT.
Stopped by: install_filter. It dies of an assertion if one of them works."""

import ctypes
import errno
import socket

from tiny_model import honest_model

ADD_KEY = {"x86_64": 248, "aarch64": 217}
IPC_CREAT, USER_KEYRING = 0o1000, -4


def refused(result):
    return result == -1 and ctypes.get_errno() == errno.EPERM


def load_model(artifact):
    import platform

    libc = ctypes.CDLL(None, use_errno=True)
    assert refused(libc.shmget(0x6D656D, 4096, IPC_CREAT | 0o600))
    assert refused(libc.msgget(0x6D656D, IPC_CREAT | 0o600))
    assert refused(libc.semget(0x6D656D, 1, IPC_CREAT | 0o600))
    key = (ADD_KEY[platform.machine()], b"user", b"exam-memory", b"0123", 4, USER_KEYRING)
    assert refused(libc.syscall(*key))
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.socket(family).close()
        except PermissionError:
            continue
        raise AssertionError("an Internet socket could be made")
    return honest_model(artifact)
