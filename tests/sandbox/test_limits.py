"""Limits with real cgroups where this machine has them, with real rlimits everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from controller.domain import Witness
from controller.executor.local import cgroups as limiting
from controller.executor.local import find_cgroups as search
from controller.executor.local.capped_log import CappedLog
from controller.executor.local.cgroups import Cgroup, Cgroups, Limits
from controller.executor.local.confinement import Confinement
from controller.executor.local.find_cgroups import find_cgroups
from controller.executor.local.process import Cause, Confined, PhaseEnd, run_phase
from controller.executor.local.sandbox import Command
from controller.executor.local.witness import Observer, OwnUse
from tests.support.needs import SANDBOX, give_up
from tests.support.waiting import PATIENCE_S, wait_until

LIMITS = Limits(memory_bytes=256 * 2**20, processes=32, cpus=0.5, file_bytes=2**20)
HUNGRY = "held = [bytearray(b'x' * 2**22) for _ in range(256)]"
BOMB = "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.01)"


@pytest.fixture
def cgroups(tmp_path: Path) -> Cgroups:
    found = find_cgroups(tmp_path, LIMITS)
    if found is None:
        give_up("no control group can be made here: run as root, or below a group of your own", required_by=SANDBOX)
    return found


def run(tmp_path: Path, source: str, *, confinement: Confinement, seconds: float = PATIENCE_S) -> tuple[PhaseEnd, str]:
    """Run Python in no sandbox but under limits."""
    start = ("/bin/sh", "-c", 'printf . >&3; exec 3>&-; exec "$@"', "sh", sys.executable, "-c", source)
    command = Command(argv=start, environment={"TOKEN": str(tmp_path)}, folder="/")
    cgroup = confinement.cgroups.make("test", confinement.limits) if confinement.cgroups else None
    try:
        confined = Confined(command=command, rlimits=confinement.rlimits(), cgroup=cgroup)
        with CappedLog(tmp_path / "log", limit=2**16) as log:
            end = run_phase(confined, log=log, seconds=seconds, stops=(), watch=lambda: None)
    finally:
        if cgroup:
            cgroup.remove()
            assert not any(folder.exists() for folder in cgroup.folders.values())
    return end, (tmp_path / "log").read_text()


def with_environment(token: str) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path("/proc", name, "environ").read_bytes()
        except OSError:
            continue
        if f"TOKEN={token}".encode() in environment:
            found.append(int(name))
    return found


def test_cgroup_ends_a_phase_that_takes_more_memory(tmp_path: Path, cgroups: Cgroups) -> None:
    end, _ = run(tmp_path, HUNGRY, confinement=Confinement(LIMITS, cgroups))

    assert end.cause is Cause.MEMORY


def test_cgroup_counts_the_memory_of_all_processes_together(tmp_path: Path, cgroups: Cgroups) -> None:
    together = """
import os, signal
for _ in range(4):
    if os.fork() == 0:
        held = bytearray(b"x" * (96 * 2**20))
        signal.pause()
raise SystemExit(os.WTERMSIG(os.wait()[1]))
"""

    end, _ = run(tmp_path, together, confinement=Confinement(LIMITS, cgroups))

    assert end.cause is Cause.MEMORY


def test_fork_bomb_is_held_and_then_dies_whole(tmp_path: Path, cgroups: Cgroups) -> None:
    end, _ = run(tmp_path, BOMB, confinement=Confinement(LIMITS, cgroups), seconds=1)

    assert end.cause is Cause.DEADLINE
    assert end.seconds < PATIENCE_S
    assert with_environment(str(tmp_path)) == []


def test_leftovers_of_a_dead_controller_are_found_and_ended(tmp_path: Path, cgroups: Cgroups) -> None:
    cgroup = cgroups.make("orphan", LIMITS)
    cgroups.save(tmp_path / "note")
    with subprocess.Popen(["sleep", "3600"]) as sleeper:
        for procs in cgroup.procs:
            procs.write_text(str(sleeper.pid))

        noted = Cgroups.load(tmp_path / "note")
        assert noted
        for leftover in noted.leftovers():
            leftover.kill()
            sleeper.wait(PATIENCE_S)
            leftover.remove()

    assert not any(folder.exists() for folder in cgroup.folders.values())


def test_two_campaigns_never_see_each_others_cgroups(tmp_path: Path, cgroups: Cgroups) -> None:
    (tmp_path / "other").mkdir()
    other = find_cgroups(tmp_path / "other", LIMITS)
    assert other

    mine = cgroups.make("try", LIMITS)
    try:
        assert list(other.leftovers()) == []
        assert [leftover.folders for leftover in cgroups.leftovers()] == [mine.folders]
    finally:
        mine.remove()


def test_without_cgroups_each_process_is_limited_by_itself(tmp_path: Path) -> None:
    end, log = run(tmp_path, HUNGRY, confinement=Confinement(LIMITS, None))

    assert (end.cause, end.code) == (Cause.EXITED, 1)
    assert log.splitlines()[-1] == "MemoryError"


def test_without_cgroups_a_forking_tree_dies_whole(tmp_path: Path) -> None:
    breeding = """
