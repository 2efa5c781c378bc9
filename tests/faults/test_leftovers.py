"""Nothing that an attempt leaves stops a campaign: a full disk, folders that are hard to delete, dead controllers.

Each test runs the command on a campaign of patches. The first patch is hostile, the last one is honest and is scored.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.domain import Experiment, Outcome, Verdict
from controller.lab import Lab
from tests.support.needs import need_bubblewrap, need_mounts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(1800)

TRAIN = """\
import os
A = 1.0
if __name__ == "__main__":
    print("---")
    print(f"val_bpb: {2 - A / 100:.6f}", flush=True)
"""
SETTINGS = """\
tag: leftovers
task: {score: log, folder: task}
budget: {train_seconds: 5, experiments: 2}
judge: {policy: greedy, baseline_runs: 1}
deadlines: {log_scored: 60}
agent: {kind: replay, patches: patches}
executor: {limits: {artifact_gb: 0.1}}
"""
FILL = """
    out, n = os.environ["AUTORESEARCH_ARTIFACT"], 0
    while True:
        n += 1
        file = os.open(f"{out}/{n}", os.O_CREAT | os.O_WRONLY)
        for size in (1 << 26, 1 << 20, 1 << 12):
            try:
                os.posix_fallocate(file, 0, size)
                break
            except OSError:
                try:
                    os.write(file, bytes(size))
                except OSError:
                    pass
"""
COLLIDE = """
    out = os.environ["AUTORESEARCH_ARTIFACT"]
    for top in "abcd":
        os.makedirs(f"{out}/{top}/x")
        for n in range(30):
            os.makedirs(f"{out}/{top}.{n}/keep")
    long = "\\U0001F600" * 63
    for n in range(30):
        os.makedirs(f"{out}/{long}/d{n}/f")
    os.makedirs(f"{out}/closed/inner")
    os.chmod(f"{out}/closed/inner", 0)
    os.chmod(f"{out}/closed", 0o500)
    os.mkfifo(os.fsencode(out) + b"/\\xff\\n")
"""
DEEP = """
    os.chdir(os.environ["AUTORESEARCH_ARTIFACT"])
    for _ in range(3000):
        os.mkdir("d" * 50)
        os.chdir("d" * 50)
"""
FILES = """
    out, n = os.environ["AUTORESEARCH_ARTIFACT"], 0
    while True:
        n += 1
        try:
            open(f"{out}/{n}", "w").close()
        except OSError:
            pass
"""
BEGIN = """
    import time
    print("began", flush=True)
    time.sleep({seconds})
"""


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[Path]:
    need_mounts()
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk for one campaign."""
    with small_disk(tmp_path / "disk", "size=700m") as place:
        yield place


def make_campaign(folder: Path, *hostile: str) -> Path:
    need_bubblewrap()
    for name in ("task", "patches"):
        (folder / name).mkdir(parents=True)
    (folder / "task" / "train.py").write_text(TRAIN)
    honest = TRAIN.replace("A = 1.0", "A = 2.0")
    for number, text in enumerate([*(TRAIN + code for code in hostile), honest], start=1):
        patch = difflib.unified_diff(TRAIN.splitlines(True), text.splitlines(True), "a/train.py", "b/train.py")
        (folder / "patches" / f"{number}.patch").write_text("".join(patch))
    settings = SETTINGS.replace("experiments: 2", f"experiments: {len(hostile) + 1}")
    (folder / "campaign.yaml").write_text(settings)
    return folder


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "controller.cli", "run", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def run(folder: Path) -> str:
    """Run to the end; returns what was printed."""
    process = start(folder)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    return said


