"""Deletion of what hostile code has left: any depth, any names, any rights; what stays is told and stops nothing."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.executor.local.deletion import Trash, delete
from tests.support.needs import SANDBOX, give_up

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE = 0x80086601, 0x40086602, 0x10
"""Numbers of ioctl_iflags(2)."""

NAMES = st.one_of(
    st.sampled_from(["a", "a.0", "a.1", "0", "1", "2", "-rf", " ", "\n", "...", ".x", "x" * 255, "\udcff", "*"]),
    st.integers(0, 40).map(str),
)
TREES = st.recursive(
    st.sampled_from(["file", "link", "fifo", "socketlike"]),
    lambda inner: st.tuples(st.sampled_from([0o700, 0o500, 0o300, 0]), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=25,
)


def plant(tree: object, place: str) -> None:
    if isinstance(tree, tuple):
        os.mkdir(place)
        mode, inner = tree
        for name, below in inner.items():
            plant(below, f"{place}/{name}")
        os.chmod(place, mode)
    elif tree == "link":
        os.symlink("/etc", place)
    elif tree == "fifo":
        os.mkfifo(place)
    else:
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0))


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_any_tree_is_deleted_and_nothing_else(tree: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plant(tree, f"{folder}/tree")
        (Path(folder) / "beside").touch()

        assert delete(Path(folder) / "tree") == []
        assert os.listdir(folder) == ["beside"]


def test_names_that_collide_and_names_as_long_as_they_may_be_are_deleted(tmp_path: Path) -> None:
    tree = tmp_path / "artifact"
    for top in "abc":
        (tree / top / "x").mkdir(parents=True)
        for number in range(20):
            (tree / f"{top}.{number}").mkdir()
            (tree / f"{top}.{number}" / "keep").touch()
    for number in range(30):
        (tree / ("\U0001f600" * 63) / f"d{number}").mkdir(parents=True)

    trash = Trash(tmp_path / "trash")
    trash.take(tree)

    assert trash.empty() == []
    assert os.listdir(tmp_path / "trash") == []
    assert not tree.exists()


def test_depth_far_beyond_the_longest_path_is_deleted_with_few_descriptors(tmp_path: Path) -> None:
    top = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    os.mkdir("deep", dir_fd=top)
    place = os.open("deep", os.O_RDONLY | os.O_DIRECTORY, dir_fd=top)
    for _ in range(5000):
        os.mkdir("d" * 20, dir_fd=place)
        below = os.open("d" * 20, os.O_RDONLY | os.O_DIRECTORY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)
    os.close(top)

    assert delete(tmp_path / "deep") == []
    assert os.listdir(tmp_path) == []


def test_links_and_what_they_lead_to_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir(mode=0o500)
    (tmp_path / "outside" / "kept").touch() if os.geteuid() == 0 else None
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "tree" / "inner" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "top").symlink_to(tmp_path / "outside")

    assert delete(tmp_path / "tree") == []
    assert delete(tmp_path / "top") == []

    assert stat.S_IMODE((tmp_path / "outside").stat().st_mode) == 0o500
    assert os.listdir(tmp_path) == ["outside"]


def test_taking_is_one_step_however_much_lies_below(tmp_path: Path) -> None:
    """What a start does before it goes on: the deletion itself runs beside the campaign."""
    (tmp_path / "tree").mkdir()
    for number in range(2000):
        (tmp_path / "tree" / str(number)).touch()
    trash = Trash(tmp_path / "trash")

    trash.take(tmp_path / "tree")

    (taken,) = (tmp_path / "trash").iterdir()
    assert len(os.listdir(taken)) == 2000
    assert Trash(tmp_path / "trash").empty() == []


def test_deletion_that_was_cut_off_is_finished_by_the_next(tmp_path: Path) -> None:
    for name in ("7", "12", "odd name"):
        (tmp_path / "trash" / name / "inner").mkdir(parents=True)
    (tmp_path / "new").mkdir()

    trash = Trash(tmp_path / "trash")
    trash.take(tmp_path / "new")

    assert sorted(os.listdir(tmp_path / "trash")) == ["12", "13", "7", "odd name"]
    assert trash.empty() == []
    assert os.listdir(tmp_path / "trash") == []


def set_immutable(folder: int, value: bool) -> None:
    """Set or clear the attribute that `chattr +i` sets: nothing in the folder can be changed, by root neither."""
    try:
        flags = int.from_bytes(fcntl.ioctl(folder, FS_IOC_GETFLAGS, bytes(8)), sys.byteorder)
        flags = flags | FS_IMMUTABLE if value else flags & ~FS_IMMUTABLE
        fcntl.ioctl(folder, FS_IOC_SETFLAGS, flags.to_bytes(8, sys.byteorder))
    except OSError as error:
        give_up(f"no file can be made immutable here: {error}", required_by=SANDBOX)


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    set_immutable(folder, True)
    try:
        yield
    finally:
        set_immutable(folder, False)
        os.close(folder)


def test_what_cannot_be_deleted_is_told_once_and_the_rest_is_gone(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "stays").mkdir(parents=True)
    (tree / "goes").mkdir()
    (tree / "stays" / "file").touch()
    trash = Trash(tmp_path / "trash")
    with immutable(tree / "stays"):
        trash.take(tree)
        told, again = trash.empty(), trash.empty()
        (tmp_path / "next").mkdir()
        trash.take(tmp_path / "next")
        later = trash.empty()

    assert len(told) == 1
    assert "cannot be deleted: Operation not permitted" in told[0]
    assert again == later == []
    assert [os.listdir(path) for path in (tmp_path / "trash").iterdir()] == [["stays"]]
    assert Trash(tmp_path / "trash").empty() == []
