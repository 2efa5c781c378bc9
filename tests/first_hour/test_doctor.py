"""`autoresearch doctor` leaves nothing of its trials behind, however it ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.cli.doctor.trials import WORK
from tests.first_hour.small_task import write_own_task
from tests.first_hour.walking import Person
from tests.support.waiting import wait_until

SETTINGS = """\
tag: mine
task: {folder: own, score: log, metric: accuracy, direction: maximize}
budget: {train_seconds: 5}
deadlines: {log_scored: 200}
"""
ENDLESS = "import time\ntime.sleep(600)\n"


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    """In a folder with a task of their own and its settings."""
    write_own_task(tmp_path / "own")
    (tmp_path / "mine.yaml").write_text(SETTINGS)
    with Person(tmp_path).at_the_terminal() as person:
        yield person


def left_in(person: Person) -> list[str]:
    return sorted(path.name for path in (person.folder / "mine").iterdir())


def wait_for_a_trial(person: Person) -> None:
    trial = person.folder / "mine" / WORK
    wait_until(lambda: list(trial.glob("doctor-*/logs/train.log")), what="a trial's training")


def test_nothing_stays_of_its_trials_nor_of_those_of_one_that_was_killed(person: Person) -> None:
    left_by_a_killed_one = person.folder / "mine" / WORK / "doctor-000000-e1-a1-t1" / "artifact"
    left_by_a_killed_one.mkdir(parents=True)

    said = person.say("doctor", "mine", "--settings", "mine.yaml", "--seconds", "5")

    assert said.code == 0, said
    assert not said.is_ugly, said
    assert left_in(person) == ["campaign.yaml"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_stays_after_a_signal_in_the_middle(person: Person, number: signal.Signals) -> None:
    program = person.folder / "own" / "train.py"
    program.write_text(ENDLESS + program.read_text())
    looking = person.start("doctor", "mine", "--settings", "mine.yaml", "--set", "task.editable=[train.py]")
    wait_for_a_trial(person)

    if number == signal.SIGINT:
        person.press_ctrl_c(looking)
    else:
        looking.send_signal(number)
    ended = person.wait_for(looking)

    assert ended.code == -number, ended
    assert not ended.is_ugly, ended
    assert left_in(person) == ["campaign.yaml"]


def test_a_folder_of_theirs_that_is_called_doctor_stays(person: Person) -> None:
    (person.folder / "mine" / "doctor").mkdir(parents=True)
    (person.folder / "mine" / "doctor" / "notes").write_text("mine")

    said = person.say("doctor", "mine", "--settings", "mine.yaml", "--seconds", "5")

    assert said.code == 0, said
    assert (person.folder / "mine" / "doctor" / "notes").read_text() == "mine"


def test_two_do_not_look_at_one_campaign_at_once(person: Person) -> None:
    program = person.folder / "own" / "train.py"
    program.write_text(ENDLESS + program.read_text())
    first = person.start("doctor", "mine", "--settings", "mine.yaml")
    wait_for_a_trial(person)

    second = person.say("doctor", "mine")
    person.press_ctrl_c(first)
    person.wait_for(first)

    assert second.code == 2, second
    assert "another `autoresearch doctor` looks at" in second.out, second
    assert not second.is_ugly, second
