"""A task that takes a second a try and has everything else: data to prepare, three sandboxed phases, a noisy score."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.support.local_task import make_folders

TRAIN = """
    import os, random, time

    WIDTH = 4  # 1 to 64
    DEPTH = 3  # 1 to 16
    RATE = 0.1  # 0.001 to 1

    def load_model(artifact):
        return open(artifact + "/score").read()

    if __name__ == "__main__":
        for step in range(3):
            print(f"step {step}", end="\\r", flush=True)
            time.sleep(0.1)
        noise = random.Random(int(os.environ["AUTORESEARCH_SEED"])).gauss(0, 0.01)
        score = 2 - WIDTH / 100 - DEPTH / 200 + abs(RATE - 0.2) + noise
        with open(os.environ["AUTORESEARCH_ARTIFACT"] + "/score", "w") as file:
            file.write(f"{score:.6f}")
        print("---")
        print(f"val_bpb:          {score:.6f}")
        print("peak_vram_mb:     2048.0")
"""

PREPARE = """
    import hashlib, json, sys, time
    from pathlib import Path

    data = Path(sys.argv[sys.argv.index("--data") + 1])
    if "--damaged" in sys.argv:
        sys.exit(f"prepare.py: {data} cannot be made from what is damaged: give another --source")
    building = data.with_name(".building")
    files = {}
    parts = ("train", "tokenizer", "validation", "holdout", "reserve/000", "probes/00/questions", "probes/00/answers")
    for name in parts:
        (building / name).mkdir(parents=True, exist_ok=True)
        (building / name / "content").write_text(name)
        files[f"{name}/content"] = {"sha256": hashlib.sha256(name.encode()).hexdigest(), "bytes": len(name)}
        time.sleep(0.1)
    splits = {split: {"tokens": 1000, "bytes": 4000} for split in ("train", "validation", "holdout")}
    manifest = {"version": 1, "source": "words", "vocabulary_size": 8, "splits": splits, "identity": "0" * 64}
    (building / "manifest.json").write_text(json.dumps(manifest | {"files": files}))
    building.rename(data)
    print(f"made {data}")
"""

OWN_TRAIN = """
    import os, random

    TEMPERATURE = 1.0  # 0.1 to 10
    BEAMS = 4  # 1 to 32

    if __name__ == "__main__":
        noise = random.Random(int(os.environ["AUTORESEARCH_SEED"])).gauss(0, 0.5)
        print("---")
        print(f"accuracy: {70 - abs(TEMPERATURE - 2) + BEAMS / 10 + noise:.3f}")
"""


def write_exam_task(folder: Path) -> Path:
    """The task folder: what `trainer-image/` is to a real demo."""
    folders = make_folders(folder)
    folders.write("train.py", TRAIN)
    folders.write("prepare.py", PREPARE)
    return folders.task


def write_own_task(folder: Path) -> Path:
    """Somebody's own program, which prints its score."""
    folder.mkdir(parents=True)
    (folder / "train.py").write_text(textwrap.dedent(OWN_TRAIN))
    return folder
