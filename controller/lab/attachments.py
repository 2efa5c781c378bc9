"""Builds and reads the paths of the files that are attached to a campaign, on the ref `refs/attachments/<tag>`.

    campaign.yaml                      the settings at the start of the campaign
    <experiment>/a<attempt>-t<try>.log  the end of a try's training log
    <experiment>/transcript.jsonl      the agent's conversation that led to the experiment
    abandoned/<time>-<request>.jsonl   a conversation that led to no proposal
    notes.txt                          what the agent wants later proposals to know
    remarks/<milliseconds>-<random>.txt  what the operator told the agent (`autoresearch tell`)

Experiment and request numbers are padded to six digits, because git lists a folder in the order of its names.
Stored labs depend on these paths: a change must go on reading the old ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from controller.text.safe_text import safe_tail

SETTINGS = "campaign.yaml"
NOTES = "notes.txt"
REMARKS = "remarks"

_GROWTH = 3
"""Bytes of UTF-8 of the sign that stands for one byte that is none."""

_LOG_NAME = re.compile(r"a(\d+)-t(\d+)\.log")


@dataclass(frozen=True, slots=True)
class TryLog:
    """The end of the training log of one try. It is untrusted text: the agent's program printed it."""

    path: str
    """Path below the campaign's attachments."""

    attempt: int
    """Number of the attempt in its experiment, from 1."""

    number: int
    """Number of the try in its attempt, from 1."""

    text: str
    """The log as safe text: earlier versions, and other programs, may have attached raw bytes."""

    @classmethod
    def read(cls, path: str, data: bytes) -> Self | None:
        """The log that was attached at `path`; None if `path` belongs to another kind of file."""
        match = _LOG_NAME.fullmatch(path.rpartition("/")[2])
        if match is None:
            return None
        return cls(path, int(match[1]), int(match[2]), safe_tail(data, _GROWTH * len(data)))

    @property
    def name(self) -> str:
        """File name without its folder, such as `a1-t2.log`."""
        return self.path.rpartition("/")[2]


def experiment_folder(experiment: int) -> str:
    """Folder of everything that is attached to one experiment."""
    return f"{experiment:06d}"


def log_path(experiment: int, attempt: int, number: int) -> str:
    """Path of the log of one try."""
    return f"{experiment_folder(experiment)}/a{attempt}-t{number}.log"


def transcript_path(experiment: int) -> str:
    """Path of the agent's conversation that led to an experiment."""
    return f"{experiment_folder(experiment)}/transcript.jsonl"


def abandoned_path(request: int, *, at: float) -> str:
    """Path of a conversation that led to no proposal. at: its end as Unix time, in seconds."""
    return f"abandoned/{at:.0f}-{request:06d}.jsonl"


def sort_logs(files: Iterable[tuple[str, bytes]]) -> list[TryLog]:
    """The logs among an experiment's attached files, in the order of their attempts and tries."""
    logs = []
    for path, data in files:
        log = TryLog.read(path, data)
        if log is not None:
            logs.append(log)
    # By number: in the order of names, attempt 10 would come before attempt 2.
    return sorted(logs, key=lambda log: (log.attempt, log.number))
