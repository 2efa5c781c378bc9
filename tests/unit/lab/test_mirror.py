"""The lab's copy at a remote: every verdict arrives, and a remote that is away stops nothing."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from controller.lab import Lab
from controller.lab.mirror import Mirror
from tests.support.scripted import InstantExecutor, campaign, scored, settings
from tests.support.waiting import wait_until


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
        observe=lambda _: mirror.push_soon(),
    ).run()
    mirror.close()

    assert said == []
    assert {"refs/experiments/t/2", "refs/heads/autoresearch/t", "refs/notes/autoresearch/t"} <= refs(remote)
    assert refs(remote) == {ref for ref in refs(tmp_path / "lab.git") if "attachments" not in ref}


def test_verdict_that_comes_during_a_push_is_pushed_before_the_end(tmp_path: Path) -> None:
    lab, remote = tmp_path / "lab.git", tmp_path / "remote.git"
    for repository in (lab, remote):
        subprocess.run(["git", "init", "-q", "--bare", str(repository)], check=True)
    began, hold = tmp_path / "began", tmp_path / "hold"
    hold.touch()
    hook = remote / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\ntouch {began}\nwhile test -e {hold}; do sleep 0.02; done\n")
    hook.chmod(0o755)
    mirror = Mirror(lab, str(remote), say=lambda _: None)

    add_branch(lab, "first")
    mirror.push_soon()
    wait_until(began.exists, what="the first push")
    add_branch(lab, "second")
    mirror.push_soon()
    closing = threading.Thread(target=mirror.close)
    closing.start()
    hold.unlink()
    closing.join()

    assert refs(remote) == {"refs/heads/first", "refs/heads/second"}


def add_branch(repository: Path, name: str) -> None:
    """Make a branch of one empty commit."""
    tree = git(repository, "hash-object", "-t", "tree", "-w", "/dev/null")
    author = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    git(repository, "branch", name, git(repository, *author, "commit-tree", "-m", name, tree))


def git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_remote_that_is_away_is_said_once_and_stops_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    mirror = Mirror(tmp_path / "lab.git", str(tmp_path / "nowhere.git"), say=said.append)

    ended = campaign(
        tmp_path,
        InstantExecutor(lambda r: scored(2.0 + r.seed % 100 / 1e4)),
        chosen=settings("budget.experiments=3"),
        observe=lambda _: mirror.push_soon(),
    ).run()
    mirror.close()

    assert ended.reason == "3 experiments (budget)"
    assert len(said) == 1
    assert "could not be pushed" in said[0]


def test_campaign_goes_on_from_a_clone_of_its_lab(tmp_path: Path) -> None:
    executor = InstantExecutor(lambda r: scored(2.0 + r.seed % 100 / 1e4))
    campaign(tmp_path, executor, chosen=settings("budget.experiments=1")).run()
    moved = tmp_path / "moved"
    moved.mkdir()
    clone = ["git", "clone", "-q", "--mirror", str(tmp_path / "lab.git"), str(moved / "lab.git")]
    subprocess.run(clone, check=True)

    ended = campaign(moved, executor, chosen=settings("budget.experiments=2")).run()

    assert ended.reason == "2 experiments (budget)"
    assert [e.number for e in Lab.open(moved / "lab.git").experiments("t")] == [0, 1, 2]
