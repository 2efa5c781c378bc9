"""Begins a campaign in the lab, or its baseline again after the task or the settings were mended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from controller.domain import Experiment, LostTo, Outcome, Try
from controller.edits import novelty
from controller.lab.attachments import SETTINGS
from controller.lab.writer import LabWriter
from controller.settings import Settings
from controller.settings.file import dump_settings


def begin_campaign(lab: LabWriter, settings: Settings, task_files: Mapping[str, str], *, at: float) -> None:
    """Create the campaign in the lab, unless it is there. at: Unix time in seconds."""
    editable = {path: task_files[path] for path in settings.task.editable}
    fingerprint = novelty.fingerprint(editable)
    if settings.tag in lab.tags():
        _begin_again_if_mended(lab, settings, task_files, fingerprint=fingerprint, at=at)
        return
    lab.begin(settings.tag, task_files, fingerprint=fingerprint, settings=dump_settings(settings), at=at)


def _begin_again_if_mended(
    lab: LabWriter, settings: Settings, task_files: Mapping[str, str], *, fingerprint: str, at: float
) -> None:
    """Run the baseline again where it could not be scored, and task or settings have been changed since.

    Its tries stay on record, as lost ones: what they took is spent. Without a change nothing is tried again, so
    that a controller that is restarted for ever does not train for ever.
    """
    tag, dumped = settings.tag, dump_settings(settings)
    [baseline, *others] = lab.experiments(tag)
    failed = [a for a in baseline.attempts if a.result is not None and a.result.outcome is not Outcome.SCORED]
    if any(e.judgement is not None for e in (baseline, *others)) or not failed:
        return
    known = lab.attachment(tag, SETTINGS)
    if known == dumped.encode() and lab.files(baseline.commit, tuple(task_files)) == dict(task_files):
        return
    for experiment in others:
        if experiment.attempts:
            lab.record(tag, _unmeasured(experiment), at=at)
    mended = replace(_unmeasured(baseline), fingerprint=fingerprint)
    lab.begin_again(tag, mended, task_files, settings=dumped, at=at)


def _unmeasured(experiment: Experiment) -> Experiment:
    """The experiment with all of its attempts open, and their tries as lost ones, which count against no limit."""
    attempts = []
    for attempt in experiment.attempts:
        tries = tuple(_lost(a_try) for a_try in attempt.tries)
        attempts.append(replace(attempt, result=None, tries=tries))
    return replace(experiment, attempts=tuple(attempts))


def _lost(a_try: Try) -> Try:
    why = "the task or its settings were changed after it"
    return replace(a_try, lost=a_try.lost or why, interrupted=True, lost_to=a_try.lost_to or LostTo.STOPPED)
