"""PyTorch is asked in a real sandbox before anything is trained: nothing here needs a GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.errors import SandboxError
from controller.executor.local.cgroups import Limits
from controller.executor.local.confinement import Confinement
from controller.executor.local.gpus import (
    Accelerator,
)
from controller.executor.local.host import Host, make_host, refuse_blind_torch
from tests.support.local_task import make_folders, make_settings
from tests.support.needs import need_bubblewrap


def a_host(folder: Path, *overrides: str) -> Host:
    """A host with one GPU that no driver knows."""
    need_bubblewrap()
    folders = make_folders(folder)
    limits = Limits.of(make_settings().executor.limits, cpus=None)
    host = make_host(
        make_settings(*overrides),
        Confinement(limits, None),
        task=folders.task,
        data=folders.data,
        work=folders.work,
    )
    gpu = Accelerator(name="H100", nodes=(), identity="GPU-1")
    return replace(host, machine=replace(host.machine, accelerators=(gpu,)))


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="PyTorch sees the GPU that this machine has")
def test_gpu_that_pytorch_cannot_use_is_refused_for_the_task_that_ships(tmp_path: Path) -> None:
    host = a_host(tmp_path, "task.folder=null")
    assert host.bubblewrap

    with pytest.raises(SandboxError, match=r"has a GPU \(H100\), but PyTorch sees none in the sandbox \(PyTorch \d"):
        refuse_blind_torch(host, host.bubblewrap, log_path=tmp_path / "log")


@pytest.mark.parametrize(
    ("says", "refused"),
    [
        pytest.param("0 PyTorch 2: The driver is too old", True, id="none"),
        pytest.param("1 PyTorch 2:", False, id="one"),
        pytest.param("ModuleNotFoundError: No module named 'torch'", False, id="no PyTorch"),
    ],
)
def test_answer_of_pytorch_decides_and_no_answer_does_not(says: str, refused: bool, tmp_path: Path) -> None:
    host = a_host(tmp_path, "task.folder=null")
    interpreter = tmp_path / "bin" / "python"
    interpreter.parent.mkdir()
    interpreter.write_text(f'#!/bin/sh\necho "{says}"\n')
    interpreter.chmod(0o755)
    folders = (*host.machine.folders, str(interpreter.parent))
    host = replace(host, machine=replace(host.machine, interpreter=str(interpreter), folders=folders))
    assert host.bubblewrap

    if refused:
        with pytest.raises(SandboxError, match="The driver is too old"):
            refuse_blind_torch(host, host.bubblewrap, log_path=tmp_path / "log")
    else:
        refuse_blind_torch(host, host.bubblewrap, log_path=tmp_path / "log")


def test_other_tasks_may_train_on_the_cpu_beside_a_gpu(tmp_path: Path) -> None:
    host = a_host(tmp_path, "task.folder=/x")
    assert host.bubblewrap

    refuse_blind_torch(host, host.bubblewrap, log_path=tmp_path / "log")
