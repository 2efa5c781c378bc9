"""Looks at a draft before it is submitted: may it be trained, is it under way already, what speaks against it. Pure.

A refusal is final. A doubt is shown once, and the draft can then be submitted all the same.
"""

from __future__ import annotations

from controller.agent.desk.desk import Desk
from controller.agent.desk.draft import Draft
from controller.agent.desk.experiment_text import format_line
from controller.agent.desk.fencing import fence
from controller.agent.desk.history import SIMILAR, find_similar, measure_likeness, read_edit
from controller.agent.desk.submissions import Submitted
from controller.edits import names, novelty
from controller.text.safe_text import one_line


def find_refusal(draft: Draft, desk: Desk) -> str | None:
    """The reason why the draft must not be trained; None if it may."""
    return novelty.find_refusal(
        base=draft.base,
        proposed=draft.changed,
        tried=desk.request.fingerprints - desk.request.revivable,
        needs_load_model=desk.needs_load_model,
        max_lines=desk.request.max_lines,
    )


def find_twin(draft: Draft, desk: Desk) -> str | None:
    """One sentence if the same edit is under way, on whatever incumbent; None if it is not.

    It was submitted by another researcher since the history was told, or it waits or runs. Its verdict is worth waiting
    for.
    """
    program = novelty.fingerprint(draft.files)
    edit = read_edit(draft.diff)
    news = _find_untold(desk)
    if any(other.program == program or other.edit == edit for other in news):
        titles = "; ".join(one_line(other.title, limit=90) for other in news)
        told = fence("titles", f"Submitted so far: {titles}")
        return f"this very edit was submitted meanwhile, by you or another researcher.\n{told}"
    for tried in desk.tried:
        if tried.experiment.judgement is None and tried.edit == edit:
            return f"#{tried.experiment.number} is this very edit and has no verdict yet: propose another"
    return None


def find_doubts(draft: Draft, desk: Desk) -> dict[int | str, str]:
    """One sentence for each edit that the draft is similar to, and for each place at which it seems to crash.

    The keys are numbers of experiments, fingerprints of programs that others submitted meanwhile, and the places.
    """
    edit = read_edit(draft.diff)
    doubts: dict[int | str, str] = {}
    for path, text in draft.changed.items():
        for fault in _find_faults(path, draft.base[path], text, desk):
            doubts[f"{path} {fault}"] = f"{path} {fault}: it would crash there"
    for share, tried in find_similar(edit, desk.tried):
        doubts[tried.experiment.number] = f"{share:.0%} the same lines as {format_line(tried)}"
    for other in _find_untold(desk):
        share = measure_likeness(edit, other.edit)
        if share >= SIMILAR:
            doubts[other.program] = f"{share:.0%} the same lines as one submitted meanwhile: {one_line(other.title)}"
    return doubts


def _find_faults(path: str, before: str, after: str, desk: Desk) -> list[str]:
    """Places at which an edited file seems to crash."""
    if not path.endswith(".py"):
        return []
    faults = names.find_new_faults(before, after)
    if desk.request.importable is not None:
        own = {each.split("/")[0].removesuffix(".py") for each in (*desk.request.files, *desk.request.readable)}
        faults += names.find_new_imports(before, after, importable=desk.request.importable | own)
    return faults


def _find_untold(desk: Desk) -> list[Submitted]:
    """Submissions that the history does not hold yet."""
    return [other for other in desk.submissions.submitted if other.program not in desk.request.fingerprints]
