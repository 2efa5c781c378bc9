"""The ten commands of docs/operations.md, each run on a campaign that has every kind of Job."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from controller.domain import TryId
from controller.executor.kubernetes.naming import RECORDED, job_name
from tests.cluster.executor_task import SCORES, Running, TaskNamespace, running
from tests.support.waiting import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
TAG = "mar8"


def commands() -> list[str]:
    """The lines between fences of the section on the ten commands."""
    section = PAGE.read_text().split("## Ten commands")[1].split("\n## ")[0]
    return [line for block in re.findall(r"```\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]


EXPECTED = {
    "get jobs -l campaign=mar8 -L": ("scored", "0.9871", "crashed", "Running"),
    "outcome=crashed": ("ar-mar8-e0042",),
    "describe job": ("AttemptCrashed", "train ended with exit code 3: heads must divide", "kubectl logs job/"),
    "logs job/": ("step 1", "heads must divide"),
    "get job ar": ('"outcome": "crashed"', '"cause": "crash"'),
    "get pods": ("ar-mar8-e0043",),
    "get events": ("AttemptCrashed",),
    "describe resourcequota": ("count/jobs.batch",),
    "get lease": ("-",),
    "delete job": ("deleted",),
}


def is_recorded(namespace: TaskNamespace, id: TryId) -> bool:
    return RECORDED in namespace.job(id)["metadata"]["annotations"]


@pytest.fixture(scope="module", autouse=True)
def quota(namespace: TaskNamespace) -> None:
    """The page shows the quota of a namespace, so there is one."""
    hard = {"hard": {"count/jobs.batch": "100"}}
    metadata = {"name": "attempts", "namespace": namespace.name}
    namespace.cluster.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": hard})


@pytest.fixture(scope="module")
def campaign(namespace: TaskNamespace) -> Iterator[Running]:
    """41 scored, 42 crashed, 43 runs."""
    # The one that runs is there for all commands, however long a busy machine takes for them.
    with running(namespace, tag=TAG, budget={"train_seconds": 3000, "experiments": 1}) as one:
        one.run(SCORES, number=41)
        words = 'echo "Traceback (most recent call last):"; echo "ValueError: heads must divide"'
        one.run(f"echo step 1; {words}; exit 3", number=42)
        one.launch("sleep 3000", number=43)
        one.wait_for("train")
        for number in (41, 42):
            wait_until(partial(is_recorded, namespace, one.request("", number=number).id), what="the record")
        wait_until(
            lambda: namespace.cluster.get(
                "events", f"--namespace={namespace.name}", "--field-selector=reason=AttemptCrashed"
            )["items"],
            what="the Event",
        )
        yield one


def test_page_lists_ten_commands_and_says_what_each_is_for() -> None:
    assert len(commands()) == 10
    assert all(sum(key in command for command in commands()) == 1 for key in EXPECTED)


@pytest.mark.parametrize("key", EXPECTED)
def test_command_of_the_page_shows_what_the_page_says(namespace: TaskNamespace, campaign: Running, key: str) -> None:
    [command] = [line for line in commands() if key in line]
    _, _, _, *arguments = shlex.split(command)

    said = namespace.kubectl(*arguments)
    for words in EXPECTED[key]:
        assert words in said


def test_deleted_try_is_told_to_the_campaign(namespace: TaskNamespace, campaign: Running) -> None:
    """Runs after the tenth command; deletes by itself where that was not selected."""
    namespace.kubectl("delete", "job", job_name(campaign.request("", number=43).id), "--ignore-not-found")

    assert campaign.result().reason == "deleted by someone: the Job is gone"
