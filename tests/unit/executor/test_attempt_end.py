"""One sentence tells the end of an attempt: its cause, the program's last words, and what to do at a wall of ours.

The logs are what real programs print inside a real sandbox.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain import Outcome, Provenance, Result
from controller.executor import attempt_end
from controller.executor.attempt_end import EndedBy, PhaseEnding, exit_of
from controller.executor.last_words import WORDS, last_words
from controller.executor.phase_output import read_tail
from controller.executor.walls import Walls
from controller.settings import Settings, TaskSettings

WALLS = Walls(
    closed=True,
    programs="PROGRAMS",
    packages="PACKAGES",
    memory="8 GB",
    scratch="1 GB",
    artifact="2 GB",
    shared="SHARED",
    processes="PROCESSES",
)
OPEN = Walls(**{name: getattr(WALLS, name) for name in Walls.__slots__} | {"closed": False})
WRITE = "only $AUTORESEARCH_ARTIFACT and /tmp can be written: write there"
NETWORK = "there is no network inside: put what it needs into the data folder beforehand"
SEEN = "only the task folder and the data folder can be seen"
HIDDEN = f"{SEEN}: put it into one of them beforehand, or name it in task.mounts"
EXECUTABLE = "make it executable, or name its interpreter first in task.command, as in [sh, train.sh]"
SPACE = "/tmp holds 1 GB, the artifact 2 GB (executor.limits)"


def traceback(*lines: str) -> str:
    return "\n".join(("Traceback (most recent call last):", '  File "train.py", line 3, in <module>', *lines)) + "\n"


def settings(score: str = "log", metric: str = "val_bpb") -> Settings:
    return Settings.model_validate({"task": {"score": score, "metric": metric, "direction": "minimize"}})


def ended(code: int, log: str, *, score: str = "log", metric: str = "val_bpb", walls: Walls = WALLS) -> Result:
    ending = PhaseEnding(by=EndedBy.ITSELF, code=code)
    text, chosen = read_tail(log.encode()), settings(score, metric)
    failure = attempt_end.failure_of(ending, text=text, task=chosen.task, train_seconds=20, walls=walls)
    return failure or attempt_end.log_scored(text, task=chosen.task, walls=walls)


NODE = """\
node:fs:573
  return binding.open(
                 ^

Error: EROFS: read-only file system, open 'journal.json'
    at Object.openSync (node:fs:573:18)
    at Object.writeFileSync (node:fs:2364:35) {
  errno: -30,
  code: 'EROFS',
  syscall: 'open',
  path: 'journal.json'
}

Node.js v22.12.0
"""
NODE_FETCH = """\
node:internal/deps/undici/undici:13392
      Error.captureStackTrace(err);
            ^

TypeError: fetch failed
    at node:internal/deps/undici/undici:13392:13
    at async file:///task/net.mjs:1:1 {
  [cause]: Error: getaddrinfo EAI_AGAIN example.org
      at GetAddrInfoReqWrap.onlookupall [as oncomplete] (node:dns:122:26) {
    errno: -3001,
    code: 'EAI_AGAIN',
    syscall: 'getaddrinfo',
    hostname: 'example.org'
  }
}

Node.js v22.12.0
"""
NODE_SPAWN = """\
node:events:497
      throw er; // Unhandled 'error' event
      ^

Error: spawn uv ENOENT
    at ChildProcess._handle.onexit (node:internal/child_process:285:19)
Emitted 'error' event on ChildProcess instance at:
    at ChildProcess._handle.onexit (node:internal/child_process:291:12) {
  errno: -2,
  code: 'ENOENT',
  syscall: 'spawn uv',
}

Node.js v22.12.0
"""
GO = """\
panic: open journal.json: read-only file system

