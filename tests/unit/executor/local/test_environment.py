"""What a sandbox shows of a task's environment: its folder, and every folder on the way to its interpreter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from controller.errors import TaskError
from controller.executor.local.environment import with_environment
from controller.executor.local.machine import Machine
from controller.settings import TaskSettings

MACHINE = Machine(node="n", interpreter="/opt/controller/bin/python", links=(), folders=("/usr", "/opt/controller"))


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def machine_with(folder: Path, **task: object) -> Machine:
    return with_environment(MACHINE, TaskSettings.model_validate({"score": "log"} | task), folder=folder)


def test_environment_of_uv_shows_each_link_on_the_way_to_its_python(tmp_path: Path) -> None:
    real = program(tmp_path / "store/cpython-3.12.7/bin/python3.12")
    (tmp_path / "store/cpython-3.12").symlink_to("cpython-3.12.7")
    (tmp_path / "task/.venv/bin").mkdir(parents=True)
    (tmp_path / "task/.venv/bin/python").symlink_to(tmp_path / "store/cpython-3.12/bin/python3.12")
    (tmp_path / "task/.venv/pyvenv.cfg").write_text(f"home = {tmp_path}/store/cpython-3.12/bin\nuv = 0.5\n")

    found = machine_with(tmp_path / "task", environment_folder=".venv")

    assert found.interpreter == f"{tmp_path}/task/.venv/bin/python"
    assert set(found.folders) == {
        *("/usr", "/opt/controller", f"{tmp_path}/task/.venv", f"{tmp_path}/store/cpython-3.12"),
        str(real.parent.parent),
    }


def test_environment_of_conda_holds_its_own_python(tmp_path: Path) -> None:
    program(tmp_path / "envs/x/bin/python3.11")
    (tmp_path / "envs/x/bin/python").symlink_to("python3.11")

    found = machine_with(tmp_path, environment_folder=tmp_path / "envs/x")

    assert set(found.folders) == {"/usr", "/opt/controller", f"{tmp_path}/envs/x"}
    assert found.programs == f"{tmp_path}/envs/x/bin"


def test_environment_without_python_keeps_the_controllers(tmp_path: Path) -> None:
    program(tmp_path / "node/bin/node")

    assert machine_with(tmp_path, environment_folder="node").interpreter == MACHINE.interpreter


def test_python_of_the_system_shows_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python3").symlink_to("/usr/bin/python3")
    (tmp_path / "venv/pyvenv.cfg").write_text("home = /usr/bin\n")

    assert set(machine_with(tmp_path, environment_folder="venv").folders) == {
        *("/usr", "/opt/controller", f"{tmp_path}/venv")
    }


def test_chain_of_links_without_end_is_no_endless_loop(tmp_path: Path) -> None:
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python").symlink_to("python3")
    (tmp_path / "venv/bin/python3").symlink_to("python")

    with pytest.raises(TaskError, match="bin/python that leads to python3, which is not there"):
        machine_with(tmp_path, environment_folder="venv")


def lead_nowhere(venv: Path) -> str:
    (venv / "bin/python").symlink_to("/nowhere/python3.11")
    return "has a bin/python that leads to /nowhere/python3.11, which is not there"


def take_the_right_to_run(venv: Path) -> str:
    program(venv / "bin/python3").chmod(0o644)
    return "has a bin/python3 that cannot be executed"


def make_a_folder_of_it(venv: Path) -> str:
    (venv / "bin/python").mkdir()
    return "has a bin/python that cannot be executed"


def leave_it_out(venv: Path) -> str:
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\n")
    return "has a pyvenv.cfg and no Python in bin"


@pytest.mark.parametrize("spoil", [lead_nowhere, take_the_right_to_run, make_a_folder_of_it, leave_it_out])
def test_environment_whose_python_cannot_run_is_refused_and_no_other_takes_its_place(
    tmp_path: Path, spoil: Callable[[Path], str]
) -> None:
    (tmp_path / "venv/bin").mkdir(parents=True)
    fault = spoil(tmp_path / "venv")

    with pytest.raises(TaskError) as refused:
        machine_with(tmp_path, environment_folder="venv")

    assert str(refused.value) == (
        f"task.environment_folder {tmp_path}/venv {fault}: make the environment anew, or name another"
    )


@pytest.mark.parametrize("place", ["/", "/root", "/home", "/etc", "/proc", "~/", "/tmp"])
def test_what_holds_more_than_one_task_may_see_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(TaskError, match=r"task\.mounts .* as a whole: name the folder in it|does not exist"):
        machine_with(tmp_path, mounts=[place])


def test_mounts_are_shown_once(tmp_path: Path) -> None:
    (tmp_path / "big/inner").mkdir(parents=True)

    assert set(machine_with(tmp_path, mounts=["big", tmp_path / "big/inner"]).folders) == {
        *("/opt/controller", "/usr"),
        f"{tmp_path}/big",
    }


def venv_that_links(place: Path, *folders: Path) -> None:
    program(place / "bin/python")
    packages = place / "lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    (packages / "links.pth").write_text("".join(f"{folder}\n" for folder in folders))


def test_project_installed_as_a_link_is_found_in_the_task_folder(tmp_path: Path) -> None:
    (tmp_path / "task/src/tool").mkdir(parents=True)
    venv_that_links(tmp_path / "venv", tmp_path / "task/src", tmp_path / "task")

    found = machine_with(tmp_path / "task", environment_folder=tmp_path / "venv")

    assert found.task_packages == ("src", ".")
    assert found.foreign_packages == ()


def test_project_linked_from_elsewhere_is_told_unless_it_is_shown(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "other/src").mkdir(parents=True)
    venv_that_links(tmp_path / "venv", tmp_path / "other/src")

    hidden = machine_with(tmp_path / "task", environment_folder=tmp_path / "venv")
    shown = machine_with(tmp_path / "task", environment_folder=tmp_path / "venv", mounts=[tmp_path / "other"])

    assert hidden.foreign_packages == (f"{tmp_path}/other/src",)
    assert shown.foreign_packages == ()


def test_mount_that_holds_an_edited_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "src/big").mkdir(parents=True)

    with pytest.raises(TaskError, match=r"task\.mounts .*/src holds src/model\.py, which edits change"):
        machine_with(tmp_path, editable=["src/model.py"], mounts=["src"])
    assert f"{tmp_path}/src/big" in machine_with(tmp_path, editable=["src/model.py"], mounts=["src/big"]).folders


def test_relative_path_that_is_not_there_says_where_it_begins(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"venv does not exist: .* \(a relative path begins in the task folder /"):
        machine_with(tmp_path, environment_folder="../venv")


def test_links_of_the_controllers_own_environment_are_not_told(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "checkout").mkdir()
    venv_that_links(tmp_path / "own", tmp_path / "checkout")
    machine = replace(MACHINE, interpreter=f"{tmp_path}/own/bin/python")

    found = with_environment(machine, TaskSettings.model_validate({"score": "log"}), folder=tmp_path / "task")

    assert found.foreign_packages == ()
