"""Data on the cluster's volume: prepared by a Job, kept when it is there, explained when it cannot be made."""

from __future__ import annotations

from typing import Any

import pytest

from controller.domain import Outcome
from controller.errors import ClusterError, DataError
from controller.executor.kubernetes.prepare import prepare_on_cluster
from tests.cluster.executor_task import SCORES, TaskNamespace, running

NAME = "ar-prepare-autoresearch-data"


def test_data_are_made_once_and_kept_and_attempts_find_them(own_namespace: TaskNamespace) -> None:
    def prepare(**options: Any) -> tuple[list[str], str]:
        said: list[str] = []
        prepare_on_cluster(own_namespace.settings("any"), say=said.append, **options)
        return said, own_namespace.cluster.get("job", NAME, f"--namespace={own_namespace.name}")["metadata"]["uid"]

    made, first = prepare()
    answered, second = prepare()
    checked, third = prepare(check=True)

    assert "  made /volume/data" in made
    assert answered == [f"  prepared before by Job {NAME}; --check looks at the data again"]
    assert "  kept /volume/data" in checked
    assert first == second != third
    with running(own_namespace) as one:
        assert one.run(f"test -d /data/train || exit 9; {SCORES}").outcome is Outcome.SCORED


def test_what_prepare_said_last_is_the_error_also_where_other_data_were_made_before(
    own_namespace: TaskNamespace,
) -> None:
    prepare_on_cluster(own_namespace.settings("right", kubernetes={"data_folder": "other"}), say=print)
    settings = own_namespace.settings("wrong", task={"prepare": ["hf:nowhere"]})

    with pytest.raises(DataError, match=r"prepare ended with exit code 2: PrepareError: hf:nowhere is no source"):
        prepare_on_cluster(settings, say=print)


def test_preparation_of_other_data_for_the_same_claim_is_not_taken_for_this_one(own_namespace: TaskNamespace) -> None:
    stuck = own_namespace.settings("stuck", kubernetes={"image": "localhost/nowhere:1"})
    with pytest.raises(ClusterError, match=r"image localhost/nowhere:1 cannot be had"):
        prepare_on_cluster(stuck, say=print, patience=2)

    with pytest.raises(ClusterError, match=r"prepares other data for this claim: wait for its end, or delete it"):
        prepare_on_cluster(own_namespace.settings("other"), say=print)


def test_missing_image_ends_the_command_with_its_reason(own_namespace: TaskNamespace) -> None:
    settings = own_namespace.settings("noimage", kubernetes={"image": "localhost/nowhere:1"})

    with pytest.raises(ClusterError, match=r"image localhost/nowhere:1 cannot be had"):
        prepare_on_cluster(settings, say=print, patience=2)
