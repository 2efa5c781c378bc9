"""Other people's folders as they are: they write beside themselves, print as they like, and bring their environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from controller.domain import Outcome
from controller.errors import TaskError
from controller.executor.local.task_copy import TooLarge, copy_task
from controller.executor.log_score import ScoreRule, read_log_score
from controller.executor.score_line import Unsearchable, find_last
from controller.settings import TaskSettings
from tests.support.local_task import TaskFolders, make_folders, make_request, processes_with, run_one, running
from tests.support.requests import try_request
from tests.support.waiting import PATIENCE_S

LOG = ("task.score=log", f"deadlines.log_scored={PATIENCE_S}")
SANDBOXES = pytest.mark.parametrize("sandbox", ["executor.sandbox=bubblewrap", "executor.sandbox=none"])


@pytest.fixture
def folders(tmp_path: Path) -> TaskFolders:
    return make_folders(tmp_path)


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@SANDBOXES
def test_attempt_writes_into_its_folder_and_leaves_no_trace_there(folders: TaskFolders, sandbox: str) -> None:
    folders.write("lib/tool.py", "X = 1")
    folders.write("journal.json", "[]")
    (folders.task / "link").symlink_to("lib")
    before = everything_in(folders.task)
    request = make_request("""
        from pathlib import Path
        Path("journal.json").write_text("[1]")
        Path("train.py").write_text("raise SystemExit(1)")
        Path("lib/tool.py").write_text("X = 2")
        Path("results/deep").mkdir(parents=True)
        Path("results/deep/out").write_text("3")
        Path("prepare.py").unlink()
        from link import tool
        print("val_bpb:", tool.X, Path("journal.json").read_text())
    """)

    result = run_one(folders, request, *LOG, sandbox)

    assert result.score, result.reason
    assert result.score.value == 2.0
    assert everything_in(folders.task) == before
    assert not (folders.work / str(request.id) / "copy").exists()


@SANDBOXES
def test_next_attempt_begins_with_the_folder_as_it_is(folders: TaskFolders, sandbox: str) -> None:
    train = """
        from pathlib import Path
        print("val_bpb:", 1 + len(list(Path().glob("mark*"))))
        Path("mark").write_text("")
    """
    for number in (1, 2):
        score = run_one(folders, make_request(train, number=number), *LOG, sandbox).score
        assert score
        assert score.value == 1.0


def test_copy_is_bounded_while_it_is_written_to(folders: TaskFolders) -> None:
    train = """
        import time
        open("large", "wb").write(bytes(40 << 20))
        time.sleep(3600)
    """
    result = run_one(folders, make_request(train), *LOG, "executor.limits.task_gb=0.02")

    assert result.outcome is Outcome.CRASHED
    assert result.reason == (
        "used more disk than it may: the attempt's copy of the task folder passed its limit of 0.02 GB "
        "(executor.limits.task_gb)"
    )


def test_too_large_a_folder_is_refused_before_anything_runs(folders: TaskFolders) -> None:
    (folders.task / "weights").mkdir()
    (folders.task / "weights" / "w.bin").write_bytes(bytes(3 << 20))

    with (
        pytest.raises(TaskError, match=r"holds more than 0.002 GB, and every attempt gets a copy"),
        running(folders, *LOG, "executor.limits.task_gb=0.002"),
    ):
        pass


@SANDBOXES
def test_mounted_part_of_the_folder_is_read_and_not_copied(folders: TaskFolders, sandbox: str) -> None:
    (folders.task / "weights").mkdir()
    (folders.task / "weights" / "w.bin").write_bytes(bytes(3 << 20))
    train = 'import os; print("val_bpb:", os.path.getsize("weights/w.bin"))'

    result = run_one(
        folders,
        make_request(train),
        *LOG,
        sandbox,
        "executor.limits.task_gb=0.002",
        "task.mounts=[weights]",
        "task.most=1e9",
    )

    assert "printed 'val_bpb: 3145728' last" in result.reason


def test_pipes_sockets_and_unreadable_files_do_not_stop_a_copy(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    os.mkfifo(source / "pipe")
    (source / "file").write_text("x")
    (source / "file").chmod(0o444)
    (source / "dangling").symlink_to("nowhere")

    copy_task([(source, "source")], tmp_path / "copy", most=4096)

    assert (tmp_path / "copy/source/file").stat().st_mode & 0o200
    assert (tmp_path / "copy/source/dangling").is_symlink()
    with pytest.raises(TooLarge):
        copy_task([(source, "source")], tmp_path / "copy", most=0)


# -- environments -----------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(folders: TaskFolders) -> Path:
    """A virtual environment in the task folder, under a name with a dot, that holds a module of its own."""
    place = folders.task / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    [packages] = place.glob("lib/python*/site-packages")
    (packages / "own_module.py").write_text("X = 0.5\n")
    return place


@SANDBOXES
@pytest.mark.parametrize("command", ["[python, train.py]", "[.venv/bin/python, train.py]", "[python3, train.py]"])
def test_virtual_environment_of_the_task_is_used(
    folders: TaskFolders, environment: Path, sandbox: str, command: str
) -> None:
    train = """
        import sys, own_module
        assert sys.prefix.endswith(".venv"), sys.prefix
        print("val_bpb:", own_module.X)
    """
    chosen = ("task.environment_folder=.venv", f"task.command={command}")

    result = run_one(folders, make_request(train), *LOG, sandbox, *chosen)

    assert result.score, result.reason


@SANDBOXES
def test_project_that_the_environment_links_to_is_imported_with_the_edit(
    folders: TaskFolders, environment: Path, sandbox: str
) -> None:
    folders.write("src/tool.py", "X = 2.0\n")
    folders.write("run.py", "import tool\nprint('val_bpb:', tool.X)\n")
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "__editable__.tool-0.1.pth").write_text(f"{folders.task}/src\n")
    request = try_request(files={"src/tool.py": "X = 0.5\n"})
    chosen = ("task.environment_folder=.venv", "task.editable=[src/tool.py]", "task.command=[python, run.py]")

    result = run_one(folders, request, *LOG, sandbox, *chosen)

    assert result.score, result.reason
    assert result.score.value == 0.5


@SANDBOXES
def test_edited_file_may_be_the_program(folders: TaskFolders, sandbox: str) -> None:
    folders.write("train.py", "#!/usr/bin/env python\nprint('val_bpb: 2')\n")
    (folders.task / "train.py").chmod(0o755)
    request = make_request("#!/usr/bin/env python\nprint('val_bpb: 1.5')\n")

    result = run_one(folders, request, *LOG, sandbox, "task.command=./train.py")

    assert result.score, result.reason
    assert result.score.value == 1.5


def test_pattern_in_a_line_is_left_to_the_shell(folders: TaskFolders) -> None:
    result = run_one(folders, make_request("print('val_bpb: 1.5')"), *LOG, "task.command=python tr*.py")

    assert result.score, result.reason


def test_environment_elsewhere_with_programs_of_its_own_is_seen_read_only(folders: TaskFolders, tmp_path: Path) -> None:
    tools = tmp_path / "node-v1"
    (tools / "bin").mkdir(parents=True)
    (tools / "bin" / "own-node").write_text('#!/bin/sh\ntouch "$(dirname "$0")/x" || echo score = 3\n')
    (tools / "bin" / "own-node").chmod(0o755)
    chosen = (f"task.environment_folder={tools}", "task.command=[own-node, bot.js]", "task.editable=[bot.js]")
    folders.write("bot.js", "let x = 1")

    result = run_one(folders, make_request(), *LOG, *chosen, "task.metric=score", "task.direction=maximize")

    assert result.score, result.reason


@pytest.mark.parametrize("place", ["nowhere", "lib", "/", "/root", "~/."])
def test_folder_that_is_no_environment_is_refused_with_a_sentence(folders: TaskFolders, place: str) -> None:
    (folders.task / "lib").mkdir()

    with (
        pytest.raises(TaskError, match=r"task.environment_folder .* (does not exist|has no folder bin|as a whole)"),
        running(folders, *LOG, f"task.environment_folder={place}"),
    ):
        pass


def test_missing_program_says_which_setting_shows_it(folders: TaskFolders) -> None:
    with (
        pytest.raises(TaskError, match=r"uv is not found; .* or set task.environment_folder"),
        running(folders, *LOG, "task.command=[uv, run, train.py]"),
    ):
        pass


@pytest.mark.parametrize("command", ["[.venv/bin/python, train.py]", "[uv, run, train.py]"])
def test_environment_in_the_folder_is_named_by_the_first_message(
    folders: TaskFolders, environment: Path, command: str
) -> None:
    with (
        pytest.raises(
            TaskError, match=rf"or set task.environment_folder to {environment.name}, which lies in the task"
        ),
        running(folders, *LOG, f"task.command={command}"),
    ):
        pass


def test_variables_of_the_task_are_given_to_it(folders: TaskFolders) -> None:
    train = 'import os; print("val_bpb:", os.environ["WORKERS"])'

    score = run_one(folders, make_request(train), *LOG, "task.environment={WORKERS: 4}").score

    assert score
    assert score.value == 4.0


# -- where the score stands -------------------------------------------------------------------------------------------


@SANDBOXES
@pytest.mark.parametrize(
    ("train", "score", "reason"),
    [
        ('import json; json.dump({"val": {"loss": 0.5}}, open("m.json", "w"))', 0.5, ""),
        ('open("m.json", "w").write(\'{"val.loss": 2}\')', 2.0, ""),
        ('open("m.json", "w").write(\'{"val": {"loss": 9}}\\n{"val": {"loss": 3}}\\n\')', 3.0, ""),
        ("print('done')", None, "train left no file m.json in the task folder (task.score_file)"),
        ('open("m.json", "w").write("{")', None, "train left m.json, which is not JSON"),
        ('open("m.json", "w").write(\'{"loss": 1}\')', None, "train left m.json without val.loss; it has loss"),
        (
            'open("m.json", "w").write(\'{"val": {"loss": NaN}}\')',
            None,
            "train left m.json:val.loss as nan, which is no",
        ),
        ('open("m.json", "w").write(\'{"val": {"loss": true}}\')', None, "train left m.json:val.loss as true, which"),
        ('open("m.json", "w").write(" " * 40000)', None, "train left m.json with more than 32,768 bytes"),
        (
            'open("m.json", "w").write(\'{"val": {"loss": 1}}\'); raise SystemExit(3)',
            None,
            "train ended with exit code 3",
        ),
    ],
)
def test_score_is_read_from_the_file_of_this_run(
    folders: TaskFolders, sandbox: str, train: str, score: float | None, reason: str
) -> None:
    folders.write("m.json", '{"val": {"loss": 0.001}}')

    result = run_one(folders, make_request(train), *LOG, sandbox, "task.score_file=m.json:val.loss")

    assert (result.score.value if result.score else None) == score, result.reason
    assert result.reason.startswith(reason)
    assert (folders.task / "m.json").read_text() == '{"val": {"loss": 0.001}}'


def test_score_line_takes_its_group_from_the_last_line_that_fits() -> None:
    task = TaskSettings.model_validate(
        {"score": "log", "metric": "cycles", "direction": "minimize", "score_line": r"took ([\d,.]+) cycles"}
    )

    assert read_log_score("took 9 cycles\nit took 147,734 cycles\ndone", ScoreRule.of(task)).value == 147734.0
    missing = read_log_score("cycles: 5\n", ScoreRule.of(task)).fault
    assert missing.startswith("printed no line that task.score_line fits")
    assert "that is no number" in read_log_score("took ... cycles", ScoreRule.of(task)).fault


def test_expression_without_end_is_killed_at_its_deadline() -> None:
    with pytest.raises(Unsearchable):
        find_last("(a+)+$", "a" * 60 + "b", seconds=1.0)

    children = Path("/proc/thread-self/children").read_text().split()
    assert not set(map(str, processes_with("expression.search"))) & set(children)


@pytest.mark.parametrize("pattern", ["^user 0m([0-9.]+)s", "^user\\t0m([0-9.]+)s"])
def test_expression_may_be_written_for_the_line_as_it_is_shown_or_as_it_is(pattern: str) -> None:
    settings = {"metric": "user", "direction": "minimize", "score": "log", "score_line": pattern}
    chosen = ScoreRule.of(TaskSettings.model_validate(settings))

    score = read_log_score("real\t0m1.1s\nuser\t0m0.647s\nsys\t0m0.0s\n", chosen)

    assert (score.value, score.unit) == (0.647, "s")
