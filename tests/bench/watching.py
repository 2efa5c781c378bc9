"""Being watched with a lab of 10,000 experiments: scrape, status and page over HTTP, each after a change."""

from __future__ import annotations

import statistics
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from controller.domain import Experiment
from controller.judge import make_judge
from controller.lab import Lab
from controller.memory import Memory
from controller.metrics import Metrics
from controller.server import Server, Sources
from controller.snapshot import Tally, take_snapshot
from tests.bench.lab_of_ten_thousand import make_lab
from tests.scripted import settings

ROUNDS = 20


def measure(folder: Path) -> dict[str, float]:
    """Serve a lab of 10,000 experiments and ask; medians and worst of twenty, milliseconds. Needs about a minute."""
    make_lab(folder)
    chosen = settings("server.enabled=true", "server.port=0", "budget.experiments=20000")
    experiments = Lab.open(folder / "lab.git").experiments("t")
    memory = Memory(make_judge(chosen.judge, minimize=True), experiments, chosen)
    tally, metrics = Tally(experiments, chosen), Metrics(chosen)

    def publish() -> None:
        metrics.publish(replace(take_snapshot(memory, tally, chosen), turned_at=time.time()))

    def change() -> None:
        """What the loop does at each turn, one new experiment in its hands."""
        number = len(memory.experiments)
        memory.put(Experiment(number=number, commit=f"{number:040d}", base="b", title="another edit"))
        publish()

    publish()
    server = Server(
        Sources(
            settings=chosen,
            metrics=metrics,
            lab=folder / "lab.git",
            experiments=lambda: tuple(memory.experiments.values()),
            progress=tuple,
            trouble=str,
            ready=lambda: True,
            clock=time.time,
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
