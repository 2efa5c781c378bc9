"""The local executor with real sandboxes and real processes: what becomes of a try, whatever its code does."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from controller.domain import Outcome, Provenance
from controller.errors import DataError, SandboxError
from controller.executor.local import LocalExecutor
from controller.executor.local.folders import TryFolder
from controller.ports import Executor
from tests.local_task import (
    PROBE,
    Place,
    cgroups_of,
    make_place,
    make_request,
    make_settings,
    processes_with,
    run_one,
    running,
    wait_until,
)

LOG_SCORED = ("task.score=log", "deadlines.log_scored=20")
SANDBOXES = pytest.mark.parametrize("sandbox", ["executor.sandbox=bubblewrap", "executor.sandbox=none"])
FOREVER = """
    import os, time
    print("began", flush=True)
    time.sleep(3600)
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


def examine_says(place: Place, lines: str) -> None:
    """An examiner that runs `lines` with `report`, `log` and `message` at hand, and needs no candidate."""
    place.write(
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


@SANDBOXES
def test_try_is_trained_probed_examined_and_scored(place: Place, sandbox: str) -> None:
    request = make_request()

    result = run_one(place, request, sandbox)

    assert result.outcome is Outcome.SCORED
    assert result.reason == ""
    assert result.score
    assert result.score.value == 1.5
    assert result.exam
    assert result.exam.holdout == 1.5
    assert result.exam.flag is None
    assert set(result.phase_seconds) == {"train", "probe", "examine"}
    assert result.seconds >= sum(result.phase_seconds.values())
    assert result.summary == {"val_bpb": 1.5, "num_steps": 7.0}
    assert result.node == socket.gethostname()
    assert "num_steps:        7" in result.log_tail


@pytest.mark.parametrize(
    ("sandbox", "provenance"), [("bubblewrap", Provenance.SEALED), ("none", Provenance.UNSEALED)], ids=str
)
def test_exam_without_a_sandbox_is_unsealed(place: Place, sandbox: str, provenance: Provenance) -> None:
    result = run_one(place, make_request(), f"executor.sandbox={sandbox}")

    assert result.score
    assert result.score.provenance is provenance


def test_candidate_is_started_again_in_a_fresh_sandbox_as_its_first_process(place: Place) -> None:
    request = make_request()

    run_one(place, request)

    # A third start may be under way when the exam is over, and is ended.
    assert place.logs(request)["candidate"].splitlines()[:2] == ["process 1 fresh True"] * 2


def test_candidate_is_started_three_times_at_most(place: Place) -> None:
    place.write("exam/candidate.py", "print('started')")
    examine_says(place, "import time; time.sleep(1.5); message(line()); print(line())")
    request = make_request()

    run_one(place, request)

    assert place.logs(request)["candidate"].splitlines() == ["started"] * 3


@SANDBOXES
def test_edited_file_runs_in_training_and_is_not_there_in_the_exam(place: Place, sandbox: str) -> None:
    examine_says(
        place, "print(os.path.exists('train.py'), os.path.exists('prepare.py')); message(line()); print(line())"
    )
    request = make_request("import os, prepare\nprint('edited', prepare.FIXED)" + PASSES)

    result = run_one(place, request, sandbox)

    assert result.outcome is Outcome.SCORED
    assert place.logs(request)["train"].splitlines()[0] == "edited 1"
    assert place.logs(request)["examine"].splitlines()[0] == "False True"


PASSES = "\nopen(os.environ['AUTORESEARCH_ARTIFACT'] + '/score', 'w').write('1.5')\n"


@SANDBOXES
def test_each_phase_is_shown_its_own_data_and_no_more(place: Place, sandbox: str) -> None:
    look = "print(sorted(str(p.relative_to(root)) for p in Path(root).rglob('*') if p.is_file() or p.is_symlink()))"
    shown = f"import os; from pathlib import Path; root = os.environ['AUTORESEARCH_DATA']; {look}\n"
    place.write("exam/probe.py", shown + textwrap.dedent(PROBE))
    examine_says(place, f"root = os.environ['AUTORESEARCH_DATA']; {look}; message(line()); print(line())")
    request = make_request(shown + PASSES)

    run_one(place, request, sandbox)

    if sandbox.endswith("bubblewrap"):
        logs = place.logs(request)
        assert logs["train"].splitlines()[0] == "['tokenizer/content', 'train/content']"
        assert logs["probe"].splitlines()[0] == "['questions/content']"
        hidden_from_agents = ["holdout/content", "manifest.json", "probe/answers/content", "probe/questions/content"]
        assert logs["examine"].splitlines()[0] == str([*hidden_from_agents, "tokenizer/content", "validation/content"])
    else:
        names = "sorted(os.listdir(os.environ['AUTORESEARCH_DATA']))"
        again = make_request(f"import os; print({names})" + PASSES, experiment=2)
        run_one(place, again, sandbox)
        assert place.logs(again)["train"].splitlines()[0] == "['tokenizer', 'train']"


def test_environment_holds_what_the_phase_needs_and_nothing_of_ours(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    request = make_request("import os; print(sorted(os.environ))" + PASSES)

    run_one(place, request)

    shell = {"PWD", "LC_CTYPE", "SHLVL", "_", "OLDPWD"}
    assert set(eval(place.logs(request)["train"].splitlines()[0])) - shell == {
        *("AUTORESEARCH_SEED", "AUTORESEARCH_TRAIN_SECONDS", "AUTORESEARCH_DATA", "AUTORESEARCH_ARTIFACT"),
        *("AUTORESEARCH_ARTIFACT_BYTES", "PATH", "HOME", "PYTHONUNBUFFERED"),
    }


@SANDBOXES
@pytest.mark.parametrize(
    ("train", "reason"),
    [
        pytest.param(
            "assert 7 % 2 == 0, 'HEAD_DIM: hidden size must divide by heads'",
            "HEAD_DIM: hidden size must divide by heads",
            id="exception",
        ),
        pytest.param("{}['DEPTH']", "KeyError: 'DEPTH'", id="exception whose name matters"),
        pytest.param("def broken(:", "SyntaxError: invalid syntax", id="syntax error"),
        pytest.param("raise SystemExit('loss is NaN at step 3')", "loss is NaN at step 3", id="exit with a message"),
        pytest.param("raise SystemExit(7)", "train ended with exit code 7 and printed nothing", id="silent exit"),
        pytest.param(
            "import os; os.kill(os.getpid(), 11)", "train ended with signal 11 and printed nothing", id="segfault"
        ),
        pytest.param(
            "pass", "the artifact is empty: train.py saved nothing to AUTORESEARCH_ARTIFACT", id="no artifact"
        ),
    ],
)
def test_crash_gives_its_reason_in_one_sentence(place: Place, sandbox: str, train: str, reason: str) -> None:
    result = run_one(place, make_request(train), sandbox)

    assert (result.outcome, result.reason) == (Outcome.CRASHED, reason)


def test_supervisor_that_reports_an_overrun_means_timed_out(place: Place) -> None:
    place.write("exam/supervise.py", "raise SystemExit(124)")

    result = run_one(place, make_request())

    assert result.outcome is Outcome.TIMED_OUT
    assert result.reason == "train overran its budget of 5 s and left no usable artifact"


@SANDBOXES
def test_deadline_kills_a_loop_that_ignores_term(place: Place, sandbox: str) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf')\nwhile True: time.sleep(1)"

    result = run_one(place, make_request(deaf), sandbox, "task.score=log", "deadlines.log_scored=1")

    assert result.outcome is Outcome.TIMED_OUT
    assert re.fullmatch(r"train was still running after \d s and was killed", result.reason)
    assert result.log_tail == "deaf\n"
    assert result.seconds < 10


def test_probe_that_fails_crashes_the_attempt_without_a_word_of_its_log(place: Place) -> None:
    place.write("exam/probe.py", "raise SystemExit('SECRET-questions')")

    result = run_one(place, make_request())

    assert result.outcome is Outcome.CRASHED
    assert result.reason == "probe: the trained model could not be loaded or asked (exit code 1)"
    assert "SECRET" not in repr(result)


def test_what_the_candidate_prints_reaches_no_result(place: Place) -> None:
    place.write("exam/candidate.py", "print('SECRET-validation')")
    examine_says(place, "message(line()); print(line())")

    result = run_one(place, make_request())

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
def test_doubtful_or_failed_exam_rejects(place: Place, says: str, reason: str) -> None:
    examine_says(place, says)

    result = run_one(place, make_request())

    assert (result.outcome, result.reason) == (Outcome.REJECTED, reason)
    assert result.score is None


def test_unreadable_log_of_the_examiner_is_flagged_and_the_message_stands(place: Place) -> None:
    examine_says(place, "message(line())")

    result = run_one(place, make_request())

    assert result.outcome is Outcome.SCORED
    assert result.exam
    assert result.exam.flag == "the examiner's log could not be read"


def test_examiner_that_fails_by_itself_loses_the_try_and_blames_nobody(place: Place) -> None:
    examine_says(place, "raise SystemExit('examine: manifest.json does not vouch for holdout')")

    result = run_one(place, make_request())

    assert result.outcome is Outcome.LOST
    assert "examine: manifest.json does not vouch for holdout" in result.reason
    assert not result.interrupted


def test_examiner_past_its_deadline_loses_the_try(place: Place) -> None:
    examine_says(place, "import time; time.sleep(3600)")

    result = run_one(place, make_request(), "deadlines.examine=1")

    assert result.outcome is Outcome.LOST
    assert re.fullmatch(r"examine was still running after \d s and was killed", result.reason)


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
    place: Place, printed: str, outcome: Outcome, value: float | None
) -> None:
    result = run_one(place, make_request(f"print({printed!r}, end='')"), *LOG_SCORED)

    assert result.outcome is outcome
    assert result.score == (None if value is None else result.score)
    if value is None:
        assert result.reason == "printed no val_bpb after ---"
    else:
        assert result.score
        assert (result.score.value, result.score.provenance) == (value, Provenance.LOG)


@SANDBOXES
def test_training_that_takes_all_memory_is_out_of_memory(place: Place, sandbox: str) -> None:
    hungry = "held = []\nwhile True: held.append(bytearray(b'x' * 2**22))"

    result = run_one(place, make_request(hungry), sandbox, "executor.limits.memory_gb=0.25")

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
def test_artifact_past_its_limit_ends_training(place: Place, sandbox: str, train: str) -> None:
    preamble = "import itertools, os; folder = os.environ['AUTORESEARCH_ARTIFACT']; n = itertools.count()\n"
    request = make_request(preamble + train)
    limits = ("executor.limits.artifact_gb=0.00390625", "executor.limits.scratch_gb=0.00390625")

    with running(place, sandbox, *limits) as (executor, ends):
        executor.launch(request)
        result = ends.wait()
        executor.recorded(request.id)

    assert (result.outcome, result.reason) == (Outcome.CRASHED, "artifact passed its limit of 0.00390625 GB")
    assert not (place.work / str(request.id) / "artifact").exists()


def test_scratch_space_is_limited(place: Place) -> None:
    request = make_request("with open('/tmp/fill', 'wb') as f:\n    while True: f.write(b'x' * 2**20)")

    result = run_one(place, request, "executor.limits.scratch_gb=0.0625")

    assert (result.outcome, result.reason) == (Outcome.CRASHED, "OSError: [Errno 28] No space left on device")


def test_endless_log_is_kept_in_its_first_and_last_part(place: Place) -> None:
    flood = "print('first line')\nfor _ in range(300): print('x' * 2**20)\nprint('---\\nval_bpb: 1.5')"
    request = make_request(flood)

    result = run_one(place, request, *LOG_SCORED, "executor.limits.log_mb=1")

    kept = place.logs(request)["train"]
    assert result.outcome is Outcome.SCORED
    assert kept.startswith("first line\n")
    assert "bytes left out" in kept
    assert len(kept) < 1.1 * 2**20


def test_binary_log_with_terminal_commands_is_made_safe(place: Place) -> None:
    binary = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 64 + b'\\x1b[2J\\x1b]0;owned\\x07done\\n')"

    result = run_one(place, make_request(binary + "\nraise SystemExit(1)"))

    assert result.log_tail.endswith("done\n")
    assert result.log_tail.replace("\n", "").replace("\t", "").isprintable()


