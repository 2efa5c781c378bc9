"""Makes an agent's answer safe to keep and to show, whatever agent it comes from. Pure.

The agent's words become the lab's here and nowhere else. The edited files are left as they are: `novelty` refuses those
that must not be trained.
"""

from __future__ import annotations

from dataclasses import replace

from controller.domain import Proposal
from controller.ports import NOTES_CHARACTERS, Abandoned
from controller.text.safe_text import PARAGRAPHS, SENTENCE, one_line, safe_text, visible_json

TRANSCRIPT = 8 * 2**20
"""Most characters of a transcript that the lab keeps, ten times what fills the context of a model."""


UNTITLED = "(no title)"
"""Title of a proposal whose own title has nothing to show."""


def make_safe(answer: Proposal | Abandoned | BaseException) -> Proposal | Abandoned | BaseException:
    """The answer with text that is safe to keep and to show. An error is returned as it is."""
    match answer:
        case Proposal():
            return replace(
                answer,
                title=one_line(answer.title) or UNTITLED,
                hypothesis=safe_text(answer.hypothesis, limit=PARAGRAPHS).strip(),
                agent=one_line(answer.agent),
                strategy=one_line(answer.strategy),
                expected_effect=one_line(answer.expected_effect, SENTENCE),
                transcript=_cut_transcript(answer.transcript),
                notes=_make_notes_safe(answer.notes),
            )
        case Abandoned():
            reason = one_line(answer.reason, SENTENCE)
            transcript = _cut_transcript(answer.transcript)
            return replace(answer, reason=reason, transcript=transcript, notes=_make_notes_safe(answer.notes))
        case error:
            return error


def _make_notes_safe(notes: str | None) -> str | None:
    return None if notes is None else safe_text(notes, limit=NOTES_CHARACTERS)


def _cut_transcript(lines: str) -> str:
    """A transcript that is safe to show and still the JSON that it was, cut between two lines."""
    if len(lines) > TRANSCRIPT:
        lines = lines[:TRANSCRIPT].rpartition("\n")[0] + "\n"
    return visible_json(lines)
