"""The lab's copy at a remote: every verdict arrives, and a remote that is away stops nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

from controller.mirror import Mirror
from tests.scripted import InstantExecutor, campaign, scored, settings


def refs(repository: Path) -> set[str]:
    listed = subprocess.run(["git", "-C", str(repository), "show-ref"], capture_output=True, text=True, check=False)
    return {line.split()[1] for line in listed.stdout.splitlines()}


def test_every_experiment_and_its_record_arrive_at_the_remote(tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    said: list[str] = []
    mirror = Mirror(tmp_path / "lab.git", str(remote), say=said.append)

    campaign(
        tmp_path,
        InstantExecutor(lambda r: scored(2.0 - r.id.experiment / 10 + r.seed % 100 / 1e4)),
        chosen=settings("budget.experiments=2"),
        observe=mirror.notice,
    ).run()
    mirror.close()

    assert said == []
    assert {"refs/experiments/t/2", "refs/heads/autoresearch/t", "refs/notes/autoresearch/t"} <= refs(remote)
    assert refs(remote) == {
        ref for ref in refs(tmp_path / "lab.git") if "attachments" not in ref and "calls" not in ref
    }


def test_remote_that_is_away_is_said_once_and_stops_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    mirror = Mirror(tmp_path / "lab.git", str(tmp_path / "nowhere.git"), say=said.append)

    ended = campaign(
        tmp_path,
        InstantExecutor(lambda r: scored(2.0 + r.seed % 100 / 1e4)),
        chosen=settings("budget.experiments=3"),
        observe=mirror.notice,
    ).run()
    mirror.close()

    assert ended.reason == "3 experiments (budget)"
    assert len(said) == 1
    assert "could not be pushed" in said[0]
