"""Sizes: what an exam of them asks and costs, and that the presets keep it a small part of an attempt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from corpus.recipe import PRESETS, Recipe
from exam.marking import draw_plan
from hypothesis import given
from hypothesis import strategies as st

STARTS = {"cpu": 4.0, "gpu": 14.0}
"""Seconds for three processes that import torch and load a model: measured on a CPU, allowed for on a GPU."""

SHARE = {"cpu": (0.4, 20.0), "gpu": (0.15, 300.0)}
"""The part of an attempt that probe and exam may take, and its seconds of training."""


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
        seed=0,
    )


@given(st.integers(1, 3000))
def test_predicted_logits_are_those_of_the_plan_that_the_examiner_draws(sequences: int) -> None:
    recipe = replace(recipe_of("cpu"), sequences=sequences)
    plan = draw_plan(2 * sequences, np.random.default_rng(0))
    asked = len(plan.order) + len(plan.repeats)
    assert recipe.exam_logits == asked * recipe.sequence_length * recipe.vocabulary_size


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_probe_and_exam_of_a_preset_are_a_small_part_of_its_attempt(preset: str) -> None:
    share, attempt = SHARE[preset]
    recipe = recipe_of(preset)
    assert recipe.complaint() is None
    assert recipe.exam_seconds + STARTS[preset] <= share * attempt


def test_twice_the_sequences_would_be_too_much_for_two_cores_beside_a_gpu() -> None:
    share, attempt = SHARE["gpu"]
    larger = replace(recipe_of("gpu"), sequences=2 * PRESETS["gpu"]["sequences"])
    assert larger.exam_seconds + STARTS["gpu"] > share * attempt
