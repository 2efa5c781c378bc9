"""Finds what must not stand in settings: anything that looks like a key, by its name or by its value. Pure.

Settings are written to the lab, to the report and into the manifests of a cluster, where everybody reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_SECRET_WORDS = (
    "KEY KEYS APIKEY TOKEN SECRET SECRETS PASSWORD PASSWD PASSPHRASE PWD CREDENTIAL CREDENTIALS AUTH AUTHORIZATION "
    "BEARER COOKIE PAT DSN"
)
_SECRET_NAMES = frozenset(_SECRET_WORDS.split())
_SECRET_VALUES = (
    r"(?:sk|pk|rk)[-_][A-Za-z0-9_-]{8,}",
    r"(?:ghp|gho|ghu|ghs|ghr|glpat|github_pat|hf|xox[abprs]|npm|pypi|dop_v1|AKIA|ASIA|AIza|ya29)[-_.]?[A-Za-z0-9_.-]{12,}",
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}.*",
    r"(?:Bearer|Basic) \S{8,}",
    r"[0-9a-fA-F]{32,}",
)
_LOOKS_SECRET = re.compile(f"(?:{'|'.join(_SECRET_VALUES)})")
_LOGIN = re.compile(r"\w+://[^/\s:@]*:[^/\s@]+@")
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9+=_-]{24,}")
_OURS = ("PATH", "HOME", "PYTHONUNBUFFERED", "OMP_NUM_THREADS")
LONGEST_VALUE = 4096
"""Bytes of a value: more belongs into a file."""


def fault_of_variables(variables: Mapping[str, str]) -> str:
    """The first fault among environment variables, in words that begin with the variable's name; empty without one."""
    faults = (fault_of_variable(name, value) for name, value in variables.items())
    return next(filter(None, faults), "")


def fault_of_variable(name: str, value: str) -> str:
    """The fault of an environment variable that cannot stand in settings, in words that follow its name; else empty."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return f"{name!r} is no name of a variable: use letters, digits and '_'"
    if name in _OURS or name.startswith("AUTORESEARCH_"):
        return f"{name} is set by autoresearch itself: leave it out (task.environment_folder says where programs are)"
    if len(value.encode(errors="replace")) > LONGEST_VALUE or "\0" in value:
        return (
            f"{name} is longer than {LONGEST_VALUE} bytes or holds a zero byte: put it into a file of the task folder"
        )
    words = {word.upper() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
    if words & _SECRET_NAMES or any(word.endswith("APIKEY") for word in words):
        return f"{name} reads like the name of a secret, and settings are public: an attempt gets none"
    plain = value.strip()
    if (
        "PRIVATE KEY-----" in plain
        or _LOOKS_SECRET.fullmatch(plain)
        or _LOGIN.search(plain)
        or _RANDOM.fullmatch(plain)
    ):
        return f"{name} has a value that looks like a secret, and settings are public: an attempt gets none"
    return ""
