"""Campaign histories for the tests of views: made up by hypothesis, cut at every moment, shown in every way there is.

A history is a list of finished experiments; `prefixes` replays it event by event.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, RenderableType

from controller.costs.slots import SlotPrices
from controller.domain import (
    BASELINE,
    LARGEST_SCORE,
    Attempt,
    Cost,
    ExamReport,
    Experiment,
    Judgement,
    Outcome,
    Progress,
    Result,
    Try,
    TryId,
    Verdict,
    find_undone,
)
from controller.judge import make_judge
from controller.lab.records import experiment_from_json, experiment_to_json, lab_book_entry
from controller.monitoring.metrics import Metrics
from controller.notices import Activity, AttemptEnded, Concluded, RunningTry
from controller.planning.campaign_state import CampaignState
from controller.reports import text
from controller.reports.activity import activity_details
from controller.reports.exports import experiment_facts, json_text, results_tsv, wide_tsv
from controller.reports.page import Now, details, html, live_page
from controller.reports.report import markdown
from controller.reports.snapshot import Tally, take_snapshot
from controller.reports.summary import noise_of, summary
from controller.reports.terminal import Screen, draw_yields, experiment_blocks, experiments_table, live_line
from controller.reports.yields import tabulate_yields
from controller.settings import Settings
from tests.support.scripted import InstantExecutor, scored

NOW = 1_700_009_000.0
NOT_NUMBERS = re.compile(r"(?<![\w.-])[-+]?(?:nan|inf|infinity)(?![\w-])", re.IGNORECASE)

USUAL = st.floats(0.5, 3.0)
EQUAL = st.sampled_from([0.0, 0.5, 1.0, 147734.0, -273.0])
TINY = st.sampled_from([1e-12, 1.1e-12, -3e-12, 1e-300, 5e-324, -5e-324, 2.2e-308])
HUGE = st.sampled_from([1e9, 3e15, -1e15, LARGEST_SCORE, -LARGEST_SCORE])
BEYOND = st.sampled_from([1e300, -1e300, 1.7976931348623157e308])
"""What earlier versions recorded of a task that printed it."""

SCORES = st.one_of(USUAL, EQUAL, TINY, HUGE, st.floats(-LARGEST_SCORE, LARGEST_SCORE))
GAINS = st.none() | st.floats(-1e100, 1e100)


def result(value: float, **fields: object) -> Result:
    """A scored result with an exam's report as well."""
    return replace(scored(value), exam=ExamReport(raw=value, inflation=0.0, inflation_error=0.0, hits=0), **fields)  # type: ignore[arg-type]


def failed(outcome: Outcome) -> Result:
    """A result without a score."""
    exam = ExamReport(raw=0.4, test="inflation", spread=0.0) if outcome is Outcome.REJECTED else None
    return Result(outcome=outcome, reason=f"it has {outcome.value.replace('_', ' ')}", seconds=3.0, exam=exam)


def experiment(number: int, results: Sequence[Result], verdict: Verdict | None, gain: float | None) -> Experiment:
    """A finished experiment, judged as told."""
    attempts = []
    for n, each in enumerate(results, start=1):
        tried = Try(number=1, probe_set=0, launched_at=NOW - 5000 + number, seconds=each.seconds, dollars_per_hour=2.0)
        attempts.append(Attempt(number=n, seed=n, tries=(tried,), result=each))
    scores = [each.score.value for each in results if each.score]
    judgement = None
    if verdict:
        judgement = Judgement(
            verdict=verdict,
            reason="as the history has it",
            order=number + 1,
            expected_gain=gain,
            spread=gain,
            price=0.1,
            level=scores[0] if scores else None,
            kept_as=f"{number:040x}" if verdict is Verdict.KEEP and number else "",
            at=NOW - 4000 + number,
        )
    return Experiment(
        number=number,
        commit=f"{number:040x}",
        base="b" * 40,
        title="baseline" if number == BASELINE else "学习率 🚀 larger steps",
        hypothesis="steps are too small",
        agent="numbers",
        strategy="bolder",
        line_change=number % 3 - 1,
        cost=Cost(dollars=0.01, calls=1),
        proposed_at=NOW - 6000 + number,
        attempts=tuple(attempts),
        judgement=judgement,
    )


