"""`autoresearch status` beside a campaign that runs: it says what is so, in another process and without a server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.errors import LabError
from controller.lab import Lab
from controller.notices import Activity, Doing, current_activity
from tests.standin import KEY, Fault, StandIn
from tests.support.http import free_port
from tests.support.waiting import PATIENCE_S, wait_until

TRAIN = """\
import os, time
WIDTH = 4  # 1 to 64
DEPTH = 3  # 1 to 16
if __name__ == "__main__":
    time.sleep({pause})
    print("---")
    print(f"val_bpb: {{2 - WIDTH / 100 - DEPTH / 200 + int(os.environ['AUTORESEARCH_SEED']) % 97 / 1e4:.6f}}")
"""
CLOCK = r"\d\d:\d\d:\d\d"


@dataclass(frozen=True)
class Watched:
    """A campaign's folder and, while it runs, its process."""

    folder: Path
    process: subprocess.Popen[str]

    def activity(self) -> Activity:
        """The facts that status tells; a lab that is being made has none yet."""
        try:
            lab = Lab.open(self.folder / "lab.git")
        except LabError:
            return Activity(tag="c")
        return current_activity("c", lab.read_activity(), holder=lab.find_holder())

    def wait_for(self, doing: Doing) -> None:
        wait_until(lambda: self.activity().doing is doing and self.begun, what=f"a campaign that {doing}")

    @property
    def begun(self) -> bool:
        try:
            return bool(Lab.open(self.folder / "lab.git").experiments("c"))
        except LabError:
            return False

    def status(self) -> str:
        return self._command("status")

    def facts(self) -> dict[str, Any]:
        return dict(json.loads(self._command("status", "--json")))

    def _command(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "controller.cli", *arguments, "-C", str(self.folder)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment(), timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout


def environment() -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if name != "AUTORESEARCH_CAMPAIGN"}
    root = str(Path(__file__).resolve().parents[2])
    return {**known, "ANTHROPIC_API_KEY": KEY, "COLUMNS": "300", "PYTHONPATH": root}


