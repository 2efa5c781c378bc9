"""An `ablate --prune` whose controller kills itself with SIGKILL at its N-th effect: `prune_that_dies.py FOLDER N`.

The effects are those of `controller_that_dies`. The campaign beneath it has kept three edits: the first gains, the
others harm by so much that every ablation prunes both. Words behind N are further flags of the command.
"""

from __future__ import annotations

import sys
from pathlib import Path

from controller.cli.study_commands import ablate
from controller.cli.study_flags import StudyFlags
from controller.folder import CampaignFolder
from tests.faults.controller_that_dies import count_effects
from tests.support.ended_campaign import make_ended_campaign

TRAIN = """\
import os
A = 1.0

B = 0.0

C = 0.0
if __name__ == "__main__":
    print("---")
    print(f"val_bpb: {2 + A + B + C + int(os.environ['AUTORESEARCH_SEED']) % 100 / 1e4:.6f}")
"""
SETTINGS = """\
tag: faults
task: {score: log, folder: TASK}
executor: {slots: 2}
budget: {train_seconds: 5, experiments: 5}
deadlines: {log_scored: 60}
"""
EDITS = ({"A = 1.0": "A = 0.0"}, {"B = 0.0": "B = 0.5"}, {"C = 0.0": "C = 0.3"})
SEEDS = 1
CLAIM_SEEDS = 2


def main() -> None:
    """Run the ablation and the claim of the pruned head to their end, or until the chosen effect."""
    folder, last = CampaignFolder(Path(sys.argv[1])), int(sys.argv[2])
    task = folder.path / "task"
    for made in (task, folder.data):
        made.mkdir(parents=True, exist_ok=True)
    (task / "train.py").write_text(TRAIN)
    folder.settings.write_text(SETTINGS.replace("TASK", str(task)))
    if not folder.lab.exists():
        make_ended_campaign(folder.lab, "faults", TRAIN, EDITS, levels=[3.0, 2.0, 2.0, 2.0])
    count_effects(last)
    flags = StudyFlags(again="--again" in sys.argv[3:])
    ablate(flags, folder.path, seeds=SEEDS, prune=True, claim_seeds=CLAIM_SEEDS)


if __name__ == "__main__":
    main()
