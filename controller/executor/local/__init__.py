"""Attempts on this machine: every phase in a sandbox of its own, no daemon, no cluster.

sandbox   pure: a phase -> the command that confines it (bubblewrap, or none)
machine   what this machine offers: bubblewrap, interpreter, system folders, accelerators
cgroups   memory, processes and CPUs of a whole phase, by the kernel's cgroups
hierarchy where cgroups can be made here: version 2, else version 1
limits    which limits are in force here: cgroups, else rlimits
folders   a try's own folder: logs, volumes, the durable result
views     without a sandbox: folders of links in place of mounts
capture   a phase's output, its first and last part
reaper    the small program that starts a phase and outlives nothing of it
process   one phase run to its end
outcome   pure: how a phase ended -> how the attempt ended
site      what all tries share, and a sandbox that was tried out
runner    one try: its phases in order, the candidate beside the examiner
executor  the Executor protocol: one thread a try
"""

from controller.executor.local.executor import LocalExecutor

__all__ = ["LocalExecutor"]