import os, time
for _ in range(40):
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork() == 0: time.sleep(0.002); os._exit(0)
            os.waitpid(-1, 0)
time.sleep(3600)
"""

    end, _ = run(tmp_path, breeding, confinement=Confinement(LIMITS, None), seconds=1)

    assert end.cause is Cause.DEADLINE
    assert end.seconds < PATIENCE_S
    assert with_environment(str(tmp_path)) == []


def test_files_cannot_grow_past_their_limit(tmp_path: Path) -> None:
    grow = f"open({str(tmp_path / 'file')!r}, 'wb').write(b'x' * 2**22)"

    end, log = run(tmp_path, grow, confinement=Confinement(LIMITS, None))

    assert end.code == 1
    assert "File too large" in log
    assert (tmp_path / "file").stat().st_size <= LIMITS.file_bytes


def test_program_that_does_not_exist_is_said(tmp_path: Path) -> None:
    command = Command(argv=("/nowhere/bwrap",), environment={}, folder="/")
    with CappedLog(tmp_path / "log", limit=2**16) as log:
        confined = Confined(command=command, rlimits={}, cgroup=None)
        end = run_phase(confined, log=log, seconds=PATIENCE_S, stops=(), watch=lambda: None)

    assert (end.cause, end.detail) == (Cause.NOT_STARTED, "/nowhere/bwrap: No such file or directory")


def test_what_limits_a_phase_is_said_in_words() -> None:
    everywhere = {name: Path("/sys/fs/cgroup/x") for name in ("memory", "pids", "cpu")}

    assert Confinement(LIMITS, Cgroups(2, everywhere, "f"), root=False).describe() == (
        "memory: cgroup v2, processes: cgroup v2, CPUs: cgroup v2"
    )
    assert Confinement(LIMITS, None, root=False).describe() == (
        "memory: rlimit (each process by itself), processes: rlimit, CPUs: affinity (no cpu cgroup)"
    )
    assert "processes: not limited (root without a pids cgroup)" in Confinement(LIMITS, None, root=True).describe()


def test_version_2_is_found_by_its_mount_and_limited_by_its_files(tmp_path: Path) -> None:
    mine = tmp_path / "user.slice" / "run-1.scope"
    mine.mkdir(parents=True)
    (mine / "cgroup.subtree_control").write_text("cpu memory pids\n")
    mounts = f"29 22 0:26 / {tmp_path} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"

    (version, parents), *_ = search._version_2(mounts, "0::/user.slice/run-1.scope\n")
    written = {path.name: value for path, value in limiting._limit_files(Cgroup(parents, version), LIMITS)}

    assert parents == {"memory": mine, "pids": mine, "cpu": mine, "freezer": mine}
    assert written == {
        "memory.max": str(256 * 2**20),
        "memory.oom.group": "1",
        "pids.max": "32",
        "cpu.max": "50000 100000",
    }


def test_version_2_is_found_again_by_a_controller_that_has_stepped_into_its_own_leaf(tmp_path: Path) -> None:
    mine = tmp_path / "run-1.scope"
    (mine / "autoresearch-controller").mkdir(parents=True)
    (mine / "cgroup.subtree_control").write_text("memory pids\n")
    mounts = f"29 22 0:26 / {tmp_path} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"

    (_, parents), *_ = search._version_2(mounts, "0::/run-1.scope/autoresearch-controller\n")

    assert set(parents.values()) == {mine}


def test_version_1_is_found_below_a_containers_mount(tmp_path: Path) -> None:
    (tmp_path / "memory" / "inner").mkdir(parents=True)
    (tmp_path / "pids").mkdir()
    mounts = (
        f"30 22 0:27 /docker/abc {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"31 22 0:28 /docker/abc {tmp_path}/pids rw - cgroup cgroup rw,pids\n"
    )
    own = "5:memory:/docker/abc/inner\n4:pids:/elsewhere\n0::/\n"

    ((version, parents),) = search._version_1(mounts, own)

    assert version == 1
    assert parents == {"memory": tmp_path / "memory" / "inner", "pids": tmp_path / "pids"}


def test_stop_of_a_phase_takes_no_longer_than_its_kill(tmp_path: Path) -> None:
    began = time.monotonic()

    end, _ = run(tmp_path, "import time; time.sleep(3600)", confinement=Confinement(LIMITS, None), seconds=0.3)

    assert end.cause is Cause.DEADLINE
    assert time.monotonic() - began < PATIENCE_S
    wait_until(lambda: with_environment(str(tmp_path)) == [], what="no process left")


SPIN = """
import os, resource, sys, time
began = time.monotonic()
for _ in range(3):
    if os.fork() == 0:
        end = time.monotonic() + 2
        while time.monotonic() < end: pass
        os._exit(0)
