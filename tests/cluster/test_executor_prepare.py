"""Data on the cluster's volume: prepared by a Job, kept when it is there, explained when it cannot be made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.domain import Outcome
from controller.errors import ClusterError, DataError
from controller.executor.kubernetes.prepare import prepare_on_cluster
from tests.cluster.executor_task import SCORES, Laboratory, laboratory_on, running
from tests.cluster.harness import BuiltCluster, NamespacePair


@pytest.fixture
def laboratory(built_cluster: BuiltCluster, namespaces: NamespacePair) -> Iterator[Laboratory]:
    with laboratory_on(built_cluster, namespaces.runner) as one:
        yield one


def test_data_are_made_once_and_kept_and_attempts_find_them(laboratory: Laboratory) -> None:
    said: list[str] = []
    prepare_on_cluster(laboratory.settings("first"), say=said.append)
    prepare_on_cluster(laboratory.settings("second"), say=said.append)

    assert "  made /volume/data" in said
    assert "  kept /volume/data" in said
    with running(laboratory) as one:
        assert one.run(f"test -d /data/train || exit 9; {SCORES}").outcome is Outcome.SCORED


def test_what_prepare_said_last_is_the_error(laboratory: Laboratory) -> None:
    settings = laboratory.settings("wrong", task={"prepare": ["hf:nowhere"]})

    with pytest.raises(DataError, match=r"prepare exited with 2: PrepareError: hf:nowhere is no source"):
        prepare_on_cluster(settings, say=print)


def test_missing_image_ends_the_command_with_its_reason(laboratory: Laboratory) -> None:
    settings = laboratory.settings("noimage", kubernetes={"image": "localhost/nowhere:1"})

    with pytest.raises(ClusterError, match=r"image localhost/nowhere:1 cannot be had"):
        prepare_on_cluster(settings, say=print, patience=2)
