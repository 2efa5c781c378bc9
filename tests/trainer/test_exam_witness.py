"""What the supervisor of a training in a pod tells of the machine, which its training can neither forge nor use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from exam.kit.counters import Counters, Waits, read_counters
from exam.kit.supervise import EXIT_DISTURBED
from exam.kit.witness import Order, Seen, line_of, seen_between
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Calm, Witness
from controller.executor.kubernetes import pod_witness
from controller.executor.kubernetes.observation import EndCause, TryEnd
from controller.executor.phases import phases
from tests.support.kubernetes_objects import kubernetes_settings
from tests.support.needs import SANDBOX, give_up
from tests.support.requests import try_request
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2] / "trainer-image"
SAVE = "import os; open(os.path.join(os.environ['AUTORESEARCH_ARTIFACT'], 'weights'), 'w').write('w')\n"
KEY = "0123456789abcdef"
NOW = Counters(
    at=100.0, cpu_pressure=5.0, memory_pressure=1.0, stolen=10, total=1000, user=300, own=200, periods=50, throttled=5
)
SHARES = st.none() | st.floats(0, 1)
SEEN = st.builds(
    Seen, waited=SHARES, throttled=SHARES, contended=SHARES, starved=SHARES, stolen=SHARES, taken=SHARES, others=SHARES
)


def write_files(folder: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    return write_files(
        tmp_path / "proc",
        {
            "stat": "cpu  1000 200 300 4000 50 0 0 400 70 0\ncpu0 1 1 1 1\n",
            "pressure/cpu": "some avg10=0.12 avg60=0.05 avg300=0.00 total=2500000\n",
            "pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=7000000\nfull total=1\n",
            "7/task/7/schedstat": "100 300 2\n",
            "7/task/8/schedstat": "200 400 2\n",
        },
    )


def test_counters_of_a_container_with_cgroups_of_version_2(tmp_path: Path, proc: Path) -> None:
    texts = {
        "cpu.stat": "usage_usec 9\nuser_usec 3500000\nsystem_usec 1\nnr_periods 40\nnr_throttled 4\nthrottled_usec 5\n",
        "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=250000\n",
    }
    hertz = os.sysconf("SC_CLK_TCK")

    assert replace(read_counters(write_files(tmp_path / "cgroup", texts), proc), at=0.0) == Counters(
        at=0.0,
        cpu_pressure=2.5,
        memory_pressure=0.25,
        stolen=400 / hertz,
        total=5950 / hertz,
        user=1200 / hertz,
        own=3.5,
        periods=40,
        throttled=4,
    )


def test_counters_of_a_container_with_cgroups_of_version_1(tmp_path: Path, proc: Path) -> None:
    hertz = os.sysconf("SC_CLK_TCK")
    texts = {
        "cpu/cpu.stat": "nr_periods 40\nnr_throttled 4\nthrottled_time 5\n",
        "cpuacct/cpuacct.stat": f"user {3 * hertz}\nsystem 9\n",
    }
    counters = read_counters(write_files(tmp_path / "cgroup", texts), proc)

    assert (counters.own, counters.periods, counters.throttled, counters.memory_pressure) == (3.0, 40, 4, 7.0)


def test_what_a_kernel_does_not_tell_is_left_open(tmp_path: Path) -> None:
    silent = read_counters(tmp_path / "none", tmp_path / "none")
    seen = seen_between(silent, replace(silent, at=silent.at + 9), waited=None, own_cpus=0.0)

    assert seen == Seen(waited=None, throttled=None, contended=None, starved=None, stolen=None, taken=None, others=None)
    assert not seen.is_beyond(Order(key=KEY, most_waited=-1, most_taken=-1))


def test_waits_of_threads_that_ended_still_count(proc: Path) -> None:
    waits = Waits(proc)
    waits.look([7, 99])
    write_files(proc, {"7/task/8/schedstat": "gone"})
    waits.look([7])
    waits.look([])

    assert waits.totals() == (300, 700)


def test_a_training_too_short_to_be_looked_at_is_seen_when_it_ends(proc: Path) -> None:
    waits = Waits(proc)
    waits.note(7)
    waits.note(99)

    assert waits.totals() == (100, 300)


def test_as_much_as_the_campaigns_other_pods_may_use_is_not_taken_from_it() -> None:
    later = replace(NOW, at=110.0, user=NOW.user + 90, own=200 + 20, total=NOW.total + 100, stolen=NOW.stolen + 10)

    alone = seen_between(NOW, later, waited=0.5, own_cpus=0.0)
    assert (alone.others, alone.taken) == (0.7, 0.8)
    assert seen_between(NOW, later, waited=0.5, own_cpus=4.0).others == 0.3
    assert seen_between(NOW, later, waited=0.5, own_cpus=7.0).others == 0.0
    assert seen_between(NOW, later, waited=0.5, own_cpus=float("inf")).taken == 0.1


@given(SEEN, st.floats(0, 1), st.floats(0, 1))
def test_it_takes_both_to_disturb_and_stolen_time_is_neither(seen: Seen, waited: float, taken: float) -> None:
    order = Order(key=KEY, most_waited=waited, most_taken=taken)

    assert not seen.is_beyond(Order(key=KEY))
    if seen.is_beyond(order):
        assert seen.waited is not None
        assert seen.others is not None
        assert seen.waited > waited
        assert seen.others > taken
    assert not replace(seen, others=0.0, taken=1.0, stolen=1.0).is_beyond(order)


@given(SEEN, st.binary(), st.sampled_from([b"", b"\n"]), st.booleans())
def test_the_executor_reads_what_the_supervisor_writes_and_finds_the_log_as_it_was(
    seen: Seen, printed: bytes, end: bytes, again: bool
) -> None:
    settings = kubernetes_settings()
    request = try_request(calm=Calm(waited=0.1, taken=0.2), counts=False, late_counts=False)
    environment = pod_witness.witness_order(settings.executor, request, phases(settings, request)[0])
    order = Order.read(environment)
    assert order is not None
    log = printed + end
    ended = TryEnd(cause=EndCause.CRASH, container="train", exit_code=EXIT_DISTURBED)

    told = pod_witness.read_told(log + line_of(seen, order, again=again), request, ended)

    assert told.log == (log + b"\n" if log and not log.endswith(b"\n") else log), "only its last line was ended"
    assert told.witness == Witness(
        waited=rounded(seen.waited),
        throttled=rounded(seen.throttled),
        contended=rounded(seen.contended),
        starved=rounded(seen.starved),
        stolen=rounded(seen.stolen),
        taken=rounded(seen.taken),
    )
    assert bool(told.disturbed) is again
    assert (order.most_waited, order.most_taken, order.run_again) == (0.2, 0.3, ("0", "124"))
    assert pod_witness.EXIT_DISTURBED == EXIT_DISTURBED


def rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def supervise(folder: Path, program: str, **order: str) -> tuple[int, str]:
    """Run a program under the supervisor with these words of an order; its exit code, and what stood in the log."""
    (folder / "artifact").mkdir()
    (folder / "train.py").write_text(textwrap.dedent(program))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "AUTORESEARCH_TRAIN_SECONDS": order.pop("seconds", "60"),
        "AUTORESEARCH_ARTIFACT": str(folder / "artifact"),
        **{f"AUTORESEARCH_WITNESS_{name}": value for name, value in order.items()},
    }
    command = [sys.executable, "-m", "exam.supervise", "--", sys.executable, "train.py"]
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    return done.returncode, done.stdout


def beyond_everything(folder: Path, program: str, **order: str) -> tuple[int, str]:
    """Run a program that any machine disturbs."""
    if read_counters().own is None:
        give_up("this machine does not tell whose computing is whose", required_by=SANDBOX)
    return supervise(folder, program, KEY=KEY, MOST_WAITED="-1", MOST_TAKEN="-1", **{"RUN_AGAIN": "0 124", **order})


def last_line(log: str) -> dict[str, float | bool | None]:
    mark, version, key, shares = log.rstrip("\n").rpartition("\n")[2].split(" ", 3)
    assert (mark, version, key) == ("@@WITNESS", "v1", KEY)
    told: dict[str, float | bool | None] = json.loads(shares)
    return told


def test_supervisor_has_the_last_word_and_the_training_knows_nothing_of_it(tmp_path: Path) -> None:
    forge = """
        import os, sys
        assert not [name for name in os.environ if "WITNESS" in name]
        if os.fork() == 0:
            os.setsid()
            while True: print("@@WITNESS v1 KEY", flush=True)
        print("no end of line", end="", flush=True)
    """
    code, log = supervise(tmp_path, SAVE + textwrap.dedent(forge), KEY=KEY)

    told = last_line(log)
    assert code == 0
    assert told["again"] is False
    assert all(share is None or 0 <= share <= 1 for share in told.values())
    assert told["waited"] is not None


def test_training_that_crashes_or_is_not_asked_for_has_no_say(tmp_path: Path) -> None:
    code, log = supervise(tmp_path, SAVE + "print('loss 1.0')")
    assert (code, log) == (0, "loss 1.0\n")


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        pytest.param(SAVE, EXIT_DISTURBED, id="ends well"),
        pytest.param("print('nothing saved')", 3, id="saves nothing"),
        pytest.param("raise SystemExit(7)", 7, id="crashes"),
        pytest.param(f"raise SystemExit({EXIT_DISTURBED})", EXIT_DISTURBED, id="says itself that it was disturbed"),
    ],
)
def test_only_a_training_that_could_be_scored_is_given_up(tmp_path: Path, program: str, expected: int) -> None:
    code, log = beyond_everything(tmp_path, program)

    assert code == expected
    assert last_line(log)["again"] is (program == SAVE)


def test_training_that_overran_its_budget_may_have_lacked_cpus(tmp_path: Path) -> None:
    code, log = beyond_everything(tmp_path, "import time\nwhile True: time.sleep(60)", seconds="1")

    assert code == EXIT_DISTURBED
    assert last_line(log)["again"] is True


def test_a_baseline_that_ends_in_time_counts_however_busy_the_machine_is(tmp_path: Path) -> None:
    code, log = beyond_everything(tmp_path, SAVE, RUN_AGAIN="124")

    assert code == 0
    assert last_line(log)["again"] is False
