"""Writes the sentences and lines that terminal, report and page share. Pure: plain text, without a markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import hypot, inf
from typing import Any

from controller.costs.answers import answer_text
from controller.costs.forecast import Forecast, forecast
from controller.costs.slots import SlotPrices, slot_dollars, slot_hours
from controller.domain import BASELINE, Attempt, ExamReport, Experiment, Provenance, Verdict, Witness
from controller.judge import State
from controller.settings import Device, Settings
from controller.text.figures import MISSING, duration, hours_text, score_text, score_with_error, sigma_text, sigmas_text
from controller.text.safe_text import one_line


def headline(settings: Settings) -> str:
    """Campaign, agent, slots, sandbox and judge in one line."""
    executor = settings.executor
    where = "Kubernetes Jobs" if executor.kind == "kubernetes" else f"local sandboxes ({executor.sandbox})"
    slots = f"{executor.slots} slot" + ("s" if executor.slots > 1 else "")
    judge = settings.judge.policy
    return f"autoresearch · campaign {settings.tag} · agent {settings.agent.kind} · {slots} · {where} · {judge} judge"


def budget_line(settings: Settings, device: Device) -> str:
    """The limits of the campaign, and what they come to in trainings, time, GPU hours and dollars."""
    budget, coming = settings.budget, forecast(settings, device)
    calls = ", the model's calls included" if settings.agent.asks_models else ""
    limits = [
        _experiments_judged(budget.experiments) if budget.experiments else "",
        f"{budget.hours:g} h have passed" if budget.hours else "",
        f"{budget.gpu_hours:g} {_hour_unit(device)} are used" if budget.gpu_hours else "",
        f"${budget.dollars:g} are spent{calls}" if budget.dollars else "",
    ]
    line = f"  budget    {budget.train_seconds:g} s a training, until {' or '.join(filter(None, limits))}"
    if coming.trainings == inf:
        return line
    about = "about" if coming.guessed else "at most"
    return (
        f"{line} · about {coming.trainings:.0f} trainings, {about} {duration(3600 * coming.clock_hours)} and "
        f"{coming.slot_hours:.1f} {_hour_unit(device)}{_slot_dollars(coming, device)}"
    )


def _slot_dollars(coming: Forecast, device: Device) -> str:
    least, most = coming.slot_dollars
    if not most:
        return " (budget.gpu_dollars_per_hour gives them a price)" if device is Device.GPU else ""
    return f" for ${most:.2f}" if least == most else f" for ${least:.2f} to ${most:.2f}"


def _experiments_judged(count: int) -> str:
    return "1 experiment is judged" if count == 1 else f"{count} experiments are judged"


def _device_used(experiments: Sequence[Experiment]) -> Device:
    """The device on which attempts of a campaign on one machine ran."""
    for experiment in experiments:
        for attempt in experiment.attempts:
            if attempt.result and attempt.result.accelerator not in ("", "cpu"):
                return Device.GPU
    return Device.CPU


def _hour_unit(device: Device) -> str:
    return "GPU-h" if device is Device.GPU else "CPU-h"


def data_line(manifest: Mapping[str, Any]) -> str:
    """The data in one line: source, size, tokens, and the seal."""
    sealed = f"sealed {str(manifest.get('identity', ''))[:4]}…"
    if "splits" not in manifest:  # a task's own data, of which nothing is known but its files
        files: Mapping[str, Mapping[str, int]] = manifest.get("files", {})
        return f"{len(files)} files · {sum(file.get('bytes', 0) for file in files.values()) / 1e6:.1f} MB   {sealed}"
    splits: Mapping[str, Mapping[str, int]] = manifest["splits"]
    megabytes = sum(split.get("bytes", 0) for split in splits.values()) / 1e6
    counts = "  ".join(f"{one_line(name)} {_count(split.get('tokens', 0))}" for name, split in splits.items())
    revision = f" revision {str(manifest['revision'])[:7]}" if "revision" in manifest else ""
    source = one_line(str(manifest.get("source", "unknown source")))
    return (
        f"{source}{revision} · {megabytes:.1f} MB · vocabulary "
        f"{manifest.get('vocabulary_size', 0):,} · {counts} tokens   {sealed}"
    )


def baseline_line(experiment: Experiment, state: State, *, metric: str, train_seconds: float) -> str:
    """The baseline's mean score, the noise, and what the exam says of it. `state` may be of a later moment."""
    runs, noise = len(experiment.scores), state.noise
    level = f"{metric} {_mean_text(experiment, noise)}"
    spread = "no two runs differed" if noise is None else f"sigma {sigma_text(noise)}"
    text = f"  baseline  {runs} × {train_seconds:g} s   {level}   {spread}"
    exams = experiment.exams
    if exams and exams[-1].inflation is not None:
        text += f"   exam ok, inflation {score_with_error(exams[-1].inflation, exams[-1].inflation_error)}"
    return text + warning_of(experiment)