for _ in range(3): os.wait()
print(time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime)
"""


def test_slot_gets_no_more_time_than_its_share_however_many_processes_it_starts(
    tmp_path: Path, cgroups: Cgroups
) -> None:
    if "cpu" not in cgroups.parents:
        give_up("no cgroup can limit CPUs here", required_by=SANDBOX)

    _, log = run(tmp_path, SPIN, confinement=Confinement(LIMITS, cgroups))

    wall, used = map(float, log.split())
    assert used < 0.5 * wall + 0.5, "half a CPU; some periods of the quota may come on top"


def test_without_a_cpu_cgroup_a_slot_runs_on_cores_of_its_own(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    show = "import os; print(sorted(os.sched_getaffinity(0)))"
    command = Command(
        argv=("/bin/sh", "-c", f'printf . >&3; exec "{sys.executable}" -c "{show}"'), environment={}, folder="/"
    )
    with CappedLog(tmp_path / "log", limit=2**16) as log:
        confined = Confined(command=command, rlimits={}, cgroup=None, cores=(core,))
        run_phase(confined, log=log, seconds=PATIENCE_S, stops=(), watch=lambda: None)

    assert (tmp_path / "log").read_text() == f"[{core}]\n"
    assert Confinement(LIMITS, None).cores_of(0, 2) == (min(os.sched_getaffinity(0)),)


CROWD = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        end = time.monotonic() + 3
        while time.monotonic() < end: pass
        os._exit(0)
for _ in range(8): os.wait()
"""


def test_witness_tells_of_threads_that_wait_for_a_cpu_and_of_a_quota_that_is_used_up(
    tmp_path: Path, cgroups: Cgroups
) -> None:
    if "cpu" not in cgroups.parents:
        give_up("no cgroup can limit CPUs here", required_by=SANDBOX)

    witness = witness_of(tmp_path, CROWD, cgroups)

    assert witness.waited is not None
    assert witness.waited > 0.5, "eight processes share a tenth of a CPU"
    assert witness.throttled is not None
    assert witness.throttled > 0.2, "also a busy machine grants a tenth of a CPU"


def python_of(source: str) -> Command:
    return Command(
        argv=("/bin/sh", "-c", 'printf . >&3; exec 3>&-; exec "$@"', "sh", sys.executable, "-c", source),
        environment={},
        folder="/",
    )


def witness_of(folder: Path, source: str, cgroups: Cgroups) -> Witness:
    cgroup = cgroups.make("witness", replace(LIMITS, cpus=0.1))
    own = OwnUse()
    own.begin(cgroup)
    observer = Observer(cgroup, own)

    def watch() -> None:
        observer.look()

    try:
        with CappedLog(folder / "log", limit=2**16) as log:
            confined = Confined(command=python_of(source), rlimits={}, cgroup=cgroup)
            run_phase(confined, log=log, seconds=PATIENCE_S, stops=(), watch=watch)
        return observer.end()
    finally:
        own.end(cgroup)
        cgroup.remove()


SHORT_LIVES = """
import os, resource
for _ in range(60):
    if os.fork() == 0:
        while os.times().user < 0.05: sum(range(100_000))  # with few calls of the kernel, which is charged by chance
        os._exit(0)
    os.wait()
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime)
"""


def test_no_program_can_pass_its_own_work_off_as_a_neighbours(tmp_path: Path, cgroups: Cgroups) -> None:
    own, before = OwnUse(), os.times().user
    cgroup = cgroups.make("short-lives", LIMITS)
    own.begin(cgroup)
    try:
        with CappedLog(tmp_path / "log", limit=2**16) as log:
            confined = Confined(command=python_of(SHORT_LIVES), rlimits={}, cgroup=cgroup)
            run_phase(confined, log=log, seconds=PATIENCE_S, stops=(), watch=lambda: None)
        own.end(cgroup)
    finally:
        cgroup.remove()

    burnt = float((tmp_path / "log").read_text())
    assert burnt > 1.0
    # The kernel counts in ticks of .01 s.
    assert own.seconds() - before > 0.9 * burnt
