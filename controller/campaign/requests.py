"""Puts together the question to an agent: the incumbent's files, every experiment so far, and what the judge knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controller.campaign.recorder import Recorder
from controller.domain import BASELINE, Experiment
from controller.ports import FindCrash, Incumbent, ProposalRequest
from controller.settings import Settings


def build_request(
    recorder: Recorder,
    settings: Settings,
    *,
    asked: int,
    brief: str,
    facts: tuple[str, ...],
    importable: frozenset[str] | None,
    notes: str,
    refused: tuple[str, ...],
    incumbent: Incumbent,
    newest: Callable[[], Incumbent],
    newest_experiments: Callable[[], Sequence[Experiment]],
    refusal_of: Callable[[str], str | None],
    smoke: FindCrash,
    doubt: Callable[[int, str], None] | None,
    dollars_limit: Callable[[], float],
) -> ProposalRequest:
    """The question, as of now.

    asked: number of questions of this process so far. incumbent: that of now. The others: see ProposalRequest.
    """
    task, campaign_state = settings.task, recorder.campaign_state
    state, experiments = campaign_state.state, tuple(campaign_state.experiments.values())
    return ProposalRequest(
        tag=settings.tag,
        number=len(experiments) + asked,
        brief=brief,
        base=incumbent.commit,
        files=incumbent.files,
        readable=recorder.readable_files(incumbent.commit),
        experiments=experiments,
        fingerprints=frozenset(campaign_state.fingerprints),
        revivable=campaign_state.find_revivable(),
        newest=newest,
        newest_experiments=newest_experiments,
        refusal_of=refusal_of,
        notebook=recorder.notebook(),
        metric=task.metric,
        facts=facts,
        importable=importable,
        notes=notes,
        remarks=recorder.remarks,
        max_lines=task.line_limit,
        minimize=task.direction == "minimize",
        sigma=state.sigma if state else None,
        incumbent_level=state.told_level if state else None,
        refused=refused,
        pending=tuple(e.title for e in campaign_state.open.values() if e.number != BASELINE),
        smoke=smoke,
        doubt=doubt,
        dollars_limit=dollars_limit,
    )