@SANDBOXES
def test_grandchild_that_holds_the_output_open_delays_nothing_and_dies(place: Place, sandbox: str) -> None:
    token = f"31536000.{os.getpid()}"
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

    result = run_one(place, make_request(daemon), sandbox, *LOG_SCORED)

    assert result.outcome is Outcome.SCORED
    assert result.seconds < 10
    assert processes_with(token) == []


def test_progress_names_phase_start_and_newest_line(place: Place) -> None:
    request = make_request("import time\nprint('step 1\\rstep 2', end='', flush=True)\ntime.sleep(3600)")

    with running(place) as (executor, _):
        began = time.time()
        executor.launch(request)
        wait_until(lambda: any(p.line == "step 2" for p in executor.progress()), what="the newest line")
        (progress,) = executor.progress()

    assert (progress.id, progress.phase) == (request.id, "train")
    assert began <= progress.started_at <= time.time()
    assert progress.phase_seconds == 35


@SANDBOXES
def test_stop_kills_and_reports_each_running_try(place: Place, sandbox: str) -> None:
    with running(place, sandbox, "executor.slots=2") as (executor, ends):
        for experiment in (1, 2):
            executor.launch(make_request(FOREVER, experiment=experiment))
        wait_until(lambda: [p.line for p in executor.progress()] == ["began"] * 2, what="two trainings")
        executor.stop()
        results = [ends.wait(), ends.wait()]

        assert executor.progress() == []
    assert all(r.outcome is Outcome.LOST and r.interrupted for r in results)
    assert {r.reason for r in results} == {"the controller stopped while it ran"}
    assert processes_with(str(place.work)) == []
    assert cgroups_of(place) == []


