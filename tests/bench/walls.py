"""What it costs that no phase leaves a message for a later one, as shares of an attempt; and what slots can tell.

Forgetting: the kernel gives up what a phase read (64 MiB of a cold file, 2,000 names), three times an attempt.
Levelling: all files of the interpreter's folder are read, as in a container, where the kernel cannot be asked to.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from controller.executor.local.cgroups import Limits
from controller.executor.local.find_cgroups import find_cgroups
from controller.settings.file import load_settings

HERE = Path(__file__).resolve()
CARRIERS = HERE.parents[1] / "redteam" / "candidates" / "carriers.py"
EXAM = HERE.parents[2] / "trainer-image"
FORGETS, LEVELS = 3, 3
"""Times an attempt: after the probe and after both candidates; before the training and before both candidates."""

READ = """
import os, sys
handle = os.open(sys.argv[1], os.O_RDONLY)
while os.read(handle, 1 << 20): pass
for n in range(2000): os.path.exists(f"{os.path.dirname(sys.argv[1])}/missing-{n}")
"""
CALLS = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from exam.kit.isolation import install_filter
if sys.argv[2] == "filtered": assert install_filter("training")
handle, took = os.open("/proc/self/exe", os.O_RDONLY), []
for _ in range(20):
    began = time.perf_counter()
    for _ in range(20_000): os.pread(handle, 1, 0)
    took.append(time.perf_counter() - began)
print(min(took))
"""
LEVEL = """
import sys, time
sys.path.insert(0, sys.argv[1])
from exam.kit.page_cache import level_files
level_files({"AUTORESEARCH_LEVEL_FILES": sys.prefix})
began = time.process_time()
level_files({"AUTORESEARCH_LEVEL_FILES": sys.prefix})
print(time.process_time() - began)
"""
SPEED = """
import os, time
import carriers as c
bits, handle = [n % 2 for n in range(c.COUNT)], os.open(c.LIBRARY, os.O_RDONLY)
def took(*calls):
    began = time.perf_counter()
    for call in calls: call()
    return c.COUNT / (time.perf_counter() - began)
def files(): return [c.fcntl.flock(os.open(f"{c.TASK}/many/{n}", os.O_RDONLY), c.fcntl.LOCK_SH) for n in c.ones(bits)]
def ranges(): return [c.fcntl.fcntl(handle, c.fcntl.F_SETLK, c.lock(c.fcntl.F_RDLCK, n)) for n in c.ones(bits)]
print(took(lambda: c.leave_pages(bits), lambda: c.find_by_reading(handle)))
print(took(lambda: c.leave_names(bits), c.find_names))
print(took(ranges, c.find_locks))
print(took(files, c.find_flocks))
"""


def measure(folder: Path) -> dict[str, float]:
    """Measure all."""
    forget, level = forgetting(folder), float(output(LEVEL, str(EXAM)))
    # In turns, and the quickest of each, because neighbours stretch both.
    bare, filtered = (min(pair) for pair in zip(*(calls() for _ in range(4)), strict=True))
    return {
        "seconds of one forgetting": forget,
        "forgetting, share of a 20 s attempt": FORGETS * forget / 20,
        "forgetting, share of a 300 s attempt": FORGETS * forget / 300,
        "CPU seconds of one levelling": level,
        "levelling, share of a 300 s attempt": LEVELS * level / 300,
        "a short system call, filtered / not": filtered / bare,
        **speeds(folder),
    }


def calls() -> tuple[float, float]:
    """Seconds of 20,000 short system calls, without the filter and under it."""
    return float(output(CALLS, str(EXAM), "bare")), float(output(CALLS, str(EXAM), "filtered"))


def forgetting(folder: Path) -> float:
    """Median seconds in which the kernel gives up what a phase read; not a number without cgroups."""
    limits = Limits.of(load_settings(None, ["tag=bench"]).executor.limits, cpus=None)
    cgroups = find_cgroups(folder, limits)
    if cgroups is None:
        return float("nan")
    file, took = folder / "file", []
    file.write_bytes(os.urandom(64 << 20))
    for _ in range(5):
        forget_pages(file)
        cgroup = cgroups.make("bench", limits)
        join = "".join(f"open({str(procs)!r}, 'w').write(str(os.getpid()))\n" for procs in cgroup.procs)
        subprocess.run([sys.executable, "-c", "import os\n" + join + READ, str(file)], check=True)
        began = time.perf_counter()
        cgroup.reclaim()
        took.append(time.perf_counter() - began)
        cgroup.remove()
    return statistics.median(took)


def speeds(folder: Path) -> dict[str, float]:
    """Bits per second that two sandboxes which run at the same time can exchange by what they both see."""
    shutil.copy(CARRIERS, folder)
    (folder / "many").mkdir()
    for number in range(256):
        (folder / "many" / str(number)).write_text("x")
    (folder / "library.bin").write_bytes(os.urandom(256 * 68 * 4096))
    forget_pages(folder / "library.bin")
    told = subprocess.run([sys.executable, "-c", SPEED], cwd=folder, capture_output=True, text=True, check=True)
    names = ("pages, by time", "names, by time", "locks on ranges", "locks on files")
    return {f"slots, bits/s: {name}": float(n) for name, n in zip(names, told.stdout.split(), strict=True)}


def output(program: str, *arguments: str) -> str:
    """What a program prints."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    ).stdout


def forget_pages(path: Path) -> None:
    """Take a file out of the page cache."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)
