"""The exceptions of the project. Each reports something that an operator did or met, never an experiment's failure.

AutoresearchError                 base; its text is one sentence: what, where, what to do
├── SettingsError                 the settings file or a flag is wrong
├── DataError                     a data folder is missing, unfinished or altered
├── TaskError                     the task folder cannot be run (no train.py, baseline crashes)
├── LabError                      the lab cannot be opened, read or written
│   ├── LabInUse                  another process holds the lab's lock
│   └── Moved                     a ref was not where compare-and-swap expected it
├── SandboxError                  sandboxes cannot be made on this machine
├── ClusterError                  the Kubernetes API refused or cannot be reached
└── AgentError                    the agent cannot propose and waiting will not help

A failed training is no exception: it is an `Outcome`, a value that the judge reads.
"""

from __future__ import annotations


class AutoresearchError(Exception):
    """Base of the family. `cli` prints its text and exits with `exit_code`."""

    exit_code = 2
    """2: the operator has to change something first. Subclasses that a retry may help have another code."""


class SettingsError(AutoresearchError):
    """The settings are wrong. The text names file, line and field if they are known."""


class DataError(AutoresearchError):
    """A data folder is missing, unfinished, or differs from its manifest."""


class TaskError(AutoresearchError):
    """The task cannot be run at all, so no experiment could be judged."""


class LabError(AutoresearchError):
    """The lab cannot be opened, read or written."""


class LabInUse(LabError):
    """Another process holds the lab's lock. Nothing was written."""


class Moved(LabError):
    """A ref moved between reading and writing. The write did not happen."""


class SandboxError(AutoresearchError):
    """This machine cannot make the sandbox that was asked for."""


class ClusterError(AutoresearchError):
    """The Kubernetes API refused for good, or could not be reached in time."""

    exit_code = 3
    """The cluster failed, not the input: a script may try again later."""


class AgentError(AutoresearchError):
    """The agent cannot go on without a human: key, billing, permission, model."""