goroutine 1 [running]:
main.main()
\t/task/ro.go:3 +0x85
"""
RUST = """\
thread 'main' panicked at ro.rs:1:56:
called `Result::unwrap()` on an `Err` value: Os { code: 30, kind: ReadOnlyFilesystem, message: "Read-only file system" }
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
"""
JAVA = """\
Exception in thread "main" java.io.FileNotFoundException: journal.json (Read-only file system)
\tat java.base/java.io.FileOutputStream.open0(Native Method)
\tat Ro.main(Ro.java:1)
"""
GO_NETWORK = (
    '2026/11/29 11:51:24 Get "https://x": dial tcp: lookup x on 127.0.0.1:53: read udp 127.0.0.1:3->127.0.0.1:53: '
    "read: connection refused\n"
)
R = """\
Error in file(con, "w") : cannot open the connection
Calls: writeLines -> file
In addition: Warning message:
In file(con, "w") :
  cannot open file 'x': Read-only file system
Execution halted
"""
CHAINED = (
    traceback("socket.gaierror: [Errno -3] Temporary failure in name resolution")
    + "\nThe above exception was the direct cause of the following exception:\n\n"
    + traceback("hub.LocalEntryNotFoundError: cannot find the requested files in the local cache")
)


@pytest.mark.parametrize(
    ("code", "log", "words", "advice"),
    [
        (1, traceback("OSError: [Errno 30] Read-only file system: 'journal.json'"), "OSError: [Errno 30]", WRITE),
        (1, NODE, "Error: EROFS: read-only file system, open 'journal.json'", WRITE),
        (2, "sh: 1: cannot create x: Read-only file system\n", "sh: 1: cannot create x: Read-only", WRITE),
        (2, GO, "panic: open journal.json: read-only file system", WRITE),
        (101, RUST, "called `Result::unwrap()` on an `Err` value: Os { code: 30", WRITE),
        (1, JAVA, 'Exception in thread "main" java.io.FileNotFoundException: journal.json', WRITE),
        (30, "cannot open: Read-only file system at ro.pl line 1.\n", "cannot open: Read-only file", WRITE),
        (1, R, "", WRITE),
        (1, traceback("PermissionError: [Errno 13] Permission denied: '/data/x'"), "PermissionError: [Errno", WRITE),
        (1, "touch: cannot touch 'x': Operation not permitted\n", "touch: cannot touch 'x'", WRITE),
        (1, traceback("urllib.error.URLError: <urlopen error [Errno -3] Try again>"), "urllib.error.URL", NETWORK),
        (1, traceback("OSError: [Errno 101] Network is unreachable"), "OSError: [Errno 101]", NETWORK),
        (1, CHAINED, "hub.LocalEntryNotFoundError: cannot find", NETWORK),
        (1, NODE_FETCH, "TypeError: fetch failed", NETWORK),
        (1, GO_NETWORK, "2026/11/29 11:51:24 Get", NETWORK),
        (6, "curl: (6) Could not resolve host: example.org\n", "curl: (6) Could not resolve", NETWORK),
        (1, "nc: bad address 'example.org'\n", "nc: bad address", NETWORK),
        (127, "sh: 1: exec: uv: not found\n", "sh: 1: exec: uv: not found", "PROGRAMS"),
        (127, "sh: 1: exec: /home/me/venv/bin/python: not found\n", "sh: 1: exec: /home/me", "PROGRAMS"),
        (127, "bash: line 1: uv: command not found\n", "bash: line 1: uv: command", "PROGRAMS"),
        (127, "/usr/bin/env: 'node': No such file or directory\n", "/usr/bin/env: 'node'", "PROGRAMS"),
        (2, "make: uv: No such file or directory\nmake: *** [all] Error 127\n", "make: *** [all] Error", "PROGRAMS"),
        (1, NODE_SPAWN, "Error: spawn uv ENOENT", "PROGRAMS"),
        (1, '2026/11/29 exec: "uv": executable file not found in $PATH\n', "2026/11/29 exec", "PROGRAMS"),
        (126, "sh: 1: ./train.sh: Permission denied\n", "sh: 1: ./train.sh: Permission", EXECUTABLE),
        (1, traceback("ModuleNotFoundError: No module named 'sklearn'"), "ModuleNotFoundError: No", "PACKAGES"),
        (1, "/usr/bin/python: No module named sklearn\n", "/usr/bin/python: No module", "PACKAGES"),
        (1, traceback("RuntimeError: can't start new thread"), "can't start new thread", "PROCESSES"),
        (2, "sh: 1: Cannot fork\n", "sh: 1: Cannot fork", "PROCESSES"),
        (2, "fork/exec /bin/x: resource temporarily unavailable\n", "fork/exec /bin/x", "PROCESSES"),
        (1, "dd: error writing '/tmp/x': No space left on device\n9 bytes copied\n", "dd: error writing", SPACE),
        (1, traceback("OSError: [Errno 28] No space left on device"), "OSError: [Errno 28]", SPACE),
        (1, traceback("FileNotFoundError: [Errno 2] No such file or directory: '/home/x'"), "FileNotFound", HIDDEN),
        (1, "cat: /home/me/x: No such file or directory\n", "cat: /home/me/x", HIDDEN),
        (135, "", "", "/dev/shm, which it may have filled, holds SHARED"),
        (153, "", "", "a file may have 2 GB (executor.limits.artifact_gb)"),
    ],
)
def test_failure_at_a_wall_says_what_ended_it_what_the_program_said_and_what_to_do(
    code: int, log: str, words: str, advice: str
) -> None:
    result = ended(code, log)

    assert result.outcome is Outcome.CRASHED
    assert result.reason.startswith(f"train ended with {exit_of(code)}")
    assert words in result.reason
    assert result.reason.endswith(f"; {advice}")


@pytest.mark.parametrize("start", ["_fork_exec(", "self.pid = os.fork()", "self._execute_child(args"])
def test_error_of_starting_a_program_is_told_from_one_about_a_file(start: str) -> None:
    missing = "FileNotFoundError: [Errno 2] No such file or directory: 'uv'"
    many = "BlockingIOError: [Errno 11] Resource temporarily unavailable"

    assert ended(1, traceback(f"    {start}", missing)).reason.endswith("PROGRAMS")
    assert ended(1, traceback(f"    {start}", many)).reason.endswith("PROCESSES")
    assert ended(1, traceback("    open('uv')", missing)).reason.endswith(missing)
    assert ended(1, traceback("    flock(file)", many)).reason.endswith(many)


@pytest.mark.parametrize(
    "log",
    [
        "warning: Temporary failure in name resolution, using the cache\n" + traceback("KeyError: 'x'"),
        traceback("PermissionError: [Errno 13] Permission denied") + "step 1\n" * 80 + "too slow: 130 s of 120 s\n",
        traceback("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"),
        traceback("OSError: [Errno 9] Bad file descriptor"),
        traceback("ValueError: key not found: HEAD_DIM"),
        "the read write ratio is 30\n",
        "cat: /data/train/x: No such file or directory\n",
    ],
)
def test_nothing_is_blamed_on_a_wall_without_a_sign_in_the_last_words(log: str) -> None:
    assert ";" not in ended(1, log).reason


def test_walls_that_are_not_there_are_not_blamed() -> None:
    for log in (NODE, NODE_FETCH, "touch: cannot touch 'x': Permission denied\n"):
        assert ";" not in ended(1, log, walls=OPEN).reason


@pytest.mark.parametrize(
    ("code", "said"),
    [(1, "exit code 1"), (134, "signal 6 (aborted)"), (139, "signal 11 (segmentation fault)"), (255, "exit code 255")],
)
def test_score_of_a_program_that_fails_is_told_with_how_it_ended(code: int, said: str) -> None:
    for last in ("", "Aborted (core dumped)\n"):
        assert ended(code, f"---\nval_bpb: 1.0\npeak_vram_mb: 3\n{last}").reason == (
            f"train printed val_bpb 1.0 and then ended with {said}; exit code 0 is needed for a score"
        )


def test_score_and_exception_and_remedy_are_all_told() -> None:
    frozen_tests = "CYCLES:  147734\nF\n" + traceback("    assert cycles() < 147734", "AssertionError")
    wrote = "---\nval_bpb: 1.0\n" + traceback("OSError: [Errno 30] Read-only file system: 'x'")

    assert ended(1, frozen_tests + "\nRan 1 test in 19 s\n\nFAILED (failures=1)\n", metric="CYCLES").reason == (
        "train printed CYCLES 147734 and then ended with exit code 1: AssertionError: assert cycles() < 147734; "
        "exit code 0 is needed for a score"
    )
    assert ended(1, wrote).reason == (
        "train printed val_bpb 1.0 and then ended with exit code 1: OSError: [Errno 30] Read-only file system: 'x'; "
        f"{WRITE}; exit code 0 is needed for a score"
    )


def test_abort_of_a_containers_first_process_reads_as_a_fault_and_is_told_as_perhaps_one() -> None:
    def faulted(*, first: bool) -> str:
        ending = PhaseEnding(by=EndedBy.ITSELF, code=139, first=first)
        failure = attempt_end.failure_of(ending, text="", task=settings().task, train_seconds=20, walls=WALLS)
        return failure.reason if failure else ""

    assert faulted(first=False) == "train ended with signal 11 (segmentation fault) and printed nothing"
    assert "signal 11 (segmentation fault), which is also how an abort ends in a container" in faulted(first=True)


def test_kill_without_a_reason_is_most_likely_for_memory() -> None:
    assert ended(137, "step 1\n").reason == (
        "train ended with signal 9 (killed): step 1; most likely out of memory (limit 8 GB)"
    )


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (traceback("MemoryError"), ""),
        (traceback("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7 PiB"), ": numpy._core._"),
        ("terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n", ": what()"),
        ("fatal error: runtime: out of memory\n\ngoroutine 1 [running]:\nmain.main()\n", ": fatal error: runtime"),
    ],
)
def test_out_of_memory_has_one_sentence_whoever_noticed(log: str, told: str) -> None:
    killed = PhaseEnding(by=EndedBy.MEMORY)
    noticed = attempt_end.failure_of(killed, text="", task=settings().task, train_seconds=20, walls=WALLS)

    assert noticed is not None
    assert noticed.reason == "out of memory in train (limit 8 GB)"
    assert ended(1, log).reason.startswith(noticed.reason + told)


def test_deadline_tells_a_score_that_was_printed_before() -> None:
    late = PhaseEnding(by=EndedBy.DEADLINE, seconds=40.2)
    result = attempt_end.failure_of(
        late, text="---\nval_bpb: 1.0\n", task=settings().task, train_seconds=20, walls=WALLS
    )

    assert result == Result(
        outcome=Outcome.TIMED_OUT,
        reason="train was still running after 40 s and was killed at its deadline, though it had printed val_bpb 1.0",
    )


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("step 1\nstep 2\n", ""),
        (
            traceback("RuntimeError: can't start new thread"),
            ", after it had printed 'can't start new thread'; " + WALLS.processes,
        ),
        (traceback("ValueError: no batch left"), ", after it had printed 'no batch left'"),
    ],
)
def test_deadline_tells_the_error_after_which_a_program_did_not_end(log: str, told: str) -> None:
    late = PhaseEnding(by=EndedBy.DEADLINE, seconds=10.0)

    result = attempt_end.failure_of(late, text=log, task=settings().task, train_seconds=5, walls=WALLS)

    assert result is not None
    assert result.reason == f"train was still running after 10 s and was killed at its deadline{told}"


GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "train.py", line 9, in <module>
  | ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)
  +-+---------------- 1 ----------------
"""


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        pytest.param(
            "    | Traceback (most recent call last):\n"
            '    |   File "train.py", line 3, in f\n'
            "    | OSError: [Errno 30] Read-only file system: '/x'\n",
            "OSError: [Errno 30] Read-only file system: '/x'",
            id="exceptions that were raised",
        ),
        pytest.param(
            "    | ValueError: a\n    +---------------- 2 ----------------\n    | KeyError: 'b'\n",
            "ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)",
            id="exceptions that never were",
        ),
    ],
)
def test_last_words_of_a_group_of_exceptions_are_not_its_frame(rest: str, words: str) -> None:
    assert last_words(f"begin\n{GROUP}{rest}    +------------------------------------\n") == words


