"""The report as Markdown: what others wrote is shown as they wrote it, and is no syntax."""

from __future__ import annotations

import pytest

from controller.domain import Attempt, Experiment, Try
from controller.notices import Activity
from controller.reports.report import markdown
from controller.reports.summary import summary
from tests.support.scripted import scored, settings


@pytest.mark.parametrize("name", ["val_bpb", "<b>loss|x</b>", "*ndcg*@10", "a`b"])
def test_name_of_a_metric_is_no_markup(name: str) -> None:
    tried = (Try(number=1, probe_set=0, launched_at=1.0),)
    attempts = tuple(Attempt(number=n, seed=n, tries=tried, result=scored(2.0 + n / 100)) for n in (1, 2, 3))
    baseline = Experiment(number=0, commit="c", base="", title="baseline", attempts=attempts)
    chosen = settings()
    chosen = chosen.model_copy(update={"task": chosen.task.model_copy(update={"metric": name})})
    facts = summary([baseline], chosen, activity=Activity(tag="t", turned=True), now=9.0, dollars=0.0)

    text = markdown([baseline], facts=facts)

    fence = "``" if "`" in name else "`"
    assert f"baseline {fence}{name}{fence} " in text
    assert text.replace(f"{fence}{name}{fence}", "").count(name) == 0
