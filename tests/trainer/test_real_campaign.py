"""The README's first command in small: real text, real training, real sandboxes, the sealed exam, a real lab."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = """\
tag: real
task:
  prepare: [--vocabulary, "512", --sequence-length, "32", --sequences, "128", --probes, "64"]
budget: {train_seconds: 12, experiments: 1}
judge: {baseline_runs: 2}
"""


def autoresearch(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "controller.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_campaign_trains_is_examined_and_judged(tmp_path: Path) -> None:
    settings = tmp_path / "real.yaml"
    settings.write_text(SETTINGS)
    folder = tmp_path / "real"

    out = autoresearch("run", folder, "--settings", settings)

    assert "exam ok, inflation 0.0000" in out
    assert "stopped: 1 experiments (budget)" in out
    baseline, first, *_ = json.loads(autoresearch("log", "--json", "-C", folder))
    scores = [attempt["result"]["score"] for attempt in baseline["attempts"]]
    assert [score["provenance"] for score in scores] == ["sealed", "sealed"]
    assert all(1.0 < score["value"] < 8.0 for score in scores)
    assert baseline["attempts"][0]["seed"] != baseline["attempts"][1]["seed"]
    assert first["verdict"] in ("keep", "discard", "crash")
    shown = autoresearch("show", "0", "-C", folder)
    assert "hits 0 of 64 probes" in shown
    assert "num_steps" in shown
    assert sorted(path.name for path in (folder / "work").glob("*/logs/*"))[-1] == "train.log"
    assert list((folder / "work").glob("*/artifact")) == []
