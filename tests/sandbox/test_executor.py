"""The local executor with real sandboxes and real processes: what becomes of a try, whatever its code does."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from controller.domain import Calm, LostTo, Outcome, Provenance
from controller.errors import DataError, SandboxError
from controller.executor.disturbance import QUIET
from controller.executor.local import LocalExecutor, disk_watch
from controller.executor.local.cgroups import Limits
from controller.executor.local.find_cgroups import find_cgroups
from controller.executor.local.surroundings import usable_cores
from controller.executor.local.try_folder import TryFolder
from controller.ports import Executor
from tests.support.local_task import (
    TaskFolders,
    cgroups_of,
    make_folders,
    make_request,
    make_settings,
    processes_with,
    run_one,
    running,
)
from tests.support.needs import SANDBOX, give_up, need_mounts
from tests.support.waiting import PATIENCE_S, wait_until

LOG_SCORED = ("task.score=log", f"deadlines.log_scored={PATIENCE_S}")
SANDBOXES = pytest.mark.parametrize("sandbox", ["executor.sandbox=bubblewrap", "executor.sandbox=none"])
FOREVER = """
    import os, time
    print("began", flush=True)
    time.sleep(3600)
"""


@pytest.fixture
def folders(tmp_path: Path) -> TaskFolders:
    return make_folders(tmp_path)


def examine_says(folders: TaskFolders, lines: str) -> None:
    """An examiner that runs `lines` with `report`, `log` and `message` at hand, and needs no candidate."""
    folders.write(
        "exam/examine.py",
        f"""
        import json, os
        from pathlib import Path
        report = {{"attempt": os.environ["AUTORESEARCH_ATTEMPT"], "verdict": "scored", "val_bpb": 1.25}}
        def line(**changes): return "@@RESULT v1 " + json.dumps(report | changes)
        def message(text): Path(os.environ["AUTORESEARCH_RESULT"]).write_text(text)
        {lines}
        """,
    )


def enough_seconds(folders: TaskFolders) -> float:
    """A deadline before which a phase surely begins on this machine, however busy it is; idle, about three seconds."""
    return 10 * run_one(folders, make_request("print('began')", experiment=99), *LOG_SCORED).seconds


@SANDBOXES
def test_try_is_trained_examined_and_scored(folders: TaskFolders, sandbox: str) -> None:
    request = replace(make_request(), reserve=0)

    result = run_one(folders, request, sandbox)

    assert result.outcome is Outcome.SCORED
    assert result.reason == ""
    assert result.score
    assert result.score.value == 1.5
    assert result.exam
    assert result.exam.freshness == 0.0
    assert result.exam.flag is None
    assert set(result.phase_seconds) == {"train", "examine"}
    assert result.seconds >= sum(result.phase_seconds.values())
    assert result.summary == {"val_bpb": 1.5, "num_steps": 7.0}
    assert result.node == socket.gethostname()
    assert "num_steps:        7" in result.log_tail


@pytest.mark.parametrize(
    ("sandbox", "provenance"), [("bubblewrap", Provenance.SEALED), ("none", Provenance.UNSEALED)], ids=str
)
def test_exam_without_a_sandbox_is_unsealed(folders: TaskFolders, sandbox: str, provenance: Provenance) -> None:
    result = run_one(folders, make_request(), f"executor.sandbox={sandbox}")

    assert result.score
    assert result.score.provenance is provenance


def test_candidate_is_started_again_in_a_fresh_sandbox_as_its_first_process(folders: TaskFolders) -> None:
    request = make_request()

    run_one(folders, request)

    # A further start may be under way when the exam is over, and is ended.
    assert folders.logs(request)["candidate"].splitlines()[:3] == ["process 1 fresh True"] * 3


def test_candidate_is_started_four_times_at_most(folders: TaskFolders) -> None:
    folders.write(
        "exam/candidate.py",
        """
        import os, socket, time
        print("started", flush=True)
        control = socket.socket(socket.AF_UNIX)
        while control.connect_ex(os.environ["AUTORESEARCH_SOCKET"] + "/exam.sock"):
            time.sleep(0.005)
        """,
    )
    # Four are waited for, and a fifth has a second in which to come.
    hears = "hears = socket.socket(socket.AF_UNIX); hears.bind(os.environ['AUTORESEARCH_SOCKET'] + '/exam.sock')"
    waits = "hears.listen(); [hears.accept() for _ in range(4)]; time.sleep(1)"
    examine_says(folders, f"import socket, time; {hears}; {waits}; message(line()); print(line())")
    request = make_request()

    run_one(folders, request)

    assert folders.logs(request)["candidate"].splitlines() == ["started"] * 4


@SANDBOXES
def test_edited_file_runs_in_training_and_is_not_there_in_the_exam(folders: TaskFolders, sandbox: str) -> None:
    examine_says(
        folders, "print(os.path.exists('train.py'), os.path.exists('prepare.py')); message(line()); print(line())"
    )
    request = make_request("import os, prepare\nprint('edited', prepare.FIXED)" + PASSES)

    result = run_one(folders, request, sandbox)

    assert result.outcome is Outcome.SCORED
    assert folders.logs(request)["train"].splitlines()[0] == "edited 1"
    assert folders.logs(request)["examine"].splitlines()[0] == "False True"


PASSES = "\nopen(os.environ['AUTORESEARCH_ARTIFACT'] + '/score', 'w').write('1.5')\n"


@SANDBOXES
def test_each_phase_is_shown_its_own_data_and_no_more(folders: TaskFolders, sandbox: str) -> None:
    look = "print(sorted(str(p.relative_to(root)) for p in Path(root).rglob('*') if p.is_file() or p.is_symlink()))"
    shown = f"import os; from pathlib import Path; root = os.environ['AUTORESEARCH_DATA']; {look}\n"
    examine_says(folders, f"root = os.environ['AUTORESEARCH_DATA']; {look}; message(line()); print(line())")
    request = replace(make_request(shown + PASSES), reserve=0)
    for_a_claim = replace(make_request(shown + PASSES, experiment=3), holdout=True)

    run_one(folders, request, sandbox)
    run_one(folders, for_a_claim, sandbox)

    if sandbox.endswith("bubblewrap"):
        logs = folders.logs(request)
        assert logs["train"].splitlines()[0] == "['tokenizer/content', 'train/content']"
        hidden_from_agents = ["manifest.json", "probe/answers/content", "probe/questions/content"]
        further = ["tokenizer/content", "validation/content"]
        assert logs["examine"].splitlines()[0] == str([*hidden_from_agents, "reserve/content", *further])
        claimed = folders.logs(for_a_claim)["examine"].splitlines()[0]
        assert claimed == str(["holdout/content", *hidden_from_agents, *further])
    else:
        names = "sorted(os.listdir(os.environ['AUTORESEARCH_DATA']))"
        again = make_request(f"import os; print({names})" + PASSES, experiment=2)
        run_one(folders, again, sandbox)
        assert folders.logs(again)["train"].splitlines()[0] == "['tokenizer', 'train']"


def test_environment_holds_what_the_phase_needs_and_nothing_of_ours(
    folders: TaskFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    request = make_request("import os; print(sorted(os.environ))" + PASSES)

    run_one(folders, request)

    shell = {"PWD", "LC_CTYPE", "SHLVL", "_", "OLDPWD"}
    assert set(eval(folders.logs(request)["train"].splitlines()[0])) - shell == {
        *("AUTORESEARCH_SEED", "AUTORESEARCH_TRAIN_SECONDS", "AUTORESEARCH_DATA", "AUTORESEARCH_ARTIFACT"),
        *("AUTORESEARCH_ARTIFACT_BYTES", "AUTORESEARCH_ARTIFACT_FILES", "PATH", "HOME", "PYTHONUNBUFFERED"),
    }


@SANDBOXES
@pytest.mark.parametrize(
    ("train", "reason"),
    [
        pytest.param(
            "assert 7 % 2 == 0, 'HEAD_DIM: hidden size must divide by heads'",
            "train ended with exit code 1: HEAD_DIM: hidden size must divide by heads",
            id="exception",
        ),
        pytest.param(
            "{}['DEPTH']", "train ended with exit code 1: KeyError: 'DEPTH'", id="exception whose name matters"
        ),
        pytest.param("def broken(:", "train ended with exit code 1: SyntaxError: invalid syntax", id="syntax error"),
        pytest.param(
            "raise SystemExit('loss is NaN at step 3')",
            "train ended with exit code 1: loss is NaN at step 3",
            id="exit with a message",
        ),
        pytest.param("raise SystemExit(7)", "train ended with exit code 7 and printed nothing", id="silent exit"),
        pytest.param(
            "import os; os.kill(os.getpid(), 11)",
            "train ended with signal 11 (segmentation fault) and printed nothing",
            id="segfault",
        ),
        pytest.param(
            "pass", "the artifact is empty: train.py saved nothing to AUTORESEARCH_ARTIFACT", id="no artifact"
        ),
    ],
)
def test_crash_gives_its_reason_in_one_sentence(folders: TaskFolders, sandbox: str, train: str, reason: str) -> None:
    result = run_one(folders, make_request(train), sandbox)

    assert (result.outcome, result.reason) == (Outcome.CRASHED, reason)


@SANDBOXES
def test_abort_after_a_good_summary_is_told_with_signal_and_score(folders: TaskFolders, sandbox: str) -> None:
    aborts = "import os\nprint('---\\nval_bpb: 1.0', flush=True)\nos.abort()"

    result = run_one(folders, make_request(aborts), sandbox, *LOG_SCORED)

    assert (result.outcome, result.score) == (Outcome.CRASHED, None)
    assert result.reason == (
        "train printed val_bpb 1.0 and then ended with signal 6 (aborted); exit code 0 is needed for a score"
    )


@pytest.mark.parametrize(
    ("train", "advice"),
    [
        pytest.param("open('/data/x', 'w')", "only $AUTORESEARCH_ARTIFACT, /tmp and the task folder, of", id="data"),
        pytest.param(
            "import urllib.request as u; u.urlopen('http://example.org')", "there is no network inside", id="network"
        ),
        pytest.param("import socket; socket.create_connection(('192.0.2.1', 80))", "there is no network", id="route"),
        pytest.param("import nosuchmodule", f"only packages of {sys.executable} can be imported", id="module"),
        pytest.param(
            "import subprocess; subprocess.run(['uv'])", "the sandbox shows the programs in /usr", id="program"
        ),
        pytest.param("import os; os.execvp('sh', ['sh', '-c', 'uv run'])", "the sandbox shows the programs", id="sh"),
        pytest.param("open('/home/nobody/x')", "only the task folder and the data folder can be seen", id="elsewhere"),
    ],
)
def test_wall_of_the_sandbox_is_named_with_what_to_do(folders: TaskFolders, train: str, advice: str) -> None:
    result = run_one(folders, make_request(train), *LOG_SCORED)

    assert result.outcome is Outcome.CRASHED
    assert re.match(r"train ended with exit code (1|127): \S", result.reason)
    assert f"; {advice}" in result.reason


def test_supervisor_that_reports_an_overrun_means_timed_out(folders: TaskFolders) -> None:
    folders.write("exam/supervise.py", "raise SystemExit(124)")

    result = run_one(folders, make_request(), "budget.train_seconds=5")

    assert result.outcome is Outcome.TIMED_OUT
    assert result.reason == "train overran its budget of 5 s and left no usable artifact"


@SANDBOXES
def test_deadline_kills_a_loop_that_ignores_term(folders: TaskFolders, sandbox: str) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf')\nwhile True: time.sleep(1)"

    result = run_one(
        folders, make_request(deaf), sandbox, "task.score=log", f"deadlines.log_scored={enough_seconds(folders)}"
    )

    assert result.outcome is Outcome.TIMED_OUT
    assert re.fullmatch(r"train was still running after \d+ s and was killed at its deadline", result.reason)
    assert result.log_tail == "deaf\n"
    assert result.seconds < PATIENCE_S


def test_what_the_candidate_prints_reaches_no_result(folders: TaskFolders) -> None:
    folders.write("exam/candidate.py", "print('SECRET-validation')")
    examine_says(folders, "message(line()); print(line())")

    result = run_one(folders, make_request())

    assert "SECRET" not in repr(result)


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        pytest.param("print(line())", "the examiner left no result", id="no message"),
        pytest.param(
            "message(line(val_bpb=1.0)); print(line())",
            "the examiner's log and its termination message disagree",
            id="disagreement",
        ),
        pytest.param(
            "print(line()); print(line()); message(line())", "the examiner's log holds more than one result", id="twice"
        ),
        pytest.param(
            "text = line(attempt='t-e0009-a1-t1'); message(text); print(text)",
            "the examiner's result belongs to another attempt (t-e0009-a1-t1)",
            id="another attempt",
        ),
        pytest.param(
            "text = line(verdict='rejected', test='inflation', explanation='looks ahead'); message(text); print(text)",
            "looks ahead",
            id="failed exam",
        ),
    ],
)
def test_doubtful_or_failed_exam_rejects(folders: TaskFolders, says: str, reason: str) -> None:
    examine_says(folders, says)

    result = run_one(folders, make_request())

    assert (result.outcome, result.reason) == (Outcome.REJECTED, reason)
    assert result.score is None


def test_unreadable_log_of_the_examiner_is_flagged_and_the_message_stands(folders: TaskFolders) -> None:
    examine_says(folders, "message(line())")

    result = run_one(folders, make_request())

    assert result.outcome is Outcome.SCORED
    assert result.exam
    assert result.exam.flag == "the examiner's log could not be read"


def test_examiner_that_fails_by_itself_loses_the_try_and_blames_nobody(folders: TaskFolders) -> None:
    examine_says(folders, "raise SystemExit('examine: manifest.json does not vouch for holdout')")

    result = run_one(folders, make_request())

    assert result.outcome is Outcome.LOST
    said = "examine itself failed with exit code 1: examine: manifest.json does not vouch for holdout"
    assert result.reason == said
    assert not result.interrupted


def test_examiner_past_its_deadline_loses_the_try(folders: TaskFolders) -> None:
    examine_says(folders, "import time; time.sleep(3600)")

    result = run_one(folders, make_request(), "deadlines.examine=1")

    assert result.outcome is Outcome.LOST
    assert re.fullmatch(r"examine was still running after \d+ s and was killed at its deadline", result.reason)


@pytest.mark.parametrize(
    ("printed", "outcome", "value"),
    [
        pytest.param(
            "step 1\rstep 2\n---\nval_bpb:          0.997900\n", Outcome.SCORED, 0.9979, id="upstream's block"
        ),
        pytest.param("---\nval_bpb: 2.0\n---\nval_bpb: 0.9\nval_bpb: 0.8\n", Outcome.SCORED, 0.8, id="the last one"),
        pytest.param("val_bpb: 0.5\n---\ntraining_seconds: 3\n", Outcome.CRASHED, None, id="before the rule"),
        pytest.param("---\nval_bpb: nan\n", Outcome.CRASHED, None, id="no number"),
    ],
)
def test_log_scored_task_is_read_from_its_log_and_marked(
    folders: TaskFolders, printed: str, outcome: Outcome, value: float | None
) -> None:
    result = run_one(folders, make_request(f"print({printed!r}, end='')"), *LOG_SCORED)

    assert result.outcome is outcome
    assert result.score == (None if value is None else result.score)
    if value is None:
        assert result.reason.startswith("train printed ")
    else:
        assert result.score
        assert (result.score.value, result.score.provenance) == (value, Provenance.LOG)


@SANDBOXES
def test_training_that_takes_all_memory_is_out_of_memory(folders: TaskFolders, sandbox: str) -> None:
    hungry = "held = []\nwhile True: held.append(bytearray(b'x' * 2**22))"

    result = run_one(folders, make_request(hungry), sandbox, "executor.limits.memory_gb=0.25")

    assert (result.outcome, result.reason) == (Outcome.CRASHED, "out of memory in train (limit 0.25 GB)")


@SANDBOXES
@pytest.mark.parametrize(
    "train",
    [
        pytest.param("while True: open(f'{folder}/part', 'ab').write(b'x' * 2**20)", id="one large file"),
        pytest.param("while True: open(f'{folder}/{next(n)}', 'wb').write(b'x' * 2**20)", id="many files"),
        pytest.param("while True: open(f'{folder}/{next(n)}', 'wb').close()", id="countless empty files"),
        pytest.param("os.chdir(folder)\nwhile True: os.mkdir('deeper'); os.chdir('deeper')", id="endless nesting"),
    ],
)
def test_artifact_past_its_limit_ends_training(folders: TaskFolders, sandbox: str, train: str) -> None:
    preamble = "import itertools, os; folder = os.environ['AUTORESEARCH_ARTIFACT']; n = itertools.count()\n"
    request = make_request(preamble + train)
    limits = ("executor.limits.artifact_gb=0.00390625", "executor.limits.scratch_gb=0.00390625")

    with running(folders, sandbox, *limits) as (executor, ends):
        executor.launch(request)
        result = ends.wait()
        executor.recorded(request.id)

    excess = "passed its limit of 0.00390625 GB (executor.limits.artifact_gb)"
    if "mkdir" in train:
        excess = "has folders that are nested more than 64 deep"
    assert (result.outcome, result.reason) == (Outcome.CRASHED, f"used more disk than it may: artifact {excess}")
    assert not (folders.work / str(request.id) / "artifact").exists()


def test_scratch_space_is_limited(folders: TaskFolders) -> None:
    request = make_request("with open('/tmp/fill', 'wb') as f:\n    while True: f.write(b'x' * 2**20)")

    result = run_one(folders, request, "executor.limits.scratch_gb=0.0625")

    assert result.outcome is Outcome.CRASHED
    assert result.reason == (
        "train ended with exit code 1: OSError: [Errno 28] No space left on device; "
        "/tmp holds 0.0625 GB, the artifact 2 GB (executor.limits)"
    )


def test_endless_log_is_kept_in_its_first_and_last_part(folders: TaskFolders) -> None:
    flood = "print('first line')\nfor _ in range(300): print('x' * 2**20)\nprint('---\\nval_bpb: 1.5')"
    request = make_request(flood)

    result = run_one(folders, request, *LOG_SCORED, "executor.limits.log_mb=1")

    kept = folders.logs(request)["train"]
    assert result.outcome is Outcome.SCORED
    assert kept.startswith("first line\n")
    assert "bytes left out" in kept
    assert len(kept) < 1.1 * 2**20


def test_binary_log_with_terminal_commands_is_made_safe(folders: TaskFolders) -> None:
    binary = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 64 + b'\\x1b[2J\\x1b]0;owned\\x07done\\n')"

    result = run_one(folders, make_request(binary + "\nraise SystemExit(1)"))

    assert result.log_tail.endswith("done\n")
    assert result.log_tail.replace("\n", "").replace("\t", "").isprintable()


@SANDBOXES
def test_grandchild_that_holds_the_output_open_delays_nothing_and_dies(folders: TaskFolders, sandbox: str) -> None:
    token = f"31536000.{uuid4().int}"
    daemon = f"""
        import os, subprocess
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execvp("sleep", ["sleep", "{token}"])
            os._exit(0)
        print("---")
        print("val_bpb: 1.5")
    """

    result = run_one(folders, make_request(daemon), sandbox, *LOG_SCORED)

    assert result.outcome is Outcome.SCORED
    assert result.seconds < PATIENCE_S
    assert processes_with(token) == []


def test_progress_names_phase_start_and_newest_line(folders: TaskFolders) -> None:
    request = make_request("import time\nprint('step 1\\rstep 2', end='', flush=True)\ntime.sleep(3600)")

    with running(folders, "budget.train_seconds=5") as (executor, _):
        began = time.time()
        executor.launch(request)
        wait_until(lambda: any(p.line == "step 2" for p in executor.progress()), what="the newest line")
        (progress,) = executor.progress()

    assert (progress.id, progress.phase) == (request.id, "train")
    assert began <= progress.started_at <= time.time()
    assert progress.phase_seconds == 35


@SANDBOXES
def test_stop_kills_and_reports_each_running_try(folders: TaskFolders, sandbox: str) -> None:
    with running(folders, sandbox, "executor.slots=2") as (executor, ends):
        for experiment in (1, 2):
            executor.launch(make_request(FOREVER, experiment=experiment))
        wait_until(lambda: [p.line for p in executor.progress()] == ["began"] * 2, what="two trainings")
        executor.stop()
        results = [ends.wait(), ends.wait()]

        assert executor.progress() == []
    assert all(r.outcome is Outcome.LOST and r.interrupted for r in results)
    assert {r.reason for r in results} == {"the controller stopped while it ran"}
    assert processes_with(str(folders.work)) == []
    assert cgroups_of(folders) == []


def test_try_of_the_same_name_is_not_started_twice(folders: TaskFolders) -> None:
    request = make_request(FOREVER)

    with running(folders) as (executor, ends):
        executor.launch(request)
        executor.launch(request)

        assert len(executor.progress()) <= 1
        executor.stop()
        assert ends.wait().outcome is Outcome.LOST
        assert ends.arrived.empty()


def test_finished_try_is_adopted_with_its_result(folders: TaskFolders) -> None:
    request = make_request()
    ended = run_one(folders, request)

    with running(folders) as (executor, ends):
        executor.adopt([request])

        assert ends.wait() == ended


def test_try_that_never_began_is_adopted_as_lost_without_cost(folders: TaskFolders) -> None:
    with running(folders) as (executor, ends):
        executor.adopt([make_request()])
        result = ends.wait()

    assert (result.outcome, result.seconds, result.interrupted) == (Outcome.LOST, 0.0, True)


def test_recorded_try_leaves_its_logs_and_nothing_large(folders: TaskFolders) -> None:
    request = make_request()
    with running(folders) as (executor, ends):
        executor.launch(request)
        ends.wait()
        executor.recorded(request.id)

    left = {path.name for path in (folders.work / str(request.id)).iterdir()}
    assert left == {"logs", "started", "result.json"}
    assert set(folders.logs(request)) == {"train", "candidate", "examine"}


def test_campaign_secrets_and_history_inside_the_task_folder_are_not_shown(tmp_path: Path) -> None:
    made = make_folders(tmp_path)
    shutil.move(made.campaign, made.task / "demo")
    inside = TaskFolders(made.task, made.task / "demo")
    for name in (".env", ".git/config", "lab.git/HEAD"):
        inside.write(name, "SECRET")
    request = make_request("import os; print(sorted(os.listdir('.')))" + PASSES)

    result = run_one(inside, request)

    assert result.outcome is Outcome.SCORED
    assert inside.logs(request)["train"].splitlines()[0] == "['exam', 'prepare.py', 'train.py']"


def test_campaign_reached_by_a_link_in_the_task_folder_is_not_shown(folders: TaskFolders) -> None:
    (folders.task / "data").symlink_to(folders.data)
    (folders.task / "all").symlink_to(folders.campaign)
    (folders.task / "broken").symlink_to(folders.task / "nowhere")
    request = make_request("import os; print(sorted(os.listdir('.')))" + PASSES)

    run_one(folders, request)

    assert folders.logs(request)["train"].splitlines()[0] == "['exam', 'prepare.py', 'train.py']"


def test_examiner_that_is_killed_after_its_word_is_believed(folders: TaskFolders) -> None:
    examine_says(folders, "import time; print(line(), flush=True); message(line()); time.sleep(3600)")

    result = run_one(folders, make_request(), f"deadlines.examine={enough_seconds(folders)}")

    assert result.outcome is Outcome.SCORED, result


@pytest.mark.parametrize(
    ("settings", "threads"),
    [
        (("executor.slots=1",), None),
        (("executor.slots=2",), max(1, usable_cores() // 2)),
        (("executor.slots=2", "executor.limits.cpus=1.5"), 2),
    ],
)
def test_libraries_are_told_to_start_as_many_threads_as_the_slot_has_cores(
    folders: TaskFolders, settings: tuple[str, ...], threads: int | None
) -> None:
    request = make_request("import os\nprint(os.environ.get('OMP_NUM_THREADS'))\nprint('---')\nprint('val_bpb: 1')")

    run_one(folders, request, *LOG_SCORED, *settings)

    assert folders.logs(request)["train"].splitlines()[0] == str(threads)


def test_attempt_has_a_witness(folders: TaskFolders) -> None:
    spin = "import time\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass\nprint('---\\nval_bpb: 1')"

    witness = run_one(folders, make_request(spin), *LOG_SCORED).witness

    assert witness is not None
    shares = (witness.waited, witness.throttled, witness.contended, witness.starved, witness.stolen)
    assert any(share is not None for share in shares)
    assert all(share is None or 0 <= share <= 1 for share in shares)


def test_training_beside_a_hog_is_lost_before_its_exam_and_one_that_counts_is_not(folders: TaskFolders) -> None:
    if not cgroups_can_be_made(folders):
        give_up("no cgroup can be made here, so nobody knows whose work is whose", required_by=SANDBOX)
    spin = "import time\nend = time.monotonic() + 3\nwhile time.monotonic() < end: pass\nprint('---\\nval_bpb: 1')"
    enough = enough_seconds(folders)
    # Where the kernel groups by session (autogroup), hogs of one session have together no more than the training has.
    hog = [sys.executable, "-c", "while True: pass"]
    hogs = [subprocess.Popen(hog, start_new_session=True) for _ in range(2 * usable_cores())]
    try:
        lost = run_one(
            folders, replace(make_request(spin), calm=Calm(waited=0.05, taken=0.02), counts=False), *LOG_SCORED
        )
        counts = run_one(folders, make_request(spin, number=2), *LOG_SCORED)
        endless = replace(make_request("while True: pass", number=4), calm=QUIET, late_counts=False)
        late = run_one(folders, endless, *LOG_SCORED, f"deadlines.log_scored={enough}")
    finally:
        for each in hogs:
            each.kill()
            each.wait()
    began = time.monotonic()
    patient = replace(make_request(spin, number=3), calm=Calm(waited=1.0, taken=1.0), patience_s=3600.0)
    waited = run_one(folders, patient, *LOG_SCORED)

    assert time.monotonic() - began < PATIENCE_S, "the hogs had ended, so nothing was left to wait for"
    assert waited.outcome is Outcome.SCORED
    assert (lost.outcome, lost.lost_to, lost.score) == (Outcome.LOST, LostTo.DISTURBED, None)
    assert lost.reason.startswith("other programs took ")
    assert counts.outcome is Outcome.SCORED
    assert (late.outcome, late.lost_to) == (Outcome.LOST, LostTo.DISTURBED), late


@pytest.mark.parametrize("deleted", [False, True])
def test_neighbour_of_a_training_that_fills_the_disk_is_scored(
    folders: TaskFolders, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    need_mounts()
    # On a busy machine the filler may take longer to die than its neighbours bear a full disk.
    monkeypatch.setattr(disk_watch, "_GRACE_S", PATIENCE_S)
    folders.work.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(folders.work)], check=True)
    if deleted and not cgroups_can_be_made(folders):
        give_up("no cgroup can be made here, so whose deleted files fill the disk is not known", required_by=SANDBOX)
    fill = f"""
        import os
        n, held = 0, []
        while True:
            n += 1
            try:
                path = os.environ["AUTORESEARCH_ARTIFACT"] + f"/{{n}}"
                held.append(open(path, "wb", buffering=0))
                if {deleted}: os.unlink(path)
                held[-1].write(bytes(2**24))
            except OSError:
                pass
    """
    wait = """
        import os, time
        while not os.path.exists(os.environ["AUTORESEARCH_ARTIFACT"] + "/over"):
            time.sleep(0.05)
        print("---")
        print("val_bpb: 1.5")
    """
    waiting, filling = make_request(wait, experiment=1), make_request(fill, experiment=2)
    try:
        with running(folders, *LOG_SCORED, "executor.slots=2", "executor.limits.artifact_gb=0.1") as (executor, ends):
            executor.launch(waiting)
            executor.launch(filling)
            ended = [ends.arrived.get(timeout=PATIENCE_S)]
            (folders.work / str(waiting.id) / "artifact" / "over").touch()
            ended.append(ends.arrived.get(timeout=PATIENCE_S))
    finally:
        subprocess.run(["umount", str(folders.work)], check=True)

    assert [(end.id.experiment, end.result.outcome) for end in ended] == [(2, Outcome.CRASHED), (1, Outcome.SCORED)]


def cgroups_can_be_made(folders: TaskFolders) -> bool:
    limits = Limits(memory_bytes=2**30, processes=64, cpus=None, file_bytes=2**30)
    return find_cgroups(folders.work, limits) is not None


def test_full_disk_loses_the_try_and_blames_nobody(folders: TaskFolders) -> None:
    need_mounts()
    folders.work.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=70m", "tmpfs", str(folders.work)], check=True)
    try:
        fill = (
            "open(os.environ['AUTORESEARCH_ARTIFACT'] + '/x', 'wb').write(b'x' * 2**23)\nimport time; time.sleep(3600)"
        )
        result = run_one(folders, make_request(f"import os; {fill}"))
    finally:
        subprocess.run(["umount", str(folders.work)], check=True)

    assert result.outcome is Outcome.LOST
    assert result.reason.startswith("the disk of ")
    assert result.reason.endswith(" is full")


def test_missing_data_is_one_clear_sentence(folders: TaskFolders) -> None:
    shutil.rmtree(folders.data)

    with pytest.raises(DataError, match=r"^no data in .*/data; make it with `autoresearch prepare`$"):
        run_one(folders, make_request())


def test_data_that_every_sandbox_could_read_is_refused(folders: TaskFolders) -> None:
    executor: Executor = LocalExecutor(
        make_settings(), task_folder=folders.task, data_folder=Path(sys.prefix), work_folder=folders.work
    )

    with pytest.raises(SandboxError, match="which every sandbox can read; move it elsewhere"):
        executor.start(lambda _: None)


CONTROLLER = """
    import sys
    from pathlib import Path
    from tests.support.local_task import TaskFolders, make_request, running
    folders = TaskFolders(Path(sys.argv[1]), Path(sys.argv[2]))
    with running(folders, sys.argv[3]) as (executor, ends):
        print("ready", flush=True)
        executor.launch(make_request(sys.argv[4]))
        print(ends.wait().outcome, flush=True)
