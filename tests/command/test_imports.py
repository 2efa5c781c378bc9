"""Starting is quick: what a process does not need it does not import."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("anthropic", "httpx2", "genai_prices", "kubernetes", "torch", "pygit2")


def test_importing_the_agent_loads_no_heavy_library() -> None:
    script = f"import sys, controller.agent.claude; print([m for m in {HEAVY!r} if m in sys.modules])"

    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
