"""The command line as its user meets it: real processes, exit codes, one sentence for a mistake."""

from __future__ import annotations

import difflib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.standin import KEY, Fault, StandIn
from tests.support.http import free_port
from tests.support.waiting import PATIENCE_S, wait_until

TRAIN = """\
import os, time
WIDTH = 4  # 1 to 64
DEPTH = 3  # 1 to 16


LEARNING_RATE = 0.1  # 0.001 to 1
if __name__ == "__main__":
    for step in range(3):
        print(f"step {step}", end="\\r", flush=True)
        time.sleep(float(os.environ.get("PAUSE", 0)))
    print("---")
    print(f"val_bpb:          {2 - WIDTH / 100 - DEPTH / 200 + int(os.environ['AUTORESEARCH_SEED']) % 97 / 1e4:.6f}")
    print("peak_vram_mb:     2048.0")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "train.py").write_text(TRAIN)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "campaign.yaml").write_text(
        f"tag: c\ntask: {{folder: {tmp_path / 'task'}, score: log}}\nbudget: {{train_seconds: 5, experiments: 3}}\n"
    )
    (tmp_path / "c" / "data").mkdir()
    return tmp_path / "c"


def autoresearch(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "controller.cli", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "160", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    environment.pop("AUTORESEARCH_CAMPAIGN", None)
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=cwd,
        env=environment,
        timeout=PATIENCE_S,
    )


@pytest.mark.timeout(900)
def test_campaign_from_first_run_to_reports(folder: Path) -> None:
    ran = autoresearch("run", folder)

    assert ran.returncode == 0, ran.stderr
    assert "baseline  3 × 5 s" in ran.stdout
    assert "[unverified]" in ran.stdout
    assert "stopped: 3 experiments (budget)" in ran.stdout
    assert f"go on with: autoresearch run {folder}" in ran.stdout
    assert "\r" not in ran.stdout + ran.stderr

    log = json.loads(autoresearch("log", "--json", cwd=folder).stdout)
    assert [row["number"] for row in log] == list(range(len(log)))
    assert sum(1 for row in log[1:] if row["score"] is not None) == 3
    assert all(row["verdict"] in ("keep", "discard") for row in log)

    shown = autoresearch("show", "1", "-C", folder).stdout
    assert log[1]["title"] in shown
    assert "+++ b/train.py" in shown
    assert "seed" in shown
    assert "peak_vram_mb:     2048.0" in shown

    patch = autoresearch("diff", "1", "-C", folder).stdout
    done = subprocess.run(
        ["git", "apply", "--check", "-"], input=patch, cwd=folder.parent / "task", text=True, check=False
    )
    assert done.returncode == 0

    assert autoresearch("show", folder, "1").stdout == shown
    assert autoresearch("diff", folder, "1").stdout == patch
    assert autoresearch("show", "1", cwd=folder.parent).stdout == shown, "the only campaign here"
    for command in ("best", "export", "log", "report"):
        by_position, by_flag = (autoresearch(command, *named).stdout for named in ((folder,), ("-C", folder)))
        assert by_position == by_flag != ""

    best = autoresearch("best", "-C", folder).stdout
    compile(best, "train.py", "exec")

    table = autoresearch("export", "-C", folder).stdout.splitlines()
    assert table[0].split("\t") == ["commit", "val_bpb", "memory_gb", "status", "description"]
    assert len(table) == 1 + 4
    assert table[1].split("\t")[2] == "2.0"

    wide = [line.split("\t") for line in autoresearch("export", "--wide", "-C", folder).stdout.splitlines()]
    assert ["\t".join(line[:5]) for line in wide] == table
    assert wide[0][5:] == [
        *("number", "verdict", "expected_gain_sigma", "runs", "agent", "strategy"),
        *("gpu_hours", "model_dollars", "dollars", "seconds_per_answer", "answer_memory_gb", "undone_by"),
    ]
    assert wide[2][5:7] == ["1", log[1]["verdict"]]
    assert wide[2][9] == "perturb"

    page = (folder / "report.html").read_text()
    assert page.count('class="dot') == 3 + len(log) - 1
    assert "unverified" in page
    assert not re.search(r"https?://|//[a-z]+\.", page)
    assert "## What held" in (folder / "report.md").read_text()

    status = json.loads(autoresearch("status", "--json", "-C", folder).stdout)
    assert status["experiments"] == len(log) - 1
    assert status["provenance"] == "log"
    assert status["strategies"][0]["strategy"] == "perturb"
    assert status["strategies"][0]["proposed"] == len(log) - 1
    assert (status["dollars_per_keep"] is None) == (status["verdicts"]["keep"] == 0)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminal_that_shows_few_characters_gets_the_others_as_question_marks(
    folder: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONUTF8", "0")

    said = [autoresearch("run", folder, "--set", "budget.experiments=1")]
    said += [autoresearch(word, folder) for word in ("status", "log", "best", "report", "export")]
    said += [autoresearch("show", folder, "1")]

    assert [one.returncode for one in said] == [0] * len(said), said
    assert "Traceback" not in "".join(one.stderr for one in said)
    assert "sigma" in said[0].stdout


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_campaign_runs_where_the_shell_has_closed_a_stream(folder: Path, closed: str) -> None:
    command = [sys.executable, "-m", "controller.cli", "run", str(folder), "--set", "budget.experiments=1"]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *command], check=False, timeout=PATIENCE_S)

    assert done.returncode == 0
    assert "campaign" in autoresearch("status", folder).stdout


def test_output_that_cannot_be_written_is_told(folder: Path) -> None:
    command = [sys.executable, "-m", "controller.cli", "run", str(folder)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=PATIENCE_S)

    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if not line.startswith("  warning  ")]
    assert told == [
        "autoresearch: what it prints cannot be written (No space left on device): make room, or send it elsewhere"
    ]


def test_folder_that_was_removed_under_the_command_is_told(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    remove_and_run = 'cd gone && rmdir ../gone && exec "$@"'
    command = ["sh", "-c", remove_and_run, "sh", sys.executable, "-m", "controller.cli", "status"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    assert done.returncode == 2
    assert done.stderr == "autoresearch: the current folder is not there any more: change to one that is\n"


def test_dollars_are_told_everywhere_and_a_later_price_leaves_them_alone(folder: Path) -> None:
    priced = ["--set", f"budget.gpu_dollars_by_pool={{'{platform.node()}': 36000}}"]
    assert autoresearch("run", folder, *priced, "--set", "budget.experiments=2").returncode == 0

    status = autoresearch("status", "-C", folder).stdout
    facts = json.loads(autoresearch("status", "--json", "-C", folder).stdout)
    log = json.loads(autoresearch("log", "--json", "-C", folder).stdout)
    names, *rows = (line.split("\t") for line in autoresearch("export", "--wide", cwd=folder).stdout.splitlines())
    dollars = [float(row[names.index("dollars")]) for row in rows]

    assert facts["dollars"] == pytest.approx(facts["slot_hours"] * 36000, rel=1e-6)
    assert f"${facts['dollars'] / 2:.2f} for each experiment" in status
    assert re.search(r"^perturb +2 ", status, flags=re.MULTILINE)
    assert sum(row["dollars"] for row in log) == pytest.approx(facts["dollars"])
    assert sum(dollars) == pytest.approx(facts["dollars"], abs=1e-3)
    assert f"${log[1]['dollars']:.2f}" in autoresearch("log", "-C", folder).stdout
    shown = autoresearch("show", "1", "-C", folder).stdout
    assert "proposed by perturb · strategy perturb:" in shown
    assert f"cost ${log[1]['dollars']:.2f}" in shown
    assert "at $36000.00 an hour" in shown
    assert f"${facts['dollars']:.2f}" in (folder / "report.md").read_text()


def test_score_out_of_all_bounds_is_a_crash_and_the_campaign_goes_on(folder: Path) -> None:
    train = folder.parent / "task" / "train.py"
    patches = folder.parent / "patches"
    patches.mkdir()
    for number, last in enumerate(("-1e300", "nan", "0.0", "1.5"), start=1):
        text = f"{TRAIN}    print('val_bpb: {last}')\n"
        lines = difflib.unified_diff(TRAIN.splitlines(True), text.splitlines(True), "a/train.py", "b/train.py")
        (patches / f"{number}.patch").write_text("".join(lines))
    assert train.read_text() == TRAIN

    ran = autoresearch(
        "run", folder, "--set", f"agent={{kind: replay, patches: {patches}}}", "--set", "budget.experiments=4"
    )
    log = json.loads(autoresearch("log", "--json", cwd=folder).stdout)

    assert ran.returncode == 0, ran.stderr
    assert [row["verdict"] for row in log[1:4]] == ["crash"] * 3
    assert all("which is no score" in row["judgement"]["reason"] for row in log[1:4])
    assert log[4]["score"] == 1.5
    assert autoresearch("status", "-C", folder).returncode == 0


def test_interrupt_stops_cleanly_and_the_next_run_goes_on(folder: Path) -> None:
    train = folder.parent / "task" / "train.py"
    train.write_text(TRAIN.replace('os.environ.get("PAUSE", 0)', '"0.2"'))
    command = [sys.executable, "-m", "controller.cli", "run", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: (folder / "work").is_dir() and any((folder / "work").glob("*/logs")), what="a training")

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0, err
    assert "stopped: interrupted" in out
    again = autoresearch("run", folder)
    assert "stopped: 3 experiments (budget)" in again.stdout


def test_key_refused_at_the_start_pauses_whoever_serves_and_ends_whoever_does_not(folder: Path) -> None:
    with StandIn() as standin:
        claude = f"agent={{kind: claude, claude: {{base_url: '{standin.url}', fallback: none}}}}"
        command = [sys.executable, "-m", "controller.cli", "run", str(folder), "--set", claude]
        environment = environment_with("sk-ant-of-somebody-else")
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, timeout=PATIENCE_S
        )
        port = free_port()
        served = [*command, "--set", f"server={{enabled: true, port: {port}}}"]
        process = subprocess.Popen(
            served, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
        )
        try:
            wait_until(
                lambda: 'autoresearch_paused{campaign="c"} 1.0' in page_of(port, "/metrics"),
                what="the pause",
            )
            page = page_of(port, "/")
        finally:
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=PATIENCE_S)

    assert ended.returncode == 2
    assert "check ANTHROPIC_API_KEY" in ended.stderr
    assert "warning  the API refused the key" in err
    assert "waits for you because agent claude: the API refused the key" in page
    assert "the agent waits" not in page


def test_overload_that_lasts_is_told_by_reason_and_on_the_page_while_proposals_wait(folder: Path) -> None:
    port = free_port()
    with StandIn(faults=[Fault.OVERLOADED] * 1000) as standin:
        claude = f"agent={{kind: claude, claude: {{base_url: '{standin.url}', fallback: none}}}}"
        command = [sys.executable, "-m", "controller.cli", "run", str(folder), "--set", claude]
        command += ["--set", f"server={{enabled: true, port: {port}}}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment_with(KEY))
        waits = 'autoresearch_proposals_waiting{campaign="c",reason="overloaded"} 1.0'
        try:
            wait_until(lambda: waits in page_of(port, "/metrics"), what="the metric of the wait")
            wait_until(
                lambda: ": overloaded_error" in page_of(port, "/"),
                what="the wait on the page",
            )
            metrics = page_of(port, "/metrics")
        finally:
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0, err.decode()
    assert 'autoresearch_paused{campaign="c"} 0.0' in metrics, "waiting is no trouble of an operator's"


def test_served_campaign_that_cannot_go_on_stays_and_says_why(folder: Path) -> None:
    (folder.parent / "task" / "train.py").write_text("raise SystemExit('no accelerator here')\n")
    port = free_port()
    command = [sys.executable, "-m", "controller.cli", "run", str(folder)]
    command += ["--set", f"server={{enabled: true, port: {port}}}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_until(
            lambda: 'autoresearch_ended{campaign="c",reason="failure"} 1.0' in page_of(port, "/metrics"),
            what="the end",
        )
        metrics, page = page_of(port, "/metrics"), page_of(port, "/")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)

    assert 'autoresearch_paused{campaign="c"} 1.0' in metrics
    assert 'autoresearch_slots_busy{campaign="c"} 0.0' in metrics
    reason = "the unchanged code cannot be scored: train ended with exit code 1: no accelerator here"
    assert f"paused: waits for you because {reason}" in page


def test_study_is_asked_beside_a_served_campaign_that_has_ended_and_is_counted_there(folder: Path) -> None:
    port = free_port()
    with (folder / "campaign.yaml").open("a") as settings:
        settings.write(f"server: {{enabled: true, port: {port}}}\n")
    command = [sys.executable, "-m", "controller.cli", "run", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_until(
            lambda: 'autoresearch_ended{campaign="c",reason="budget"} 1.0' in page_of(port, "/metrics"),
            what="the end",
        )
        hours = hours_of_slots(port)
        # A study may begin and end between two looks of the process that serves: here it cannot look at all.
        process.send_signal(signal.SIGSTOP)
        asked = autoresearch("rerun", folder, "0", "--seeds", "1")
        process.send_signal(signal.SIGCONT)
        assert asked.returncode == 0, asked.stderr
        wait_until(
            lambda: re.search(
                r"^autoresearch_study_attempts_total\{.*rerun.*scored.*\} 1\.0$",
                page_of(port, "/metrics"),
                re.MULTILINE,
            ),
            what="the study among the metrics",
        )
        charged, said = hours_of_slots(port) > hours, autoresearch("status", folder).stdout
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_S)

    assert "rerun-1" in asked.stderr
    assert charged, "what a study costs is on the same bill"
    assert "c has ended: 3 experiments (budget)" in said
    assert said.rstrip().endswith("a larger budget goes on from here")
    assert process.returncode == 0, err.decode()


def hours_of_slots(port: int) -> float:
    """What all attempts have used so far."""
    return float(json.loads(page_of(port, "/status.json"))["slot_hours"])


def environment_with(key: str) -> dict[str, str]:
    """This process' own, with a key."""
    return os.environ | {"ANTHROPIC_API_KEY": key}


