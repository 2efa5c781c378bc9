"""A real Prometheus on a real campaign, with time compressed: it scrapes every second what others scrape in thirty."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.http import free_port, get
from tests.support.waiting import wait_until

PATIENCE_S = 600.0
"""Longest time for a whole campaign of a few experiments on a busy machine, in seconds."""


@contextmanager
def process(command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its output in a file, terminated in the end."""
    with log.open("wb") as out:
        started = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=dict(environment))
    try:
        yield started
    finally:
        started.terminate()
        started.wait(timeout=PATIENCE_S)


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    address: str
    began: float

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its API. A query that fails fails the test with Prometheus' own words."""
        try:
            answer = json.loads(get(f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error
        assert not answer.get("warnings"), answer
        return answer["data"]

    def series(self, expr: str, *, now: bool) -> list[list[float]]:
        """The data of a panel: the numbers of each series, over the whole time or only the newest."""
        if now:
            result = self.ask("query", query=expr, time=f"{self._scraped_at()}")["result"]
            values = [[one["value"]] for one in result]
        else:
            span = {"start": f"{self.began}", "end": f"{time.time() + 1}", "step": "1"}
            values = [one["values"] for one in self.ask("query_range", query=expr, **span)["result"]]
        numbers = [[float(number) for _, number in points] for points in values]
        return [[n for n in one if n == n] for one in numbers if any(n == n for n in one)]

    def _scraped_at(self) -> float:
        """The moment of the last scrape that was answered: on a busy machine one may be late, and then has no data."""
        found = self.ask("query", query="max_over_time(timestamp(up == 1)[5m:1s])")["result"]
        return float(found[0]["value"][1]) if found else time.time()


@contextmanager
def scraping(program: Path, port: int, *, rules: Path, folder: Path) -> Iterator[Prometheus]:
    """Prometheus scraping a port of this machine each second, with our alert rules loaded."""
    own, address = free_port(), f"127.0.0.1:{port}"
    target = {"targets": [address], "labels": {"namespace": "research", "job": "autoresearch"}}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "5s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "autoresearch", "static_configs": [target]}],
    }
    (folder / "prometheus.json").write_text(json.dumps(config))
    command = [
        str(program),
        f"--config.file={folder / 'prometheus.json'}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{own}",
    ]
    log = folder / "prometheus.log"
    with process(command, log=log, environment={"PATH": "/usr/bin:/bin", "GOMAXPROCS": "2"}):
        prometheus = Prometheus(f"http://127.0.0.1:{own}", time.time())
        wait_until(lambda: _answers(f"{prometheus.address}/-/ready"), what=lambda: f"Prometheus: {log.read_text()}")
        yield prometheus


def _answers(address: str) -> bool:
    try:
        get(address)
    except OSError:
        return False
    return True
