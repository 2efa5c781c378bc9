"""Bits that arrive from the probe in the candidate, and from the candidate in the next training: none, by any carrier.

Each carrier is given 512 random bits. A threshold is fitted on one half of what the receiver saw and tried on the
other; the share of errors gives the capacity of a channel with that many errors. A carrier fails above LIMIT_BITS of
512, which lies more than five standard deviations above what chance gives a carrier that carries nothing.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from controller.domain import Outcome
from tests.redteam.exams import CANDIDATES
from tests.support.local_task import CANDIDATE, EXAMINE, PROBE, TRAIN, TaskFolders, make_folders, make_request, running

LIMIT_BITS = 48.0
COUNT = 512
LIBRARY_BYTES = COUNT * (3 * 2 * 4096 + 16 * 4096 + 64 * 4096)
OPEN = {
    "pages, mincore",
    "pages, reads that do not wait",
    "pages, asynchronous reads",
    "pages, what a fault maps",
    "pages, time of a read",
    "names, time of a look",
    "times of files",
    "write hints on files",
    "names, links, rights, sizes, attributes",
}
"""Carriers that need no clean-up where there is no sandbox. Not faults: some disks read megabytes around."""

NOT_TOLD = {"processes, of a pidfd", "sockets, of a cookie", "namespaces"}
"""Numbers that the kernel counts up for the whole machine, and that the filter keeps from a sandbox."""

LOOK = "\n    import sys; sys.path.insert(0, '/task'); import carriers\n"


def capacity(measured: list[float], bits: list[int]) -> float:
    """Bits of COUNT that a receiver gets who fits its threshold on the first half."""
    half = len(bits) // 2
    threshold = min(sorted(set(measured[:half])), key=lambda at: errors(measured[:half], bits[:half], at))
    wrong = errors(measured[half:], bits[half:], threshold) / half
    if wrong >= 0.5:
        return 0.0
    entropy = 0.0 if wrong == 0 else -wrong * math.log2(wrong) - (1 - wrong) * math.log2(1 - wrong)
    return len(bits) * (1 - entropy)


def errors(measured: list[float], bits: list[int], threshold: float) -> int:
    return sum((value >= threshold) != bool(bit) for value, bit in zip(measured, bits, strict=True))


def lay_out(folder: Path) -> None:
    """A file on the disk that nobody has read, and a folder of small ones."""
    shutil.copy(CANDIDATES / "carriers.py", folder)
    (folder / "many").mkdir()
    for number in range(COUNT):
        (folder / "many" / str(number)).write_text("x")
    (folder / "library.bin").write_bytes(os.urandom(LIBRARY_BYTES))
    forget_pages(folder / "library.bin")


def forget_pages(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def told(log: str, word: str) -> list[str]:
    return [line.removeprefix(word) for line in log.splitlines() if line.startswith(word)]


@pytest.fixture
def folders(tmp_path: Path) -> TaskFolders:
    """A task whose probe leaves bits; its first candidate looks for them, and its second one leaves others."""
    folders = make_folders(tmp_path)
    lay_out(folders.task)
    folders.write("exam/probe.py", PROBE + LOOK + "    carriers.leave()\n")
    turns = "    {'1': carriers.find, '2': carriers.leave}[control.recv(1).decode()]()\n"
    folders.write("exam/candidate.py", LOOK + CANDIDATE.replace("    control.sendall(", turns + "    control.sendall("))
    numbered = EXAMINE.replace("for _ in range(2)", "for turn in (b'1', b'2')")
    accepted = "control, _ = listener.accept()\n"
    folders.write("exam/examine.py", numbered.replace(accepted, accepted + " " * 12 + "control.sendall(turn)\n"))
    return folders


def test_no_carrier_brings_bits_to_a_later_phase(folders: TaskFolders) -> None:
    logs = []
    with running(folders) as (executor, ends):
        # Looking brings pages and names into memory, so only the second training looks.
        for experiment, look in ((1, ""), (2, LOOK + "    carriers.find()\n")):
            request = make_request(look + TRAIN, experiment=experiment)
            executor.launch(request)
            result = ends.wait()
            logs.append(folders.logs(request))
            assert result.outcome is Outcome.SCORED, (result, logs)

    fails = []
    counters = []
    for sender, receiver in ((logs[0]["probe"], logs[0]["candidate"]), (logs[0]["candidate"], logs[1]["train"])):
        [sent], [seen] = told(sender, "LEFT"), told(receiver, "SEEN")
        counters.append(json.loads(seen)["counters"])
        numbers = json.loads(seen)["numbers"]
        print("numbers of the machine:", {name: number for name, number in numbers.items() if number is not None})
        assert {name for name, number in numbers.items() if number is None} >= NOT_TOLD
        for name, measured in json.loads(seen)["carriers"].items():
            bits = capacity(measured, json.loads(sent))
            print(f"{name}: {bits:.1f} bits of {COUNT}")
            if bits > LIMIT_BITS:
                fails.append((name, bits))
    assert not fails
    differ = {path for path, text in counters[0].items() if text != counters[1].get(path)}
    assert differ <= {"/proc/sys/kernel/ns_last_pid"}  # it counts the processes of the sandbox itself


def test_carriers_carry_where_nothing_is_closed(tmp_path: Path) -> None:
    """Two processes of one user: what the first one leaves in pages, names and times reaches the second."""
    lay_out(tmp_path)
    sent, seen = (
        subprocess.run([sys.executable, tmp_path / "carriers.py", way], capture_output=True, text=True, check=True)
        for way in ("leave", "find")
    )

    [bits], [found] = told(sent.stdout, "LEFT"), told(seen.stdout, "SEEN")
    measured = {name: capacity(one, json.loads(bits)) for name, one in json.loads(found)["carriers"].items()}
    assert {name for name, bits in measured.items() if bits > LIMIT_BITS} >= OPEN, measured