def test_supervisors_codes_mean_something_in_an_exam_alone() -> None:
    empty = "supervise: the artifact is empty: train.py saved nothing to AUTORESEARCH_ARTIFACT"
    handled = traceback("KeyError: 'caught'")

    assert ended(124, "", score="exam").outcome is Outcome.TIMED_OUT
    assert ended(124, "").reason == "train ended with exit code 124 and printed nothing"
    assert ended(3, f"{handled}{empty}\n", score="exam").reason == empty.removeprefix("supervise: ")
    assert ended(3, f"{empty}\n").reason == f"train ended with exit code 3: {empty.removeprefix('supervise: ')}"
    missing = ended(2, "supervise: [Errno 2] No such file or directory: 'uv'\n", score="exam").reason
    assert missing == "train ended with exit code 2: [Errno 2] No such file or directory: 'uv'; PROGRAMS"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("", "train printed nothing, and val_bpb is looked for in what it prints"),
        (
            "val_bpb: 1.0\n---\n",
            "train printed no val_bpb after a line ---: found 'val_bpb: 1.0', but not after the last line ---",
        ),
        ("done\n", "train printed no val_bpb; its log ends with 'done'"),
        (
            "loss: 0.5\navg score = 3\n",
            "train printed no val_bpb: there are numbers behind loss, avg score; "
            "set task.metric to the one that is the score; its log ends with 'avg score = 3'",
        ),
        (
            traceback("ModuleNotFoundError: No module named 'x'"),
            "train printed no val_bpb; its log ends with 'ModuleNotFoundError: No module named 'x''; PACKAGES",
        ),
    ],
)
def test_log_without_a_score_tells_what_it_holds_instead(log: str, reason: str) -> None:
    assert ended(0, log).reason == reason


