"""The first hour of a new user, walked by a script: no traceback, no failed page, no connection dropped.

Real processes, sandboxes and HTTP; only the trainings are small. The drawn seed is printed where it fails, and
AUTORESEARCH_WALK_SEED walks the same way again as far as a machine's timing allows.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.first_hour.small_task import write_exam_task, write_own_task
from tests.first_hour.walking import Person, Said, Visitor, assert_is_told, complain_of, wait_until_served
from tests.support.http import free_port

pytestmark = pytest.mark.timeout(1200)
"""The whole walk happens in its first test."""

PAGES = (
    "/",
    "/status.json",
    "/metrics",
    "/healthz",
    "/readyz",
    "/experiments/0",
    "/experiments/1",
    "/lab.git/info/refs",
)
INTERRUPTIONS = 10
INTERRUPTED = -2
"""The signal itself: before the campaign runs there is nothing to put away."""

EXPERIMENTS = 4


@dataclass(frozen=True)
class Walk:
    """Everything that was seen on the way through the demo."""

    person: Person
    shipped: Path
    visitor: Visitor
    interrupted: list[Said]
    meanwhile: list[Said]
    ended: Said


@pytest.fixture(scope="module")
def draw() -> random.Random:
    """Moments are drawn anew in each test run."""
    seed = int(os.environ.get("AUTORESEARCH_WALK_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"walked with AUTORESEARCH_WALK_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory, draw: random.Random) -> Walk:
    """`run demo` in a fresh folder, Ctrl-C ten times, then to its end; the page is open all the while."""
    root = tmp_path_factory.mktemp("first-hour")
    fresh = root / "fresh"
    fresh.mkdir()
    shipped = write_exam_task(root / "shipped")
    port = free_port()
    (fresh / "small.yaml").write_text(
        f"tag: demo\ntask: {{folder: {shipped}, probe_sets: 1, reserve_slices: 1}}\n"
        f"budget: {{train_seconds: 20, experiments: {EXPERIMENTS}}}\n"
        f"server: {{enabled: true, port: {port}}}\n"
    )
    visitor = Visitor(port)
    interrupted, meanwhile = [], []
    with Person(fresh).at_the_terminal() as person, visitor.staying():
        for number in range(INTERRUPTIONS):
            given = [] if (fresh / "demo" / "campaign.yaml").exists() else ["--settings", "small.yaml"]
            run = person.start("run", "demo", *given)
            visitor.expect_answers()
            person.wait_for_its_own_code(run)
            if number % 2:
                wait_until_served(visitor, run)
            wait_at_most(draw.uniform(0.0, 4.0 if number % 2 else 1.5), run)
            asked = person.start("status", "--campaign", "demo")
            visitor.expect_nobody()
            person.press_ctrl_c(run)
            interrupted.append(person.wait_for(run))
            meanwhile.append(person.wait_for(asked))
        run = person.start("run", "demo", *given)
        visitor.expect_answers()
        wait_until_served(visitor, run, path="/metrics", pattern=r"autoresearch_ended\{.*\} 1\.0", seconds=600)
        for path in PAGES:
            visitor.look(path)
        visitor.expect_nobody()
        person.press_ctrl_c(run)
        ended = person.wait_for(run)
    return Walk(person, shipped, visitor, interrupted, meanwhile, ended)


def test_nothing_on_the_way_was_ugly(walk: Walk) -> None:
    assert not complain_of(walk.person.heard), complain_of(walk.person.heard)


def test_the_open_page_never_failed(walk: Walk) -> None:
    assert walk.visitor.complaints == []
    assert set(PAGES) <= walk.visitor.answered.keys()


def test_ctrl_c_always_ends_cleanly_and_says_so(walk: Walk) -> None:
    for said in walk.interrupted:
        assert said.code in (0, INTERRUPTED), said
        if said.code == 0:
            done = f"stopped: {EXPERIMENTS} experiments" in said.out  # on a quick machine, before the key was pressed
            assert done or "stopped: interrupted" in said.out, said
            assert done or "go on with: autoresearch run demo" in said.out, said


def test_status_always_answers(walk: Walk) -> None:
    assert len(walk.meanwhile) == INTERRUPTIONS
    for said in walk.meanwhile:
        if said.code == 0:
            assert "demo" in said.out, said
        else:  # before anything is in the lab
            assert_is_told(said)


def test_what_was_interrupted_goes_on_to_its_end(walk: Walk) -> None:
    assert walk.ended.code == 0, walk.ended
    assert f"stopped: {EXPERIMENTS} experiments (budget)" in walk.ended.out, walk.ended
    rows = json.loads(walk.person.say("log", "--json").out)
    assert [row["number"] for row in rows] == list(range(len(rows)))
    assert sum(row["number"] > 0 and row["score"] is not None for row in rows) == EXPERIMENTS


def test_everything_can_be_looked_at_afterwards(walk: Walk) -> None:
    person = Person(walk.person.folder)
    rows = json.loads(person.say("log", "--json").out)

    for row in rows:
        assert row["title"][:20] in person.say("show", str(row["number"])).out
    for command in ("status", "log", "report", "export"):
        said = person.say(command)
        assert said.code == 0, said
        assert said.out, said
    compile(person.say("best").out, "train.py", "exec")
    patch = person.say("diff", "1").out
    subprocess.run(["git", "apply", "--check"], cwd=walk.shipped, input=patch, text=True, check=True)
    assert not complain_of(person.heard), complain_of(person.heard)


def test_a_task_of_ones_own_runs_beside_it(walk: Walk) -> None:
    write_own_task(walk.person.folder / "own")
    (walk.person.folder / "mine.yaml").write_text(
        "tag: mine\n"
        "task: {folder: own, score: log, metric: accuracy, direction: maximize}\n"
        "budget: {train_seconds: 5, experiments: 3}\n"
        "deadlines: {log_scored: 60}\n"
    )

    ran = walk.person.say("run", "mine", "--settings", "mine.yaml")
    best = walk.person.say("best", "-C", "mine")

    assert ran.code == 0, ran
    assert "stopped: 3 experiments (budget)" in ran.out, ran
    assert "TEMPERATURE" in best.out, best
    assert not ran.is_ugly, ran


def wait_at_most(seconds: float, process: subprocess.Popen[str]) -> None:
    """A while, or less where the process ends before."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return