def shown_score(experiment: Experiment, noise: float | None) -> str:
    """Mean of its scores; in brackets what a rejected attempt claimed; a dash where there is none."""
    if experiment.judgement and experiment.judgement.verdict is Verdict.REJECT:
        claimed = experiment.exams[-1].raw if experiment.exams else None
        return MISSING if claimed is None else f"({score_text(claimed, noise)})"
    return _mean_text(experiment, noise)


def _mean_text(experiment: Experiment, noise: float | None) -> str:
    return MISSING if experiment.mean_score is None else score_text(experiment.mean_score, noise)


def gain(experiment: Experiment) -> str:
    """Expected gain in sigma and how many runs it rests on."""
    judgement = experiment.judgement
    # The gain of an edit that is tried again is told by the experiment that tries it.
    if judgement is None or judgement.expected_gain is None or judgement.retried_as is not None:
        return ""
    runs = f"  n={len(experiment.scores)}" if len(experiment.scores) > 1 else ""
    return f"{sigmas_text(judgement.expected_gain, decimals=1)}{runs}"


def verdict_words(experiment: Experiment, undone: Mapping[int, int]) -> str:
    """The verdict in a row of a table. Of a kept edit that was taken out again it is not true any more.

    undone: as `find_undone` tells it; so everywhere below.
    """
    by = undone.get(experiment.number)
    return experiment.words if by is None else f"undone by {by}"


def verdict_sentence(experiment: Experiment, undone: Mapping[int, int]) -> str:
    """The verdict with its reason, and what became of it; empty before there is one."""
    if experiment.judgement is None:
        return ""
    since = f", {verdict_words(experiment, undone)}" if experiment.number in undone else ""
    return f"{experiment.words}{since}: {experiment.judgement.reason}"


def what(experiment: Experiment) -> str:
    """The title; where there is no score that counts, the reason and where to read more."""
    why = reason_without_score(experiment)
    return f"{experiment.title}: {why} (show {experiment.number})" if why else experiment.title


def reason_without_score(experiment: Experiment) -> str:
    """The verdict's reason where no score counts; empty where one does, or before the verdict."""
    judgement = experiment.judgement
    if judgement is None or (experiment.scores and judgement.verdict is not Verdict.REJECT):
        return ""
    return judgement.reason


def closing(
    experiments: Sequence[Experiment],
    *,
    reason: str,
    seconds: float,
    dollars: float,
    prices: SlotPrices,
    local: bool,
) -> str:
    """The last line of a run: why it ended, experiments, keeps, time and cost.

    dollars: those of the model calls. local: true if it ran on this machine.
    """
    judged, kept, hours = 0, 0, 0.0
    for experiment in experiments:
        hours += slot_hours(experiment, prices)
        dollars += slot_dollars(experiment, prices)
        if experiment.number != BASELINE and experiment.doubts is None and experiment.judgement:
            judged += 1
            kept += 1 if experiment.judgement.verdict is Verdict.KEEP else 0
    unit = _hour_unit(_device_used(experiments)) if local else "slot-h"
    return (
        f"stopped: {reason} · {judged} judged, {kept} kept · {duration(seconds)} · "
        f"${dollars:.2f} · {hours_text(hours)} {unit}"
    )


def origin_line(experiment: Experiment) -> str:
    """Agent, strategy and expected effect of an experiment, in one line."""
    parts = {"proposed by": experiment.agent, "strategy": experiment.strategy, "expects": experiment.expected_effect}
    return " · ".join(f"{name} {value}" for name, value in parts.items() if value)


def cost_line(experiment: Experiment, prices: SlotPrices) -> str:
    """Cost of an experiment: model calls of its proposal, slots of all its tries, and an answer of its model."""
    cost, gpus, hours = experiment.cost, slot_dollars(experiment, prices), slot_hours(experiment, prices)
    calls = f"${cost.dollars:.2f} for {cost.calls} model calls, " if cost.calls or cost.dollars else ""
    calls += f"${cost.declared_dollars:.2f} declared by the client and not counted, " if cost.declared_dollars else ""
    answer = answer_text(experiment)
    each = f"  an answer takes {answer}" if answer else ""
    return f"cost ${cost.dollars + gpus:.2f}: {calls}${gpus:.2f} for {hours:.3f} slot-hours{each}"