def fill(path: Path) -> None:
    """Take the rest of the disk."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as rest:
        while rest.write(bytes(2**12)):
            pass


def experiments_of(folder: Path) -> list[Experiment]:
    experiments = Lab.open(folder / "lab.git").experiments("leftovers")
    last = experiments[-1].attempts[-1].result
    assert last is not None, experiments[-1]
    assert last.outcome is Outcome.SCORED, last
    assert last.score is not None
    assert last.score.value == 1.98
    return experiments


def left_in(folder: Path) -> set[str]:
    """What tries have left beside their logs and results."""
    tries = {path.name for try_folder in (folder / "work").glob("leftovers-*") for path in try_folder.iterdir()}
    return (tries - {"logs", "started", "result.json"}) | set(os.listdir(folder / "work" / "trash"))


def test_training_that_fills_the_disk_is_to_blame_and_the_campaign_goes_on(disk: Path) -> None:
    folder = make_campaign(disk / "campaign", FILL)

    run(folder)

    filler = experiments_of(folder)[1]
    assert filler.judgement is not None
    assert filler.judgement.verdict is Verdict.CRASH
    assert "used more disk than it may: artifact passed its limit of 0.1 GB" in filler.judgement.reason
    assert [a.tries[-1].number for a in filler.attempts] == [1]
    assert left_in(folder) == set()


def test_controller_killed_on_a_full_disk_starts_again_and_goes_on(disk: Path) -> None:
    folder = make_campaign(disk / "campaign", BEGIN.format(seconds=5) + FILL)
    process = start(folder)
    log = folder / "work" / "leftovers-e0001-a1-t1" / "logs" / "train.log"
    wait_until(lambda: log.exists() and "began" in log.read_text(), what="the training")
    process.kill()
    process.communicate()
    fill(folder / "work" / "leftovers-e0001-a1-t1" / "artifact" / "rest")

    run(folder)

    filler = experiments_of(folder)[1]
    assert filler.judgement is not None
    assert filler.judgement.verdict is Verdict.CRASH
    assert left_in(folder) == set()


def test_training_that_takes_every_inode_is_lost_and_the_campaign_goes_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=700m,nr_inodes=6000") as place:
        folder = make_campaign(place / "campaign", FILES)

        run(folder)

        eater = experiments_of(folder)[1]
        assert eater.judgement is not None
        assert eater.judgement.reason.startswith("never judged: the disk of ")
        assert [t.interrupted for t in eater.attempts[0].tries] == [False] * 3
        assert left_in(folder) == set()


def test_folders_that_are_hard_to_delete_stop_no_later_start(tmp_path: Path) -> None:
    folder = make_campaign(tmp_path / "campaign", COLLIDE, DEEP)

    run(folder)
    said = run(folder)

    assert "cannot be deleted" not in said
    experiments_of(folder)
    wait_until(lambda: left_in(folder) == set(), what="nothing left")


@pytest.mark.parametrize("seed", range(2))
def test_controller_killed_at_any_moment_of_all_this_goes_on(disk: Path, seed: int) -> None:
    folder, draw = make_campaign(disk / "campaign", FILL, COLLIDE, DEEP), random.Random(seed)
    process = start(folder)
    first, last = (folder / "work" / name for name in ("leftovers-e0001-a1-t1", "leftovers-e0004-a1-t2"))
    wait_until(first.exists, what="the end of the baseline, which is not what is killed here")
    process.kill()
    process.communicate()
    for _ in range(6):
        if last.exists():
            break  # killed once more in the last one, it would be lost like the filler
        process = start(folder)
        # The moment of the kill is what varies here; a start takes about a second.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0.8, 3.5))
        process.kill()
        process.communicate()

    said = run(folder)

    assert "cannot be deleted" not in said
    filler, *_ = experiments_of(folder)[1:]
    assert filler.judgement is not None
    assert filler.judgement.verdict in (Verdict.CRASH, Verdict.DISCARD), "killed three times in it, it is lost"
    wait_until(lambda: left_in(folder) == set(), what="nothing left")


def test_attempt_that_takes_the_controller_down_three_times_is_lost_and_the_next_one_runs(tmp_path: Path) -> None:
    folder = make_campaign(tmp_path / "campaign", BEGIN.format(seconds=3600))
    for number in range(1, 4):
        process = start(folder)
        log = folder / "work" / f"leftovers-e0001-a1-t{number}" / "logs" / "train.log"
        wait_until(lambda log=log: log.exists() and "began" in log.read_text(), what=f"try {number}")  # type: ignore[misc]
        process.kill()
        process.communicate()

    run(folder)

    killer = experiments_of(folder)[1]
    assert killer.judgement is not None
    assert (killer.judgement.verdict, killer.judgement.reason) == (
        Verdict.DISCARD,
        "never judged: the controller died 3 times while it ran",
    )
    assert [t.deaths for t in killer.attempts[0].tries] == [1, 1, 1]
    assert all(t.seconds > 0 for t in killer.attempts[0].tries)
