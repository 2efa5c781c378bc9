"""Errors of making or reading a data folder; each message is one sentence for the user."""

from __future__ import annotations


class PrepareError(Exception):
    """A fault that the user can mend, in one sentence with what to do; exit code 2."""


class Damaged(PrepareError):
    """A data folder is unfinished or differs from its manifest: making it again helps."""


class OlderLayout(PrepareError):
    """A data folder of an earlier version, which a campaign may still need: it is left as it is."""
