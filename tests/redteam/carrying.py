"""Real sandboxes in which one phase leaves random bits in every carrier, and a later one looks for them.

Each carrier is given COUNT random bits. A threshold is fitted on one half of what the receiver saw and tried on the
other; the share of errors gives the capacity of a channel with that many errors.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.domain import Outcome
from tests.redteam.exams import CANDIDATES
from tests.redteam.shared_kernel import forget_pages
from tests.support.local_task import CANDIDATE, EXAMINE, TRAIN, TaskFolders, make_folders, make_request, running

COUNT = 512
LIBRARY_BYTES = COUNT * (4 * 2 * 4096 + 16 * 4096 + 64 * 4096)
LOOK = "\n    import sys; sys.path.insert(0, '/task'); import carriers\n"


@dataclass(frozen=True, slots=True)
class Heard:
    """What one receiver got."""

    carriers: Mapping[str, float]
    """Bits of COUNT by carrier."""
    counters: Mapping[str, str]
    """Files of the kernel's that count for the whole machine, and what they held."""
    numbers: Mapping[str, int | None]
    """Numbers that system calls tell of the whole machine; None for those that are not told."""


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


def told(log: str, word: str) -> list[str]:
    return [line.removeprefix(word) for line in log.splitlines() if line.startswith(word)]


def make_task(folder: Path) -> TaskFolders:
    """A task whose first candidate leaves bits; its second one looks for them, and its third one leaves others."""
    folders = make_folders(folder)
    lay_out(folders.task)
    turns = "    (carriers.find if control.recv(1) == b'2' else carriers.leave)()\n"
    folders.write("exam/candidate.py", LOOK + CANDIDATE.replace("    control.sendall(", turns + "    control.sendall("))
    numbered = EXAMINE.replace("for _ in range(3)", "for turn in (b'1', b'2', b'3')")
    accepted = "control, _ = listener.accept()\n"
    folders.write("exam/examine.py", numbered.replace(accepted, accepted + " " * 12 + "control.sendall(turn)\n"))
    return folders


def run_both(folders: TaskFolders) -> tuple[Heard, Heard]:
    """Run two attempts; what the first one's second candidate heard of its first, and the second one's training of its
    third."""
    logs = []
    with running(folders) as (executor, ends):
        # Looking brings pages and names into memory, so only the second training looks.
        for experiment, look in ((1, ""), (2, LOOK + "    carriers.find()\n")):
            request = make_request(look + TRAIN, experiment=experiment)
            executor.launch(request)
            result = ends.wait()
            logs.append(folders.logs(request))
            assert result.outcome is Outcome.SCORED, (result, logs)
    first, third = told(logs[0]["candidate"], "LEFT")
    return heard(first, logs[0]["candidate"]), heard(third, logs[1]["train"])


def heard(sent: str, receiver: str) -> Heard:
    """Compare what was left with the receiver's log."""
    [seen] = told(receiver, "SEEN")
    bits, found = json.loads(sent), json.loads(seen)
    carriers = {name: capacity(measured, bits) for name, measured in found["carriers"].items()}
    return Heard(carriers=carriers, counters=found["counters"], numbers=found["numbers"])
