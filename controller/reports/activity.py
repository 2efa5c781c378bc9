"""Puts a campaign's activity into words: a clause for the sentence that matters, and lines that say why.

Terminal, status, report and page take their words from here. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from controller.domain import BASELINE
from controller.notices import Activity, Doing, RunningTry
from controller.ports import RESTS, Waiting
from controller.text.figures import clock_text, duration

NAMED = 4
"""Most experiments that a sentence names. Of more it tells the number, because a long list hides the rest."""

SILENT_SECONDS = 60.0
"""Seconds without a new activity after which the loop counts as stuck: it writes one every ten seconds."""


def activity_sentence(activity: Activity, *, now: float) -> str:
    """The main clause of the sentence that matters, without a full stop."""
    tag = activity.tag
    if activity.alive and activity.study:
        return f"{activity.study} of {tag} runs"
    match activity.doing:
        case Doing.STARTS:
            return f"{tag} is starting"
        case Doing.RUNS:
            return "; ".join((_running(tag, activity.tries), *_beside(activity)))
        case Doing.THINKS:
            return f"The agent of {tag} thinks about {_thoughts(activity)}{_lasting(activity.asked_at, now)}"
        case Doing.WAITS:
            return f"{tag} {_wait(activity.waits)}"
        case Doing.PAUSED:
            return f"{tag} is paused and waits for you{_until(activity.retry_at, ', tried again at')}"
        case Doing.IDLE:
            return f"{tag} is idle"
        case Doing.ENDED:
            return f"{tag} has ended: {activity.end.reason}" if activity.end else f"{tag} has ended"
        case Doing.STOPPED:
            return f"{tag} is not running{_how_it_stopped(activity)}"


def activity_details(activity: Activity, *, now: float) -> Iterator[str]:
    """Lines that say why: a trouble that an operator must mend, the agent's waits, a loop that is stuck."""
    if activity.needs:
        paused = "paused: " if activity.doing is Doing.PAUSED else ""
        yield f"{paused}waits for you because {activity.needs}"
    if not activity.alive:
        return
    for each in activity.waits:
        yield waiting_text(each)
    silent = now - activity.heard_at
    if activity.turned and activity.heard_at and silent > SILENT_SECONDS:
        yield f"the loop has said nothing for {silent:.0f} s: is process {activity.pid} suspended, or its disk full?"


def waiting_text(waiting: Waiting) -> str:
    """`the agent waits for the API until 14:03:10: ...`"""
    verb = "rests" if waiting.reason in RESTS else "waits for the API"
    return f"the agent {verb}{_until(waiting.until)}: {waiting.text}"


def _running(tag: str, tries: Sequence[RunningTry]) -> str:
    words = {_phase_words(each.phase) for each in tries}
    doing = words.pop() if len(words) == 1 else "running"
    numbers = _numbers(tries)
    if len(numbers) > NAMED:
        return f"{len(numbers)} experiments of {tag} are {doing}"
    name = _named(numbers)
    return f"{name[0].upper()}{name[1:]} of {tag} {'are' if len(numbers) > 1 else 'is'} {doing}"


def _numbers(tries: Sequence[RunningTry]) -> list[int]:
    return sorted({each.experiment for each in tries})


def _named(numbers: Sequence[int]) -> str:
    """`the baseline`, `experiment 3`, `experiments 3, 4 and 5`."""
    if BASELINE in numbers:
        return "the baseline"
    *most, last = map(str, numbers)
    return f"experiments {', '.join(most)} and {last}" if most else f"experiment {last}"


def _phase_words(phase: str) -> str:
    match phase:
        case "train":
            return "training"
        case "candidate" | "examine":
            return "being examined"
        case "":
            return "starting"
        case "terminating":
            return "ending"
        case _:
            return "waiting for a machine"


def _beside(activity: Activity) -> Iterator[str]:
    """Clauses on what keeps the agent from proposing while something runs."""
    if activity.trouble:
        yield "something waits for you"
    elif activity.waits and not activity.thinking:
        yield f"the agent {_wait(activity.waits)}"


def _wait(waits: Sequence[Waiting]) -> str:
    """The verb of a waiting agent, and the earliest moment at which it goes on."""
    moments = [each.until for each in waits if each.until is not None]
    resting = all(each.reason in RESTS for each in waits)
    verb = "rests" if resting else "waits for the API"
    return f"{verb}{_until(min(moments, default=None))}"


def _thoughts(activity: Activity) -> str:
    return "the next experiment" if activity.thinking == 1 else f"{activity.thinking} experiments"


def _lasting(since: float | None, now: float) -> str:
    return "" if since is None or now - since < 1 else f" for {duration(now - since)}"


def _until(moment: float | None, words: str = " until") -> str:
    return "" if moment is None else f"{words} {clock_text(moment)}"


def _how_it_stopped(activity: Activity) -> str:
    if activity.end is not None:
        return f" since {clock_text(activity.end.at)}: {activity.end.reason}"
    if not activity.pid:
        return ""
    where = f" in the middle of {_named(_numbers(activity.tries))}" if activity.tries else ""
    last = f", last heard of at {clock_text(activity.heard_at)}" if activity.heard_at else ""
    return f": process {activity.pid} ended without a word{where}{last}"
