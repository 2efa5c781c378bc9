"""Builds the opening of a conversation, laid out so that its long stable part is read from the prompt cache. Pure.

The API caches a prefix of tools, system and messages up to a mark, and reads it again only if it is the same byte for
byte. So the parts stand in the order tools, rules and brief, archive of the history, files, news: each changes less
often than the one after it, and no early part holds a date or a counter. The API allows four marks. Three are set here;
the fourth moves with the end of the conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from typing import Any, Literal

from controller.agent.desk import digest, strategy, toolset
from controller.agent.desk.experiment_text import CATEGORIES
from controller.agent.desk.fencing import EXPLANATION, fence, fence_remarks
from controller.agent.desk.history import Tried
from controller.ports import ProposalRequest

CHARACTERS_PER_TOKEN = 2.3
"""A rough estimate on the safe side: code and figures have so many in a token of the newest models, prose about 3.1."""

PROMPT_TOKENS = 60_000
"""Most tokens of an opening. Each call of a conversation pays for it, so the history is shortened to fit."""

FILE_CHARACTERS = 60_000
"""Most characters of one file in the opening; the tool `read` shows the rest."""

REMEMBERED_GAPS = 64
"""Newest proposals whose gaps choose the cache's lifetime: several rounds of sixteen that come together."""

FIVE_MINUTES, HOUR = 270.0, 3570.0
"""Seconds for which a prefix surely lives, a little less than its lifetime."""

READ, WRITE_5M, WRITE_1H = 0.05, 1.25, 2.0
"""Price of reading or writing a cached prefix, in prices of the same tokens without a cache."""

GROWTH = 0.03
"""What a lifetime of an hour costs more with each proposal, in the same unit: new verdicts and files are written."""

WINDOWS = (digest.Window(), digest.Window(least=100, step=100), digest.Window(least=20, step=40))
"""Amounts of history told in full, the largest first; the first one that fits is used."""

Ttl = Literal["5m", "1h"]

