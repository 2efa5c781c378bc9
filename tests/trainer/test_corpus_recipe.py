"""Sizes: what an exam of them asks and costs, and that the presets keep it a small part of an attempt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from corpus.recipe import PRESETS, Recipe
from exam.kit.rounds import draw_plan
from hypothesis import given
from hypothesis import strategies as st
from prepare import parse_arguments

from controller.settings.defaults import Device, defaults_of

STARTS = {"cpu": 4.0, "gpu": 24.0}
"""Seconds for three processes that import torch and load a model: measured on a CPU, allowed for on a GPU, with the ten
that a kubelet of 1.35 or later waits before it starts a container for the third time."""

SHARE = {"cpu": 0.4, "gpu": 0.15}
"""The part of an attempt that the exam may take."""


def recipe_of(preset: str) -> Recipe:
    """The recipe that `--preset` stands for."""
    sizes = PRESETS[preset]
    return Recipe(
        source="",
        vocabulary_size=sizes["vocabulary"],
        sequence_length=sizes["sequence_length"],
        sequences=sizes["sequences"],
        probe_count=sizes["probes"],
        probe_sets=1,
        reserve_slices=2,
        reserve_sequences=sizes["reserve_sequences"],
        seed=0,
    )


@given(st.integers(1, 3000), st.integers(0, 3), st.integers(1, 99))
def test_predicted_logits_are_those_of_the_plan_that_the_examiner_draws(
    sequences: int, slices: int, fresh: int
) -> None:
    recipe = replace(recipe_of("cpu"), sequences=sequences, reserve_slices=slices, reserve_sequences=fresh)
    plan = draw_plan(sequences + (fresh if slices else 0), np.random.default_rng(0))
    asked = len(plan.order) + len(plan.repeats)
    assert recipe.exam_logits == asked * recipe.sequence_length * recipe.vocabulary_size


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_exam_of_a_preset_is_a_small_part_of_its_attempt(preset: str) -> None:
    share, attempt = SHARE[preset], defaults_of(Device(preset)).train_seconds
    recipe = recipe_of(preset)
    assert recipe.complaint() is None
    assert recipe.exam_seconds + STARTS[preset] <= share * attempt


def test_twice_the_sequences_would_be_too_much_for_two_cores_beside_a_gpu() -> None:
    share, attempt = SHARE["gpu"], defaults_of(Device.GPU).train_seconds
    larger = replace(recipe_of("gpu"), sequences=2 * PRESETS["gpu"]["sequences"])
    assert larger.exam_seconds + STARTS["gpu"] > share * attempt


@pytest.mark.parametrize("device", Device)
def test_forecast_of_a_campaign_allows_for_what_the_exam_of_its_preset_takes(device: Device) -> None:
    defaults = defaults_of(device)

    taken = recipe_of(str(defaults.preset)).exam_seconds + STARTS[device]
    assert taken <= defaults.exam_seconds <= 2 * taken


def test_every_device_has_a_preset_and_every_preset_a_device() -> None:
    assert {str(defaults_of(device).preset) for device in Device} == set(PRESETS)


def test_environment_names_the_preset_and_options_win_over_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def sizes(*options: str) -> tuple[str, int, int]:
        _, recipe = parse_arguments(["--data", "x", *options])
        return recipe.preset, recipe.vocabulary_size, recipe.sequence_length

    monkeypatch.setenv("AUTORESEARCH_PRESET", "gpu")
    assert sizes() == ("gpu", 8192, 2048)
    assert sizes("--preset", "cpu") == ("cpu", 2048, 128)
    assert sizes("--vocabulary", "4096") == ("gpu", 4096, 2048)
    monkeypatch.delenv("AUTORESEARCH_PRESET")
    assert sizes() == ("cpu", 2048, 128)
    monkeypatch.setenv("AUTORESEARCH_PRESET", "tpu")
    with pytest.raises(SystemExit):
        sizes()
    assert "AUTORESEARCH_PRESET 'tpu' is no preset: choose from cpu, gpu" in capsys.readouterr().err
