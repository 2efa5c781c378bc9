"""The error of the harness."""

from __future__ import annotations


class ClusterError(Exception):
    """The test cluster could not do what it was asked; the message says what, where and what to do."""