def test_try_of_the_same_name_is_not_started_twice(place: Place) -> None:
    request = make_request(FOREVER)

    with running(place) as (executor, ends):
        executor.launch(request)
        executor.launch(request)

        assert len(executor.progress()) <= 1
        executor.stop()
        assert ends.wait().outcome is Outcome.LOST
        assert ends.arrived.empty()


def test_finished_try_is_adopted_with_its_result(place: Place) -> None:
    request = make_request()
    ended = run_one(place, request)

    with running(place) as (executor, ends):
        executor.adopt([request])

        assert ends.wait() == ended


def test_try_that_never_began_is_adopted_as_lost_without_cost(place: Place) -> None:
    with running(place) as (executor, ends):
        executor.adopt([make_request()])
        result = ends.wait()

    assert (result.outcome, result.seconds, result.interrupted) == (Outcome.LOST, 0.0, True)


def test_recorded_try_leaves_its_logs_and_nothing_large(place: Place) -> None:
    request = make_request()
    with running(place) as (executor, ends):
        executor.launch(request)
        ends.wait()
        executor.recorded(request.id)

    left = {path.name for path in (place.work / str(request.id)).iterdir()}
    assert left == {"logs", "started", "result.json"}
    assert set(place.logs(request)) == {"train", "probe", "candidate", "examine"}


