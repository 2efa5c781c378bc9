"""Writes the brief, the incumbent and the history as a client from outside reads them. Pure but for the notebook."""

from __future__ import annotations

from collections.abc import Sequence

from controller.agent.desk import digest, strategy
from controller.agent.desk.fencing import EXPLANATION, fence, fence_remarks
from controller.agent.desk.history import Tried
from controller.ports import Incumbent, ProposalRequest
from controller.text.figures import score_text, sigma_text

WINDOW = digest.Window(least=60, step=40)
"""Verdicts told in full: fewer than a prompt of ours has, since clients cut an answer at some 25,000 tokens."""

WHOLE_CHARACTERS = 120_000
"""Most characters of the editable files that one answer holds; of more, single files and lines are read."""

RULES = """\
# How to research here

- One idea per experiment, as the smallest edit that tests it. What you submit is committed, trained under a fixed
  budget, scored by a sealed exam, and kept or discarded by a judge that knows the noise (σ: the standard deviation of
  one run). What is kept becomes the new incumbent. Less code at an equal score is a win.
- `incumbent` gives the files and the commit that `check` and `submit` want as `base`. Of an older base, your edit is
  moved onto what was kept meanwhile; where the two conflict, you are told.
- Only these files can be changed: {files}. A program that was tried already, that changes nothing, or that only chooses
  another seed is refused before it is trained.
- `submit` answers with a ticket, and `wait` tells what became of it. Up to {most_waiting} submissions may wait, so that
  you need not wait for one verdict before you submit the next idea.
- When nothing is submitted for {patience:.0f} s, {substitute}.
- You reach nothing but these tools: no shell, no other file, no result of a claim.
- {explanation}
"""


def write_brief(
    request: ProposalRequest, *, way: str, patience: float, fallback: bool, most_waiting: int
) -> tuple[str, ...]:
    """The brief in parts. way: name of the strategy of the moment."""
    better = "lower" if request.minimize else "higher"
    facts = "".join(f"- {fact}\n" for fact in request.facts)
    rules = RULES.format(
        files=", ".join(sorted(request.files)),
        patience=patience,
        substitute="perturb proposes in your place" if fallback else "the slots stand idle",
        most_waiting=most_waiting,
        explanation=EXPLANATION,
    )
    instruction = strategy.INSTRUCTIONS.get(way, strategy.INSTRUCTIONS[strategy.OPEN])
    parts = [
        f"# Brief of campaign {request.tag}\n\n{request.brief.strip()}",
        f"# What every training of this campaign gets\n\n{facts}" if facts else "",
        fence_remarks(request.remarks),
        rules,
        f"# What is asked for now\n\nMake {request.metric} {better}. Strategy ({way}): {instruction}",
    ]
    return tuple(part for part in parts if part)


def write_incumbent(request: ProposalRequest, incumbent: Incumbent) -> tuple[str, ...]:
    """The commit in a line, and each editable file as it is, in a part of its own between two lines of ours."""
    lines = [f"base: {incumbent.commit}"]
    if request.incumbent_level is not None and request.sigma is not None:
        level, sigma = score_text(request.incumbent_level, request.sigma), sigma_text(request.sigma)
        lines.append(f"level: {level} {request.metric}, one run has a standard deviation (σ) of {sigma}")
    for path, text in sorted(incumbent.files.items()):
        lines.append(f"editable: {path}, {len(text.splitlines())} lines")
    lines += [f"readable: {path}, {len(text.splitlines())} lines" for path, text in sorted(request.readable.items())]
    if sum(map(len, incumbent.files.values())) > WHOLE_CHARACTERS:
        return ("\n".join([*lines, "the files are too long for one answer: read one at a time, by its path"]),)
    files = (fence(f"file {path}", text) for path, text in sorted(incumbent.files.items()))
    return ("\n".join(lines), *files)


def write_history(request: ProposalRequest, tried: Sequence[Tried]) -> tuple[str, ...]:
    """The history in parts, the oldest first, then the news."""
    told = digest.build_digest(request, tried, window=WINDOW)
    return (EXPLANATION, *(fence("history", block) for block in told.archive), fence("news", told.news))
