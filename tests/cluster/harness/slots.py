"""Which cluster numbers are taken on this machine, by whom, and the removal of what dead owners left behind."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .cache import locked
from .layout import SLOTS, Layout
from .machine import Machine
from .processes import Process
from .waiting import ClusterError, wait_until

# Short, because paths of Unix sockets end at 107 characters; on disk, because pods' disk limits are measured there.
STATE = Path("/var/lib/autoresearch-tests")


def layout_of(slot: int, name: str) -> Layout:
    """The layout of a slot; image stores are kept between runs, one for each slot."""
    return Layout(slot=slot, name=name, root=STATE / str(slot), store=STATE / "images" / str(slot))


def claim(name: str, *, keep: bool) -> Layout:
    """Take the first free number for the calling process, or for good where `keep`; clear what lay there.

    Raises ClusterError when all are taken, or when a kept cluster of that name runs already.
    """
    with locked(STATE / "lock"):
        if keep and kept(name) is not None:
            raise ClusterError(f"a cluster named {name} runs already; end it with `down {name}`")
        slot = next((slot for slot in range(SLOTS) if not _taken(slot)), None)
        if slot is None:
            raise ClusterError(f"all {SLOTS} places for clusters are taken; see {STATE}/*/owner.json")
        layout = layout_of(slot, name)
        remove(layout)
        layout.root.mkdir(parents=True)
        owner = None if keep else [Process.current().pid, Process.current().started]
        (layout.root / "owner.json").write_text(json.dumps({"name": name, "owner": owner}))
        return layout


def kept(name: str) -> Layout | None:
    """The running cluster of that name which outlives its maker, if there is one."""
    for slot in range(SLOTS):
        record = _record(slot)
        if record and record["name"] == name and record["owner"] is None and _running(layout_of(slot, name)):
            return layout_of(slot, name)
    return None


def remove(layout: Layout) -> None:
    """End what runs in this place and delete its state: processes, link, control groups, folders; keep its images."""
    with contextlib.suppress(ClusterError):
        Machine.find(layout).end()
    link = Path("/sys/class/net") / layout.host_link
    # The kernel takes a dead namespace's links down by itself, a moment later.
    wait_until(lambda: not link.exists(), what=f"the end of network link {layout.host_link}", seconds=30)
    for group in control_groups(layout):
        _remove_control_group(group)
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


def _remove_control_group(group: Path) -> None:
    if group.exists():
        # find lists children after their parents' other content: -depth is what rmdir needs.
        subprocess.run(["find", str(group), "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], check=True)


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
