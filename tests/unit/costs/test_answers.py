"""The cost of an answer stands in every view of an experiment, and is empty where no exam measured it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, ExamReport, Experiment, Verdict
from controller.reports.exports import experiment_facts, wide_tsv
from controller.reports.page import details
from controller.reports.terminal import experiment_blocks, experiments_table
from controller.text.figures import seconds_text
from tests.support.histories import experiment, result
from tests.support.scripted import settings

PRICES = SlotPrices.of(settings())


def measured(*costs: tuple[float | None, float | None]) -> Experiment:
    results = []
    for seconds, memory in costs:
        exam = ExamReport(seconds_per_answer=seconds, answer_memory_gb=memory)
        results.append(replace(result(1.9), exam=exam))
    return experiment(BASELINE, results, Verdict.KEEP, None)


def views(one: Experiment) -> list[str]:
    lines = experiments_table([one], metric="val_bpb", prices=PRICES, noise=None, width=None, wide=True)
    return [
        lines[1].plain,
        "\n".join(block.plain for block in experiment_blocks(one, {}, metric="val_bpb", prices=PRICES)),
        details(one, {}, metric="val_bpb", prices=PRICES, diff="", log=""),
    ]


def test_every_view_tells_the_least_time_and_the_most_memory_of_its_runs() -> None:
    one = measured((4.12e-5, 0.61), (2.31e-5, 0.63))

    for view in views(one):
        assert "23 µs, 0.63 GB" in view
    head, row = wide_tsv([one], metric="val_bpb", prices=PRICES).splitlines()
    columns = dict(zip(head.split("\t"), row.split("\t"), strict=True))
    assert (columns["seconds_per_answer"], columns["answer_memory_gb"]) == ("2.31e-05", "0.63")
    exam = experiment_facts(one, PRICES, {})["attempts"][0]["result"]["exam"]
    assert exam == {"seconds_per_answer": 4.12e-5, "answer_memory_gb": 0.61}


def test_what_nobody_measured_is_left_out() -> None:
    assert all("0.61 GB" in view and "µs" not in view for view in views(measured((None, 0.61))))
    assert all("an answer takes" not in view for view in views(measured((None, None))))
    assert wide_tsv([measured((None, None))], metric="val_bpb", prices=PRICES).splitlines()[1].endswith("\t\t")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.24, "1.2 s"), (0.9999, "1 s"), (0.034, "34 ms"), (4.12e-5, "41 µs"), (1e-6, "1 µs"), (5e-10, "0.5 ns")],
)
def test_a_short_time_reads_in_two_digits(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
