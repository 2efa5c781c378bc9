"""The lab together with what the loop remembers of it: every change of an experiment is written here, the lab first.

It carries out verdicts and moves and reaches none. Effects are ordered so that a kill between any two of them is
mended by starting again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from controller import novelty
from controller.actions import AGAIN, Conclude, Requeue
from controller.domain import BASELINE, Experiment, Judgement, Proposal, Verdict
from controller.judge import Judge
from controller.lab import LabNotebook
from controller.memory import Memory
from controller.notices import Concluded, Observer
from controller.records import lab_book_entry
from controller.settings import Settings
from controller.settingsfile import dump_settings
from controller.writer import LabWriter

COMPACTED_EVERY = 50


class Journal:
    """One campaign's records; not shared between threads.

    incumbent: the commit at the head of its branch. trouble: what the lab says that an operator must mend.
    """

    def __init__(
        self,
        lab: LabWriter,
        settings: Settings,
        *,
        judge: Judge,
        task_files: Mapping[str, str],
        clock: Callable[[], float],
        observe: Observer,
    ) -> None:
        self._lab = lab
        self._settings = settings
        self._clock = clock
        self._observe = observe
        self._tag = settings.tag
        self._begin(task_files)
        self._lab.repair(self._tag)
        self.incumbent = self._lab.incumbent(self._tag)
        self.trouble = self._lab.trouble(self._tag)
        self.memory = Memory(judge, self._lab.experiments(self._tag), settings)

    def _begin(self, task_files: Mapping[str, str]) -> None:
        if self._tag in self._lab.tags():
            return
        editable = {path: task_files[path] for path in self._settings.task.editable}
        self._lab.begin(
            self._tag,
            task_files,
            fingerprint=novelty.fingerprint(editable),
            settings=dump_settings(self._settings),
            at=self._clock(),
        )

    # -- reading --------------------------------------------------------------------------------------------------

    def editable(self, commit: str) -> dict[str, str]:
        """The files that an agent may change, at a commit."""
        return self._lab.files(commit, self._settings.task.editable)

    def readable(self, commit: str) -> dict[str, str]:
        """The files that an agent may read and not change, at a commit."""
        return self._lab.files(commit, self._settings.task.readable)

    def notebook(self) -> LabNotebook:
        """A view of the lab for another thread."""
        return LabNotebook(self._lab.path, tag=self._tag)

    # -- writing --------------------------------------------------------------------------------------------------

    def record(self, experiment: Experiment) -> None:
        """Write down what has changed about an experiment."""
        self._lab.record(self._tag, experiment, at=self._clock())
        self.memory.put(experiment)

    def attach(self, path: str, text: str) -> None:
        """Keep a text with the campaign."""
        self._lab.attach(self._tag, path, text.encode(), at=self._clock())

    def tell_trouble(self, trouble: str) -> None:
        """Leave word in the lab of what only an operator can mend; empty when it is over."""
        self._lab.tell_trouble(self._tag, trouble, at=self._clock())
        self.trouble = trouble

    def admit(self, proposal: Proposal) -> Experiment:
        """Make a proposal the next experiment."""
        number = max(self.memory.experiments) + 1
        program = novelty.fingerprint(self.editable(proposal.base) | dict(proposal.files))
        experiment = self._lab.admit(self._tag, number, proposal, fingerprint=program, at=self._clock())
        self.memory.put(experiment)
        return experiment

    def conclude(self, action: Conclude) -> None:
        """Write down a verdict, and move the branch where it is a keep."""
        experiment = self.memory.experiments[action.experiment.number]
        judgement = self._judgement(action)
        if action.verdict is Verdict.KEEP and experiment.number != BASELINE:
            message = lab_book_entry(experiment, judgement, tag=self._tag, metric=self._settings.task.metric)
            kept_as = self._lab.kept_commit(experiment, message=message, at=judgement.at)
            judgement = replace(judgement, kept_as=kept_as)
        experiment = replace(experiment, judgement=judgement)
        # The note goes first: a kill in between leaves a branch that `LabWriter.repair` moves.
        self.record(experiment)
        self._lab.advance(self._tag, experiment)
        if judgement.kept_as:
            self.incumbent = judgement.kept_as
        if self.memory.state is not None:
            self._observe(Concluded(experiment, self.memory.state))
        if experiment.number % COMPACTED_EVERY == 0:
            self._lab.compact()

    def rebase(self, experiment: Experiment) -> None:
        """Put an experiment that has not run on the incumbent, or discard it where that makes nothing new."""
        files = self._on_incumbent(experiment)
        if isinstance(files, str):
            self.conclude(Conclude(experiment, Verdict.DISCARD, f"never run: {files}"))
            return
        program, now = novelty.fingerprint(files), self._clock()
        moved = self._lab.rebase(self._tag, experiment, files, onto=self.incumbent, fingerprint=program, at=now)
        self.memory.put(moved)

    def requeue(self, action: Requeue) -> None:
        """Admit an edit that was good on an older incumbent once more, on this one, and close the first go."""
        experiment = action.experiment
        strategy, fate = f"{AGAIN}{experiment.number}", "it is tried again there"
        if not any(e.strategy == strategy for e in self.memory.experiments.values()):
            files = self._on_incumbent(experiment)
            if isinstance(files, str):
                fate = files
            else:
                self.admit(_again(experiment, files, base=self.incumbent, strategy=strategy))
        reason = f"{action.assessment.reason}, but the incumbent had moved: {fate}"
        self.conclude(Conclude(experiment, Verdict.DISCARD, reason, action.assessment))

    def _on_incumbent(self, experiment: Experiment) -> dict[str, str] | str:
        """The editable files with its edit on the incumbent, or why that is not worth a run."""
        files = self._lab.merge(
            base=experiment.base,
            ours=self.incumbent,
            theirs=experiment.commit,
            paths=self._settings.task.editable,
        )
        if files is None:
            return "its edit conflicts with what was kept meanwhile"
        # It may hold what was kept: then it stays as it is, and its own program is no other's.
        if novelty.fingerprint(files) in self.memory.fingerprints - {experiment.fingerprint}:
            return "on what was kept meanwhile its edit makes a program that was tried already"
        return files

    def _judgement(self, action: Conclude) -> Judgement:
        assessment = action.assessment
        return Judgement(
            verdict=action.verdict,
            reason=action.reason,
            order=self.memory.order + 1,
            expected_gain=assessment.expected_gain if assessment else None,
            spread=assessment.spread if assessment else None,
            price=assessment.price if assessment else None,
            level=assessment.level if assessment else None,
            at=self._clock(),
        )


def _again(experiment: Experiment, files: Mapping[str, str], *, base: str, strategy: str) -> Proposal:
    return Proposal(
        base=base,
        files=files,
        title=experiment.title,
        hypothesis=experiment.hypothesis,
        agent=experiment.agent,
        strategy=strategy,
    )
