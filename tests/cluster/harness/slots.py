"""Which cluster numbers are taken on this machine, by whom, and the removal of what dead owners left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.support.waiting import wait_until

from .cache import locked, remove, unused, written_whole
from .errors import ClusterError
from .layout import SLOTS, Layout
from .machine import Machine
from .processes import Process

# Short, because paths of Unix sockets end at 107 characters; on disk, because pods' disk limits are measured there.
STATE = Path("/var/lib/autoresearch-tests")

LONELY = 8
"""From here on, clusters of a single test; before it shared ones, whose images are worth keeping."""


def layout_of(slot: int, name: str) -> Layout:
    """The layout of a slot; image stores are kept between runs, one for each slot."""
    return Layout(slot=slot, name=name, root=STATE / str(slot), store=STATE / "images" / str(slot))


def claim(name: str, *, wanted: int) -> Layout:
    """Take a number for the calling process, after removing what dead owners left: the first free one from `wanted` on.

    Raises ClusterError when all are taken.
    """
    with locked(STATE / "lock"):
        free = _remove_dead()
        if not free:
            raise ClusterError(f"all {SLOTS} places for clusters are taken; see {STATE}/*/owner.json")
        chosen = min(free, key=lambda slot: (slot - wanted) % SLOTS)
        for slot in free:
            if slot != chosen:
                _forget_images(layout_of(slot, name))
        layout = layout_of(chosen, name)
        layout.root.mkdir(parents=True)
        me = Process.current()
        _write_record(layout, owner=[me.pid, me.started])
        return layout


def sweep() -> None:
    """Remove what dead owners left on this machine."""
    with locked(STATE / "lock"):
        _remove_dead()


def disown(layout: Layout) -> None:
    """Let a running cluster outlive the caller: from now on its name finds it."""
    _write_record(layout, owner=None)


def kept(name: str) -> Layout | None:
    """The running cluster of that name which outlives its maker, if there is one."""
    for slot in range(SLOTS):
        record = _record(slot)
        if record and record["name"] == name and record["owner"] is None and _running(layout_of(slot, name)):
            return layout_of(slot, name)
    return None


def release(layout: Layout) -> None:
    """Give a place back, with nothing left in it but the images for the next."""
    with locked(STATE / "lock"):
        _remove(layout)


def forget_images() -> None:
    """Empty the image stores of all places. Raises ClusterError while a cluster runs, which needs its own."""
    with locked(STATE / "lock"):
        free = _remove_dead()
        if len(free) < SLOTS:
            raise ClusterError(f"a cluster runs and needs its images; end it first: see {STATE}/*/owner.json")
        remove(STATE / "images")


def _remove(layout: Layout) -> None:
    """End what runs in this place and delete its state: processes, link, control groups, folders; keep its images."""
    with contextlib.suppress(ClusterError):
        Machine.find(layout).end()
    link = Path("/sys/class/net") / layout.host_link
    # The kernel takes a dead namespace's links down by itself, a moment later.
    wait_until(lambda: not link.exists(), what=f"the end of network link {layout.host_link}")
    for group in control_groups(layout):
        wait_until(partial(_is_removed, group), what=f"the processes of {group} to end")
    if layout.root.exists():
        shutil.rmtree(layout.root)


def make_control_groups(layout: Layout) -> None:
    """The kubelet wants its root group to exist, in each hierarchy of cgroup v1 or in the one of v2."""
    unified = Path("/sys/fs/cgroup/cgroup.subtree_control")
    if unified.exists():
        unified.write_text(" ".join(f"+{name}" for name in (unified.parent / "cgroup.controllers").read_text().split()))
    for group in control_groups(layout):
        group.mkdir(exist_ok=True)


def control_groups(layout: Layout) -> list[Path]:
    """The cluster's group in each hierarchy, whether it exists or not."""
    top = Path("/sys/fs/cgroup")
    if (top / "cgroup.controllers").exists():
        return [top / layout.cgroup]
    # Combined hierarchies have links for their second names.
    return [folder / layout.cgroup for folder in top.iterdir() if folder.is_dir() and not folder.is_symlink()]


def _is_removed(group: Path) -> bool:
    """Try to remove a control group with its children, deepest first; one with processes that still end stays."""
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()


def _forget_images(layout: Layout) -> None:
    """Drop the image store of a place that nobody used for a week."""
    marker = layout.store / "dirty"
    if marker.exists() and unused(marker):
        shutil.rmtree(layout.store)


def _remove_dead() -> list[int]:
    free = [slot for slot in range(SLOTS) if not _taken(slot)]
    for slot in free:
        _remove(layout_of(slot, ""))
    return free


def _write_record(layout: Layout, *, owner: list[int] | None) -> None:
    # Half a record would pass for that of a dead owner, and its cluster be removed.
    with written_whole(layout.root / "owner.json") as private:
        private.write_text(json.dumps({"name": layout.name, "owner": owner}))


def _record(slot: int) -> dict[str, object] | None:
    try:
        record: dict[str, object] = json.loads((STATE / str(slot) / "owner.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return record


def _taken(slot: int) -> bool:
    record = _record(slot)
    if record is None:
        return False
    match record["owner"]:
        case [int(pid), int(started)]:
            return Process(pid=pid, started=started).alive
    return _running(layout_of(slot, str(record["name"])))


def _running(layout: Layout) -> bool:
    try:
        Machine.find(layout)
    except ClusterError:
        return False
    return True


def occupied() -> Iterator[Layout]:
    """Every place with a cluster that runs."""
    for slot in range(SLOTS):
        record = _record(slot)
        if record and _running(layout_of(slot, str(record["name"]))):
            yield layout_of(slot, str(record["name"]))
