"""What the researcher is told, laid out so that the long stable part is read from the prompt cache.

Pure: a request in, blocks out. Order: tools, rules and brief, the archive of the history, the files, the
news. Each part changes less often than the one after it, and no date or counter stands in an early one.
Three marks are set here; the fourth of the four allowed moves with the end of the conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from statistics import median
from typing import Any, Literal

from controller.agent.claude import digest, strategy
from controller.agent.claude.history import Tried
from controller.ports import ProposalRequest

CHARACTERS_PER_TOKEN = 3.0
"""Rough and on the safe side: English prose has 4, code and figures about 3."""

PROMPT_TOKENS = 60_000
FILE_CHARACTERS = 60_000
WINDOWS = (digest.Window(), digest.Window(least=100, step=100), digest.Window(least=20, step=40))

Ttl = Literal["5m", "1h"]

RULES = files(__package__).joinpath("rules.md").read_text(encoding="utf-8").rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The opening of a conversation; `tokens` is an estimate that also counts the tools."""

    system: list[dict[str, Any]]
    opening: list[dict[str, Any]]
    tokens: int


def build(
    request: ProposalRequest,
    tried: Sequence[Tried],
    *,
    tools: Sequence[dict[str, Any]],
    way: str,
    ttl: Ttl,
    limit: int = PROMPT_TOKENS,
    others: int = 0,
) -> Prompt:
    """The opening with as much history as fits below `limit` tokens. others: proposals thought of at this moment."""
    for window in WINDOWS:
        prompt = _build(request, tried, tools=tools, way=way, ttl=ttl, window=window, others=others)
        if prompt.tokens < limit:
            break
    return prompt


def tokens_of(characters: int) -> int:
    """Estimated tokens of so many characters, on the safe side."""
    return int(characters / CHARACTERS_PER_TOKEN) + 1


def cache_ttl(request: ProposalRequest, *, setting: Literal["auto", "5m", "1h"]) -> Ttl:
    """How long a prefix should live: by the campaign's own gap between proposals, where the setting says auto.

    A write for an hour costs 2 x the input price instead of 1.25 x, so it pays from gaps of five minutes up to
    an hour; beyond that nothing survives to be read, and the cheaper write is right again.
    """
    if setting != "auto":
        return setting
    times = sorted(e.proposed_at for e in request.experiments)[-12:]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return "1h" if gaps and 270 < median(gaps) < 3600 else "5m"


def _build(
    request: ProposalRequest,
    tried: Sequence[Tried],
    *,
    tools: Sequence[dict[str, Any]],
    way: str,
    ttl: Ttl,
    window: digest.Window,
    others: int,
) -> Prompt:
    history = digest.build(request, tried, window=window)
    system = [_text(RULES), _marked(_text(f"<brief>\n{request.brief.strip()}\n</brief>"), ttl)]
    archive = [_text(f"<history>\n{block}\n</history>") for block in history.archive]
    opening = [
        *_mark_last(archive, ttl),
        _marked(_text(_files(request)), ttl),
        _text(f"<news>\n{history.news}\n</news>\n\n{_task(request, way, others=others)}"),
    ]
    characters = sum(len(block["text"]) for block in (*system, *opening)) + len(str(tools))
    return Prompt(system=system, opening=opening, tokens=tokens_of(characters))


def _files(request: ProposalRequest) -> str:
    blocks = [f'<file path="{path}">\n{_cut(text)}\n</file>' for path, text in sorted(request.files.items())]
    readable = ", ".join(sorted(request.readable.keys() - request.files.keys())) or "none"
    return "\n".join([*blocks, f"Files you can read with `read` but not change: {readable}."])


def _task(request: ProposalRequest, way: str, *, others: int) -> str:
    better = "lower" if request.minimize else "higher"
    files = ", ".join(sorted(request.files))
    return (
        f"Propose the next experiment: edit {files} so that {request.metric} gets {better}. "
        f"The files above are the incumbent's.\nStrategy for this one ({way}): {strategy.INSTRUCTIONS[way]}"
        f"{_apart(request, others)}"
    )


def _apart(request: ProposalRequest, others: int) -> str:
    """Many that read the same at the same time would all think of the same: each begins somewhere else."""
    if not others:
        return ""
    corner = digest.CATEGORIES[request.number % len(digest.CATEGORIES)]
    return (
        f"\n{others} more researchers think about this at the same moment, and none sees what the others do. So that "
        f"you do not all submit the same, look at {corner} first, and elsewhere if nothing good is there."
    )


def _cut(text: str) -> str:
    if len(text) <= FILE_CHARACTERS:
        return text
    return f"{text[:FILE_CHARACTERS]}\n(cut here: `read` shows the rest, by line numbers)"


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _marked(block: dict[str, Any], ttl: Ttl) -> dict[str, Any]:
    return {**block, "cache_control": {"type": "ephemeral", "ttl": ttl}}


def _mark_last(blocks: list[dict[str, Any]], ttl: Ttl) -> list[dict[str, Any]]:
    return [*blocks[:-1], _marked(blocks[-1], ttl)] if blocks else []
