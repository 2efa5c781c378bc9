"""A claim whose controller kills itself with SIGKILL at its N-th effect: `study_that_dies.py FOLDER N`.

The effects are those of `controller_that_dies`. The campaign beneath it has ended, with one kept edit. A word behind N
is the name of an effect before which it dies.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from controller.cli.studies import FIRST, HEAD, claim_planner
from controller.folder import CampaignFolder
from controller.run.study import run_study
from controller.settings import Device
from controller.studies.wording import claim_plan_lines
from tests.faults.controller_that_dies import count_effects
from tests.support.ended_campaign import make_ended_campaign

TRAIN = """\
import os
A = 1.0
if __name__ == "__main__":
    print("---")
    print(f"val_bpb: {2 + A / 10 + int(os.environ['AUTORESEARCH_SEED']) % 100 / 1e4:.6f}")
"""
SETTINGS = """\
tag: faults
task: {score: log}
executor: {slots: 2}
budget: {train_seconds: 5, experiments: 5}
deadlines: {log_scored: 60}
"""
SEEDS = 3


def main() -> None:
    """Run the claim in the folder to its end, or until the chosen effect."""
    folder, last = CampaignFolder(Path(sys.argv[1])), int(sys.argv[2])
    task = folder.path / "task"
    for made in (task, folder.data):
        made.mkdir(parents=True, exist_ok=True)
    (task / "train.py").write_text(TRAIN)
    folder.settings.write_text(SETTINGS)
    settings = folder.choose_settings(None, [f"task.folder={task}"], here=lambda: Device.CPU)
    if not folder.lab.exists():
        make_ended_campaign(folder.lab, "faults", TRAIN, [{"A = 1.0": "A = 0.0"}], levels=[2.1, 2.0])
    count_effects(last, before="".join(sys.argv[3:]))
    make_plan = claim_planner(HEAD, FIRST, seeds=SEEDS, validation=False)
    record = run_study(folder, settings, make_plan, claim_plan_lines, again=False, err=Console(stderr=True))
    print("ended" if record.study.ended_at else "unfinished")


if __name__ == "__main__":
    main()
