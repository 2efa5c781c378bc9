"""The places of a portability study: what differs there, and what stays."""

from __future__ import annotations

from pathlib import Path

from controller.cli.studies import place_of_pool, place_of_preset
from controller.settings.file import load_settings

ON_A_CLUSTER = ("executor.kind=kubernetes", "task.preset=gpu")


def test_a_node_pool_is_asked_for_beside_what_the_campaign_asks_of_its_nodes() -> None:
    settings = load_settings(None, [*ON_A_CLUSTER, 'executor.kubernetes.node_selector={"disk": "ssd"}'])

    place = place_of_pool("a100", settings, label="cloud.google.com/gke-nodepool")

    there = load_settings(None, [*ON_A_CLUSTER, *place.overrides]).executor.kubernetes.node_selector
    assert there == {"disk": "ssd", "cloud.google.com/gke-nodepool": "a100"}


def test_another_preset_has_a_folder_of_its_own_on_the_claim() -> None:
    settings = load_settings(None, ON_A_CLUSTER)

    folders = {}
    for preset in ("gpu", "cpu"):
        there = load_settings(None, [*ON_A_CLUSTER, *place_of_preset(preset, settings).overrides])
        assert there.task.preset == preset
        folders[preset] = there.executor.kubernetes.data_folder

    assert folders == {"gpu": "data", "cpu": "data-cpu"}


def test_on_one_machine_a_preset_is_named_alone(tmp_path: Path) -> None:
    settings = load_settings(None, [f"task.folder={tmp_path}", "task.preset=gpu"])

    assert place_of_preset("cpu", settings).overrides == ("task.preset=cpu",)
