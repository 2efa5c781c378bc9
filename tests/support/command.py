"""The command agent with real sandboxes, before the stand-in or with no model at all."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from controller.agent.command import CommandAgent
from controller.agent.command.upstream import Account, Upstream
from controller.costs.model_calls import CallRecord, Vendor
from controller.executor.local import LocalWorkshop
from controller.executor.local.exam_hours import EXAM_HOURS, ExamHours
from controller.settings import CommandSettings
from tests.standin import KEY, StandIn
from tests.support.waiting import PATIENCE_S

PROPOSES = """
    import json
    text = open("train.py").read()
    open("train.py", "w").write(text + "\\nWIDTH = 5\\n")
    json.dump({"title": "wider", "hypothesis": "more room", "expected_effect": "+.3σ"}, open("proposal.json", "w"))
"""
"""A program that proposes."""

ASKS = """
    import json, os, urllib.error, urllib.request

    def ask(path="/v1/messages", key=os.environ.get("ANTHROPIC_API_KEY", ""), **fields):
        body = {"model": "claude-opus-5-5", "max_tokens": 1000, "messages": [{"role": "user", "content": "hello"}]}
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        request = urllib.request.Request(
            os.environ["ANTHROPIC_BASE_URL"] + path, json.dumps({**body, **fields}).encode(), headers
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
"""
"""The beginning of a program that asks a model: `ask` gives status and text of one call."""


def write_program(folder: Path, *parts: str) -> Path:
    """A Python program of these parts, each indented as it likes."""
    program = folder / "agent" / "propose.py"
    program.parent.mkdir(exist_ok=True)
    program.write_text("".join(textwrap.dedent(part) for part in parts))
    return program


def command_agent(
    folder: Path,
    *program: str,
    book: Callable[[CallRecord], None] = lambda _: None,
    standin: StandIn | None = None,
    openai: str = "",
    warn: Callable[[str], None] = lambda _: None,
    exam_hours: ExamHours = EXAM_HOURS,
    **settings: Any,
) -> CommandAgent:
    """An agent that runs this Python program. standin, openai: whom it may ask in the vendors' places."""
    path = write_program(folder, *program)
    options: dict[str, Any] = {
        "run": ("python", str(path)),
        "mounts": (path.parent,),
        "seconds": PATIENCE_S,
        **settings,
    }
    accounts: dict[Vendor, Account] = {}
    if standin is not None:
        accounts["anthropic"] = Account(vendor="anthropic", address=standin.url, read_key=lambda: SecretStr(KEY))
    if openai:
        accounts["openai"] = Account(vendor="openai", address=openai, read_key=lambda: SecretStr(KEY))
    chosen = CommandSettings(gateway=tuple(accounts), **options)
    return CommandAgent(
        chosen,
        workshop=LocalWorkshop(
            chosen,
            folder=folder / "campaign" / "sessions",
            secrets=(folder / "campaign",),
            warn=warn,
            exam_hours=exam_hours,
        ),
        upstream=Upstream(accounts) if accounts else None,
        book=book,
        clock=time.time,
    )
