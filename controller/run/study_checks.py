"""Looks before a study spends anything: the campaign, each place, and what both have cost."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from controller.costs.slots import SlotPrices, slot_dollars
from controller.domain import BASELINE, Experiment, Outcome
from controller.errors import DataError, LabError, LabInUse
from controller.folder import CampaignFolder
from controller.lab import Lab
from controller.notices import current_activity
from controller.reports.activity import activity_sentence
from controller.run.checks import check_data
from controller.run.warnings import print_warning
from controller.run.wiring import check_executor
from controller.settings import Settings
from controller.settings.file import changed_training, refuse_other_preset, refuse_other_score
from controller.studies.bill import Charged
from controller.studies.study import Study
from controller.text.figures import clock_text


def require_campaign(lab: Lab, settings: Settings, err: Console) -> list[Experiment]:
    """The campaign's experiments. Raises LabError where there is no baseline to compare with."""
    experiments = lab.experiments(settings.tag)
    if not experiments or experiments[BASELINE].judgement is None:
        raise LabError(f"campaign {settings.tag} has no measured baseline yet: run it first with `autoresearch run`")
    begun = (lab.attachment(settings.tag, "campaign.yaml") or b"").decode()
    refuse_other_preset(begun, settings)
    refuse_other_score(begun, settings)
    for warning in changed_training(begun, settings):
        print_warning(err, warning)
    return experiments


def refuse_busy_lab(lab: Lab, tag: str, *, now: float) -> None:
    """Raise LabInUse where the campaign or another study has the lab, and say what that is. now: Unix time."""
    holder = lab.find_holder()
    if holder is None:
        return
    activity, (pid, since) = current_activity(tag, lab.read_activity(), holder=holder), holder
    raise LabInUse(
        f"{activity_sentence(activity, now=now)}, and a study needs the lab to itself: ask again when that has ended, "
        f"or stop it first (the lab {lab.path} is in use by pid {pid or '?'} since {clock_text(since)})"
    )


def check_place(folder: CampaignFolder, settings: Settings, study: Study, err: Console, *, is_new: bool) -> None:
    """Look at data and executor of a place before anything is spent.

    is_new: nothing of the study has run yet, so that none of its own Jobs or leases can be there.
    """
    # Whatever the campaign does with its port, a study serves none: what is missing is told at once.
    check_executor(settings.executor, serves=False)
    if settings.executor.kind == "kubernetes" and is_new:
        from controller.executor.kubernetes.rights import check_free

        check_free(settings)
    if settings.executor.kind == "local" and settings.task.score == "exam":
        check_data(folder, settings, err)
    if settings.executor.kind == "local" and study.holdout:
        _require_holdout(folder)


def _require_holdout(folder: CampaignFolder) -> None:
    if not (folder.data / "holdout").exists():
        raise DataError(
            f"data folder {folder.data} has no holdout to ask: compare by the campaign's own score with --validation"
        )


def charge_campaign(experiments: Sequence[Experiment], prices: SlotPrices) -> Charged:
    """The cost of the campaign's own attempts, without the calls of models."""
    charged = Charged()
    for experiment in experiments:
        results = [attempt.result for attempt in experiment.attempts]
        charged = charged.plus(
            Charged(
                seconds=sum(attempt.seconds for attempt in experiment.attempts),
                dollars=slot_dollars(experiment, prices),
                attempts=sum(1 for result in results if result and result.outcome is not Outcome.LOST),
            )
        )
    return charged
