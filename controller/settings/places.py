"""Checks the places that settings name: where data appears in a sandbox, and paths that are no text."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

_TAKEN = ("/task", "/artifact", "/answers", "/socket")
"""Folders of an attempt: what is put over them is not there any more."""

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/dev", "/proc", "/sys")
"""Folders in which a sandbox shows programs and devices."""


def fault_of_name(path: Path) -> str:
    """The fault of a path that is no text; empty if it is: git, YAML and JSON hold no other, and a file system does."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return f"the name of {os.fsencode(path.absolute()).decode(errors='replace')} is no UTF-8 text"
    return ""


def fault_of_data_path(text: str) -> str:
    """The fault of a place where no data can appear, in words that follow the setting's name; else empty."""
    place = PurePosixPath(text)
    if not place.is_absolute() or ".." in place.parts or not text.isprintable():
        return f"{text!r} is no whole path"
    if place == PurePosixPath(place.anchor):
        return "/ would hide everything else"
    if str(place) in _TAKEN:
        return f"{text} is a folder of the attempt itself"
    system = next((folder for folder in _SYSTEM if place.is_relative_to(folder)), None)
    return f"{text} lies in {system}, which holds the system's own files" if system else ""
