"""Panels that only a cluster can fill, and with them all others: the real controller runs real Jobs, and is scraped."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.settings.file import dump_settings
from tests.cluster.executor_task import task_namespace_on
from tests.cluster.harness import Cluster
from tests.cluster.harness.binaries import program
from tests.cluster.harness.namespaces import create_pair, delete_pair
from tests.observability.panels import panel_queries
from tests.observability.programs import need
from tests.observability.scraping import PATIENCE_S, Prometheus, process, scraping
from tests.support.http import free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1200)]
PREPARATIONS = [program("prometheus")]

RULES = Path(__file__).resolve().parents[2] / "helm" / "rules" / "autoresearch.yaml"
TAG = f"seen-{secrets.token_hex(3)}"
PRICE = 36.0
TRAIN = '''\
WIDTH=20  # 1 to 90
DEPTH=30  # 1 to 90

""":"
echo "$((19900 - WIDTH * 40 - DEPTH * 20 + AUTORESEARCH_SEED % 7))e-4" > "$AUTORESEARCH_ARTIFACT/score"
echo 'report="\\"verdict\\":\\"scored\\",\\"test\\":null,\\"inflation\\":1e-5,\\"inflation_error\\":1e-5,\\"hits\\":0"
      score=$(head -n 1 /tmp/given)
      answer "{\\"attempt\\":\\"$AUTORESEARCH_ATTEMPT\\",$report,\\"val_bpb\\":$score,\\"holdout_bpb\\":$score}"
      exit 0' > "$AUTORESEARCH_ARTIFACT/exam"
exit 0
":"""


def load_model(folder):
    return WIDTH, DEPTH
'''
"""A shell script that is a Python program as well: the agent edits the one, the image of these tests runs the other."""


@pytest.fixture(scope="module")
def prometheus(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder, port, program = tmp_path_factory.mktemp("cluster"), free_port(), need("prometheus")
    (folder / "task").mkdir()
    (folder / "task" / "train.py").write_text(TRAIN)
    log, pair = folder / "controller.log", create_pair(cluster)
    with task_namespace_on(cluster, pair.runner) as namespace:
        settings = namespace.settings(
            TAG,
            task={"folder": str(folder / "task"), "readable": ()},
            budget={
                "train_seconds": 5,
                "experiments": 3,
                "dollars": 50,
                "gpu_dollars_per_hour": 2,
                "gpu_dollars_by_pool": {node_name(cluster): PRICE},
            },
            server={"enabled": True, "port": port},
        )
        (folder / "settings.yaml").write_text(dump_settings(settings))
        command = [sys.executable, "-m", "controller.cli", "run", str(folder / "campaign")]
        command += ["--settings", str(folder / "settings.yaml")]
        with (
            process(command, log=log, environment=os.environ) as controller,
            scraping(program, port, rules=RULES, folder=folder) as prometheus,
        ):
            wait_until(
                lambda: "stopped: " in log.read_text() or controller.poll() is not None,
                what=log.read_text,
                seconds=PATIENCE_S,
            )
            assert "stopped: 3 experiments (budget)" in log.read_text()
            wait_until(lambda: created(prometheus) == ended(prometheus), what=log.read_text)
            wait_until(lambda: over(prometheus), what=log.read_text)
            yield prometheus
    delete_pair(cluster, pair)


def node_name(cluster: Cluster) -> str:
    """The node that attempts run on."""
    return cluster.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}").strip()


def created(prometheus: Prometheus) -> list[list[float]]:
    """Jobs that were created, by the newest scrape."""
    counted = 'autoresearch_kube_api_request_duration_seconds_count{verb="create",resource="jobs",code="201"}'
    return prometheus.series(f"sum({counted})", now=True)


def over(prometheus: Prometheus) -> bool:
    """True if the newest scrape knows that the campaign has ended."""
    return prometheus.series("sum(autoresearch_ended)", now=True) == [[1.0]]


def ended(prometheus: Prometheus) -> list[list[float]]:
    """Attempts that ended, by the newest scrape."""
    return prometheus.series("sum(autoresearch_attempts_total)", now=True)


def test_every_panel_has_data_but_those_of_model_calls(prometheus: Prometheus) -> None:
    queries = [query for query in panel_queries(TAG) if ": marks: " not in query.place]

    empty = {query.place for query in queries if not prometheus.series(query.expr, now=query.now)}

    # The task of this test has no reserve, so nothing is fresh.
    untold = {query.place for query in queries if "_per_keep" in query.expr or "_freshness_" in query.expr}
    assert empty <= untold | {"money: Prompt read from the cache: cached", "campaign: Cost of a kept edit: per keep"}
    assert not any(query.place in empty for query in queries if query.needs_cluster)


def test_requests_and_queueing_are_those_of_the_jobs(prometheus: Prometheus) -> None:
    watches = prometheus.series("time() - autoresearch_watch_last_event_timestamp_seconds", now=False)

    assert created(prometheus) == ended(prometheus) != []
    assert len(watches) == 3
    # A bookmark comes each minute, and a busy machine may be late with several.
    # A scrape has the time of its beginning, and may tell what was heard until its end, a second later at most.
    assert all(-1 <= age < 600 for ages in watches for age in ages), watches


def test_tries_are_charged_at_the_price_of_the_node_that_they_ran_on(prometheus: Prometheus) -> None:
    [[dollars]] = prometheus.series('autoresearch_spent_dollars{kind="gpu"}', now=True)
    [[seconds]] = prometheus.series("sum(autoresearch_gpu_seconds_total)", now=True)

    assert seconds > 0
    assert dollars == pytest.approx(seconds / 3600 * PRICE)


def test_watches_have_no_age_any_more_when_the_campaign_is_over(prometheus: Prometheus) -> None:
    assert prometheus.series('autoresearch_ended{reason="budget"}', now=True) == [[1.0]]
    assert prometheus.series("autoresearch_watch_last_event_timestamp_seconds", now=True) == []
