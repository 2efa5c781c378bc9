"""No program that proposes runs while an exam is held: it is frozen, and what it does not live to see is forgotten."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.costs.model_calls import CallRecord
from controller.domain import Outcome, Proposal
from controller.executor.local.capped_log import CappedLog
from controller.executor.local.cgroups import Cgroup, Limits
from controller.executor.local.exam_hours import EXAM_HOURS, ExamHours
from controller.executor.local.find_cgroups import find_cgroups
from controller.executor.local.freezer import Freezer
from controller.executor.local.process import Cause, Confined, run_phase
from controller.executor.local.sandbox import Command
from controller.ports import Abandoned
from tests.sandbox.range_locks import BITS, LISTENS, LOCKS, OVER, READY, SAYS, Locks
from tests.standin import StandIn, say
from tests.support.command import ASKS, PROPOSES, command_agent
from tests.support.local_task import CANDIDATE, TaskFolders, make_folders, make_request, processes_with, running
from tests.support.needs import SANDBOX, give_up, need_bubblewrap
from tests.support.requests import proposal_request
from tests.support.waiting import PATIENCE_S, wait_until

REQUEST = proposal_request({"train.py": "WIDTH = 4\n"})
LIMITS = Limits(memory_bytes=2**28, processes=64, cpus=None, file_bytes=2**20)


@pytest.fixture
def locks() -> Iterator[Locks]:
    locks = Locks()
    yield locks
    locks.close()


@pytest.fixture(autouse=True)
def _sandboxes() -> None:
    need_bubblewrap()


@pytest.fixture(autouse=True)
def _frozen_in_time(tmp_path: Path) -> None:
    cgroups = find_cgroups(tmp_path, LIMITS, to_freeze=True)
    if cgroups is None or "freezer" not in cgroups.parents:
        give_up("no cgroup with a freezer can be made here", required_by=SANDBOX)


def make_exam(folder: Path, locks: Locks, question: int, *, patience: float) -> TaskFolders:
    """A task whose candidate says by locks what it is asked, and gives a listener so many seconds to hear it."""
    folders = make_folders(folder)
    told = f"BASE, QUESTION, PATIENCE = {locks.base}, {question}, {patience}\n"
    folders.write("exam/candidate.py", told + "".join(map(textwrap.dedent, (LOCKS, SAYS, CANDIDATE))))
    return folders


def output_of(answer: Proposal | Abandoned) -> str:
    return str(json.loads(answer.transcript.splitlines()[-1])["output"])


@pytest.mark.parametrize("together", [True, False], ids=["frozen", "as-it-was-before"])
def test_candidate_tells_a_program_nothing_by_locks_on_files(tmp_path: Path, locks: Locks, together: bool) -> None:
    """The second case shows that the channel is there: exam and program do not know of each other."""
    question = secrets.randbits(BITS) | 1
    folders = make_exam(tmp_path / "exam", locks, question, patience=2 if together else PATIENCE_S)
    agent = command_agent(
        tmp_path, f"BASE = {locks.base}\n", LOCKS, LISTENS, exam_hours=EXAM_HOURS if together else ExamHours()
    )

    with ThreadPoolExecutor(1) as threads, running(folders) as (executor, ends):
        proposing = threads.submit(agent.propose, REQUEST)
        wait_until(lambda: locks.is_held(READY), what="the program to listen")
        executor.launch(make_request())
        result = ends.wait()
        locks.hold(OVER)
        answer = proposing.result()

    assert result.outcome is Outcome.SCORED, result
    assert int(output_of(answer)) == (0 if together else question)
    assert (json.loads(answer.transcript.splitlines()[-1])["still_seconds"] > 0) is together


@contextmanager
def listening(folder: Path, locks: Locks, **options: Any) -> Iterator[tuple[Any, Any]]:
    """An agent whose program listens, and what its `propose` will give."""
    agent = command_agent(folder, f"BASE = {locks.base}\n", LOCKS, LISTENS, **options)
    with ThreadPoolExecutor(1) as threads:
        proposing = threads.submit(agent.propose, REQUEST)
        wait_until(lambda: locks.is_held(READY), what="the program to listen")
        try:
            yield agent, proposing
        finally:
            locks.hold(OVER)
            agent.stop()


def test_stop_ends_a_program_that_is_frozen(tmp_path: Path, locks: Locks) -> None:
    with listening(tmp_path, locks) as (agent, proposing), EXAM_HOURS.hold_exam() as held:
        assert held
        agent.stop()
        answer = proposing.result(PATIENCE_S)

        assert isinstance(answer, Abandoned)
        assert "the controller stopped" in answer.reason
        assert not locks.is_held(READY)


def test_an_exam_ends_waiting_for_a_program_when_the_program_ends(tmp_path: Path, locks: Locks) -> None:
    with listening(tmp_path, locks) as (_, proposing):
        locks.hold(OVER)
        with EXAM_HOURS.hold_exam() as held:
            assert held
        answer = proposing.result(PATIENCE_S)

    assert output_of(answer).strip() == "0"


CONTROLLER = """
    import sys, threading
    from pathlib import Path
    from controller.executor.local.exam_hours import EXAM_HOURS
    from tests.sandbox.range_locks import LISTENS, LOCKS
    from tests.support.command import command_agent
    from tests.support.requests import proposal_request
    folder, base = Path(sys.argv[1]), int(sys.argv[2])
    agent = command_agent(folder, f"BASE = {base}\\n", LOCKS, LISTENS)
    threading.Thread(target=agent.propose, args=(proposal_request({}),), daemon=True).start()
    sys.stdin.readline()
    with EXAM_HOURS.hold_exam():
        print("frozen", flush=True)
        sys.stdin.readline()
