"""Says what an operator can do about an error of the system that no command expected."""

from __future__ import annotations

import errno
from pathlib import Path

from controller.cli.streams import drop_output
from controller.folder import denied_access

_OUTPUT_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Faults of the disk or terminal to which output is sent. Those about a file of a campaign come with its name."""


def explain_system_error(error: OSError) -> str:
    """One sentence; empty where the error is a fault of ours, whose traceback is wanted."""
    if error.errno == errno.ENAMETOOLONG:
        return "the folder's name is longer than a name may be: give a shorter one"
    if error.filename is None and error.errno in _OUTPUT_FAULTS:
        drop_output()
        return f"what it prints cannot be written ({error.strerror}): make room, or send it elsewhere"
    if isinstance(error, PermissionError) and error.filename is not None:
        return denied_access(Path(error.filename))
    return ""
