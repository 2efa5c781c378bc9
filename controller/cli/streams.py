"""Gives every command an input, an output and an error stream, whatever the shell or a service manager left open.

A closed descriptor is taken by the next file that is opened, which could be the lab: what is printed would land in it.
"""

from __future__ import annotations

import io
import os
import sys


def open_what_is_closed() -> None:
    """Put the null device in place of each standard stream that is closed."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if not _is_open(descriptor):
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
        # Python may have made a stream of what was open there while it started.
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", closefd=False))


def write_what_can_be_written() -> None:
    """Have a terminal or a file that takes no sigma get a question mark in its place, where Python would raise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def drop_output() -> None:
    """Send what is printed from now on nowhere: Python writes the rest at its end, and a full disk would fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