"""


def test_frozen_program_dies_with_a_controller_that_is_killed(tmp_path: Path, locks: Locks) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CONTROLLER), str(tmp_path), str(locks.base)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as controller:
        wait_until(lambda: locks.is_held(READY), what="the program to listen")
        assert controller.stdin is not None
        assert controller.stdout is not None
        controller.stdin.write("\n")
        controller.stdin.flush()
        assert controller.stdout.readline() == "frozen\n"
        assert locks.is_held(READY)
        controller.kill()

    wait_until(lambda: not locks.is_held(READY), what="the program to die")
    wait_until(lambda: processes_with(str(tmp_path)) == [], what="no process left")


@contextmanager
def sleeping_in(cgroup: Cgroup) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            for procs in cgroup.procs:
                procs.write_text(str(process.pid))
            yield process
        finally:
            cgroup.kill()
            cgroup.remove()


def test_restart_ends_what_a_dead_controller_has_left_frozen(tmp_path: Path) -> None:
    """Here the reaper died as well, as in a crash of the machine's memory."""
    agent = command_agent(tmp_path, PROPOSES)
    place = tmp_path / "campaign" / "sessions"
    cgroups = find_cgroups(place, LIMITS, to_freeze=True)
    assert cgroups is not None
    left = cgroups.make("left", LIMITS)
    with sleeping_in(left) as process:
        assert left.freezer is not None
        left.freezer.freeze()
        wait_until(lambda: left.freezer is not None and left.freezer.is_frozen, what="it to be frozen")

        agent.check()

        assert process.wait(PATIENCE_S) == -9
        assert not any(folder.exists() for folder in left.folders.values())


def freezers(folder: Path) -> Iterator[tuple[Freezer, Callable[[], None]]]:
    """A freezer of each version that this machine has, and what removes it."""
    for mount in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = mount.split()
        version = 2 if kind == "cgroup2" else 1 if kind == "cgroup" and "freezer" in options.split(",") else None
        made = Path(place, f"autoresearch-test-{folder.name}-{os.getpid()}")
        if version is not None and os.access(place, os.W_OK):
            made.mkdir()
            yield Freezer(made, version), made.rmdir


