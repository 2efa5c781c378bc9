"""What changes when ideas run dry: the way of searching, in turn, and what each way has brought.

Pure. A plateau is the normal state of a campaign, and switching the way of searching there has beaten each way
alone (63.2 against 55.4 and 43.8, reported for switched optimisers), so the ways take turns.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.domain import BASELINE, Experiment, Verdict
from controller.yields import UNNAMED, Yield, with_experiments

OPEN = UNNAMED
OTHER_MODEL = "other-model"

INSTRUCTIONS = {
    OPEN: "Propose the edit with the best expected gain for its risk.",
    "bolder": (
        "Small steps have stopped paying. Rewrite a whole mechanism (attention, optimiser, schedule, data order, "
        "initialisation) instead of turning a constant. A likely failure with a large upside is welcome."
    ),
    "delete": (
        "Remove something: a mechanism, a branch, a constant that earns nothing. Equal score with fewer lines is a win."
    ),
    "combine": (
        "Combine two near-misses: discarded edits whose gain was positive or close to zero, which touch different "
        "parts, so that their effects may add up. Name both experiments in the hypothesis."
    ),
    "revisit": (
        "Revisit one failed idea that the incumbent of its day may have spoilt (wrong learning rate, too small a "
        "batch, a crash that was only a bug). Name the experiment, and say what is different now."
    ),
    "untried": (
        "Before you choose, list for yourself which categories and which parts of the file the table below shows as "
        "little tried, and propose from there. Do not touch what has been tried three times or more."
    ),
    OTHER_MODEL: "You are new here: look at the incumbent with fresh eyes, and say what its authors overlook.",
}

PLATEAU = ("bolder", "delete", "combine", "revisit", "untried", OTHER_MODEL)


def verdicts_since_keep(experiments: Sequence[Experiment]) -> int:
    """Verdicts after the last keep, in the order they were reached."""
    judged = sorted((e.judgement for e in experiments if e.judgement and e.number != BASELINE), key=lambda j: j.order)
    kept = [place for place, judgement in enumerate(judged, start=1) if judgement.verdict is Verdict.KEEP]
    return len(judged) - (kept[-1] if kept else 0)


def on_plateau(experiments: Sequence[Experiment], *, after: int) -> bool:
    """So many verdicts in a row without a keep."""
    return verdicts_since_keep(experiments) >= after


def turns_taken(experiments: Sequence[Experiment]) -> int:
    """How many experiments came from the strategies of a plateau."""
    return sum(experiment.strategy in PLATEAU for experiment in experiments)


def in_turn(turn: int, *, other_model: bool) -> str:
    """The strategy of the plateau's proposal number `turn`, counted from 0 over the whole campaign."""
    ways = PLATEAU if other_model else tuple(name for name in PLATEAU if name != OTHER_MODEL)
    return ways[turn % len(ways)]


def yields(experiments: Sequence[Experiment]) -> list[Yield]:
    """What each strategy brought so far, its model calls as dollars: ours in their order, then others by name."""
    found = with_experiments({}, experiments, dollars=lambda experiment: experiment.cost.dollars)
    known = [name for name in INSTRUCTIONS if name in found]
    return [found[name] for name in [*known, *sorted(found.keys() - set(known))]]
