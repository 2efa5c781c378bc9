"""Make the data of the red team's small language: `python prepare.py --data FOLDER`; keeps a folder that is there."""

import sys
from pathlib import Path

import numpy as np
from exam.language.rehearsal import Language, make_data

folder = Path(sys.argv[2])
if not (folder / "train/table.npy").exists():
    language = Language.draw(64, seed=1)
    make_data(folder, language, sequences=128, probes=128)
    (folder / "train").mkdir()
    np.save(folder / "train/table.npy", language.logits)
