"""Ctrl-C at a terminal reaches every process of the foreground group: the controller answers it, its helpers never.

A helper that died of it read as a broken machine, a patch that does not apply, or a score that cannot be found.
"""

from __future__ import annotations

import ast
from pathlib import Path

import controller

CONTROLLER = Path(controller.__file__).parent
SHARES_THE_TERMINAL = {"run/prepare.py"}
"""It makes data in the foreground, before any campaign runs: there Ctrl-C should end both."""


def test_every_helper_has_a_session_of_its_own() -> None:
    calls = [(path, call) for path in CONTROLLER.rglob("*.py") for call in calls_of_subprocess(path)]
    assert len(calls) >= 8
    exposed = {
        f"{path.relative_to(CONTROLLER)}:{call.lineno}"
        for path, call in calls
        if str(path.relative_to(CONTROLLER)) not in SHARES_THE_TERMINAL
        and not any(keyword.arg == "start_new_session" for keyword in call.keywords)
    }
    assert exposed == set()


def calls_of_subprocess(path: Path) -> list[ast.Call]:
    """Every call in the file that starts a program."""
    nodes = ast.walk(ast.parse(path.read_text()))
    calls = (node for node in nodes if isinstance(node, ast.Call))
    return [call for call in calls if ast.unparse(call.func) in ("subprocess.run", "subprocess.Popen")]
