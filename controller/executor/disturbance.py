"""Decides from the witness whether other programs disturbed a training, so that its score would tell of them. Pure.

Two things must hold. The training waited for CPUs more than the baseline did: an agent's program can bring that about,
with too many threads. And programs outside of this campaign took more of the CPUs than at the baseline, which a program
in a sandbox does not do: so an agent cannot throw away a training that went badly for it. `local/witness` names the one
way around this that is known of, by the kernel's clocks, and how little it can bring.
"""

from __future__ import annotations

from dataclasses import replace

from controller.domain import Attempt, Calm, Experiment, LostTo, TryRequest, Witness

BEYOND = 0.1
"""Share by which both must exceed the baseline's. On two quiet cores a training waited for 1 to 6 % of its time. Beside
programs that used all cores it waited for 22 to 59 %, and two runs of one program were .19 bits per byte apart, where
two quiet ones are .008 apart."""

QUIET = Calm(waited=0.06, taken=0.05)
"""A quiet machine, for a baseline that has not told yet what is normal here."""

MOST_DISTURBED = 2
"""Tries of one attempt that are run again because other programs disturbed them. The next one counts in any case."""

PATIENCE = 6.0
"""Longest wait for a calm machine before a disturbed try is run again, in lengths of a training. In simulation, with
disturbances that last two trainings on average, it leaves 7 of 100 disturbed scores, where 3 leaves 12."""


def may_run_again(attempt: Attempt) -> bool:
    """True if the attempt's next try is to be run again should it be disturbed."""
    return sum(each.lost_to is LostTo.DISTURBED for each in attempt.tries) < MOST_DISTURBED


def was_disturbed(attempt: Attempt) -> bool:
    """True if the attempt's last try that ended was disturbed."""
    lost = [each for each in attempt.tries if each.lost]
    return bool(lost) and lost[-1].lost_to is LostTo.DISTURBED


def describe_disturbance(witness: Witness | None, calm: Calm | None) -> str:
    """The disturbance of a training, as a sentence; empty if it was not, or if this machine does not tell."""
    if witness is None or calm is None or witness.waited is None or witness.taken is None:
        return ""
    if witness.waited <= most_allowed(calm).waited or not is_busy(witness.taken, calm):
        return ""
    return tell_shares(waited=witness.waited, taken=witness.taken, calm=calm)


def without_stolen(witness: Witness | None) -> Witness | None:
    """The witness less what the hypervisor stole, from which alone a training may be run again.

    Where a machine has a limited share of its hardware, a training brings that about by computing more: it could throw
    a run away that went badly for it.
    """
    if witness is None or witness.taken is None:
        return witness
    return replace(witness, taken=max(0.0, witness.taken - (witness.stolen or 0.0)))


def tell_shares(*, waited: float, taken: float, calm: Calm | None) -> str:
    """A disturbance as a sentence. calm: None if it is not known any more."""
    normal = "" if calm is None or calm == QUIET else f" ({calm.taken:.0%} at the baseline)"
    took = f"other programs took {taken:.0%} of the CPUs while it trained{normal}"
    return f"{took}, and it waited for {waited:.0%} of its time"


def is_busy(taken: float, calm: Calm) -> bool:
    """True if other programs take more of the CPUs than they did at the baseline."""
    return taken > most_allowed(calm).taken


def most_allowed(calm: Calm) -> Calm:
    """The shares beyond which a training is disturbed."""
    return Calm(waited=calm.waited + BEYOND, taken=calm.taken + BEYOND)


def may_be_lost(request: TryRequest) -> bool:
    """True if the training of this try can be lost for a busy machine."""
    return request.calm is not None and not (request.counts and request.late_counts)


def measure_calm(baseline: Experiment) -> Calm | None:
    """The machine as the baseline found it; None before its first attempt, or if this machine does not tell."""
    waited, taken = [], []
    for attempt in baseline.attempts:
        witness = attempt.result.witness if attempt.result else None
        if witness is not None and witness.waited is not None and witness.taken is not None:
            waited.append(witness.waited)
            taken.append(witness.taken)
    return Calm(waited=max(waited), taken=max(taken)) if taken else None