def test_killed_process_that_is_frozen_dies_when_it_is_thawed_in_version_1_and_at_once_in_version_2(
    tmp_path: Path,
) -> None:
    found = 0
    for freezer, remove in freezers(tmp_path):
        found += 1
        with subprocess.Popen(["sleep", "600"]) as process:
            (freezer.folder / "cgroup.procs").write_text(str(process.pid))
            assert not freezer.is_frozen
            freezer.freeze()
            wait_until(lambda: freezer.is_frozen, what="it to be frozen")  # noqa: B023 - called before the next turn
            process.kill()
            if freezer.version == 1:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.2)
                freezer.thaw()
            assert process.wait(PATIENCE_S) == -9
        wait_until(lambda: removed(remove), what="its cgroup to be empty")  # noqa: B023 - the same
    if not found:
        give_up("no freezer can be reached here", required_by=SANDBOX)


def test_process_that_joins_a_frozen_cgroup_runs_no_further_instruction(tmp_path: Path) -> None:
    """A program that is started in the very moment in which an exam begins."""
    for freezer, remove in freezers(tmp_path):
        freezer.freeze()
        assert freezer.is_frozen, "although nothing is in it yet"
        members, ran = freezer.folder / "cgroup.procs", tmp_path / f"ran-{freezer.version}"
        with subprocess.Popen(["sh", "-c", f"echo $$ > {members}; touch {ran}"]) as process:
            wait_until(lambda: members.read_text(), what="it to join")  # noqa: B023 - called before the next turn
            wait_until(lambda: freezer.is_frozen, what="it to be frozen")  # noqa: B023 - the same
            process.kill()
            freezer.thaw()
            assert process.wait(PATIENCE_S) == -9
        assert not ran.exists()
        wait_until(lambda: removed(remove), what="its cgroup to be empty")  # noqa: B023 - the same


def removed(remove: Callable[[], None]) -> bool:
    try:
        remove()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("still", "sleeps_s", "cause"), [(3600.0, 1, Cause.EXITED), (0.0, 600, Cause.DEADLINE)], ids=["still", "not still"]
)
def test_seconds_in_which_a_program_stands_still_are_not_counted_against_it(
    tmp_path: Path, still: float, sleeps_s: int, cause: Cause
) -> None:
    sleeps = ("/bin/sh", "-c", f"printf . >&3; sleep {sleeps_s}")
    command = Command(argv=sleeps, environment={"PATH": "/usr/bin:/bin"}, folder="/")
    with CappedLog(tmp_path / "log", limit=2**10) as log:
        end = run_phase(
            Confined(command=command, rlimits={}, cgroup=None),
            log=log,
            seconds=0.5,
            stops=(),
            watch=lambda: None,
            stood_still=lambda: still,
        )

    assert end.cause is cause


def test_reply_that_comes_while_the_program_is_frozen_is_read_booked_and_kept_for_it(
    tmp_path: Path, locks: Locks
) -> None:
    booked: list[CallRecord] = []
    asked, may_answer = threading.Event(), threading.Event()

    def answer_later(_: object) -> Any:
        asked.set()
        assert may_answer.wait(PATIENCE_S)
        return say("word " * 100_000)  # more than sockets hold

    asks = 'status, text = ask(stream=True)\nassert status == 200 and text.count("word") == 100_000, len(text)\n'
    with StandIn(answer_later) as standin, ThreadPoolExecutor(1) as threads:
        agent = command_agent(tmp_path, ASKS, asks, PROPOSES, book=booked.append, standin=standin)
        proposing = threads.submit(agent.propose, REQUEST)
        wait_until(asked.is_set, what="the call")
        with EXAM_HOURS.hold_exam() as held:
            assert held
            may_answer.set()
            wait_until(lambda: len(booked) == 2, what="the end of the call to be booked")
            assert not proposing.done()
        answer = proposing.result(PATIENCE_S)

    assert isinstance(answer, Proposal), answer
    assert booked[1].outcome == "end_turn"
