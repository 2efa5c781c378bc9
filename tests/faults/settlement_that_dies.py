"""A controller in which two good edits of one line meet, killed at its N-th effect: `settlement_that_dies.py FOLDER N`.

Experiment 2 is better than 1 and changes the same line, experiment 3 another line; all three are thought of on the
baseline. So one start holds a keep, a conflict that is settled for the better program, and a merge.
"""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from controller.domain import Proposal, Result, TryRequest
from controller.lab.writer import LabWriter
from controller.ports import Abandoned, ProposalRequest
from tests.faults.controller_that_dies import count_effects
from tests.support.scripted import InstantExecutor, NumberAgent, campaign, scored, settings

EDITS = {1: ("K1", 1), 2: ("K1", 2), 3: ("K5", 3)}
"""Constant and number of each proposal."""

GAINS = {"K1": (0.0, 0.1, 0.5), "K5": (0.0, 0.0, 0.0, 0.2)}
"""What each number of each constant is worth; the noise is a hundredth of that."""


def outcome(request: TryRequest) -> Result:
    """A score that the constants decide."""
    gain = 0.0
    for name, gains in GAINS.items():
        told = re.search(rf"^{name} = (\d)", request.files["train.py"], re.MULTILINE)
        gain += gains[int(told[1])] if told else 0.0
    return scored(2.0 - gain + (request.seed % 1000) / 1e5)


class Together(InstantExecutor):
    """Ends the tries of experiment 1 once experiment 2 has begun: on a busy machine it might be kept long before.

    begun: it has, or experiment 1 has ended before this start.
    """

    def __init__(self, *, begun: bool) -> None:
        super().__init__(outcome)
        self._begun = begun
        self._held: list[TryRequest] = []

    def launch(self, request: TryRequest) -> None:
        """End the try at once, or later."""
        if request.id.experiment == 1 and not self._begun:
            self._held.append(request)
            return
        if request.id.experiment == 2:
            self._begun = True
            while self._held:
                super().launch(self._held.pop(0))
        super().launch(request)


@dataclass
class Proposer(NumberAgent):
    """Three proposals that are thought of on the baseline, in the order of their requests; later ones not at all."""

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """The next edit that the lab does not hold yet, made on the baseline."""
        tried = {e.title for e in request.experiments} | set(request.pending)
        answer = super().propose(request)
        baseline = request.experiments[0].commit
        text = request.notebook.source(baseline, "train.py")
        for name, value in EDITS.values():
            title = f"{name} → {value}"
            if title not in tried and isinstance(answer, Proposal):
                edited = text.replace(f"{name} = 0", f"{name} = {value}")
                return replace(answer, base=baseline, files={"train.py": edited}, title=title)
        return Abandoned(reason="no more", exhausted=True)


def main() -> None:
    """Run the campaign in the folder until its end, or until the chosen effect."""
    folder, last = Path(sys.argv[1]), int(sys.argv[2])
    count_effects(last)
    lab = LabWriter.open(folder / "lab.git", create=True)
    with lab.lock(now=time.time()):
        chosen = settings("executor.slots=3", "budget.experiments=3", "agent.max_in_flight=1")
        known = lab.experiments("t")
        begun = any(attempt.result for experiment in known[1:] for attempt in experiment.attempts)
        print(campaign(folder, Together(begun=begun), agent=Proposer(), chosen=chosen).run().reason)


if __name__ == "__main__":
    main()
