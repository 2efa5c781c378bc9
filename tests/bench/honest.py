"""Honest models of every kind in the tests, through many real exams: none may be rejected.

    python -m tests.bench honest                  200 exams, 40 of each kind: about a quarter of an hour
    python tests/bench/honest.py --exams 40

Each exam draws its own order and repeats, and takes the next probe set and slice of the reserve, as tries do.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.redteam.exams import CANDIDATES, Exams

PROBE_SETS = 16


def main() -> None:
    """Run the command line; exit 1 where an honest model was rejected."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exams", type=int, default=200)
    options = parser.parse_args()
    kinds = sorted(path.stem for path in CANDIDATES.glob("honest_*.py"))
    verdicts: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in kinds}
    rejected = 0
    from exam.language.rehearsal import run_exam  # where `exams` looks for it

    with tempfile.TemporaryDirectory() as folder:
        exams = Exams(Path(folder))
        exams.prepare(probe_sets=PROBE_SETS)
        slices = len(list((exams.data / "reserve").iterdir()))
        for number, kind in enumerate(itertools.islice(itertools.cycle(kinds), options.exams)):
            stage = exams.stage(kind)
            rehearsal = run_exam(replace(stage, probe_set=number % PROBE_SETS, reserve=number % slices))
            verdict = str(rehearsal.result["verdict"]) if rehearsal.result else f"none: {rehearsal.log[-200:]}"
            verdicts[kind][verdict] += 1
            if verdict != "scored":
                rejected += 1
                print(f"{kind}: {rehearsal.result}", flush=True)
    print("| honest model | exams | verdicts |\n|---|---|---|")
    for kind, seen in verdicts.items():
        told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(seen.items()))
        print(f"| {kind.removeprefix('honest_').replace('_', ' ')} | {seen.total()} | {told} |")
    sys.exit(1 if rejected else 0)


if __name__ == "__main__":
    main()