@st.composite
def experiments(draw: st.DrawFn, number: int) -> Experiment:
    """Any experiment that a campaign can end with."""
    verdict = draw(st.sampled_from(Verdict))
    gain = draw(GAINS)
    match verdict:
        case Verdict.CRASH:
            results = [failed(draw(st.sampled_from([Outcome.CRASHED, Outcome.TIMED_OUT])))]
        case Verdict.REJECT:
            results = [failed(Outcome.REJECTED)]
        case Verdict.DISCARD:
            lost = draw(st.booleans())
            values = draw(st.lists(SCORES | BEYOND, max_size=3))
            results = [failed(Outcome.LOST)] if lost else [result(value) for value in values]
        case Verdict.KEEP:
            results = [result(value) for value in draw(st.lists(SCORES | BEYOND, min_size=1, max_size=3))]
    return experiment(number, results, verdict, gain if results else None)


@st.composite
def histories(draw: st.DrawFn) -> list[Experiment]:
    """A baseline of two or three runs, equal, close or far apart, and up to four experiments of any kind."""
    runs = draw(st.lists(draw(st.sampled_from([USUAL, EQUAL, TINY, HUGE, SCORES])), min_size=2, max_size=3))
    if draw(st.booleans()):
        runs = [runs[0]] * len(runs)
    first = experiment(BASELINE, [result(value) for value in runs], Verdict.KEEP, None)
    count = draw(st.integers(0, 4))
    return as_recorded([first, *(draw(experiments(number)) for number in range(1, count + 1))])


def as_recorded(history: Sequence[Experiment]) -> list[Experiment]:
    """The history as the lab gives it back, which takes no number that cannot be judged."""
    return [experiment_from_json(experiment_to_json(each)) for each in history]


def prefixes(history: Sequence[Experiment]) -> Iterator[tuple[Experiment, ...]]:
    """The campaign after each event: proposed, launched, ended, judged."""
    for number, final in enumerate(history):
        before = tuple(history[:number])
        grown = replace(final, attempts=(), judgement=None)
        yield (*before, grown)
        for attempt in final.attempts:
            tried = replace(attempt.tries[0], seconds=0.0, dollars_per_hour=None)
            launched = replace(attempt, tries=(tried,), result=None)
            yield (*before, replace(grown, attempts=(*grown.attempts, launched)))
            grown = replace(grown, attempts=(*grown.attempts, attempt))
            yield (*before, grown)
        yield (*before, final)


UNFOLDED = 20
"""The newest experiments whose own views are drawn: those of the others were, at an earlier moment."""


def activity_of(known: Sequence[Experiment], tag: str) -> Activity:
    """The activity that a loop would tell at this moment."""
    open_ones = [(e.number, e.open_attempt) for e in known if e.open_attempt]
    tries = tuple(RunningTry(number, attempt.number, "train") for number, attempt in open_ones if attempt)
    return Activity(tag=tag, turned=True, pid=7, tries=tries, proposing=0 if tries else 1, heard_at=NOW)


