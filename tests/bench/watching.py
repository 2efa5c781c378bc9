"""Times metrics, status and page over HTTP with a lab of 10,000 experiments, each after a change."""

from __future__ import annotations

import statistics
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from controller.costs.slots import SlotPrices
from controller.domain import Experiment
from controller.judge import make_judge
from controller.lab import Lab
from controller.monitoring.metrics import Metrics
from controller.monitoring.server import Server, Sources
from controller.notices import Activity
from controller.planning.campaign_state import CampaignState
from controller.reports.snapshot import Tally, take_snapshot
from tests.bench.lab_of_ten_thousand import make_lab
from tests.support.scripted import settings

ROUNDS = 20
"""Requests of each kind."""


def measure(folder: Path) -> dict[str, float]:
    """Serve the lab and time twenty requests of each kind, in milliseconds; takes about a minute."""
    make_lab(folder)
    chosen = settings("server.enabled=true", "server.port=0", "budget.experiments=20000")
    experiments = Lab.open(folder / "lab.git").experiments("t")
    campaign_state = CampaignState(make_judge(chosen.judge, minimize=True), experiments, SlotPrices.of(chosen))
    tally, metrics = Tally(experiments, SlotPrices.of(chosen)), Metrics(chosen)

    def publish() -> None:
        metrics.publish(replace(take_snapshot(campaign_state, tally, chosen, Activity(tag="t")), turned_at=time.time()))

    def change() -> None:
        """Add an experiment and publish, as the loop does at each turn."""
        number = len(campaign_state.experiments)
        campaign_state.put(Experiment(number=number, commit=f"{number:040d}", base="b", title="another edit"))
        publish()

    publish()
    server = Server(
        Sources(
            settings=chosen,
            metrics=metrics,
            lab=folder / "lab.git",
            experiments=lambda: tuple(campaign_state.experiments.values()),
            progress=tuple,
            ready=lambda: True,
            clock=time.time,
            say=print,
        )
    )
    try:
        return _measured(server.port, change=change, publish=publish)
    finally:
        server.close()


def _measured(port: int, *, change: Callable[[], None], publish: Callable[[], None]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, path in (("scrape", "/metrics"), ("status.json", "/status.json"), ("page", "/")):
        took = []
        for _ in range(ROUNDS):
            change()
            took.append(_milliseconds(partial(_get, f"http://127.0.0.1:{port}{path}")))
        found |= {f"{name}, median ms": statistics.median(took), f"{name}, worst ms": max(took)}
    turns = [_milliseconds(publish) for _ in range(ROUNDS)]
    return found | {"snapshot at each turn of the loop, median ms": statistics.median(turns)}


def _get(address: str) -> None:
    with urllib.request.urlopen(address, timeout=60) as reply:
        reply.read()


def _milliseconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1e3
