"""What can go wrong while a data folder is made or read; each message is one sentence for the user."""

from __future__ import annotations


class PrepareError(Exception):
    """What stands in the way and what to do about it, in one sentence for the user; exit code 2."""


class Damaged(PrepareError):
    """A data folder is unfinished or differs from its manifest: making it again helps."""
