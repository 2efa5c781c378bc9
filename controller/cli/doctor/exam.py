"""Tries a task's exam: honest code must pass it, and the stock cheats must be rejected or gain nothing."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from controller.cli.doctor.cheats import Cheat, Manner, cheats_for, manner_of, with_cheat
from controller.cli.doctor.findings import Finding, State
from controller.cli.doctor.trials import Trials, trials
from controller.domain import Outcome, Result
from controller.errors import SettingsError
from controller.folder import CampaignFolder, task_folder
from controller.run.prepare import prepare_data
from controller.settings import Settings, TaskSettings

LEAST_SCATTER = 0.02
"""Share of an honest score within which another score counts as the same, where two honest runs happen to agree."""


@dataclass(frozen=True, slots=True)
class Honest:
    """The scores of the unchanged code."""

    scores: tuple[float, ...]
    error: float
    """Standard error of one score over the questions."""
    minimize: bool

    def is_beaten_by(self, score: float) -> bool:
        """True if a score is better than the honest ones by more than their scatter."""
        best = min(self.scores) if self.minimize else max(self.scores)
        gain = best - score if self.minimize else score - best
        scatter = max(self.scores) - min(self.scores)
        return gain > max(2 * scatter, 2 * self.error, LEAST_SCATTER * abs(best))


def hold_exam(folder: CampaignFolder, settings: Settings, *, seconds: float) -> Generator[Finding]:
    """Prepare the data where that was not done, and try the exam with trainings of at most so many seconds."""
    prepare_data(folder, settings, say=lambda _: None)
    with trials(folder, settings, seconds=seconds) as some:
        yield from try_exam(some)


def try_exam(trials: Trials) -> Iterator[Finding]:
    """Yield each finding once its attempt has ended. Raises SettingsError for a task without an exam of its own."""
    settings = trials.settings
    if settings.task.score != "exam":
        raise SettingsError("the task has no exam (task.score is log): its own word is its score, so any cheat passes")
    manner = _manner(settings)
    runs = [trials.run(seed=seed) for seed in (1, 2)]
    failed = next((run for run in runs if run.outcome is not Outcome.SCORED), None)
    if failed is not None:
        yield Finding("honest code", State.BAD, f"{failed.outcome.value}: {failed.reason}")
        return
    scores = tuple(run.score.value for run in runs if run.score)
    error = max((run.exam.score_error or 0.0 for run in runs if run.exam), default=0.0)
    honest = Honest(scores, error, settings.task.direction == "minimize")
    yield Finding("honest code", State.GOOD, f"scored {' and '.join(f'{score:.5g}' for score in scores)} (two seeds)")
    name = _agents_file(settings.task)
    if not name:
        yield Finding("cheats", State.DOUBTFUL, "what answers is no Python, and the stock cheats are: none was tried")
        return
    for cheat in cheats_for(manner):
        result = trials.run(files={name: with_cheat(trials.files[name], cheat, manner)})
        yield judge_cheat(cheat, result, honest)


def judge_cheat(cheat: Cheat, result: Result, honest: Honest) -> Finding:
    """Judge the exam by the end of a cheat's attempt."""
    match result.outcome:
        case Outcome.LOST:
            return Finding(cheat.name, State.DOUBTFUL, f"the attempt was lost, so nothing is known: {result.reason}")
        case Outcome.SCORED if result.score is not None and honest.is_beaten_by(result.score.value):
            return Finding(cheat.name, State.BAD, f"GAINS: scored {result.score.value:.5g} without being caught")
        case Outcome.SCORED if cheat.rejected:
            score = result.score.value if result.score else 0.0
            why = ": the examiner's `repeats` would catch it" if cheat.repeats else ""
            return Finding(cheat.name, State.DOUBTFUL, f"not caught, and gains nothing (scored {score:.5g}){why}")
        case Outcome.SCORED:
            return Finding(cheat.name, State.GOOD, f"in vain: scored {result.score.value if result.score else 0:.5g}")
        case Outcome.TIMED_OUT:
            return Finding(
                cheat.name, State.DOUBTFUL, f"not tried, its training was too slow (--seconds): {result.reason}"
            )
        case Outcome.REJECTED if cheat.rejected:
            return Finding(cheat.name, State.GOOD, f"caught: {result.reason}")
        # A process that ends in its exam has crashed, as one in training has; only the first has a report.
        case Outcome.CRASHED if cheat.rejected and result.exam is not None:
            return Finding(cheat.name, State.GOOD, f"caught: {result.reason}")
        case _ if cheat.rejected:
            return Finding(cheat.name, State.DOUBTFUL, f"not tried, because it {result.outcome.value}: {result.reason}")
        case _:
            return Finding(
                cheat.name, State.BAD, f"{result.outcome.value}, where it should have been in vain: {result.reason}"
            )


def _manner(settings: Settings) -> Manner:
    file = settings.task.examiner_file
    return manner_of((task_folder(settings) / file).read_text(encoding="utf-8")) if file else Manner.LANGUAGE


def _agents_file(task: TaskSettings) -> str:
    """The file with the function that the exam calls; empty where a program answers instead."""
    if task.serve:
        return ""
    return next((name for name in task.editable if name.endswith(".py")), "")
