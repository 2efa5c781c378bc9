"""Training ends at its budget with everything it started, and its exit code says what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from exam.kit.supervise import OUTPUT_BYTES, Ending, OutputCap, exit_code
from hypothesis import given
from hypothesis import strategies as st

from tests.support.starting import time_to_begin
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2] / "trainer-image"
SAVE = "import os; open(os.path.join(os.environ['AUTORESEARCH_ARTIFACT'], 'weights'), 'w').write('w')\n"
IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
HANG = "import time\nprint('hanging', flush=True)\nwhile True: time.sleep(60)\n"


@dataclass(frozen=True)
class Supervised:
    """The end of a supervised program."""

    code: int
    output: str
    seconds: float


@dataclass(frozen=True)
class Supervisor:
    """Starts programs under `exam.supervise` in a folder of their own."""

    folder: Path

    @property
    def artifact(self) -> Path:
        return self.folder / "artifact"

    def start(self, program: str, *, budget: float) -> subprocess.Popen[str]:
        self.artifact.mkdir()
        (self.folder / "train.py").write_text(textwrap.dedent(program))
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "AUTORESEARCH_TRAIN_SECONDS": str(budget),
            "AUTORESEARCH_ARTIFACT": str(self.artifact),
        }
        command = [sys.executable, "-m", "exam.supervise", "--", sys.executable, "train.py"]
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, program: str, *, budget: float = 60) -> Supervised:
        began = time.monotonic()
        with self.start(program, budget=budget) as process:
            output, _ = process.communicate(timeout=PATIENCE_S)
        return Supervised(process.returncode, output, time.monotonic() - began)


@pytest.fixture
def short() -> float:
    """A budget of a second or two; longer on a machine so busy that programs take long to begin; a whole number."""
    return time_to_begin(times=20)


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(tmp_path)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_a_training_that_saves_and_ends_is_a_success(supervisor: Supervisor) -> None:
    ended = supervisor.run(SAVE + "print('loss 1.0')")
    assert ended.code == 0
    assert ended.output == "loss 1.0\n"


def test_a_crash_keeps_its_exit_code_even_beside_an_artifact(supervisor: Supervisor) -> None:
    ended = supervisor.run(SAVE + "raise SystemExit(7)")
    assert ended.code == 7


def test_a_training_killed_by_a_signal_ends_as_a_shell_would_say(supervisor: Supervisor) -> None:
    ended = supervisor.run(SAVE + "import os; os.kill(os.getpid(), 9)")
    assert ended.code == 137


def test_a_clean_end_without_an_artifact_is_no_success(supervisor: Supervisor) -> None:
    ended = supervisor.run("print('done')")
    assert ended.code == 3
    assert "saved nothing to AUTORESEARCH_ARTIFACT" in ended.output


def test_a_symlink_in_place_of_the_artifact_is_no_success(supervisor: Supervisor) -> None:
    ended = supervisor.run("import os; os.symlink('/etc/passwd', os.environ['AUTORESEARCH_ARTIFACT'] + '/weights')")
    assert ended.code == 3
    assert "a symlink ('weights')" in ended.output


def test_an_endless_training_with_an_artifact_is_stopped_and_succeeds(supervisor: Supervisor, short: float) -> None:
    ended = supervisor.run(SAVE + HANG, budget=short)
    assert ended.code == 0
    assert f"stopped at its budget of {short:g} s" in ended.output
    assert short <= ended.seconds


def test_an_endless_training_without_an_artifact_overran(supervisor: Supervisor, short: float) -> None:
    ended = supervisor.run(HANG, budget=short)
    assert ended.code == 124


SAVE_WHEN_TOLD = """
import os, signal, sys
def save(*_):
    open(os.environ['AUTORESEARCH_ARTIFACT'] + '/weights', 'w').write('w')
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
"""


def test_a_training_may_save_when_it_is_told_to_stop(supervisor: Supervisor, short: float) -> None:
    ended = supervisor.run(SAVE_WHEN_TOLD + HANG, budget=short)
    assert ended.code == 0


def test_timeout_kills_a_loop_that_ignores_term(supervisor: Supervisor, short: float) -> None:
    ended = supervisor.run(IGNORE_TERM + HANG, budget=short)
    assert ended.code == 124
    assert short + 4.5 <= ended.seconds, "it had the five seconds that follow the first signal"


DAEMON = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open('pid', 'w').write(str(os.getpid()))
        while True: time.sleep(60)
    os._exit(0)
while not (os.path.exists('pid') and open('pid').read()): time.sleep(0.01)
"""


