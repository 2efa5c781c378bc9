"""Runs attempts on this machine: each phase in a sandbox of its own, without a daemon or a cluster.

executor       the Executor protocol; one thread per try
runner         one try: its phases in order, the candidate beside the examiner
exam_hours     keeps smoke tests, programs that propose, and exams apart in time
freezer        freezes all processes of a cgroup, and lets them go on
smoke          one step of an edited program before its first attempt
phase_setup    sets up one phase: its command, what it sees, and what it may fill
process        runs one phase to its end
sandbox        builds the command that confines a phase (bubblewrap, or none); pure
machine        finds out what this machine offers: bubblewrap, interpreter, system folders, accelerators
gpu_memory     how much memory a GPU has, for people and agents
gpus           which GPUs attempts may use, and how CUDA is told
surroundings   reads what kernel and container have put around this process
diagnoses      explains in one sentence what a machine refuses or lacks, why, and the remedy; pure
host           the parts that all tries share, with a sandbox that was tested first
program        looks in the sandbox for the task's program before anything is trained
environment    finds what a sandbox must show of the environment in which a task runs
linked_packages  finds the projects that an environment imports from where they lie (`pip install -e`)
task_copy      copies the task folder for one attempt, which may write to its copy
libraries      finds CUDA libraries that nobody needs without a GPU
frozen         copies what the kernel counts, so that sandboxes read the same numbers for ever
confinement    enforces the limits by cgroups, else by rlimits
find_cgroups   finds a folder in which cgroups can be created: version 2, else version 1
shares         divides the cores among the slots; pure
cgroups        limits memory, processes and CPUs of a whole phase
kernel_files   reads and writes the kernel's own files
try_folder     the folder of a try: logs, volumes, the stored result
work_disk      deletes what tries left, and stores a result although the disk is full
disk_watch     ends a phase that writes more than it may, or fills the disk
deletion       deletes what hostile code has filled, whatever its depth, names and rights
unsandboxed    makes folders of links in place of mounts, for `--sandbox none`
witness        measures from outside what the machine did while a phase ran
capped_log     keeps the first and the last part of a phase's output
reaper         the small program that starts a phase and kills whatever the phase leaves behind
workshop       runs programs that propose edits, in sandboxes like those of trainings
session_place  what all of these programs share on this machine
session_setup  builds the command of one such program; pure
bench          the folder of such a program: laid out before it, read back after it
outcome        computes a try's result from the end of a phase; pure
"""

from controller.executor.local.executor import LocalExecutor
from controller.executor.local.workshop import LocalWorkshop

__all__ = ["LocalExecutor", "LocalWorkshop"]
