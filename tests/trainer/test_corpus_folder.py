"""The data folder as a whole: the same text and seed make the same one, and damage is named and repaired."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.trainer.small_task import SIZES, TASK, manifest_of, run_prepare


def test_same_text_and_seed_make_the_same_folder_whatever_the_paths(marked: tuple[Path, Path], tmp_path: Path) -> None:
    text, data = marked
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    for number, path in enumerate(sorted(text.iterdir(), reverse=True)):
        target = tmp_path / "elsewhere" / ("deep" if number % 2 else "") / f"renamed{number}"
        target.write_bytes(path.read_bytes())
        os.utime(target, (number, number))

    run_prepare(tmp_path / "again", "--vocabulary", "300", source=tmp_path / "elsewhere")

    assert manifest_of(data)["identity"] == manifest_of(tmp_path / "again")["identity"]


def test_the_same_text_makes_the_folder_that_it_always_made(marked: tuple[Path, Path]) -> None:
    # Scores of two identities are not comparable: what changes this one ends every campaign's history.
    identity = "048199aa4fb22edbb39cb623e52d34f5ba7e917f9ba3207bc5bcdfa39c245b27"
    assert manifest_of(marked[1])["identity"] == identity


def test_another_seed_draws_other_splits(marked: tuple[Path, Path], tmp_path: Path) -> None:
    text, data = marked

    run_prepare(tmp_path / "other", "--vocabulary", "300", "--seed", "1", source=text)

    assert manifest_of(data)["identity"] != manifest_of(tmp_path / "other")["identity"]


def test_exact_duplicates_change_nothing(marked: tuple[Path, Path], tmp_path: Path) -> None:
    text, data = marked
    shutil.copytree(text, tmp_path / "doubled")
    for number, path in enumerate(sorted(text.iterdir())):
        shutil.copy(path, tmp_path / "doubled" / f"copy{number}.txt")

    run_prepare(tmp_path / "data", "--vocabulary", "300", source=tmp_path / "doubled")

    assert manifest_of(data)["identity"] == manifest_of(tmp_path / "data")["identity"]


def test_check_accepts_what_was_made(data_folder: Path) -> None:
    result = run_prepare(data_folder, "--check")

    assert result.returncode == 0
    assert manifest_of(data_folder)["identity"] in result.stdout


def damage_by_one_byte(data: Path) -> str:
    path = data / "holdout" / "sequences.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    return "sequences.npy does not match the manifest"


def damage_by_removal(data: Path) -> str:
    (data / "probes" / "01" / "answers" / "cuts.npy").unlink()
    return "cuts.npy is missing"


def damage_by_addition(data: Path) -> str:
    (data / "train" / "answers.txt").write_text("42")
    return "answers.txt is not in the manifest"


def damage_to_the_table(data: Path) -> str:
    manifest = manifest_of(data)
    manifest["identity"] = "0" * 64
    (data / "manifest.json").write_text(json.dumps(manifest))
    return "manifest.json does not match its own identity"


def damage_to_the_manifest(data: Path) -> str:
    (data / "manifest.json").write_text("{")
    return "manifest.json is no JSON"


def damage_by_interruption(data: Path) -> str:
    (data / "manifest.json").unlink()
    return "has no manifest.json"


damages = pytest.mark.parametrize(
    "damage",
    [
        damage_by_one_byte,
        damage_by_removal,
        damage_by_addition,
        damage_to_the_table,
        damage_to_the_manifest,
        damage_by_interruption,
    ],
)


@damages
def test_damage_is_named_and_repaired(data_folder: Path, text_folder: Path, tmp_path: Path, damage: Any) -> None:
    shutil.copytree(data_folder, tmp_path / "data")
    sentence = damage(tmp_path / "data")

    checked = run_prepare(tmp_path / "data", "--check")
    repaired = run_prepare(tmp_path / "data", source=text_folder)

    assert checked.returncode == 2
    assert sentence in checked.stderr
    assert "delete the folder and run prepare.py" in checked.stderr
    assert repaired.returncode == 0, repaired.stderr
    assert sentence in repaired.stderr
    assert manifest_of(tmp_path / "data") == manifest_of(data_folder)


def test_a_folder_of_an_earlier_version_is_left_as_it_is(data_folder: Path, text_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(data_folder, data)
    (data / "manifest.json").write_text(json.dumps(manifest_of(data) | {"version": 1}))
    before = sorted(path.stat().st_mtime_ns for path in data.rglob("*"))

    made = run_prepare(data, source=text_folder)
    checked = run_prepare(data, "--check")

    for said in (made, checked):
        assert said.returncode == 2
        assert f"{data} has layout 1, and this version makes layout 2" in said.stderr
        assert len(said.stderr.splitlines()) == 1
    assert "choose another --data folder" in made.stderr
    assert "make one in another folder" in checked.stderr
    assert sorted(path.stat().st_mtime_ns for path in data.rglob("*")) == before


def test_the_command_tells_what_an_exam_of_its_sizes_takes(data_folder: Path, text_folder: Path) -> None:
    # 24 sequences and a slice of 6, a quarter of these again, 32 tokens each, over 512 logits; .65 G logits/s.
    said = run_prepare(data_folder, source=text_folder).stdout

    assert "exam:       0.000606 G logits, about 0.000933 s on two cores\n" in said


def test_an_intact_folder_is_kept_and_says_so(data_folder: Path, text_folder: Path) -> None:
    before = (data_folder / "manifest.json").stat()

    result = run_prepare(data_folder, source=text_folder)

    assert result.returncode == 0
    assert result.stdout.startswith(f"kept {data_folder}")
    assert (data_folder / "manifest.json").stat().st_ino == before.st_ino


def test_other_parameters_never_replace_a_folder(data_folder: Path, text_folder: Path) -> None:
    result = run_prepare(data_folder, "--seed", "9", source=text_folder)

    assert result.returncode == 2
    assert "was made with seed 0, not 9" in result.stderr
    assert run_prepare(data_folder, "--check").returncode == 0


def test_folder_of_another_preset_is_told_by_the_presets_names(data_folder: Path, text_folder: Path) -> None:
    made = manifest_of(data_folder)["preset"]

    refused = run_prepare(data_folder, "--preset", "gpu", "--vocabulary", "4096", source=text_folder)

    assert refused.returncode == 2
    assert f"was made with preset {made}, not gpu (" in refused.stderr


def test_a_folder_of_something_else_is_never_replaced(text_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.tex").write_text("years of work")

    result = run_prepare(tmp_path / "data", source=text_folder)

    assert result.returncode == 2
    assert "holds something else (thesis.tex)" in result.stderr
    assert (tmp_path / "data" / "thesis.tex").read_text() == "years of work"


def test_a_killed_prepare_leaves_nothing_that_looks_finished(text_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(TASK / "prepare.py"), "--data", str(tmp_path / "data"), "--source", str(text_folder)]
    process = subprocess.Popen([*command, *SIZES])
    wait_until((tmp_path / ".data.building" / "tokenizer").exists, what="the tokenizer's folder", interval=0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert not (tmp_path / "data").exists()
    assert run_prepare(tmp_path / "data", source=text_folder).returncode == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data"]


def test_two_at_once_do_not_build_into_each_other(text_folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".data.building").mkdir()
    lock = os.open(tmp_path / ".data.building", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)

    result = run_prepare(tmp_path / "data", source=text_folder)
    os.close(lock)

    assert result.returncode == 2
    assert "another prepare.py is building" in result.stderr
