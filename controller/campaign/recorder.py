"""Writes every change of an experiment, to the lab first and then to the campaign's state in memory.

Verdicts are reached elsewhere and carried out here. The effects are ordered so that a new start goes on after a kill
between any two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from controller.campaign.beginning import begin_campaign
from controller.campaign.reserve import used_slices
from controller.costs.slots import SlotPrices
from controller.domain import AGAIN, BASELINE, Experiment, Judgement, Proposal, Remark, Verdict
from controller.edits import novelty
from controller.judge import Assessment, Judge
from controller.lab import LabNotebook
from controller.lab.attachments import NOTES, log_path
from controller.lab.records import lab_book_entry
from controller.lab.writer import LabWriter
from controller.notices import Concluded, Inseparable, Observer, Told
from controller.planning.actions import Conclude, Conflict, Retry, Settle
from controller.planning.campaign_state import CampaignState
from controller.planning.settlement import carry_over
from controller.ports import SmokeCrash
from controller.settings import Settings
from controller.text.safe_text import SENTENCE, one_line, safe_text

COMPACTED_EVERY = 50
"""Experiments between two calls of `git gc --auto`, which does nothing until there are some 6,700 loose objects."""

TRIED_ALREADY = "on what was kept meanwhile its edit makes a program that was tried already"


class Recorder:
    """The records of one campaign. Only the loop's thread may use it."""

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
        begin_campaign(lab, settings, task_files, at=clock())
        self._lab.repair(self._tag)
        self.incumbent = self._lab.incumbent(self._tag)
        """The commit at the head of the campaign's branch."""
        self.conflicts: dict[int, Conflict] = {}
        """See View.conflicts."""
        self.inseparable: frozenset[int] = frozenset()
        """Kept experiments that cannot be left out of this incumbent: what was kept after them changes their lines."""
        self.wishes: dict[int, str] = {}
        """Kept experiments that an agent wants left out, and why. A kill forgets them."""
        self._told_inseparable: set[int] = set()
        self.studies = tuple(self._lab.studies(self._tag))
        """Claims and other studies so far. They are charged and shown, and no proposer is told of them."""
        prices = SlotPrices.of(settings)
        self.campaign_state = CampaignState(judge, self._lab.experiments(self._tag), prices, studies=self.studies)
        self.remarks: tuple[Remark, ...] = tuple(self._lab.remarks(self._tag))
        """Remarks of the operator so far, oldest first."""

    # -- reading --------------------------------------------------------------------------------------------------

    def editable_files(self, commit: str) -> dict[str, str]:
        """The files that an agent may change, at a commit."""
        return self._lab.files(commit, self._settings.task.editable)

    def readable_files(self, commit: str) -> dict[str, str]:
        """The files that an agent may read and not change, at a commit."""
        return self._lab.files(commit, self._settings.task.readable)

    def used_reserve(self) -> frozenset[int]:
        """Slices of the reserve that a candidate of this lab may have seen in its exam."""
        others = [self._lab.experiments(tag) for tag in self._lab.tags() if tag != self._tag]
        return used_slices(list(self.campaign_state.experiments.values()), others)

    def notebook(self) -> LabNotebook:
        """A view of the lab for another thread."""
        return LabNotebook(self._lab.path, tag=self._tag)

    # -- writing --------------------------------------------------------------------------------------------------

    def record(self, experiment: Experiment) -> None:
        """Write an experiment that has changed."""
        self._lab.record(self._tag, experiment, at=self._clock())
        self.campaign_state.put(experiment)

    def attach(self, path: str, text: str) -> None:
        """Keep a text with the campaign."""
        self._lab.attach(self._tag, path, text.encode(), at=self._clock())

    def read_notes(self) -> str:
        """The notes that the agent left for later proposals; empty if there are none."""
        return safe_text((self._lab.attachment(self._tag, NOTES) or b"").decode(errors="replace"))

    def take_in_remarks(self) -> None:
        """Write to the lab what the operator has told since the last turn."""
        for remark in self._lab.take_in_remarks(self._tag, at=self._clock()):
            # A kill between the lab and the inbox leaves one in both, and it was read from the lab at the start.
            if remark not in self.remarks:
                self.remarks = (*self.remarks, remark)
                self._observe(Told(remark))

    def admit(self, proposal: Proposal) -> Experiment:
        """Make a proposal the next experiment."""
        number = max(self.campaign_state.experiments) + 1
        program = novelty.fingerprint(self.editable_files(proposal.base) | dict(proposal.files))
        experiment = self._lab.admit(self._tag, number, proposal, fingerprint=program, at=self._clock())
        self.campaign_state.put(experiment)
        return experiment

    def conclude_smoke_crash(self, experiment: Experiment, crash: SmokeCrash) -> None:
        """Write the verdict of an edit that has crashed before its first attempt, and the log that tells of it."""
        self.attach(log_path(experiment.number, 0, 1), safe_text(crash.log))
        reason = one_line(f"in its smoke test, before any attempt: {crash.reason}", SENTENCE)
        self.conclude(Conclude(experiment, Verdict.CRASH, reason))

    def conclude(self, action: Conclude) -> None:
        """Write the verdict of an experiment, and move the branch if it is a keep."""
        if action.verdict is Verdict.KEEP and action.experiment.number != BASELINE:
            self._keep(action)
        else:
            self._write_verdict(action.experiment, self._judgement_of(action))

    def _keep(self, action: Conclude, *, merged: Mapping[str, str] | None = None) -> None:
        """Write a keep and move the branch.

        merged: the files to keep if they are not the experiment's own, because the incumbent moved meanwhile.
        """
        experiment, judgement = self.campaign_state.experiments[action.experiment.number], self._judgement_of(action)
        if experiment.base != self.incumbent:
            judgement = replace(judgement, onto=self.incumbent)
        if action.replaces:
            gone = self.campaign_state.find_replaced(experiment.base, self.incumbent, carries=action.carries)
            judgement = replace(judgement, replaces=gone, carries=action.carries)
            if action.carries:
                merged, _ = self._carry_over(experiment)
                self.campaign_state.fingerprints.add(novelty.fingerprint(merged))
        noise = self.campaign_state.state.noise if self.campaign_state.state else None
        metric = self._settings.task.metric
        message = lab_book_entry(experiment, judgement, tag=self._tag, metric=metric, noise=noise)
        # What the program replaces may have files that it does not have.
        over = experiment.commit if action.replaces else self.incumbent
        kept_as = self._lab.kept_commit(
            experiment, onto=self.incumbent, files=merged, over=over, message=message, at=judgement.at
        )
        self._write_verdict(experiment, replace(judgement, kept_as=kept_as))

    def _write_verdict(self, experiment: Experiment, judgement: Judgement) -> None:
        # The record of the campaign state is the newest; the action's may be older.
        experiment = replace(self.campaign_state.experiments[experiment.number], judgement=judgement)
        # The note goes first: after a kill in between, `LabWriter.repair` moves the branch.
        self.record(experiment)
        self._lab.advance(self._tag, experiment)
        if judgement.kept_as:
            self.incumbent = judgement.kept_as
            self.conflicts, self.inseparable = {}, frozenset()
        if self.campaign_state.state is not None:
            self._observe(Concluded(experiment, self.campaign_state.state))
        if experiment.number % COMPACTED_EVERY == 0:
            self._lab.compact()

    def rebase(self, experiment: Experiment) -> None:
        """Move an experiment that has not run onto the incumbent, or discard it if its program there is not new."""
        files = self._merge_onto(experiment, self.incumbent)
        if files is None or self._was_tried(experiment, files):
            why = "its edit conflicts with what was kept meanwhile" if files is None else TRIED_ALREADY
            self.conclude(Conclude(experiment, Verdict.DISCARD, f"never run: {why}"))
            return
        program, now = novelty.fingerprint(files), self._clock()
        moved = self._lab.rebase(self._tag, experiment, files, onto=self.incumbent, fingerprint=program, at=now)
        self.campaign_state.put(moved)

    def settle(self, action: Settle) -> None:
        """Merge a good edit with the incumbent, and keep it or try it there. A conflict is only noted in memory.

        After a kill the conflict is found again, and the planner decides anew what it means.
        """
        experiment = action.experiment
        files = self._merge_onto(experiment, self.incumbent)
        if files is None:
            _, carries = self._carry_over(experiment)
            conflict = Conflict(carries=carries, gain=self.campaign_state.find_credit(carries))
            self.conflicts = {**self.conflicts, experiment.number: conflict}
        elif novelty.fingerprint(files) == novelty.fingerprint(self.editable_files(self.incumbent)):
            reason = f"what was kept meanwhile contains its edit: {action.assessment.reason}"
            self.conclude(Conclude(experiment, Verdict.DISCARD, reason, action.assessment))
        elif self._was_tried(experiment, files):
            reason = f"{action.assessment.reason}, but {TRIED_ALREADY}"
            self.conclude(Conclude(experiment, Verdict.DISCARD, reason, action.assessment))
        elif action.keep:
            reason = f"{action.assessment.reason}; merged with what was kept meanwhile"
            self.campaign_state.fingerprints.add(novelty.fingerprint(files))
            self._keep(Conclude(experiment, Verdict.KEEP, reason, action.assessment), merged=files)
        else:
            self._try_again(experiment, files, assessment=action.assessment)

    def retry(self, action: Retry) -> None:
        """Try a good edit on the incumbent, with its own lines where the two conflict."""
        experiment = action.experiment
        files = self._merge_onto(experiment, self.incumbent, prefer_theirs=True)
        if files is None or self._was_tried(experiment, files) or files == self.editable_files(experiment.commit):
            reason = "it conflicts with what was kept meanwhile, and its own program is no better than the incumbent"
            self.conclude(Conclude(experiment, Verdict.DISCARD, reason, action.assessment))
        else:
            self._try_again(experiment, files, assessment=action.assessment)

    def take_back(self, kept: Experiment) -> None:
        """Admit the program before a broken merge as an experiment, whose verdict then moves the branch back to it."""
        if kept.judgement is None:
            return
        self.admit(
            Proposal(
                base=self.incumbent,
                files=self.editable_files(kept.judgement.onto),
                title=f"take back {kept.number}: {kept.title}",
                hypothesis="The merged program does not run.",
                agent="judge",
                undoes=kept.number,
            )
        )

    def doubt(self, number: int) -> None:
        """Admit the incumbent without a kept edit as an experiment. What cannot be left out by a merge is only told.

        After a kill the conflict is found again.
        """
        kept, before, after = next(
            step for step in self.campaign_state.steps_to(self.incumbent) if step[0].number == number
        )
        files = self._lab.merge(
            base=after, ours=self.incumbent, theirs=before, paths=self._settings.task.editable, prefer_theirs=False
        )
        if files is None or files == self.editable_files(self.incumbent):
            self.inseparable |= {number}
            if number not in self._told_inseparable:
                self._told_inseparable.add(number)
                self._observe(Inseparable(number, kept.title))
            return
        wish = self.wishes.pop(number, None)
        why = f"Runs since {number} was kept make it doubtful that it is worth anything."
        if wish is not None:
            why = f"The agent asks what {number} is worth by now: {wish}"
        self.admit(
            Proposal(
                base=self.incumbent,
                files=files,
                title=f"leave out {number}: {kept.title}",
                hypothesis=why,
                agent="judge",
                doubts=number,
            )
        )

    def _try_again(self, experiment: Experiment, files: Mapping[str, str], *, assessment: Assessment) -> None:
        """Admit the edit once more, on the incumbent, and close the experiment that measured it on an older one."""
        # After a kill between the two writes below, the second experiment exists and the first is still open.
        again = next((e for e in self.campaign_state.experiments.values() if e.retry_of == experiment.number), None)
        again = again or self.admit(_propose_again(experiment, files, base=self.incumbent))
        reason = f"retried as {again.number}, because the incumbent had moved: {assessment.reason}"
        judgement = self._judgement_of(Conclude(experiment, Verdict.DISCARD, reason, assessment))
        self._write_verdict(experiment, replace(judgement, retried_as=again.number))

    def _merge_onto(self, experiment: Experiment, commit: str, *, prefer_theirs: bool = False) -> dict[str, str] | None:
        """The editable files of a commit with the experiment's edit on top; None if they conflict."""
        return self._lab.merge(
            base=experiment.base,
            ours=commit,
            theirs=experiment.commit,
            paths=self._settings.task.editable,
            prefer_theirs=prefer_theirs,
        )

    def _carry_over(self, experiment: Experiment) -> tuple[dict[str, str], tuple[int, ...]]:
        """The experiment's own files with what was kept since its base, as far as it merges, and what that was."""
        edits = self.campaign_state.edits_to_carry(experiment.base, self.incumbent)

        def put_on(files: dict[str, str], edit: Experiment) -> dict[str, str] | None:
            return self._lab.merge(
                base=edit.base,
                ours=experiment.commit,
                ours_files=files,
                theirs=edit.commit,
                paths=self._settings.task.editable,
            )

        return carry_over(self.editable_files(experiment.commit), edits, put_on)

    def _was_tried(self, experiment: Experiment, files: Mapping[str, str]) -> bool:
        """True if another experiment has tried exactly this program.

        The experiment's own program does not count: a merge leaves it unchanged if the edit contains what was kept.
        Nor does anything where a kept edit is left out: that program is run because it is to be known better.
        """
        if experiment.doubts is not None:
            return False
        return novelty.fingerprint(files) in self.campaign_state.fingerprints - {experiment.fingerprint}

    def _judgement_of(self, action: Conclude) -> Judgement:
        assessment = action.assessment
        return Judgement(
            verdict=action.verdict,
            reason=action.reason,
            order=self.campaign_state.order + 1,
            expected_gain=assessment.expected_gain if assessment else None,
            spread=assessment.spread if assessment else None,
            price=assessment.price if assessment else None,
            level=assessment.level if assessment else None,
            at=self._clock(),
        )


def _propose_again(experiment: Experiment, files: Mapping[str, str], *, base: str) -> Proposal:
    """The same edit as a proposal on another base. It costs nothing, as no agent was asked."""
    return Proposal(
        base=base,
        files=files,
        title=experiment.title,
        hypothesis=experiment.hypothesis,
        agent=experiment.agent,
        strategy=f"{AGAIN}{experiment.number}",
        retry_of=experiment.number,
        doubts=experiment.doubts,
    )
