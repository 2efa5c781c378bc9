"""Bits that arrive from one candidate in the next, and from it in the next training: none, by any carrier.

A carrier fails above LIMIT_BITS of 512, which lies more than five standard deviations above what chance gives a carrier
that carries nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.redteam.carrying import capacity, lay_out, make_task, run_both, told

LIMIT_BITS = 48.0
OPEN = {
    "pages, mincore",
    "pages, reads that do not wait",
    "pages, asynchronous reads",
    "pages, count of blocks read",
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


def test_no_carrier_brings_bits_to_a_later_phase(tmp_path: Path) -> None:
    candidate, training = run_both(make_task(tmp_path))

    for receiver in (candidate, training):
        assert {name: bits for name, bits in receiver.carriers.items() if bits > LIMIT_BITS} == {}
        assert {name for name, number in receiver.numbers.items() if number is None} >= NOT_TOLD
    differ = {path for path, text in candidate.counters.items() if text != training.counters.get(path)}
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
