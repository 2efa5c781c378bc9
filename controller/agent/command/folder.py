"""Makes the folder that a program finds: the task, the news, the history, and the files that it may change.

Pure but for the notebook's diffs and logs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from controller.agent.desk import digest, strategy
from controller.agent.desk.fencing import EXPLANATION, fence, fence_remarks
from controller.agent.desk.history import Tried, never_ran
from controller.agent.desk.measurements import newest_result
from controller.domain import BASELINE, Experiment, find_undone
from controller.ports import ProposalRequest

PROPOSAL = "proposal.json"

NEWEST_DIFFS = 500
"""Newest experiments of which the program finds the diff: a folder of thousands is looked through by nobody."""

NEWEST_LOGS = 20
"""Newest experiments of which it finds the end of the log."""

TASK = """\
# Your task

Propose the next experiment of this laboratory: edit {files} in this folder so that {metric} gets {better}.
Strategy for this one ({way}): {instruction}

Then write `{proposal}`, an object of texts:

    {{"title": "one line", "hypothesis": "why it should help", "expected_effect": "+.3σ", "notes": "optional"}}

- One idea per experiment. What you change is committed, trained under a fixed budget, scored by a sealed exam, and kept
  or discarded by a judge that knows the noise. A program that was tried already, or that changes nothing, is sent back.
- Only {files} and `{proposal}` are read back, and only when your program has ended by itself with exit code 0. Whatever
  else is in this folder is deleted. You are not asked about this experiment again: what became of it is in the history
  of a later proposal. `notes` take the place of the notes that stand in NEWS.md; leave them out to keep those.
- There is no network, but for the model if one is configured, and no way to train here.

What is here:

- `BRIEF.md`: what the research is about, what each training gets, and what the operator has said since.
- `NEWS.md`: verdicts so far, what runs now, what was refused just now, the notes of earlier proposals.
- `history.jsonl`: every experiment, one a line. `experiments/0012/`: its diff, its numbers, the end of a log.
- `readable/`: files that belong to the task and cannot be changed.
{files_note}
{explanation}
"""


def lay_out(request: ProposalRequest, tried: Sequence[Tried], *, way: str) -> dict[str, str]:
    """All files of the folder, by path. way: name of the strategy."""
    files = {
        "TASK.md": _write_task(request, way),
        "BRIEF.md": _write_brief(request),
        "NEWS.md": _write_news(request, tried),
        "history.jsonl": _write_history(request.experiments),
    }
    for one in tried[-NEWEST_DIFFS:]:
        folder = f"experiments/{one.experiment.number:04d}"
        files[f"{folder}/edit.diff"] = one.diff
        if result := newest_result(one.experiment):
            files[f"{folder}/summary.json"] = json.dumps(dict(result.summary), indent=1, ensure_ascii=False) + "\n"
    for one in [one for one in tried if newest_result(one.experiment)][-NEWEST_LOGS:]:
        files[f"experiments/{one.experiment.number:04d}/log.txt"] = request.notebook.log_tail(one.experiment)
    files |= {f"readable/{path}": text for path, text in request.readable.items()}
    # Last, so that a task's own file of one of these names is the one that counts.
    return files | dict(request.files)


def _write_task(request: ProposalRequest, way: str) -> str:
    files = ", ".join(f"`{path}`" for path in sorted(request.files))
    return TASK.format(
        files=files,
        metric=request.metric,
        better="lower" if request.minimize else "higher",
        way=way,
        instruction=strategy.INSTRUCTIONS.get(way, strategy.INSTRUCTIONS[strategy.OPEN]),
        proposal=PROPOSAL,
        files_note=f"- {files}: the incumbent's.\n",
        explanation=EXPLANATION,
    )


def _write_brief(request: ProposalRequest) -> str:
    facts = "".join(f"- {fact}\n" for fact in request.facts)
    told = f"\nWhat every training of this campaign gets:\n\n{facts}" if facts else ""
    said = fence_remarks(request.remarks)
    return f"{request.brief.strip()}\n{told}" + (f"\n{said}\n" if said else "")


def _write_news(request: ProposalRequest, tried: Sequence[Tried]) -> str:
    told = digest.build_digest(request, tried, window=digest.Window())
    blocks = [*(fence("history", block) for block in told.archive), fence("news", told.news)]
    return "\n\n".join([EXPLANATION, *blocks]) + "\n"


def _write_history(experiments: Sequence[Experiment]) -> str:
    undone = find_undone(experiments)
    lines = [json.dumps(_describe(e, undone_by=undone.get(e.number)), ensure_ascii=False) for e in experiments]
    return "".join(f"{line}\n" for line in lines)


def _describe(experiment: Experiment, *, undone_by: int | None) -> Mapping[str, Any]:
    """An experiment as one object; what is not known is null.

    undone_by: number of the experiment that took a kept edit out again.
    """
    judgement = experiment.judgement
    verdict = judgement.verdict.value if judgement else None
    return {
        "number": experiment.number,
        "title": "baseline" if experiment.number == BASELINE else experiment.title,
        "verdict": "never ran" if judgement and never_ran(experiment) else verdict,
        "undone_by": undone_by,
        "reason": judgement.reason if judgement else None,
        "gain_sigma": judgement.expected_gain if judgement else None,
        "score": experiment.mean_score,
        "n": len(experiment.scores),
        "hypothesis": experiment.hypothesis,
        "expected_effect": experiment.expected_effect,
        "agent": experiment.agent,
        "strategy": experiment.strategy,
        "lines": experiment.line_change,
    }