def test_a_daemon_does_not_outlive_a_training_that_ended(supervisor: Supervisor) -> None:
    ended = supervisor.run(DAEMON + SAVE)
    assert ended.code == 0
    assert not is_alive(int((supervisor.folder / "pid").read_text()))


def test_a_daemon_does_not_outlive_the_budget(supervisor: Supervisor, short: float) -> None:
    ended = supervisor.run(DAEMON + SAVE + HANG, budget=short)
    assert ended.code == 0
    assert not is_alive(int((supervisor.folder / "pid").read_text()))


def test_a_storm_of_dying_orphans_does_not_hide_the_clock(supervisor: Supervisor, short: float) -> None:
    program = """
        import os
        while True:
            if os.fork() == 0:
                os.fork()
                os._exit(0)
            os.wait()
    """
    ended = supervisor.run(program, budget=short)
    assert ended.code == 124


def test_output_comes_through_while_training_runs(supervisor: Supervisor) -> None:
    process = supervisor.start(SAVE + HANG, budget=60)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "hanging\n"
        assert process.poll() is None
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def test_term_from_outside_ends_training_and_says_so(supervisor: Supervisor) -> None:
    process = supervisor.start(SAVE + HANG, budget=60)
    assert process.stdout is not None
    process.stdout.readline()

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 128 + signal.SIGTERM


def test_a_flood_of_output_keeps_its_head_and_tail(supervisor: Supervisor) -> None:
    program = """
        import sys
        print('first line')
        line = 'x' * 1023 + chr(10)
        for _ in range(30): sys.stdout.write(line * 1024)
        print('last line')
    """
    ended = supervisor.run(SAVE + textwrap.dedent(program))
    assert ended.code == 0
    assert ended.output.startswith("first line\n")
    assert ended.output.endswith("last line\n")
    assert "bytes of output left out" in ended.output
    assert len(ended.output) < OUTPUT_BYTES + 200


def test_binary_output_passes_untouched(supervisor: Supervisor) -> None:
    with supervisor.start(SAVE + "import os; os.write(1, bytes(range(256)))", budget=60) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 1000) == bytes(range(256))


@pytest.mark.parametrize("arguments", [[], ["python"], ["--"], ["--", "no-such-command"]])
def test_a_wrong_command_line_is_exit_2(arguments: list[str], tmp_path: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "AUTORESEARCH_TRAIN_SECONDS": "5",
        "AUTORESEARCH_ARTIFACT": str(tmp_path),
    }
    command = [sys.executable, "-m", "exam.supervise", *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("seconds", ["", "soon"])
def test_a_missing_or_odd_budget_is_exit_2(seconds: str, tmp_path: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "AUTORESEARCH_TRAIN_SECONDS": seconds,
        "AUTORESEARCH_ARTIFACT": str(tmp_path),
    }
    command = [sys.executable, "-m", "exam.supervise", "--", "true"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "AUTORESEARCH_TRAIN_SECONDS" in ended.stderr


@given(
    st.lists(st.binary(max_size=300), max_size=40),
    st.integers(0, 200),
    st.integers(1, 200),
)
def test_output_is_a_true_head_and_a_true_tail(chunks: list[bytes], head: int, tail: int) -> None:
    cap, whole = OutputCap(head=head, tail=tail), b"".join(chunks)

    passed = b"".join(cap.feed(chunk) for chunk in chunks)
    rest = cap.finish()

    assert passed == whole[:head]
    if len(whole) <= head + tail:
        assert passed + rest == whole
    else:
        assert rest.endswith(whole[-tail:])
        assert f"... {len(whole) - head - tail} bytes of output left out ...".encode() in rest


@given(
    st.integers(-64, 255),
    st.booleans(),
    st.none() | st.sampled_from([signal.SIGTERM, signal.SIGINT]),
    st.none() | st.just("the artifact is empty"),
)
def test_exit_zero_means_a_usable_artifact(code: int, overran: bool, stopped_by: int | None, fault: str | None) -> None:
    exited = exit_code(Ending(code, overran, stopped_by), fault)
    assert 0 <= exited <= 255
    if exited == 0:
        assert fault is None
        assert overran or code == 0
