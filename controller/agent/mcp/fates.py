"""Tells what became of a submission: it waits, it is an experiment that runs or has a verdict, or it was sent back."""

from __future__ import annotations

from controller.agent.desk.desk import Desk
from controller.agent.desk.draft import ToolError
from controller.agent.desk.experiment_text import format_line, show_experiment
from controller.agent.desk.fencing import fence
from controller.agent.mcp.box import SubmissionBox
from controller.agent.mcp.client_tools import Wait
from controller.domain import BASELINE, Experiment
from controller.ports import ProposalRequest


def settle(request: ProposalRequest, box: SubmissionBox) -> None:
    """Take out of the box what the lab holds as an experiment, and what the loop has sent back."""
    waiting = box.waiting
    held = {each.ticket for each in request.experiments} if waiting else set()
    for submission in waiting:
        if submission.ticket in held:
            box.settle(submission.ticket)
        elif reason := request.refusal_of(submission.ticket):
            box.settle(submission.ticket, sent_back=reason)


def has_ended(call: Wait, request: ProposalRequest, box: SubmissionBox) -> bool:
    """True if what is waited for has a verdict or was sent back, or if nothing is known of it."""
    experiment = _find_experiment(call, request)
    if experiment is not None:
        return experiment.judgement is not None
    settle(request, box)
    return all(submission.ticket != call.ticket for submission in box.waiting)


def tell_fate(call: Wait, desk: Desk, box: SubmissionBox) -> tuple[str, ...]:
    """What is known of a submission or an experiment now, in parts.

    Raises ToolError if nothing is, or if it was sent back: the client then has something else to do than to wait.
    """
    if (call.ticket is None) == (call.number is None):
        raise ToolError("give a ticket, or the number of an experiment, and not both")
    experiment = _find_experiment(call, desk.request)
    if experiment is not None:
        if experiment.judgement is not None:
            return (show_experiment(experiment.number, desk),)
        tried = next((t for t in desk.tried if t.experiment.number == experiment.number), None)
        line = format_line(tried) if tried else f"#{experiment.number} (the unchanged code) has not ended"
        return ("no verdict yet: call wait again", fence("experiment", line))
    if call.ticket is None:
        last = max((e.number for e in desk.request.experiments), default=BASELINE)
        raise ToolError(f"there is no experiment {call.number}; there are {last}, and the baseline is {BASELINE}")
    settle(desk.request, box)
    for place, submission in enumerate(box.waiting):
        if submission.ticket == call.ticket:
            return (f"it is no experiment yet: it waits, {place} before it; call wait again",)
    if reason := box.reason_of(call.ticket):
        raise ToolError(f"it was sent back: {reason}")
    raise ToolError("nothing is known of this ticket: what was sent back before the last start is forgotten")


def _find_experiment(call: Wait, request: ProposalRequest) -> Experiment | None:
    """The experiment that is waited for, or the last one that repeats its edit on a newer incumbent."""
    if call.ticket is None:
        found = next((e for e in request.experiments if e.number == call.number), None)
    else:
        found = next((e for e in request.experiments if e.ticket == call.ticket), None)
    for experiment in request.experiments if found else ():
        if found is not None and experiment.retry_of == found.number:
            found = experiment
    return found