def test_campaign_secrets_and_history_inside_the_task_folder_are_not_shown(tmp_path: Path) -> None:
    made = make_place(tmp_path)
    shutil.move(made.campaign, made.task / "demo")
    inside = Place(made.task, made.task / "demo")
    for name in (".env", ".git/config", "lab.git/HEAD"):
        inside.write(name, "SECRET")
    request = make_request("import os; print(sorted(os.listdir('.')))" + PASSES)

    result = run_one(inside, request)

    assert result.outcome is Outcome.SCORED
    assert inside.logs(request)["train"].splitlines()[0] == "['exam', 'prepare.py', 'train.py']"


def test_campaign_reached_by_a_link_in_the_task_folder_is_not_shown(place: Place) -> None:
    (place.task / "data").symlink_to(place.data)
    (place.task / "all").symlink_to(place.campaign)
    (place.task / "broken").symlink_to(place.task / "nowhere")
    request = make_request("import os; print(sorted(os.listdir('.')))" + PASSES)

    run_one(place, request)

    assert place.logs(request)["train"].splitlines()[0] == "['exam', 'prepare.py', 'train.py']"


def test_examiner_that_is_killed_after_its_word_is_believed(place: Place) -> None:
    examine_says(place, "import time; print(line(), flush=True); message(line()); time.sleep(3600)")

    result = run_one(place, make_request(), "deadlines.examine=2")

    assert result.outcome is Outcome.SCORED


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_full_disk_loses_the_try_and_blames_nobody(place: Place) -> None:
    place.work.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=70m", "tmpfs", str(place.work)], check=True)
    try:
        fill = "open(os.environ['AUTORESEARCH_ARTIFACT'] + '/x', 'wb').write(b'x' * 2**23)\nimport time; time.sleep(9)"
        result = run_one(place, make_request(f"import os; {fill}"))
    finally:
        subprocess.run(["umount", str(place.work)], check=True)

    assert result.outcome is Outcome.LOST
    assert result.reason.startswith("the disk of ")
    assert result.reason.endswith(" is full")


