"""What the porter takes of a folder that somebody hostile has left, and what arrives of it."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.executor import porter
from controller.executor.kubernetes.delivery import most_bytes, read_delivery

NAMES = st.text(string.ascii_letters, min_size=1, max_size=8)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TEXTS = st.text(max_size=200)
SECRET = "the incumbent's secret"


def arrive(folder: Path, wanted: dict[str, int]) -> tuple[dict[str, bytes], dict[str, str]]:
    """What the controller makes of the porter's delivery of this folder."""
    packed = porter.pack(str(folder), wanted)
    assert len(packed) <= most_bytes(wanted)
    return read_delivery(packed, wanted)


@given(files=st.dictionaries(PATHS, TEXTS, max_size=5))
def test_files_arrive_as_they_were_laid_out(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    # No name is a folder of another one.
    plain = {path: text for path, text in files.items() if not any(o.startswith(f"{path}/") for o in files)}
    folder = tmp_path_factory.mktemp("folder")

    porter.lay_out(str(folder), plain)

    arrived = {path: text.encode() for path, text in plain.items()}
    assert arrive(folder, dict.fromkeys(plain, 1000)) == (arrived, {})


@pytest.mark.parametrize("place", ["train.py", "model/block.py"])
@pytest.mark.parametrize(
    ("trick", "fault"),
    [
        ("link", "cannot be read as a file"),
        ("dangling", "cannot be read as a file"),
        ("pipe", "is no regular file"),
        ("folder", "is no regular file"),
        ("long", "has 101 bytes, and 100 are allowed"),
        ("sparse", "bytes, and 100 are allowed"),
        ("nothing", "is not there"),
    ],
)
def test_only_a_regular_file_that_is_short_enough_arrives(tmp_path: Path, place: str, trick: str, fault: str) -> None:
    (tmp_path / "outside").write_text(SECRET)
    folder = tmp_path / "folder"
    path = folder / place
    path.parent.mkdir(parents=True)
    match trick:
        case "link":
            path.symlink_to(tmp_path / "outside")
        case "dangling":
            path.symlink_to("/nonesuch")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "long":
            path.write_text("#" * 101)
        case "sparse":
            path.touch()
            os.truncate(path, 2**40)

    files, faults = arrive(folder, {place: 100})

    assert files == {}
    assert fault in faults[place]


def test_no_link_in_place_of_a_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "block.py").write_text(SECRET)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "model").symlink_to(tmp_path / "outside")

    files, faults = arrive(tmp_path / "folder", {"model/block.py": 100})

    assert files == {}
    assert set(faults) == {"model/block.py"}


def test_the_porter_is_one_file_that_any_python_runs_alone() -> None:
    source = Path(porter.__file__).read_text()

    assert "controller" not in {
        line.split()[1].partition(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))
    }
