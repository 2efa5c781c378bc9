"""Requests as the campaign makes them: for a proposal of an agent, and for a try of an executor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.domain import Experiment, TryId, TryRequest
from controller.errors import LabError
from controller.ports import ProposalRequest


class UnreadNotebook:
    """The notebook of agents that read none: every question is an error of the agent."""

    def source(self, commit: str, path: str) -> str:
        """Raise LabError."""
        raise LabError(f"no agent should read {path} at {commit}")

    def diff(self, experiment: Experiment) -> str:
        """Raise LabError."""
        raise LabError(f"no agent should read the diff of {experiment.number}")

    def log_tail(self, experiment: Experiment) -> str:
        """Raise LabError."""
        raise LabError(f"no agent should read the log of {experiment.number}")


def proposal_request(files: Mapping[str, str], **changes: Any) -> ProposalRequest:
    """The first request of a campaign whose editable files are these; `changes` are fields with other values."""
    fields: dict[str, Any] = {
        "tag": "t",
        "number": 1,
        "brief": "",
        "base": "c0",
        "files": files,
        "readable": {},
        "experiments": (),
        "fingerprints": frozenset(),
        "notebook": UnreadNotebook(),
        "metric": "val_bpb",
        "minimize": True,
    }
    return ProposalRequest(**(fields | changes))


def try_request(train: str = "print('hello')\n", **changes: Any) -> TryRequest:
    """The first try of an experiment whose train.py is this; `changes` are fields with other values."""
    fields: dict[str, Any] = {
        "id": TryId("t", 1, 1, 1),
        "commit": "c" * 40,
        "files": {"train.py": train},
        "seed": 3,
        "probe_set": 0,
    }
    return TryRequest(**(fields | changes))