def test_missing_data_is_one_clear_sentence(place: Place) -> None:
    shutil.rmtree(place.data)

    with pytest.raises(DataError, match=r"^no data in .*/data; make it with `autoresearch prepare`$"):
        run_one(place, make_request())


def test_data_that_every_sandbox_could_read_is_refused(place: Place) -> None:
    executor: Executor = LocalExecutor(
        make_settings(), task_folder=place.task, data_folder=Path(sys.prefix), work_folder=place.work
    )

    with pytest.raises(SandboxError, match="which every sandbox can read; move it elsewhere"):
        executor.start(lambda _: None)


CONTROLLER = """
    import sys
    from pathlib import Path
    from tests.local_task import Place, make_request, running
    place = Place(Path(sys.argv[1]), Path(sys.argv[2]))
    with running(place, sys.argv[3]) as (executor, ends):
        print("ready", flush=True)
        executor.launch(make_request(sys.argv[4]))
        print(ends.wait().outcome, flush=True)
"""


def start_controller(place: Place, sandbox: str, train: str) -> subprocess.Popen[str]:
    arguments = [str(place.task), str(place.campaign), sandbox, train]
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
def test_controller_killed_hard_leaves_no_process_and_a_bill(place: Place, sandbox: str) -> None:
    request = make_request(FOREVER)
    controller = start_controller(place, sandbox, textwrap.dedent(FOREVER))
    log = place.work / str(request.id) / "logs" / "train.log"
    wait_until(
        lambda: (
            log.exists()
            and log.stat().st_mtime > TryFolder(log.parent.parent).started.stat().st_mtime + 0.5
            and "began" in log.read_text()
        ),
        what="training",
    )

    kill_hard(controller)

    wait_until(lambda: processes_with(str(place.work)) == [], what="no process left")
    with running(place, sandbox) as (executor, ends):
        assert cgroups_of(place) == []
        executor.adopt([request])
        result = ends.wait()
    assert (result.outcome, result.reason) == (Outcome.LOST, "the controller stopped while it ran")
    assert 0.5 < result.seconds < 20


@SANDBOXES
def test_controller_killed_at_any_moment_leaves_no_process(place: Place, sandbox: str) -> None:
    for moment in range(5):
        controller = start_controller(place, sandbox, textwrap.dedent(FOREVER))
        time.sleep(0.02 * moment)  # The moment of the kill is what varies here; nothing is waited for.
        kill_hard(controller)

        wait_until(lambda: processes_with(str(place.work)) == [], what=f"no process left in round {moment}")
        with running(place, sandbox):
            assert cgroups_of(place) == []
        shutil.rmtree(place.work)


def test_kernel_without_user_namespaces_is_said_in_one_sentence(place: Place) -> None:
    start = f"""
        from pathlib import Path
        from tests.local_task import Place, running
        with running(Place(Path({str(place.task)!r}), Path({str(place.campaign)!r}))):
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
        timeout=60,
    )

    assert refused.stderr.splitlines()[-1] == (
        "controller.errors.SandboxError: bubblewrap cannot make user namespaces here (kernel setting); enable them, "
        "or run with --sandbox none: scores will be marked unsealed"
    )


def test_bubblewrap_is_found_in_its_python_package_where_the_system_has_none(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(place.task))

    result = run_one(place, make_request())

    assert result.score
    assert result.score.provenance is Provenance.SEALED
