"""What a proposer is told of the trainings of its campaign."""

from __future__ import annotations

from controller.executor.training_facts import Machine, tell_training
from controller.settings.file import load_settings
from tests.support.scripted import settings


def test_a_training_here_is_told_with_its_seconds_device_memory_cpus_and_versions() -> None:
    chosen = settings("budget.train_seconds=300", "executor.limits.memory_gb=24", "executor.slots=2", "task.score=exam")
    machine = Machine(devices=["NVIDIA H200"], cpus=8, python="3.11.9", packages={"torch": "2.15.0", "other": "1"})

    told = "\n".join(tell_training(chosen, machine))

    for part in ("300 seconds", "NVIDIA H200", "8 CPU threads", "24 GiB", "torch 2.15.0", "2 trainings", "exam of at"):
        assert part in told
    assert "other 1" not in told


def test_a_training_without_an_accelerator_is_told_so() -> None:
    told = tell_training(settings("task.score=log"), Machine(cpus=2, python="3.11.9"))

    assert "no accelerator: it trains on CPUs" in told
    assert not any("exam" in fact for fact in told)


def test_a_pod_is_told_by_what_it_requests() -> None:
    chosen = settings(
        "executor.kind=kubernetes",
        "executor.kubernetes.gpus=2",
        "executor.kubernetes.memory=64Gi",
        "executor.kubernetes.image=registry/trainer:1",
    )

    told = tell_training(chosen, Machine())

    assert "2 x nvidia.com/gpu" in told
    assert "64Gi of main memory" in told
    assert any("registry/trainer:1" in fact for fact in told)


def test_limit_of_lines_is_told_where_there_is_one() -> None:
    shipped = "; ".join(tell_training(load_settings(None, []), Machine()))
    foreign = "; ".join(tell_training(load_settings(None, ["task.folder=/task"]), Machine()))
    chosen = "; ".join(tell_training(load_settings(None, ["task.folder=/task", "task.max_lines=200"]), Machine()))

    assert "at most 630 lines" in shipped
    assert "lines" not in foreign
    assert "at most 200 lines" in chosen
