"""Bits that each carrier brings to a later phase, over many pairs of attempts in real sandboxes: least, median, most.

python -m tests.bench carriers                twenty pairs, two minutes
python tests/bench/carriers.py --runs 5
"""

from __future__ import annotations

import argparse
import collections
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.redteam.carrying import COUNT, make_task, run_both

RECEIVERS = ("one process of the candidate to the next", "candidate to next training")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    bits: dict[str, tuple[list[float], list[float]]] = collections.defaultdict(lambda: ([], []))
    for run in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            both = run_both(make_task(Path(folder)))
        for receiver, heard in enumerate(both):
            for carrier, heard_bits in heard.carriers.items():
                bits[carrier][receiver].append(heard_bits)
        print(f"pair {run + 1} of {options.runs}", file=sys.stderr, flush=True)
    print(f"| carrier, bits of {COUNT} | {' | '.join(RECEIVERS)} |\n|---|---|---|")
    for carrier, received in bits.items():
        print(f"| {carrier} | {' | '.join(_spread(each) for each in received)} |")


def _spread(bits: list[float]) -> str:
    if not bits:
        return "not tried"
    return f"{min(bits):.0f}, {statistics.median(bits):.0f}, {max(bits):.0f}"


if __name__ == "__main__":
    main()
