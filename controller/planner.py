"""What to do next: a pure function of what the lab knows, what runs, and how much is spent.

`plan` returns one action; `campaign` carries it out and asks again until it is told to wait or stop.
It never sees a clock, a file or a thread, so that every order of events can be simulated.
"""

from __future__ import annotations

from typing import assert_never

from controller.actions import Action, Conclude, Launch, Propose, Rebase, Requeue, Stop, View, Wait
from controller.budget import fits, may_launch, mean_seconds
from controller.domain import BASELINE, Attempt, Experiment, Outcome, Verdict
from controller.judge import Assessment, Candidate, Decision
from controller.pipeline import depth, most_in_flight, ready, thinking_seconds
from controller.settings import Settings

HITS_THAT_REJECT = 2
"""Exam probes beyond 0.5 nats over all attempts of a commit (exam.md, test "hits")."""


def plan(view: View, settings: Settings) -> Action:
    """The next action: verdicts first, then runs that settle open questions, then new ones, then proposals."""
    idle = [e for e in view.open if e.number not in view.running or e.number == BASELINE]
    wanted: list[Launch | Rebase] = []
    for experiment in idle:
        step = _next_step(experiment, view, settings)
        if isinstance(step, Launch | Rebase):
            wanted.append(step)
        elif step is not None:
            return step
    if view.stopping:
        return Stop(view.stopping)
    if view.trouble:
        return Wait()
    if wanted and len(view.running) < settings.executor.slots and may_launch(view, settings):
        return min(wanted, key=_urgency)
    if _wants_proposal(view, settings):
        return Propose()
    return _wait_or_stop(view, settings, wanted=bool(wanted))


def _next_step(experiment: Experiment, view: View, settings: Settings) -> Action | None:
    """What this experiment needs now; None where it only waits for its runs."""
    failed = next((a for a in experiment.attempts if a.result and a.result.outcome is not Outcome.SCORED), None)
    if failed is not None:
        return _failed(experiment, failed)
    if experiment.hits >= HITS_THAT_REJECT:
        reason = f"looks ahead: {experiment.hits} probes changed by more than 0.5 nats when the next token was shown"
        return _reject(experiment, reason)
    if experiment.number == BASELINE:
        return _baseline_step(experiment, view, settings)
    if experiment.open_attempt is not None:
        return Launch(experiment, experiment.open_attempt.number)
    if not experiment.attempts:
        return Launch(experiment, 1) if experiment.base == view.incumbent else Rebase(experiment)
    return _judged(experiment, view, settings)


def _baseline_step(experiment: Experiment, view: View, settings: Settings) -> Action | None:
    scores = experiment.scores
    wanted = settings.judge.baseline_runs
    if len(scores) >= wanted:
        return Conclude(experiment, Verdict.KEEP, f"baseline: {len(scores)} runs of the unchanged code")
    in_flight = view.running.count(BASELINE)
    unfinished = [a for a in experiment.attempts if a.result is None]
    if in_flight < len(unfinished):
        return Launch(experiment, _waiting_attempt(unfinished))
    if len(experiment.attempts) < wanted:
        return Launch(experiment, len(experiment.attempts) + 1)
    return None


def _waiting_attempt(unfinished: list[Attempt]) -> int:
    """The attempt whose last try was lost, or that was recorded and never launched."""
    idle = [a for a in unfinished if not a.tries or a.tries[-1].lost]
    return (idle or unfinished)[0].number


def _failed(experiment: Experiment, attempt: Attempt) -> Action:
    result = attempt.result
    if result is None:
        raise ValueError(f"attempt {attempt.number} of experiment {experiment.number} has not ended")
    if experiment.number == BASELINE:
        return Stop(f"the unchanged code cannot be scored: {result.reason}", failed=True)
    match result.outcome:
        case Outcome.REJECTED:
            return _reject(experiment, result.reason)
        case Outcome.CRASHED | Outcome.TIMED_OUT:
            return Conclude(experiment, Verdict.CRASH, result.reason)
        case Outcome.LOST:
            return Conclude(experiment, Verdict.DISCARD, f"never judged: {result.reason}")
        case Outcome.SCORED:
            raise ValueError("a scored attempt has not failed")
        case _:
            assert_never(result.outcome)


def _reject(experiment: Experiment, reason: str) -> Action:
    if experiment.number == BASELINE:
        return Stop(f"the exam rejects the unchanged code: {reason}", failed=True)
    return Conclude(experiment, Verdict.REJECT, reason)


def _judged(experiment: Experiment, view: View, settings: Settings) -> Action | None:
    if view.state is None:
        return None
    may_rerun = may_launch(view, settings) and not view.stopping
    if experiment.hits == 1 and len(experiment.attempts) == 1 and may_rerun:
        return Launch(experiment, 2)
    since = view.state.gain - view.gains.get(experiment.base, view.state.gain)
    candidate = candidate_of(experiment, gain_since=since)
    assessment = view.judge.assess(view.state, candidate, may_rerun=may_rerun)
    match assessment.decision:
        case Decision.RERUN:
            return Launch(experiment, len(experiment.attempts) + 1)
        case Decision.KEEP if experiment.base != view.incumbent:
            return Requeue(experiment, assessment) if may_rerun else _too_late(experiment, assessment)
        case Decision.KEEP:
            return Conclude(experiment, Verdict.KEEP, assessment.reason, assessment)
        case Decision.DISCARD:
            return Conclude(experiment, Verdict.DISCARD, assessment.reason, assessment)
        case _:
            assert_never(assessment.decision)


def _too_late(experiment: Experiment, assessment: Assessment) -> Action:
    reason = f"{assessment.reason}, but the incumbent had moved and the budget has no room to try it there"
    return Conclude(experiment, Verdict.DISCARD, reason, assessment)


def candidate_of(experiment: Experiment, *, gain_since: float) -> Candidate:
    """What the judge is shown of an experiment."""
    return Candidate(scores=experiment.scores, line_change=experiment.line_change, gain_since=gain_since)


def _urgency(step: Launch | Rebase) -> tuple[int, int]:
    """Baseline first, then runs that settle an open question, then the oldest new experiment."""
    experiment = step.experiment
    if experiment.number == BASELINE:
        return (0, 0)
    return (1 if experiment.attempts else 2, experiment.number)


def _wants_proposal(view: View, settings: Settings) -> bool:
    limit, most = settings.budget.experiments, 1 if view.unable else most_in_flight(settings)
    if view.exhausted or view.resting or view.proposing >= most:
        return False
    if limit is not None and view.spent.experiments + view.proposing >= limit:
        return False
    slots, seconds, ahead = settings.executor.slots, mean_seconds(view, settings), ready(view.open) + view.proposing
    until_end = thinking_seconds(view.pace) + (1 + ahead // slots) * seconds
    return ahead < depth(view.pace, slots=slots, run_seconds=seconds) and fits(
        view, settings, ahead=ahead, seconds=until_end, proposals=view.proposing
    )


def _wait_or_stop(view: View, settings: Settings, *, wanted: bool) -> Action:
    if view.running or view.proposing or (view.resting and may_launch(view, settings)):
        return Wait()
    if wanted or any(e.number == BASELINE for e in view.open):
        return Stop(_exhausted_budget(view, settings))
    if view.exhausted:
        return Stop("the agent has nothing left to propose")
    return Stop(_exhausted_budget(view, settings))


def _exhausted_budget(view: View, settings: Settings) -> str:
    limit = settings.budget.experiments
    if limit is not None and view.spent.experiments >= limit and may_launch(view, settings):
        return f"{view.spent.experiments} experiments (budget)"
    return "the budget has no room for another run"