def page_of(port: int, path: str) -> str:
    """The page that the controller serves; empty while it serves none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as reply:
            return str(reply.read().decode())
    except OSError:
        return ""


def test_second_controller_is_told_who_holds_the_lab(folder: Path) -> None:
    (folder.parent / "task" / "train.py").write_text(TRAIN.replace('os.environ.get("PAUSE", 0)', '"30"'))
    process = subprocess.Popen(
        [sys.executable, "-m", "controller.cli", "run", str(folder), "--set", "budget.train_seconds=300"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: (folder / "work").is_dir() and any((folder / "work").glob("*/logs")), what="a training")
        second = autoresearch("run", folder)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=PATIENCE_S)

    assert second.returncode == 2
    assert f"is in use by pid {process.pid} (since " in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["run", "c", "--set", "budget.train_seconds=0"], "must be at least 5 (got 0)", id="zero budget"),
        pytest.param(["run", "c", "--set", "tag=a b"], "tag must be", id="tag"),
        pytest.param(["run", "c", "--set", "task.folder=/nowhere"], "task folder /nowhere does not exist", id="task"),
        pytest.param(["run", "c", "--sandbox", "chroot"], "executor.sandbox", id="sandbox"),
        pytest.param(["show", "3", "-C", "c"], "no lab at", id="show before run"),
        pytest.param(["show", "c", "3"], "no lab at", id="show before run, by position"),
        pytest.param(["show", "3", "c"], "'3 c' names no experiment: give its number", id="words in another order"),
        pytest.param(["diff", "a", "c", "3"], "'a c 3' names no experiment", id="too many words"),
        pytest.param(["best", "c", "-C", "d"], "the campaign is named twice, c and --campaign d", id="named twice"),
        pytest.param(["status", "-C", "nowhere"], "no lab at", id="no campaign there"),
        pytest.param(["run", "c", "--set", "task.score=exam"], "manifest.json", id="data"),
    ],
)
def test_mistake_is_one_sentence_and_exit_2(folder: Path, arguments: Sequence[str], sentence: str) -> None:
    done = autoresearch(*arguments, cwd=folder.parent)

    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("autoresearch: ")


def test_given_settings_replace_the_campaigns_own_but_never_its_tag(folder: Path) -> None:
    other = folder.parent / "other.yaml"
    text = (folder / "campaign.yaml").read_text().replace("experiments: 3", "experiments: 1")
    other.write_text(text)

    assert "stopped: 1 experiment (budget)" in autoresearch("run", folder, "--settings", other).stdout
    assert "experiments: 1" in (folder / "campaign.yaml").read_text()
    other.write_text(text.replace("tag: c", "tag: d"))
    refused = autoresearch("run", folder, "--settings", other)
    assert refused.returncode == 2
    assert "holds campaign c, not d" in refused.stderr


def test_without_a_campaign_in_reach_the_way_out_is_named(tmp_path: Path) -> None:
    done = autoresearch("log", cwd=tmp_path)

    assert done.returncode == 2
    assert "start one with `autoresearch run DIR`" in done.stderr


def test_corrupt_data_is_named_before_anything_runs(folder: Path) -> None:
    (folder / "data" / "manifest.json").write_text(json.dumps({"files": {"train/tokens.bin": {"sha256": "0" * 64}}}))
    (folder / "data" / "train").mkdir()
    (folder / "data" / "train" / "tokens.bin").write_bytes(b"tampered")

    done = autoresearch("run", folder, "--set", "task.score=exam")

    assert done.returncode == 2
    assert "train/tokens.bin is not what the manifest says" in done.stderr
    assert not (folder / "lab.git").exists()


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    heavy = ("anthropic", "kubernetes", "torch", "numpy", "matplotlib")
    script = f"import sys, controller.cli.commands; print([m for m in {heavy} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_help_names_every_command() -> None:
    helped = autoresearch("--help").stdout

    for command in ("prepare", "run", "status", "log", "show", "diff", "best", "report", "export"):
        assert command in helped
