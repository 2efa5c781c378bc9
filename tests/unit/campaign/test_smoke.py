"""A larger edit that crashes in its smoke test is a crash without a slot; everything else runs as without the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from controller.campaign import Campaign
from controller.campaign.smoke import SmokeTests, count_added_lines
from controller.domain import BASELINE, Proposal, Result, TryRequest, Verdict
from controller.judge import make_judge
from controller.lab import Lab
from controller.lab.writer import LabWriter
from controller.ports import Abandoned, ProposalRequest, SmokeCrash, Untested
from controller.reports.exports import results_tsv
from tests.support.scripted import TRAIN, InstantExecutor, NumberAgent, scored, settings

LINES = "".join(f"N{n} = {n}\n" for n in range(12))
CRASH = SmokeCrash(reason="train ended with exit code 1: NameError: name 'x' is not defined", log="NameError: x\n")


@dataclass
class Rewriter(NumberAgent):
    """Adds a dozen lines to each of its edits, and breaks every second one."""

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        answer = super().propose(request)
        if isinstance(answer, Abandoned):
            return answer
        broken = "x\n" if len(self.asked) % 2 else ""
        return replace(answer, files={"train.py": f"{answer.files['train.py']}{LINES}{broken}"})


@dataclass
class Bench:
    """Stands for the executor's smoke test: crashes what holds the broken line."""

    crashes: Callable[[str], bool] = lambda text: text.endswith("x\n")
    tested: list[str] = field(default_factory=list)

    def __call__(self, files: Mapping[str, str]) -> SmokeCrash | Untested | None:
        self.tested.append(files["train.py"])
        return CRASH if self.crashes(files["train.py"]) else None


def run(folder: Path, agent: NumberAgent, bench: Bench) -> InstantExecutor:
    """Run a campaign of six experiments to its end."""

    def score(request: TryRequest) -> Result:
        return scored(2.0 + (request.seed % 1000) / 1e5)

    executor, chosen = InstantExecutor(score), settings()
    Campaign(
        settings=chosen,
        lab=LabWriter.open(folder / "lab.git", create=True),
        executor=executor,
        agent=agent,
        judge=make_judge(chosen.judge, minimize=True),
        task_files={"train.py": TRAIN, "program.md": "Lower it.\n"},
        brief="Lower it.\n",
        clock=iter(range(1_700_000_000, 1_800_000_000)).__next__,
        observe=lambda _: None,
        smoke=bench,
        wait_seconds=0.02,
    ).run()
    return executor


def test_edit_that_crashes_in_its_smoke_test_is_a_crash_without_an_attempt(tmp_path: Path) -> None:
    executor = run(tmp_path, Rewriter(), Bench())

    lab = Lab.open(tmp_path / "lab.git")
    experiments = lab.experiments("t")
    crashed = [e for e in experiments if e.judgement and e.judgement.verdict is Verdict.CRASH]
    assert len(experiments) == 7, "a crash counts in the budget of experiments"
    assert crashed
    assert not any(e.attempts for e in crashed)
    assert {request.id.experiment for request in executor.launched}.isdisjoint(e.number for e in crashed)
    assert all("smoke test" in e.judgement.reason and "NameError" in e.judgement.reason for e in crashed if e.judgement)
    assert [log.text for log in lab.logs("t", crashed[0].number)] == [CRASH.log]
    assert results_tsv(experiments, metric="val_bpb").count("crash") == len(crashed)


def test_nothing_changes_where_the_unchanged_code_crashes_in_the_test(tmp_path: Path) -> None:
    bench = Bench(crashes=lambda _: True)

    run(tmp_path, Rewriter(), bench)

    assert bench.tested == [TRAIN]
    experiments = Lab.open(tmp_path / "lab.git").experiments("t")
    assert not any(e.judgement.verdict is Verdict.CRASH for e in experiments if e.judgement)


def test_edit_of_a_few_lines_is_not_tested(tmp_path: Path) -> None:
    bench = Bench()

    run(tmp_path, NumberAgent(), bench)

    assert bench.tested == []


def test_program_is_tested_once_however_often_it_is_asked_for() -> None:
    bench = Bench()
    tests = SmokeTests(bench, baseline={"train.py": TRAIN}, needs_load_model=False)
    edited = {"train.py": f"{TRAIN}{LINES}x\n"}

    assert [tests.find_crash(edited, base={"train.py": TRAIN}) for _ in range(3)] == [CRASH] * 3

    assert bench.tested == [TRAIN, edited["train.py"]]


def test_edit_that_is_sent_back_anyway_is_not_tested() -> None:
    bench = Bench()
    tests = SmokeTests(bench, baseline={"train.py": TRAIN}, needs_load_model=False)

    assert tests.find_crash({"train.py": f"{TRAIN}{LINES}x = (\n"}, base={"train.py": TRAIN}) is None

    assert bench.tested == []


@pytest.mark.parametrize(
    ("before", "after", "added"),
    [("a\nb\n", "a\nc\nb\n", 1), ("a\nb\n", "b\n", 0), ("a\n", "b\nc\n", 2), ("", "a\n", 1)],
)
def test_added_lines_are_counted_where_they_stand(before: str, after: str, added: int) -> None:
    assert count_added_lines({"t.py": before}, {"t.py": after}) == added


def test_baseline_is_never_a_smoke_crash(tmp_path: Path) -> None:
    run(tmp_path, Rewriter(), Bench())

    baseline = Lab.open(tmp_path / "lab.git").experiments("t")[BASELINE]
    assert len(baseline.attempts) == 3


def test_no_edit_is_blamed_while_the_unchanged_program_could_not_be_tested() -> None:
    """Where even that crashes, the test is at fault: with an untested one, every larger edit would be a crash."""
    answers: list[SmokeCrash | Untested | None] = [Untested.UNTESTED, CRASH]
    tests = SmokeTests(lambda _: answers.pop(0), baseline={"train.py": TRAIN}, needs_load_model=False)

    for _ in range(3):
        assert tests.find_crash({"train.py": TRAIN + LINES}, base={"train.py": TRAIN}) is None
    assert answers == []


def test_an_edit_that_could_not_be_tested_is_tested_the_next_time() -> None:
    answers: list[SmokeCrash | Untested | None] = [None, Untested.UNTESTED, CRASH]
    tests = SmokeTests(lambda _: answers.pop(0), baseline={"train.py": TRAIN}, needs_load_model=False)

    found = [tests.find_crash({"train.py": TRAIN + LINES}, base={"train.py": TRAIN}) for _ in range(2)]

    assert found == [None, CRASH]