def every_view(known: Sequence[Experiment], settings: Settings) -> Mapping[str, str]:
    """Everything that shows a campaign, as text."""
    activity = activity_of(known, settings.tag)
    noise, metric, prices = noise_of(known, settings), settings.task.metric, SlotPrices.of(settings)
    undone = find_undone(known)
    facts = summary(known, settings, activity=activity, now=NOW, dollars=0.5)
    running = [
        Progress(id=TryId("t", each.experiment, each.attempt, 1), phase="train", started_at=NOW - 3, phase_seconds=20)
        for each in activity.tries
    ]
    views = {
        "page": live_page(
            known,
            settings.task,
            train_seconds=settings.budget.train_seconds,
            facts=facts,
            now=Now(at=NOW, progress=running),
        ),
        "report.html": html(known, settings.task, prices=prices, facts=facts, diff=lambda _: "+K = 1\n"),
        "report.md": markdown(known, facts=facts),
        "status": "\n".join([*activity_details(activity, now=NOW), facts.sentence(), facts.costs()]),
        "status.json": json_text(facts.as_dict()),
        "yields": drawn(*map(draw_yields, tabulate_yields(facts))),
        "log": drawn(*experiments_table(known, metric=metric, prices=prices, noise=noise, width=80)),
        "log --wide": drawn(*experiments_table(known, metric=metric, prices=prices, noise=noise, width=None)),
        "log --json": json_text([experiment_facts(e, prices, undone) for e in known]),
        "export": results_tsv(known, metric=settings.task.metric),
        "export --wide": wide_tsv(known, metric=metric, prices=prices),
        "live": "\n".join(live_line(each, now=NOW, granted=20.0) for each in running),
        "closing": text.closing(
            known,
            reason="6 experiments (budget)",
            seconds=5.0,
            dollars=0.5,
            prices=prices,
            local=settings.executor.kind == "local",
        ),
        "metrics": metrics(known, settings, activity),
        "terminal": terminal(known, settings, activity),
    }
    for each in known[-UNFOLDED:]:
        views[f"/experiments/{each.number}"] = details(
            each, undone, metric=metric, prices=prices, diff="+K = 1\n", log="step 3"
        )
        views[f"show {each.number}"] = drawn(*experiment_blocks(each, undone, metric=metric, prices=prices))
        if each.judgement:
            views[f"commit {each.number}"] = lab_book_entry(each, each.judgement, tag="t", metric="m", noise=noise)
    return views


def metrics(known: Sequence[Experiment], settings: Settings, activity: Activity) -> str:
    """A scrape; every sample is a finite number."""
    campaign_state = CampaignState(
        make_judge(settings.judge, minimize=settings.task.direction == "minimize"), known, SlotPrices.of(settings)
    )
    told = Metrics(settings)
    for each in known:
        for attempt in each.attempts:
            told.notice(AttemptEnded(each, attempt))
        if each.judgement and campaign_state.state:
            told.notice(Concluded(each, campaign_state.state))
    told.publish(take_snapshot(campaign_state, Tally(known, SlotPrices.of(settings)), settings, activity))
    scrape = generate_latest(told.registry).decode()
    for family in text_string_to_metric_families(scrape):
        assert all(math.isfinite(sample.value) for sample in family.samples), family.name
    return "\n".join(line for line in scrape.splitlines() if 'le="+Inf"' not in line)


def terminal(known: Sequence[Experiment], settings: Settings, activity: Activity) -> str:
    """The rows and live lines of a run that goes on from here, and its last words."""
    campaign_state = CampaignState(
        make_judge(settings.judge, minimize=settings.task.direction == "minimize"), known, SlotPrices.of(settings)
    )
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    executor = InstantExecutor(lambda _: scored(1.0))
    screen = Screen(
        metric=settings.task.metric,
        train_seconds=settings.budget.train_seconds,
        out=console,
        err=console,
        executor=executor,
        activity=lambda: activity,
    )
    screen.before(campaign_state)
    if campaign_state.state:
        best = text.best_line(
            campaign_state.incumbent, campaign_state.experiments[BASELINE], campaign_state.state, settings.task.metric
        )
        console.print(best, markup=False)
    return printed(console)


def drawn(*parts: RenderableType) -> str:
    """As a terminal of 80 columns shows it."""
    console = Console(file=io.StringIO(), width=80, color_system=None, soft_wrap=True)
    for part in parts:
        console.print(part)
    return printed(console)


def printed(console: Console) -> str:
    """Everything that was printed to a console with a file in memory."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def check(views: Mapping[str, str]) -> None:
    """No view shows what is no number, or a value of the programming language."""
    for name, shown in views.items():
        wrong = NOT_NUMBERS.search(shown) or re.search(r"\bNone\b", shown)
        assert wrong is None, f"{name}: {shown[max(0, wrong.start() - 60) : wrong.end() + 60]}"
    chart = views.get("page", "").partition("<svg")[2].partition("</svg>")[0].lower()
    assert "nan" not in chart
    assert "inf" not in chart