def attempt_line(attempt: Attempt, metric: str) -> str:
    """Seed, outcome, score, times, node of one attempt."""
    result = attempt.result
    tries = f" ({len(attempt.tries)} tries)" if len(attempt.tries) > 1 else ""
    if result is None:
        return f"run {attempt.number}{tries}  seed {attempt.seed}  not ended"
    score = f"  {metric} {score_text(result.score.value)} ({result.score.provenance.value})" if result.score else ""
    phases = "  ".join(f"{name} {seconds:.1f} s" for name, seconds in result.phase_seconds.items())
    reason = f"  {result.reason}" if result.reason else ""
    where = f"  on {result.node} ({result.accelerator})" if result.node else ""
    price = attempt.tries[-1].dollars_per_hour if attempt.tries else None
    where += f"  at ${price:.2f} an hour" if price else ""
    witness = f"\n      {witness_line(result.witness)}" if result.witness or "train" in result.phase_seconds else ""
    witness += f"\n      disturbed: {result.disturbed}" if result.disturbed else ""
    return (
        f"run {attempt.number}{tries}  seed {attempt.seed}  {result.outcome.value}{score}{reason}\n"
        f"      {phases}{where}{witness}"
    )


def witness_line(witness: Witness | None) -> str:
    """The machine's share in a training: waits, pauses, stolen time; what it does not tell is left out."""
    if witness is None:
        return "while it trained: nobody measured the machine"
    told = (
        ("waited for a CPU", witness.waited),
        ("paused by its quota", witness.throttled),
        ("machine short of CPUs", witness.contended),
        ("short of memory", witness.starved),
        ("stolen by the hypervisor", witness.stolen),
        ("CPUs taken by other programs", witness.taken),
    )
    shares = [f"{what} {100 * share:.1f} %" for what, share in told if share is not None]
    return f"while it trained: {', '.join(shares) or 'nothing is known'}"


def best_line(incumbent: Experiment, baseline: Experiment, state: State, metric: str) -> str:
    """The incumbent's level beside the baseline's; says that this is no claim."""
    if incumbent.number == BASELINE:
        return f"best  the baseline, {score_text(state.told_level, state.noise)}: nothing was kept"
    kept_as = incumbent.judgement.kept_as[:7] if incumbent.judgement else ""
    error = None if state.is_exact else state.level_error
    return (
        f"best  {kept_as}  {metric} {score_with_error(state.told_level, error, state.noise)}  "
        f"(baseline {_mean_text(baseline, state.noise)}; "
        "estimated, not claimed: a claim needs runs of its own)"
    )


def exam_line(exam: ExamReport) -> str:
    """The examiner's measurements: of a language model in nats, of other tasks with the numbers beside the metric."""
    parts = [
        ("inflation", exam.inflation, exam.inflation_error),
        ("spread", exam.spread, None),
        ("restart", exam.restart, exam.restart_error),
        ("freshness", exam.freshness, _both_errors(exam)),
    ]
    shown = []
    for name, value, error in parts:
        if value is not None:
            sign = "+" if value > 0 else ""
            shown.append(f"{name} {sign}{score_with_error(value, error)}")
    probes = f" of {exam.probes} probes" if exam.probes else ""
    hits = f"  hits {exam.hits}{probes}" if exam.hits is not None else ""
    fault = f"  failed: {exam.test}" if exam.test else ""
    flag = f"  ({exam.flag})" if exam.flag else ""
    if exam.questions is None:
        measured = f"  {'  '.join(shown)} nats" if shown else ""
        return f"exam{measured}{hits}{fault}{flag}"
    if exam.score_error is not None:
        shown.insert(0, f"{exam.questions} questions, standard error {score_text(exam.score_error)}")
    shown += [f"{name} {score_text(value)}" for name, value in exam.numbers.items()]
    return f"exam  {'  '.join(shown)}{fault}{flag}"


def _both_errors(exam: ExamReport) -> float | None:
    """Standard error of the freshness."""
    if exam.asked_error is None or exam.freshness_error is None:
        return None
    return hypot(exam.asked_error, exam.freshness_error)


def warning_of(experiment: Experiment) -> str:
    """The marks of a score that the exam did not seal, or that a busy machine disturbed; empty for any other."""
    provenances = set()
    for attempt in experiment.attempts:
        if attempt.result and attempt.result.score:
            provenances.add(attempt.result.score.provenance)
    log = "  [unverified]" if Provenance.LOG in provenances else ""
    unsealed = "  [unsealed]" if Provenance.UNSEALED in provenances else ""
    return log + unsealed + ("  [disturbed]" if has_disturbed_run(experiment) else "")


def has_disturbed_run(experiment: Experiment) -> bool:
    """True if a run counts although other programs took the machine from it."""
    return any(attempt.result and attempt.result.disturbed for attempt in experiment.attempts)


def _count(value: float) -> str:
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f}{suffix}"
    return f"{value:g}"