"""


def start_controller(folders: TaskFolders, sandbox: str, train: str) -> subprocess.Popen[str]:
    arguments = [str(folders.task), str(folders.campaign), sandbox, train]
    controller = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CONTROLLER), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert controller.stdout
    assert controller.stdout.readline() == "ready\n"
    return controller


def kill_hard(controller: subprocess.Popen[str]) -> None:
    controller.kill()
    controller.wait()
    assert controller.stdout
    controller.stdout.close()


@SANDBOXES
def test_controller_killed_hard_leaves_no_process_and_a_bill(folders: TaskFolders, sandbox: str) -> None:
    request = make_request(FOREVER)
    controller = start_controller(folders, sandbox, textwrap.dedent(FOREVER))
    log = folders.work / str(request.id) / "logs" / "train.log"
    wait_until(
        lambda: (
            log.exists()
            and log.stat().st_mtime > TryFolder(log.parent.parent).started.stat().st_mtime + 0.5
            and "began" in log.read_text()
        ),
        what="training",
    )

    kill_hard(controller)

    wait_until(lambda: processes_with(str(folders.work)) == [], what="no process left")
    with running(folders, sandbox) as (executor, ends):
        assert cgroups_of(folders) == []
        executor.adopt([request])
        result = ends.wait()
    assert (result.outcome, result.reason) == (Outcome.LOST, "the controller stopped while it ran")
    assert 0.5 < result.seconds < PATIENCE_S


@SANDBOXES
def test_controller_killed_at_any_moment_leaves_no_process(folders: TaskFolders, sandbox: str) -> None:
    for moment in range(5):
        controller = start_controller(folders, sandbox, textwrap.dedent(FOREVER))
        time.sleep(0.02 * moment)  # The moment of the kill is what varies here; nothing is waited for.
        kill_hard(controller)

        wait_until(lambda: processes_with(str(folders.work)) == [], what=f"no process left in round {moment}")
        with running(folders, sandbox):
            assert cgroups_of(folders) == []
        shutil.rmtree(folders.work)


def test_kernel_without_user_namespaces_is_said_in_one_sentence(folders: TaskFolders) -> None:
    start = f"""
        from pathlib import Path
        from tests.support.local_task import TaskFolders, running
        with running(TaskFolders(Path({str(folders.task)!r}), Path({str(folders.campaign)!r}))):
            pass
    """
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    refused = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "sh",
            "-c",
            forbid,
            "sh",
            sys.executable,
            "-c",
            textwrap.dedent(start),
        ],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
        timeout=PATIENCE_S,
    )

    assert refused.stderr.splitlines()[-1] == (
        "controller.errors.SandboxError: bubblewrap cannot make a sandbox here: the kernel setting "
        "user.max_user_namespaces is 0; `sudo sysctl -w user.max_user_namespaces=15000`, and the same in /etc/sysctl.d "
        "to keep it, "
        "or run with --sandbox none: scores will be marked unsealed"
    )


def test_bubblewrap_is_found_in_its_python_package_where_the_system_has_none(
    folders: TaskFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folders.task))

    result = run_one(folders, make_request())

    assert result.score
    assert result.score.provenance is Provenance.SEALED
