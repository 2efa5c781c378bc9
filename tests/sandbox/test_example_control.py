"""The task examples/control with its ideas and cheats, in attempts of the real local executor, with MuJoCo."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from controller.cli.doctor.trials import Trials
from controller.domain import Outcome
from controller.folder import CampaignFolder
from controller.run.prepare import prepare_data
from controller.settings.file import load_settings
from tests.support.examined_tasks import KIT
from tests.support.example_tasks import EXAMPLES, KEPT, attempts_of, edited, score_of

TASK = EXAMPLES / "control"
ARMS = {"train": 5, "validation": 12, "holdout": 1, "reserve/000": 4, "reserve/001": 4}
"""A small part of what prepare.py draws: as many to practise with as the search uses."""

TWICE = """
import json, sys
from world import STEPS, World
for arm in json.load(open(sys.argv[1])):
    world = World(arm)
    total = 0.0
    for step in range(STEPS):
        total += world.step([step % 7 / 7, 0.5 - step % 3])
    print(repr(total), *map(repr, world.observe().tolist()))
"""
"""Plays the arms of a file, and prints returns and last observations to the last digit."""


def prepare_module() -> ModuleType:
    """The task's prepare.py."""
    place = importlib.util.spec_from_file_location("control_prepare", TASK / "prepare.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(KIT))
        place.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    """Attempts on arms that are the same in every run of the tests: train.py has no chance in it, so scores are too."""
    prepare, chance = prepare_module(), random.Random(14)
    root = tmp_path_factory.mktemp("control")
    data = CampaignFolder(root / "control").data
    for name, count in ARMS.items():
        (data / name).mkdir(parents=True)
        (data / name / "arms.json").write_text(json.dumps([prepare.draw_arm(chance) for _ in range(count)]))
    prepare.seal(data)
    yield from attempts_of("control", root)


@pytest.fixture(scope="module")
def honest(control: Trials) -> float:
    """The score of the unchanged program."""
    return score_of(control.run())


def test_control_is_scored_and_its_ideas_are_worth_what_the_page_says(
    control: Trials, honest: float, tmp_path: Path
) -> None:
    first, second, third = KEPT["control"]
    programs = ([first], [first, second], [first, second, third])
    scores = [honest] + [
        score_of(control.run(files=edited("control", tmp_path / str(len(kept)), *kept))) for kept in programs
    ]
    worse = control.run(files=edited("control", tmp_path / "worse", *KEPT["control"], "04"))

    assert scores[0] < scores[1] - 0.1 < scores[2] - 0.2
    assert scores[3] > 0.5
    assert score_of(worse) < scores[-1]


@pytest.mark.parametrize("number", ["05", "09", "10"])
def test_no_search_for_hidden_arms_and_no_other_world_changes_the_score(
    control: Trials, honest: float, tmp_path: Path, number: str
) -> None:
    """To the last digit: the program has no chance in it, and the ideas change nothing that counts."""
    assert score_of(control.run(files=edited("control", tmp_path / number, number))) == honest


@pytest.mark.parametrize(
    ("number", "outcome", "words"),
    [
        ("06", Outcome.CRASHED, "No module named 'scipy'"),
        ("07", Outcome.REJECTED, "a fresh process answered"),
        ("08", Outcome.REJECTED, "a fresh process answered"),
    ],
)
def test_what_crashes_and_what_cheats_in_control_is_told(
    control: Trials, tmp_path: Path, number: str, outcome: Outcome, words: str
) -> None:
    result = control.run(files=edited("control", tmp_path / number, number))

    assert (result.outcome, result.score) == (outcome, None), result.reason
    assert words in result.reason


def test_what_is_learnt_within_an_episode_and_forgotten_after_it_is_no_cheat(control: Trials, tmp_path: Path) -> None:
    """The cheat that keeps what it has learnt, with the one line in `reset` that makes it honest."""
    files = edited("control", tmp_path / "forgets", "07")
    honest = "self.torques = [0.0, 0.0]\n        self.learnt = [0.0, 0.0]"
    assert score_of(control.run(files={"train.py": files["train.py"].replace("self.torques = [0.0, 0.0]", honest)})) > 0


def test_arms_are_drawn_anew_each_time_and_every_part_has_its_own(tmp_path: Path) -> None:
    settings = load_settings(TASK / "settings.yaml")
    drawn: list[Any] = []
    for name in ("one", "other"):
        folder = CampaignFolder(tmp_path / name)
        prepare_data(folder, settings, say=lambda _: None)
        for file in sorted(folder.data.rglob("arms.json")):
            drawn += json.loads(file.read_text())

    assert len({json.dumps(arm) for arm in drawn}) == len(drawn)
    assert len(drawn) > 2 * 40


def test_an_episode_is_the_same_in_a_fresh_process(tmp_path: Path) -> None:
    prepare, chance = prepare_module(), random.Random(2)
    arms = tmp_path / "arms.json"
    arms.write_text(json.dumps([prepare.draw_arm(chance) for _ in range(6)]))
    command = [str(TASK / ".venv/bin/python"), "-c", TWICE, str(arms)]
    played = [subprocess.run(command, cwd=TASK, capture_output=True, text=True, check=True).stdout for _ in range(2)]

    assert played[0] == played[1]
    assert len(set(played[0].splitlines())) == 6
