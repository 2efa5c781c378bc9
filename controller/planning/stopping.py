"""Decides if one more proposal is wanted, and if not, whether the campaign waits or stops, and why. Pure."""

from __future__ import annotations

from controller.domain import BASELINE
from controller.planning.actions import Action, Propose, Stop, View, Wait
from controller.planning.budget import Room
from controller.planning.pacing import (
    count_ready,
    expect_thinking_seconds,
    find_depth,
    most_in_flight,
    most_of_one_question,
)
from controller.settings import Settings, TaskSettings
from controller.settings.budget import BudgetSettings


def propose_wait_or_stop(view: View, settings: Settings, room: Room, *, wanted: bool) -> Action:
    """The action when no verdict is due and no attempt can be launched. wanted: true if an attempt waits for room."""
    enough = _has_enough(view, settings.task, settings.budget)
    if not enough and _may_ask(view, settings) and (count := _count_wanted(view, settings, room)):
        return Propose(count)
    return _wait_or_stop(view, room, wanted=wanted, enough=enough, limit=settings.budget.experiments)


def is_searching(view: View, settings: Settings) -> bool:
    """True while new proposals are wanted and may be asked for: what competes with them needs that too."""
    if view.exhausted or view.short_of_money or _has_enough(view, settings.task, settings.budget):
        return False
    limit = settings.budget.experiments
    return limit is None or view.spent.experiments + view.expected < limit


def count_surplus(view: View, settings: Settings, room: Room) -> int:
    """Number of the proposals under way that are wanted no more, as what is ready or the budget has changed.

    The next proposal of each question is none of them: it is thought about and paid for already.
    """
    if not view.more or view.stopping or view.exhausted or _has_enough(view, settings.task, settings.budget):
        return view.more
    need = _Need(view, settings, room)
    surplus = 0
    while surplus < view.more and not need.wants(need.ahead - surplus - 1):
        surplus += 1
    return surplus


def _may_ask(view: View, settings: Settings) -> bool:
    """True if the agent may be asked for one more proposal."""
    # If only an operator can help the agent, one request is enough to find out whether that has happened.
    most = 1 if view.unable else most_in_flight(settings.agent, slots=settings.executor.slots)
    return not (view.exhausted or view.short_of_money or view.resting or view.proposing >= most)


def _count_wanted(view: View, settings: Settings, room: Room) -> int:
    """Number of proposals to ask for in one question; 0 if none is wanted."""
    need, count = _Need(view, settings, room), 0
    most = most_of_one_question(settings.agent, slots=settings.executor.slots)
    while count < most and need.wants(need.ahead + count):
        count += 1
    return count


class _Need:
    """What the slots and the budget want of proposals at the moment of one view."""

    def __init__(self, view: View, settings: Settings, room: Room) -> None:
        self._view, self._room = view, room
        self._slots, self._limit = settings.executor.slots, settings.budget.experiments
        self._ready = count_ready(view.open)
        self._depth = find_depth(view.pace, slots=self._slots, attempt_seconds=room.attempt_seconds)
        self.ahead = self._ready + view.expected
        """Proposals that are ready or under way."""

    def wants(self, ahead: int) -> bool:
        """True if, after so many, one more is needed to keep the slots busy, and its attempt still fits the budget."""
        if ahead >= self._depth:
            return False
        under_way = ahead - self._ready
        if self._limit is not None and self._view.spent.experiments + under_way >= self._limit:
            return False
        rounds = 1 + ahead // self._slots
        until_end = expect_thinking_seconds(self._view.pace) + rounds * self._room.attempt_seconds
        return self._room.fits(ahead=ahead, seconds=until_end, proposals=under_way)


def _wait_or_stop(view: View, room: Room, *, wanted: bool, enough: str, limit: int | None) -> Action:
    """Wait while something is under way or the agent will be asked again; else stop and say why.

    wanted: true if an attempt wants to run. enough: why no further proposal is wanted. limit: most experiments.
    """
    if view.running or view.proposing or (view.resting and room.fits_attempt() and not enough):
        return Wait()
    if wanted or any(e.number == BASELINE for e in view.open):
        return Stop(_explain_budget(view, room, limit))
    if enough:
        return Stop(enough)
    if view.exhausted:
        return Stop("the agent has nothing left to propose")
    if view.short_of_money:
        return Stop("the budget's dollars have no room for another call of the model")
    return Stop(_explain_budget(view, room, limit))


def _has_enough(view: View, task: TaskSettings, budget: BudgetSettings) -> str:
    """One sentence that says why no further proposal is wanted: target or plateau; empty if they are wanted."""
    state = view.state
    if state is not None and budget.target is not None:
        short = budget.target - state.told_level if task.direction == "maximize" else state.told_level - budget.target
        if short <= 0:
            return f"{task.metric} has reached {budget.target:g} (budget.target)"
    if budget.plateau is not None and view.without_keep >= budget.plateau:
        return f"{view.without_keep} experiments in a row without a keep (budget.plateau)"
    return ""


def _explain_budget(view: View, room: Room, limit: int | None) -> str:
    """One sentence that says which limit of the budget ended the campaign. limit: most experiments."""
    if limit is not None and view.spent.experiments >= limit and room.fits_attempt():
        count = view.spent.experiments
        return f"{count} experiment{'' if count == 1 else 's'} (budget)"
    return "the budget has no room for another run"
