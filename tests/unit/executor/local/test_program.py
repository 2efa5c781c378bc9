"""Programs that this machine has and a sandbox lacks: the way to each is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.executor.local.program import way_to


@pytest.mark.parametrize(
    ("program", "chosen", "way"),
    [
        (
            "/opt/go/bin/go",
            False,
            "on this machine it is /opt/go/bin/go: set task.environment_folder to /opt/go",
        ),
        (
            "/opt/go/bin/go",
            True,
            "on this machine it is /opt/go/bin/go: "
            "name /opt/go in task.mounts, and write /opt/go/bin/go in task.command",
        ),
        (
            "/home/a/.pyenv/shims/python3.12",
            False,
            "on this machine it is /home/a/.pyenv/shims/python3.12: make an environment with it, and name that in "
            "task.environment_folder",
        ),
        (
            "/home/a/.local/bin/tool",
            False,
            "on this machine it is /home/a/.local/bin/tool: install it in /usr/local, or in an environment of the task",
        ),
    ],
)
def test_way_to_a_program_of_this_machine(program: str, chosen: bool, way: str) -> None:
    assert way_to(program, has_environment=chosen) == way


def test_link_into_an_installation_leads_to_it(tmp_path: Path) -> None:
    real = tmp_path / "node-v20/bin/node"
    real.parent.mkdir(parents=True)
    real.touch()
    link = tmp_path / ".local/bin/node"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)

    assert way_to(str(link), has_environment=False).endswith(f"set task.environment_folder to {tmp_path}/node-v20")


def test_program_that_rustup_starts_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/rustup").touch()
    (tmp_path / "bin/cargo").symlink_to("rustup")

    assert "`rustc --print sysroot` prints" in way_to(str(tmp_path / "bin/cargo"), has_environment=False)