def test_exam_without_a_score_is_explained_by_the_kernel_where_memory_was_the_cause() -> None:
    def examined(starved: str) -> Result:
        return attempt_end.examined(
            None, "", attempt="t-e1", task=TaskSettings(), provenance=Provenance.SEALED, starved=starved
        )

    assert examined("").outcome is Outcome.REJECTED
    assert (examined("candidate").outcome, examined("candidate").reason) == (
        Outcome.CRASHED,
        "out of memory in candidate",
    )


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (traceback("ValueError: HEAD_DIM must divide"), "HEAD_DIM must divide"),
        (traceback("KeyError: 'x'", "", "trailing"), "KeyError: 'x'"),
        (traceback("    raise AssertionError", "AssertionError"), "AssertionError: raise AssertionError"),
        (2 * traceback("OSError: 2") + "last", "OSError: 2"),
        ("[rank0]: " + traceback("ValueError: x").replace("\n", "\n[rank0]: "), "x"),
        ("loss is NaN\n\n", "loss is NaN"),
        ("---\nval_bpb: 1.0\nmfu_percent: 39\n", ""),
        ("eval val_bpb = 0.9\n", ""),
        ("\x1b[31mred\x1b[0m\x00", "red"),
        ("", ""),
    ],
)
def test_last_words_are_the_line_that_helps(log: str, words: str) -> None:
    assert last_words(read_tail(log.encode()), "val_bpb") == words


@given(st.integers(0, 255), st.text(max_size=400), st.sampled_from(["", NODE, GO, RUST, CHAINED, "---\nval_bpb: 1\n"]))
def test_any_log_gives_one_short_line(code: int, noise: str, log: str) -> None:
    result = ended(code, noise + log)

    assert "\n" not in result.reason
    assert len(result.reason) < 3 * WORDS + 300
    assert (result.outcome is Outcome.SCORED) == (result.score is not None)
    assert result.score is None or code == 0