RULES = files(__package__).joinpath("rules.md").read_text(encoding="utf-8").rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The opening of a conversation."""

    system: list[dict[str, Any]]
    """Blocks of the system prompt."""

    opening: list[dict[str, Any]]
    """Blocks of the first message."""

    tokens: int
    """Estimated tokens of all blocks and of the tools."""


def build_prompt(
    request: ProposalRequest,
    tried: Sequence[Tried],
    *,
    tools: Sequence[dict[str, Any]],
    way: str,
    ttl: Ttl,
    limit: int = PROMPT_TOKENS,
    others: int = 0,
    allowed: Sequence[str] = (),
) -> Prompt:
    """Build the opening with as much history as fits below `limit` tokens.

    way: name of the strategy. others: number of other proposals that are being written at this moment. allowed: the
    limits of one conversation, in sentences that stay the same for the whole campaign.
    """
    for window in WINDOWS:
        prompt = _build_with_window(
            request, tried, tools=tools, way=way, ttl=ttl, window=window, others=others, allowed=allowed
        )
        if prompt.tokens < limit:
            break
    return prompt


def list_definitions(*, strict: bool = True) -> list[dict[str, Any]]:
    """The desk's tools as the API wants them.

    strict: the API holds the model to the schemas, which not every model can. The desk checks every call.
    """
    return [
        {
            "name": tool.name,
            "description": tool.description,
            **({"strict": True} if strict else {}),
            "input_schema": tool.schema,
        }
        for tool in toolset.list_tools()
    ]


def estimate_tokens(characters: int) -> int:
    """Estimated tokens of a text of so many characters, on the safe side."""
    return int(characters / CHARACTERS_PER_TOKEN) + 1


def cache_ttl(request: ProposalRequest, *, setting: Literal["auto", "5m", "1h"]) -> Ttl:
    """Lifetime of a cached prefix; if the setting is auto, chosen by the campaign's own gap between proposals.

    Each gap longer than a lifetime means that the prefix is written again, which costs more for an hour than for five
    minutes. One long gap after fifteen short ones, as slots that run in step make them, is dear with the shorter one.
    """
    if setting != "auto":
        return setting
    times = sorted(e.proposed_at for e in request.experiments)[-REMEMBERED_GAPS:]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    for_minutes = sum(WRITE_5M if gap > FIVE_MINUTES else READ for gap in gaps)
    for_an_hour = sum(WRITE_1H if gap > HOUR else READ for gap in gaps) + GROWTH * len(gaps)
    return "1h" if for_an_hour < for_minutes else "5m"


def _build_with_window(
    request: ProposalRequest,
    tried: Sequence[Tried],
    *,
    tools: Sequence[dict[str, Any]],
    way: str,
    ttl: Ttl,
    window: digest.Window,
    others: int,
    allowed: Sequence[str],
) -> Prompt:
    history = digest.build_digest(request, tried, window=window)
    brief = f"<brief>\n{request.brief.strip()}\n</brief>{_format_facts(request, allowed)}"
    system = [_make_block(f"{RULES}\n- {EXPLANATION}"), _mark_block(_make_block(brief), ttl)]
    archive = [_make_block(fence("history", block)) for block in history.archive]
    remarks = fence_remarks(request.remarks)
    last = [fence("news", history.news), *([remarks] if remarks else []), _format_task(request, way, others=others)]
    opening = [
        *_mark_last(archive, ttl),
        _mark_block(_make_block(_format_files(request)), ttl),
        _make_block("\n\n".join(last)),
    ]
    characters = sum(len(block["text"]) for block in (*system, *opening)) + len(str(tools))
    return Prompt(system=system, opening=opening, tokens=estimate_tokens(characters))


def _format_facts(request: ProposalRequest, allowed: Sequence[str]) -> str:
    """What is known of the machine and the limits, which stays the same for the whole campaign."""
    told = ""
    for title, lines in (("every training of this campaign gets", request.facts), ("one proposal may take", allowed)):
        if lines:
            told += "\n".join([f"\n\nWhat {title}:", *(f"- {line}" for line in lines)])
    return told


def _format_files(request: ProposalRequest) -> str:
    blocks = []
    for path, text in sorted(request.files.items()):
        blocks.append(fence(f"file {path}", _shorten(text)))
    readable = ", ".join(sorted(request.readable.keys() - request.files.keys())) or "none"
    return "\n".join([*blocks, f"Files you can read with `read` but not change: {readable}."])


def _format_task(request: ProposalRequest, way: str, *, others: int) -> str:
    better = "lower" if request.minimize else "higher"
    files = ", ".join(sorted(request.files))
    return (
        f"Propose the next experiment: edit {files} so that {request.metric} gets {better}. "
        f"The files above are the incumbent's.\nStrategy for this one ({way}): {strategy.INSTRUCTIONS[way]}"
        f"{_tell_count(request)}{_spread_researchers(request, others)}"
    )


def _tell_count(request: ProposalRequest) -> str:
    """Say that several edits are wanted of this conversation; nothing if it is one."""
    if request.count == 1:
        return ""
    return (
        f"\nUp to {request.count} edits are wanted now, each a submission of its own: after `submit` your draft is the "
        "incumbent again. None may build on another, as each is judged alone."
    )


def _spread_researchers(request: ProposalRequest, others: int) -> str:
    """Ask each of several researchers to look at another category first.

    They read the same history at the same moment, and would otherwise all submit the same edit.
    """
    if not others:
        return ""
    corner = CATEGORIES[request.number % len(CATEGORIES)]
    return (
        f"\n{others} more researchers think about this at the same moment, and none sees what the others do. So that "
        f"you do not all submit the same, look at {corner} first, and elsewhere if nothing good is there."
    )


def _shorten(text: str) -> str:
    if len(text) <= FILE_CHARACTERS:
        return text
    return f"{text[:FILE_CHARACTERS]}\n(cut here: `read` shows the rest, by line numbers)"


def _make_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _mark_block(block: dict[str, Any], ttl: Ttl) -> dict[str, Any]:
    return {**block, "cache_control": {"type": "ephemeral", "ttl": ttl}}


def _mark_last(blocks: list[dict[str, Any]], ttl: Ttl) -> list[dict[str, Any]]:
    return [*blocks[:-1], _mark_block(blocks[-1], ttl)] if blocks else []
