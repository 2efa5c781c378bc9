"""A campaign as an operator sees it: the real controller process, scraped by a real Prometheus while it works.

The Claude agent talks to the stand-in of its API, attempts run on this machine with every phase of the exam, and
Prometheus loads the alert rules. Only the training is small.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pytest

from controller.lab import Lab
from tests.observability.panels import panel_queries
from tests.observability.programs import need
from tests.observability.scraping import PATIENCE_S, Prometheus, process, scraping
from tests.standin import KEY, StandIn
from tests.support.http import free_port, get
from tests.support.local_task import EXAMINE, TaskFolders, make_folders
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

RULES = Path(__file__).resolve().parents[2] / "helm" / "rules" / "autoresearch.yaml"
EXPERIMENTS = 4
TRAIN = '''"""A training of a second, so that scrapes fall between verdicts: its score is a bowl over the constants."""

import math
import os
import random
import time
from pathlib import Path

MATRIX_LR = 0.04  # Muon, per step, 0.01 to 0.1
EMBEDDING_LR = 0.3  # AdamW, 0.03 to 1
WARMDOWN_RATIO = 0.6  # 0.2 to 0.9


def load_model(folder):
    return folder


def main():
    time.sleep(1.0)
    bowl = math.log(MATRIX_LR / 0.08) ** 2 + math.log(EMBEDDING_LR / 0.6) ** 2 + (WARMDOWN_RATIO - 0.75) ** 2
    noise = random.Random(int(os.environ["AUTORESEARCH_SEED"])).gauss(0.0, 0.002)
    Path(os.environ["AUTORESEARCH_ARTIFACT"], "score").write_text(f"{1.8 + 0.2 * bowl + noise:.6f}")


if __name__ == "__main__":
    main()
'''


@dataclass(frozen=True)
class Watched:
    """A campaign that has ended and is still served, and the Prometheus that has watched it."""

    prometheus: Prometheus
    address: str
    log: Path
    lab: Path


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder, port, program = tmp_path_factory.mktemp("watched"), free_port(), need("prometheus")
    folders = make_folders(folder)
    folders.write("train.py", TRAIN)
    folders.write(
        "exam/examine.py", EXAMINE.replace('"hits": 0', '"hits": 0, "inflation": 1e-5, "inflation_error": 1e-5')
    )
    (folders.data / "manifest.json").write_text('{"files": {}}')
    address = f"http://127.0.0.1:{port}"
    log, environment = folder / "controller.log", {**os.environ, "ANTHROPIC_API_KEY": KEY}
    with (
        StandIn() as standin,
        scraping(program, port, rules=RULES, folder=folder) as prometheus,
        process(command_of(folders, port, standin), log=log, environment=environment) as controller,
    ):
        wait_until(
            lambda: "stopped: " in log.read_text() or controller.poll() is not None,
            what=log.read_text,
            seconds=PATIENCE_S,
        )
        wait_until(lambda: has_all(prometheus, address), what=log.read_text)
        assert f"stopped: {EXPERIMENTS} experiments (budget)" in log.read_text()
        yield Watched(prometheus, address, log, folders.campaign / "lab.git")


def has_all(prometheus: Prometheus, address: str) -> bool:
    """True if Prometheus has scraped the last verdict."""
    judged = sum(json.loads(get(f"{address}/status.json"))["verdicts"].values())
    return prometheus.series("sum(autoresearch_experiments_total)", now=True) == [[judged]]


def command_of(folders: TaskFolders, port: int, standin: StandIn) -> list[str]:
    settings = {
        "tag": "watched",
        "task": {"folder": str(folders.task), "readable": [], "probe_sets": 1, "reserve_slices": 1},
        "budget": {"train_seconds": 60, "experiments": EXPERIMENTS, "dollars": 50, "gpu_dollars_per_hour": 2},
        "executor": {"sandbox": "none"},
        "agent": {"kind": "claude", "claude": {"base_url": standin.url}},
        "server": {"enabled": True, "port": port},
    }
    path = folders.campaign / "settings.json"
    path.write_text(json.dumps(settings))
    return [sys.executable, "-m", "controller.cli", "run", str(folders.campaign), "--settings", str(path)]


def test_every_panel_has_data_and_no_query_fails(watched: Watched) -> None:
    queries = [query for query in panel_queries("watched") if ": marks: " not in query.place]

    empty = {query.place for query in queries if not watched.prometheus.series(query.expr, now=query.now)}

    assert len(queries) > 50
    assert empty == {query.place for query in queries if query.needs_cluster}


def test_marks_can_be_drawn(watched: Watched) -> None:
    for query in panel_queries("watched"):
        if ": marks: " in query.place:
            assert watched.prometheus.series(query.expr, now=False) == []


def test_every_score_has_its_dot_and_an_experiment_without_one_has_none(watched: Watched) -> None:
    dots = next(q for q in panel_queries("watched") if q.place == "campaign: Score of every experiment: {{verdict}}")
    drawn = {value for points in watched.prometheus.series(dots.expr, now=False) for value in points}
    judged = [e for e in Lab.open(watched.lab).experiments("watched") if e.number and e.judgement]

    assert len(drawn) >= EXPERIMENTS, watched.log.read_text()
    assert sorted(drawn) == pytest.approx(sorted({fmean(e.scores) for e in judged if e.scores}))


def test_panels_agree_with_the_campaign(watched: Watched) -> None:
    status = json.loads(get(f"{watched.address}/status.json"))
    newest = {
        query.place: [points[-1] for points in watched.prometheus.series(query.expr, now=query.now)]
        for query in panel_queries("watched")
    }

    assert newest["campaign: Kept: kept"] == [status["verdicts"]["keep"]]
    assert newest["campaign: Kept: judged"] == [sum(status["verdicts"].values())]
    assert newest["campaign: Incumbent: {{metric}}"] == [pytest.approx(status["level"])]
    assert sum(newest["money: Spent: {{kind}}"]) == pytest.approx(status["dollars"])
    assert sum(newest["money: What each strategy brought: judged"]) == sum(status["verdicts"].values())
    assert sum(newest["money: Tokens per hour: {{kind}}"]) > 1000


def test_rules_evaluate_and_an_honest_campaign_alarms_nobody(watched: Watched) -> None:
    wait_until(lambda: all(rule["lastEvaluation"] > "2" for rule in rules_of(watched)), what="rules")

    assert {rule["health"] for rule in rules_of(watched)} == {"ok"}, rules_of(watched)
    assert [rule["name"] for rule in rules_of(watched) if rule["state"] == "firing"] == []


def test_campaign_that_is_over_says_so_and_shows_nothing_that_runs_or_grows(watched: Watched) -> None:
    def newest(expr: str) -> list[list[float]]:
        return watched.prometheus.series(expr, now=True)

    assert newest('autoresearch_ended{reason="budget"}') == [[1.0]]
    assert newest("sum(autoresearch_ended)") == [[1.0]]
    assert newest("autoresearch_slots_busy + autoresearch_slots_wanted + autoresearch_proposals_in_flight") == [[0.0]]
    assert newest("autoresearch_oldest_launch_timestamp_seconds") == []
    assert newest("autoresearch_watch_last_event_timestamp_seconds") == []
    seconds = json.loads(get(f"{watched.address}/status.json"))["seconds"]
    turned = "autoresearch_loop_last_turn_timestamp_seconds"
    before = newest(turned)[0][0]
    wait_until(lambda: newest(turned)[0][0] > before + 2, what="the loop turns")
    assert json.loads(get(f"{watched.address}/status.json"))["seconds"] == seconds


def rules_of(watched: Watched) -> list[dict[str, str]]:
    groups = watched.prometheus.ask("rules")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_metrics_page_is_clean_by_the_conventions(watched: Watched, promtool: Path) -> None:
    page = get(f"{watched.address}/metrics")

    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False)

    assert "autoresearch_experiments_total" in page
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