@contextmanager
def running(
    folder: Path, *settings: str, pause: float = 0.0, program: Sequence[str] = ("-m", "controller.cli")
) -> Iterator[Watched]:
    """A campaign that runs in a process of its own, killed at the end if it is still there."""
    (folder / "task").mkdir()
    (folder / "task" / "train.py").write_text(TRAIN.format(pause=pause))
    (folder / "c").mkdir()
    (folder / "c" / "campaign.yaml").write_text(
        f"tag: c\ntask: {{folder: {folder / 'task'}, score: log}}\n"
        # Short where it ends by itself: on a busy machine the next training waits for a multiple of it.
        f"budget: {{train_seconds: {max(5, pause)}, experiments: 2}}\n"
    )
    overrides = [word for setting in settings for word in ("--set", setting)]
    process = subprocess.Popen(
        [sys.executable, *program, "run", str(folder / "c"), *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    try:
        yield Watched(folder / "c", process)
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_S)


def claude(standin: StandIn) -> str:
    return f"agent={{kind: claude, claude: {{base_url: '{standin.url}', fallback: none}}}}"


def test_training_and_after_a_kill_and_after_going_on(tmp_path: Path) -> None:
    with running(tmp_path, pause=600) as watched:
        wait_until(lambda: "train" in [t.phase for t in watched.activity().tries], what="a training")
        facts, said = watched.facts(), watched.status()
        watched.process.kill()
        watched.process.communicate(timeout=PATIENCE_S)
        dead, mourned = watched.facts(), watched.status()

    assert "The baseline of c is training; no score yet" in said
    assert said.rstrip().endswith(f"pid {watched.process.pid}"), "`go on with` would be wrong while it runs"
    assert (facts["doing"], facts["running"], facts["pid"]) == ("runs", [0], watched.process.pid)
    assert (dead["doing"], dead["running"], dead["pid"]) == ("stopped", [], None)
    killed = f"c is not running: process {watched.process.pid} ended without a word in the middle of the baseline"
    assert re.search(f"^{killed}, last heard of at {CLOCK}; no score yet", mourned, re.MULTILINE)
    assert f"go on with: autoresearch run {watched.folder}" in mourned


def test_interrupted_and_ended(tmp_path: Path) -> None:
    with running(tmp_path, pause=600) as watched:
        watched.wait_for(Doing.RUNS)
        watched.process.send_signal(signal.SIGINT)
        watched.process.communicate(timeout=PATIENCE_S)
        interrupted = watched.status()

    assert re.search(f"^c is not running since {CLOCK}: interrupted; no score yet", interrupted, re.MULTILINE)
    assert "paused" not in interrupted


def test_ended(tmp_path: Path) -> None:
    with running(tmp_path) as watched:
        out, _ = watched.process.communicate(timeout=PATIENCE_S)
        said, facts = watched.status(), watched.facts()

    assert "stopped: 2 experiments (budget)" in out
    assert "c has ended: 2 experiments (budget); best val_bpb" in said
    assert f"go on with: autoresearch run {watched.folder}" in said
    assert (facts["doing"], facts["running"]) == ("ended", [])


def test_an_agent_that_thinks_is_no_stopped_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.standin.server.STALL_SECONDS", PATIENCE_S)
    with StandIn(faults=[Fault.STALL] * 20) as standin, running(tmp_path, claude(standin)) as watched:
        watched.wait_for(Doing.THINKS)
        said, facts = watched.status(), watched.facts()

    assert re.search(r"^The agent of c thinks about .+; best val_bpb", said, re.MULTILINE)
    assert "not running" not in said
    assert (facts["doing"], facts["running"], facts["trouble"]) == ("thinks", [], "")
    assert facts["thinking"] >= 1


def test_an_agent_that_waits_for_the_api_says_until_when(tmp_path: Path) -> None:
    with StandIn(faults=[Fault.OVERLOADED] * 1000) as standin, running(tmp_path, claude(standin)) as watched:
        watched.wait_for(Doing.WAITS)
        wait_until(lambda: len(standin.journal) >= 4, what="waits of several seconds")
        waits = re.compile(f"the agent waits for the API until {CLOCK}: overloaded_error")
        # Between two waits it asks, for a moment.
        said = wait_until(lambda: waits.search(told := watched.status()) and told, what="a status in a wait")
        facts = watched.facts()

    assert "not running" not in said
    assert facts["doing"] in ("waits", "thinks")


def test_paused_says_what_for_and_a_kill_leaves_no_pause_behind(tmp_path: Path) -> None:
    with StandIn(faults=[Fault.BILLING] * 1000) as standin, running(tmp_path, claude(standin)) as watched:
        watched.wait_for(Doing.PAUSED)
        wait_until(lambda: len(standin.journal) >= 2, what="a rest of several seconds")
        watched.wait_for(Doing.PAUSED)
        said, facts = watched.status(), watched.facts()
        watched.process.send_signal(signal.SIGINT)
        out, _ = watched.process.communicate(timeout=PATIENCE_S)
        after, left = watched.status(), watched.facts()

    assert said.startswith("paused: waits for you because agent claude: the account")
    assert "c is paused and waits for you; best val_bpb" in said
    assert "not running" not in said
    assert facts["doing"] == "paused"
    assert facts["trouble"].startswith("agent claude: the account")
    assert "waits for you no more" not in out, "nobody has mended it"
    assert "waits for you" not in after
    assert (left["doing"], left["trouble"]) == ("stopped", "")


@pytest.mark.parametrize("server", [False, True])
def test_a_baseline_that_cannot_be_scored_is_told(tmp_path: Path, server: bool) -> None:
    chosen = ["server={enabled: true, port: 0}"] if server else []
    with running(tmp_path, *chosen, "task.metric=other", "task.direction=minimize") as watched:
        watched.wait_for(Doing.PAUSED if server else Doing.STOPPED)
        said = watched.status()

    reason = "the unchanged code cannot be scored"
    if server:
        assert said.startswith(f"paused: waits for you because {reason}")
        assert re.search(rf"^c is paused and waits for you, tried again at {CLOCK}; no score yet", said, re.MULTILINE)
    else:
        assert re.search(rf"^c is not running since {CLOCK}: {reason}", said, re.MULTILINE)


BROKEN = """\
import sys
import controller.reports.page

def broken(*_, **__):
    raise ValueError("a fault in the chart")

controller.reports.page.chart = broken
from controller.cli.commands import main
main()
"""


def test_a_fault_in_a_view_ends_neither_the_campaign_nor_its_end(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, f"server={{enabled: true, port: {port}}}", pause=600, program=["-c", BROKEN]) as watched:
        watched.wait_for(Doing.RUNS)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE_S)
        sentence = refused.value.read().decode()
        watched.process.send_signal(signal.SIGINT)
        out, _ = watched.process.communicate(timeout=PATIENCE_S)

    assert (refused.value.code, sentence) == (500, "this page cannot be shown, and the log says why\n")
    assert watched.process.returncode == 0, out
    assert "Traceback" not in out
    assert out.count("cannot show /: ValueError: a fault in the chart") == 1
    assert "the report could not be written, the lab is whole: ValueError: a fault in the chart" in out
    assert "stopped: interrupted" in out
