"""The command line with the Claude agent against the stand-in: it improves, pays, survives and keeps quiet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.costs.model_calls import price_call, read_usage, sum_calls
from controller.domain import BASELINE, Experiment, Verdict
from controller.lab import Lab
from controller.lab.booked_calls import read_calls
from tests.standin import KEY, Fault, StandIn
from tests.support.http import free_port
from tests.support.waiting import PATIENCE_S, wait_until

TASK = '''"""A training that takes no time: its score is a bowl over the constants, with the noise of a seed."""

import math
import os
import random

MATRIX_LR = 0.04  # Muon, per step, 0.01 to 0.1
EMBEDDING_LR = 0.3  # AdamW, 0.03 to 1
WARMDOWN_RATIO = 0.6  # 0.2 to 0.9

bowl = math.log(MATRIX_LR / 0.08) ** 2 + math.log(EMBEDDING_LR / 0.6) ** 2 + (WARMDOWN_RATIO - 0.75) ** 2
noise = random.Random(int(os.environ["AUTORESEARCH_SEED"])).gauss(0.0, 0.002)
print("---")
print(f"val_bpb: {1.8 + 0.05 * bowl + noise:.6f}")
'''


def start(
    folder: Path, standin: StandIn, *, experiments: int, dollars: float = 5.0, port: int = 0, fallback: str = "perturb"
) -> subprocess.Popen[str]:
    """`autoresearch run` on a task that scores itself from its constants; with a port it is served there."""
    task = folder / "task"
    task.mkdir(exist_ok=True)
    (task / "train.py").write_text(TASK)
    settings = {
        "tag": "claude",
        "task": {"folder": str(task), "score": "log", "readable": []},
        "budget": {"train_seconds": 5, "experiments": experiments, "dollars": dollars},
        "executor": {"sandbox": "none"},
        "agent": {"kind": "claude", "claude": {"base_url": standin.url, "fallback": fallback}},
        "server": {"enabled": bool(port), "port": port},
    }
    (folder / "settings.yaml").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "controller.cli", "run", str(folder / "campaign"), "--settings"]
    return subprocess.Popen(
        [*command, str(folder / "settings.yaml")],
        env={**os.environ, "ANTHROPIC_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def billed(standin: StandIn) -> float:
    return sum(price_call(read_usage(e.usage), model=e.request["model"], overrides={}) for e in standin.answered)


@pytest.mark.slow
def test_a_campaign_finds_improvements_books_every_call_and_tells_no_key(tmp_path: Path) -> None:
    with StandIn(faults=[None, Fault.OVERLOADED, None, Fault.CUT_IN_TOOL, Fault.MALFORMED]) as standin:
        process = start(tmp_path, standin, experiments=8)
        out, _ = process.communicate(timeout=250)

    assert process.returncode == 0, out
    lab = Lab.open(tmp_path / "campaign" / "lab.git")
    experiments = lab.experiments("claude")
    kept = [e for e in experiments if e.number and e.judgement and e.judgement.verdict is Verdict.KEEP]
    assert kept, out
    assert min(e.scores[0] for e in kept) < min(experiments[0].scores)
    ended = [call for call in read_calls(lab, "claude") if call.outcome != "begun"]
    assert len(ended) == len(standin.journal)
    whole = [call for call in ended if call.outcome != "interrupted"]
    assert sum_calls(whole).dollars <= billed(standin) <= sum_calls(ended).dollars + 0.01
    assert f"${sum_calls(ended).dollars:.2f}" in out
    transcript = lab.attachment("claude", "000001/transcript.jsonl") or b""
    assert json.loads(transcript.splitlines()[0])["event"] == "opening"
    assert KEY not in out
    assert_absent(KEY, tmp_path)


def assert_absent(secret: str, folder: Path) -> None:
    """Neither a file below `folder` nor an object in a git repository there holds the secret."""
    for path in folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    for repository in folder.rglob("*.git"):
        listed = subprocess.run(
            ["git", "-C", str(repository), "cat-file", "--batch", "--batch-all-objects"],
            capture_output=True,
            check=True,
        )
        assert len(listed.stdout) > 1000
        assert secret.encode() not in listed.stdout


def test_a_call_that_a_crash_cut_off_counts_as_the_most_it_can_have_cost(tmp_path: Path) -> None:
    with StandIn(faults=[Fault.STALL]) as standin:
        process = start(tmp_path, standin, experiments=1)
        wait_until(lambda: standin.journal or process.poll() is not None, what="the first call")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE_S)

    calls = read_calls(Lab.open(tmp_path / "campaign" / "lab.git"), "claude")
    assert [call.outcome for call in calls] == ["begun"]
    assert calls[0].dollars >= billed(standin) > 0


class Served:
    """A running campaign as its operator meets it: its port, its terminal, the commands that read its lab."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder / "campaign"
        self.address = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.address}{path}", timeout=PATIENCE_S) as reply:
            return str(reply.read().decode())

    @property
    def answers(self) -> bool:
        """True if it listens, which it does once its lab is there."""
        try:
            return bool(self.get("/healthz"))
        except OSError:
            return False

    @property
    def trouble(self) -> str:
        return str(json.loads(self.get("/status.json"))["trouble"])

    @property
    def paused(self) -> float:
        lines = [line for line in self.get("/metrics").splitlines() if line.startswith("autoresearch_paused{")]
        return float(lines[0].split()[-1])

    def command(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "controller.cli", *arguments, "--campaign", str(self.folder)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    @property
    def judged(self) -> list[Experiment]:
        experiments = Lab.open(self.folder / "lab.git").experiments("claude")
        return [e for e in experiments if e.number != BASELINE and e.judgement]

    def judged_by(self, agent: str, *, after: int = 0) -> bool:
        return any(e.agent.startswith(agent) for e in self.judged if e.number > after)


def refused_while(broken: threading.Event) -> Iterator[Fault | None]:
    while True:
        yield Fault.AUTHENTICATION if broken.is_set() else None


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fallback", ["none", "perturb"])
def test_a_key_refused_in_the_middle_is_told_everywhere_and_the_campaign_goes_on_when_it_works_again(
    tmp_path: Path, fallback: str
) -> None:
    broken, port = threading.Event(), free_port()
    served = Served(tmp_path, port)
    with StandIn(faults=refused_while(broken)) as standin:
        process = start(tmp_path, standin, experiments=300, port=port, fallback=fallback)
        try:
            wait_until(lambda: served.answers, what="the campaign to listen")
            wait_until(lambda: served.judged_by("claude"), what="a verdict on Claude's first proposal")
            assert (served.trouble, served.paused) == ("", 0.0)

            broken.set()
            wait_until(lambda: served.trouble != "", what="the refusal to be told")
            wait_until(lambda: served.paused == 1.0, what="the gauge that the alert reads")
            told = [served.trouble, served.get("/"), served.command("status")]
            status: dict[str, Any] = json.loads(served.command("status", "--json"))
            last = max(e.number for e in Lab.open(served.folder / "lab.git").experiments("claude"))
            if fallback == "perturb":
                wait_until(lambda: served.judged_by("perturb"), what="the stand-in's proposals to be run")
            else:
                wait_until(lambda: len(served.judged) >= last, what="what was proposed to be judged")

            broken.clear()
            wait_until(lambda: served.trouble == "", what="the campaign to notice")
            wait_until(lambda: served.judged_by("claude", after=last), what="Claude's next proposal")
            assert served.paused == 0.0
            assert "waits for you" not in served.command("status")
        finally:
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0, out
    assert all("agent claude: the API refused the key" in text for text in [*told, status["trouble"], out])
    assert all(("perturb stands in for claude" in text) == (fallback == "perturb") for text in told)
    assert "waits for you no more" in out
    lab = Lab.open(served.folder / "lab.git")
    ended = {call.id for call in read_calls(lab, "claude") if call.outcome != "begun"}
    assert ended == {call.id for call in read_calls(lab, "claude")}, "every call is booked to its end"
    assert KEY not in out
    assert_absent(KEY, tmp_path)
