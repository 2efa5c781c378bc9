"""Chooses the next action: a pure function of the lab's records, the running tries and the spent budget.

`plan` returns one action; the loop carries it out and asks again until the answer is to wait or to stop. The planner
sees no clock, file or thread, so that tests can simulate every order of events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from controller.costs.slots import SlotPrices
from controller.domain import BASELINE, Attempt, Experiment, Outcome, Verdict
from controller.judge import Assessment, Decision, find_staleness, make_candidate
from controller.planning.actions import (
    Action,
    Conclude,
    Doubt,
    Launch,
    Rebase,
    Retry,
    Settle,
    Stop,
    TakeBack,
    View,
    Wait,
)
from controller.planning.budget import Room
from controller.planning.guards import find_baseline_fault, find_breach, guards_in_force
from controller.planning.stopping import is_searching, propose_wait_or_stop
from controller.settings import GuardSettings, JudgeSettings, Settings

HITS_THAT_REJECT = 2
"""Exam probes beyond 0.5 nats, over all attempts of a commit, that reject it (exam.md, test "hits")."""


def plan(view: View, settings: Settings) -> Action:
    """Return the next action.

    Verdicts come first, then attempts that settle open questions, then first attempts, then new proposals.
    """
    room = Room(view, settings.budget, SlotPrices.of(settings))
    guards, judge = settings.task.guards, settings.judge
    wanted: list[Launch | Rebase] = []
    # A set: with a thousand slots, looking through the tuple for each open experiment took most of the step.
    running = frozenset(view.running)
    for experiment in view.open:
        if experiment.number in running and experiment.number != BASELINE:
            continue
        step = _next_step(experiment, view, room, judge=judge, guards=guards)
        if isinstance(step, Launch | Rebase):
            wanted.append(step)
        elif step is not None:
            return step
    if view.stopping:
        return Stop(view.stopping)
    if view.broken is not None:
        return TakeBack(view.broken)
    if view.trouble:
        return Wait()
    if len(view.running) < settings.executor.slots and room.fits_attempt():
        first = min(wanted, key=_urgency, default=None)
        settles = first is not None and _settles(first.experiment)
        if not settles and (doubtful := _find_doubtful(view, settings)) is not None:
            return Doubt(doubtful)
        if first is not None:
            return first
    return propose_wait_or_stop(view, settings, room, wanted=bool(wanted))


def _next_step(
    experiment: Experiment, view: View, room: Room, *, judge: JudgeSettings, guards: Mapping[str, GuardSettings]
) -> Action | None:
    """The action that this experiment needs now; None if it only waits for its running tries."""
    for attempt in experiment.attempts:
        if attempt.result is not None and attempt.result.outcome is not Outcome.SCORED:
            return _conclude_failed(experiment, attempt)
    if experiment.hits >= HITS_THAT_REJECT:
        reason = f"looks ahead: {experiment.hits} probes changed by more than 0.5 nats when the next token was shown"
        return _conclude_rejected(experiment, reason)
    if experiment.number != BASELINE and (stale := find_staleness(experiment, view.kept)):
        return _conclude_rejected(experiment, stale)
    if experiment.number == BASELINE:
        return _next_baseline_step(experiment, view, wanted=judge.baseline_runs, guards=guards)
    if experiment.undoes is not None:
        return _conclude_taken_back(experiment, view)
    if experiment.doubts is not None and experiment.base != view.incumbent and experiment.doubts not in view.doubtable:
        reason = f"{experiment.doubts} is not in the incumbent any more"
        return Conclude(experiment, Verdict.DISCARD, reason)
    if experiment.open_attempt is not None:
        return Launch(experiment, experiment.open_attempt.number)
    if not experiment.attempts:
        return Launch(experiment, 1) if experiment.base == view.incumbent else Rebase(experiment)
    return _judge_scores(experiment, view, room, max_runs=judge.max_runs, guards=guards)


def _next_baseline_step(
    experiment: Experiment, view: View, *, wanted: int, guards: Mapping[str, GuardSettings]
) -> Action | None:
    """The baseline has `wanted` attempts, which run side by side; its verdict comes when all are scored."""
    scores = experiment.scores
    if len(scores) >= wanted:
        if fault := find_baseline_fault(experiment, guards):
            return Stop(fault, failed=True)
        return Conclude(experiment, Verdict.KEEP, f"baseline: {len(scores)} runs of the unchanged code")
    in_flight = view.running.count(BASELINE)
    unfinished = [a for a in experiment.attempts if a.result is None]
    if in_flight < len(unfinished):
        return Launch(experiment, _waiting_attempt(unfinished).number)
    if len(experiment.attempts) < wanted:
        return Launch(experiment, len(experiment.attempts) + 1)
    return None


def _waiting_attempt(unfinished: list[Attempt]) -> Attempt:
    """The first attempt without a try in flight: it has none yet, or its last one was lost."""
    for attempt in unfinished:
        if not attempt.tries or attempt.tries[-1].lost:
            return attempt
    return unfinished[0]


def _conclude_failed(experiment: Experiment, attempt: Attempt) -> Action:
    """The verdict after an attempt that ended without a score; a failed baseline stops the campaign."""
    result = attempt.result
    if result is None:
        raise ValueError(f"attempt {attempt.number} of experiment {experiment.number} has not ended")
    if experiment.number == BASELINE:
        return Stop(f"the unchanged code cannot be scored: {result.reason}", failed=True)
    match result.outcome:
        case Outcome.REJECTED:
            return _conclude_rejected(experiment, result.reason)
        case Outcome.CRASHED | Outcome.TIMED_OUT:
            return Conclude(experiment, Verdict.CRASH, result.reason)
        case Outcome.LOST:
            return Conclude(experiment, Verdict.DISCARD, f"never judged: {result.reason}")
        case Outcome.SCORED:
            raise ValueError("a scored attempt has not failed")
        case _:
            assert_never(result.outcome)


def _conclude_rejected(experiment: Experiment, reason: str) -> Action:
    if experiment.number == BASELINE:
        return Stop(f"the exam rejects the unchanged code: {reason}", failed=True)
    return Conclude(experiment, Verdict.REJECT, reason)


def _judge_scores(
    experiment: Experiment, view: View, room: Room, *, max_runs: int, guards: Mapping[str, GuardSettings]
) -> Action | None:
    """Ask the judge about an experiment whose attempts are all scored; None until the baseline is judged."""
    if view.state is None:
        return None
    may_rerun = room.fits_attempt() and not view.stopping
    # One hit may be chance. A second attempt draws fresh probes and tells, so it comes before any verdict.
    if experiment.hits == 1 and len(experiment.attempts) == 1 and may_rerun:
        return Launch(experiment, 2)
    candidate = make_candidate(experiment, view.state, gains=view.gains)
    assessment = view.judge.assess(view.state, candidate, may_rerun=may_rerun)
    if assessment.decision is Decision.KEEP and view.baseline is not None:
        found = find_breach(experiment, view.baseline, guards_in_force(guards, view.baseline))
        if found and found.near and may_rerun and len(experiment.attempts) < max_runs:
            return Launch(experiment, len(experiment.attempts) + 1)
        if found and found.breaks:
            return Conclude(experiment, Verdict.DISCARD, found.reason, assessment)
    match assessment.decision:
        case Decision.RERUN:
            return Launch(experiment, len(experiment.attempts) + 1)
        case Decision.KEEP if experiment.doubts is not None and experiment.number in view.conflicts:
            reason = f"{assessment.reason}, but what was kept meanwhile changes the same lines"
            return Conclude(experiment, Verdict.DISCARD, reason, assessment)
        case Decision.KEEP if experiment.base != view.incumbent and experiment.number in view.conflicts:
            return _settle_conflict(experiment, assessment, view, may_rerun=may_rerun)
        case Decision.KEEP if experiment.base != view.incumbent:
            if view.judge.keeps_merged or may_rerun:
                return Settle(experiment, assessment, keep=view.judge.keeps_merged)
            return _conclude_too_late(experiment, assessment)
        case Decision.KEEP:
            return Conclude(experiment, Verdict.KEEP, assessment.reason, assessment)
        case Decision.DISCARD:
            return Conclude(experiment, Verdict.DISCARD, assessment.reason, assessment)
        case _:
            assert_never(assessment.decision)


def _settle_conflict(
    experiment: Experiment, gain: Assessment, view: View, *, may_rerun: bool
) -> Launch | Conclude | Retry | None:
    """Decide about a good edit that conflicts with one kept meanwhile: the better of the two programs stands.

    The two cannot be merged. But the experiment's own program was scored as it ran, so it can be compared with the
    level of the incumbent as that stands. Edits that were kept meanwhile and merge with it count for it.
    """
    if view.state is None:
        return None
    conflict = view.conflicts[experiment.number]
    own = replace(make_candidate(experiment, view.state, gains=view.gains), replaces=True, gain_since=conflict.gain)
    assessment = view.judge.assess(view.state, own, may_rerun=may_rerun)
    match assessment.decision:
        case Decision.RERUN:
            return Launch(experiment, len(experiment.attempts) + 1)
        case Decision.KEEP:
            carried = ", ".join(map(str, conflict.carries))
            told = f"; {carried} carried over" if carried else ""
            reason = f"{assessment.reason}, compared with the incumbent, whose lines it takes back{told}"
            return Conclude(experiment, Verdict.KEEP, reason, assessment, replaces=True, carries=conflict.carries)
        case Decision.DISCARD if may_rerun and experiment.retry_of is None:
            return Retry(experiment, gain)
        case Decision.DISCARD:
            reason = "it conflicts with what was kept meanwhile, and its own program is no better than the incumbent"
            return Conclude(experiment, Verdict.DISCARD, f"{reason}: {assessment.reason}", gain)
        case _:
            assert_never(assessment.decision)


def _conclude_taken_back(experiment: Experiment, view: View) -> Conclude:
    if experiment.base != view.incumbent:
        return Conclude(experiment, Verdict.DISCARD, "never run: the incumbent had moved on")
    reason = f"every edit on the program that the merge of {experiment.undoes} made has crashed"
    return Conclude(experiment, Verdict.KEEP, reason)


def _conclude_too_late(experiment: Experiment, assessment: Assessment) -> Action:
    reason = f"{assessment.reason}, but the incumbent had moved and the budget has no room to try it there"
    return Conclude(experiment, Verdict.DISCARD, reason, assessment)


def _find_doubtful(view: View, settings: Settings) -> int | None:
    """The kept edit to leave out now: one at a time, as two that are left out at once hide what each is worth."""
    if view.state is None or not view.doubtable or any(e.doubts is not None for e in view.open):
        return None
    if not is_searching(view, settings):
        return None
    # An agent's wish costs what a proposal does, so it needs no price.
    wished = view.wished & view.doubtable
    if wished:
        return min(wished)
    if settings.judge.doubt == "one-slot" and settings.executor.slots > 1:
        return None
    return view.judge.find_doubtful(view.state, view.doubtable, running=len(view.running))


def _urgency(step: Launch | Rebase) -> tuple[int, int]:
    """Sort key: the baseline, then attempts that settle an open question, then the oldest new experiment."""
    experiment = step.experiment
    if experiment.number == BASELINE:
        return (0, 0)
    return (1 if _settles(experiment) else 2, experiment.number)


def _settles(experiment: Experiment) -> bool:
    """True if its next attempt answers a question about an experiment that has run already."""
    return experiment.number == BASELINE or bool(experiment.attempts) or experiment.doubts is not None
