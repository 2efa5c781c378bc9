"""The history as the researcher sees it: one line per experiment, in chunks that never change once written.

Pure but for one log tail from the notebook. Experiments are told in the order of their verdicts, so that a
longer history begins with the shorter one, byte for byte, and stays in the prompt cache. Only when the window
moves is the old part folded into a summary, and the cache written anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from controller.agent.claude import strategy
from controller.agent.claude.history import Tried, repeated
from controller.agent.claude.untrusted import fenced_log, one_line
from controller.domain import Experiment, Outcome, Verdict
from controller.ports import ProposalRequest

Category = Literal[
    "architecture",
    "optimizer",
    "schedule",
    "initialization",
    "regularization",
    "data",
    "throughput",
    "simplification",
]
CATEGORIES: tuple[str, ...] = get_args(Category)
CHUNK = 20
"""Experiments in one unchanging block."""
OLD_KEPT = 80
OLD_NEAR_MISSES = 30
REPEATED = 25
RECENT_FAILURES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How much history is told in full: at least `least` verdicts, folded in steps of `step`."""

    least: int = 240
    step: int = 160

    def start(self, judged: int) -> int:
        """Number of verdicts that are folded away."""
        return max(0, (judged - self.least) // self.step * self.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """`archive`: blocks that only ever grow at the end; `news`: what changes with every proposal."""

    archive: tuple[str, ...]
    news: str


def build(request: ProposalRequest, tried: Sequence[Tried], *, window: Window) -> Digest:
    """The history in blocks, and the news."""
    judged = sorted((t for t in tried if t.experiment.judgement), key=_order)
    start = window.start(len(judged))
    end = len(judged) - (len(judged) - start) % CHUNK
    chunks = [judged[place : place + CHUNK] for place in range(start, end, CHUNK)]
    archive = [_folded(judged[:start])] if start else []
    archive += ["\n".join(line(t) for t in chunk) for chunk in chunks]
    return Digest(archive=tuple(archive), news=_news(request, tried, recent=judged[end:], judged=judged))


def line(tried: Tried) -> str:
    """One experiment in one line: number, verdict, gain, score, title, what it changed."""
    experiment = tried.experiment
    judgement = experiment.judgement
    parts = [
        f"#{experiment.number}",
        judgement.verdict.value if judgement else "running",
        _gain(experiment),
        _scores(experiment),
        one_line(experiment.title, limit=90),
        f"[{one_line('; '.join(tried.edit.constants), limit=100)}]" if tried.edit.constants else "",
        f"{experiment.line_change:+d} lines" if experiment.line_change else "",
        f"({experiment.strategy})" if experiment.strategy not in ("", strategy.OPEN) else "",
    ]
    if judgement and judgement.verdict in (Verdict.CRASH, Verdict.REJECT):
        parts.append(f"- {one_line(judgement.reason, limit=120)}")
    return " ".join(part for part in parts if part)


def category(experiment: Experiment) -> str:
    """The category that its title begins with, or `other`."""
    name, colon, _ = experiment.title.partition(":")
    return name if colon and name in CATEGORIES else "other"


def failed(experiment: Experiment) -> bool:
    """Its last attempt ended without a score by its own doing, so that its log tells something."""
    results = [a.result for a in experiment.attempts if a.result]
    return bool(results) and results[-1].outcome in (Outcome.CRASHED, Outcome.TIMED_OUT)


def _folded(old: Sequence[Tried]) -> str:
    kept = [t for t in old if _verdict(t) is Verdict.KEEP]
    discarded = [t for t in old if _verdict(t) is Verdict.DISCARD]
    missed = sorted(sorted(discarded, key=_expected, reverse=True)[:OLD_NEAR_MISSES], key=_order)
    largest = sorted(sorted(kept, key=_expected, reverse=True)[:OLD_KEPT], key=_order)
    return "\n".join(
        [
            f"The first {len(old)} verdicts, summed up (search_history finds each of them):",
            _by_category([t.experiment for t in old]),
            f"Kept ({len(largest)} of {len(kept)}, the largest gains):",
            *(line(t) for t in largest),
            "Near misses:",
            *(line(t) for t in missed),
        ]
    )


def _news(request: ProposalRequest, tried: Sequence[Tried], *, recent: Sequence[Tried], judged: Sequence[Tried]) -> str:
    running = [t for t in tried if not t.experiment.judgement]
    sections = [
        ("Newest verdicts", [line(t) for t in recent]),
        ("Running, no verdict yet", [line(t) for t in running]),
        ("Proposed by others and waiting", [one_line(title) for title in request.pending]),
        ("Refused just now", [one_line(reason, limit=300) for reason in request.refused]),
        ("Kept lineage", [_lineage(judged)]),
        ("By category", [_by_category([t.experiment for t in judged])]),
        ("Constants changed three times or more", _repetitions(tried)),
        ("What each strategy brought", _yields(request)),
        ("Noise", [_noise(request)]),
        ("The last failure", _last_failure(request, judged)),
    ]
    return "\n\n".join(f"## {title}\n" + "\n".join(lines) for title, lines in sections if any(lines))


def _lineage(judged: Sequence[Tried]) -> str:
    kept = [t for t in judged if _verdict(t) is Verdict.KEEP]
    numbers = " → ".join(f"#{t.experiment.number}" for t in kept[-40:])
    return f"baseline → {'… → ' if len(kept) > 40 else ''}{numbers}" if kept else "nothing has been kept yet"


def _by_category(experiments: Sequence[Experiment]) -> str:
    proposed = Counter(category(e) for e in experiments)
    kept = Counter(category(e) for e in experiments if e.judgement and e.judgement.verdict is Verdict.KEEP)
    names = [name for name in (*CATEGORIES, "other") if proposed[name] or name != "other"]
    return "; ".join(f"{name} {kept[name]} of {proposed[name]} kept" for name in names) if experiments else ""


def _repetitions(tried: Sequence[Tried]) -> list[str]:
    groups = list(repeated(tried).items())[:REPEATED]
    return [f"{name}: {'; '.join(_value(t, name) for t in group[-6:])}" for name, group in groups]


def _value(tried: Tried, name: str) -> str:
    change = next(c for c in tried.edit.constants if c.startswith(f"{name} "))
    verdict = _verdict(tried)
    return f"{one_line(change.removeprefix(name).strip(), limit=40)} {verdict.value if verdict else 'running'}"


def _yields(request: ProposalRequest) -> list[str]:
    return [
        f"{y.strategy}: {y.kept} kept, {y.failed} failed of {y.judged} judged, gain {y.gain:.2f}σ"
        for y in strategy.yields(request.experiments)
    ]


def _noise(request: ProposalRequest) -> str:
    if request.sigma is None:
        return "not measured yet: the baseline is still running"
    level = f"; the incumbent's level is {request.incumbent_level:.5f}" if request.incumbent_level is not None else ""
    return f"one run of {request.metric} has a standard deviation (σ) of {request.sigma:.2g}{level}"


def _last_failure(request: ProposalRequest, judged: Sequence[Tried]) -> list[str]:
    last = next((t.experiment for t in reversed(judged[-RECENT_FAILURES:]) if failed(t.experiment)), None)
    return [f"Log tail of #{last.number}:", fenced_log(request.notebook.log_tail(last))] if last else []


def _gain(experiment: Experiment) -> str:
    gain = experiment.judgement.expected_gain if experiment.judgement else None
    return f"{gain:+.2f}σ" if gain is not None else ""


def _scores(experiment: Experiment) -> str:
    scores = experiment.scores
    if not scores:
        return ""
    runs = f" (n={len(scores)})" if len(scores) > 1 else ""
    return f"{sum(scores) / len(scores):.5f}{runs}"


def _verdict(tried: Tried) -> Verdict | None:
    return tried.experiment.judgement.verdict if tried.experiment.judgement else None


def _order(tried: Tried) -> int:
    return tried.experiment.judgement.order if tried.experiment.judgement else 0


def _expected(tried: Tried) -> float:
    judgement = tried.experiment.judgement
    return judgement.expected_gain or 0.0 if judgement else 0.0
