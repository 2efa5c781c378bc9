"""Starting is quick: what a process does not need it does not import."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("anthropic", "httpx2", "genai_prices", "kubernetes", "torch", "pygit2")

EXTRA = ("mcp", "mcp_types", "starlette", "uvicorn", "sse_starlette")
"""Packages that come with the extra mcp alone."""


def test_importing_the_agent_loads_no_heavy_library() -> None:
    script = f"import sys, controller.agent.claude; print([m for m in {HEAVY!r} if m in sys.modules])"

    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_all_but_server_and_bridge_of_the_agent_mcp_run_without_the_extra() -> None:
    script = f"""
import importlib, pathlib, sys

class Missing:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {EXTRA!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
for path in sorted(pathlib.Path("controller").rglob("*.py")):
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    if "templates" not in path.parts and path.stem != "__main__":
        try:
            importlib.import_module(module)
        except ModuleNotFoundError:
            print(module)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert found.stdout.split() == ["controller.agent.mcp.bridge", "controller.agent.mcp.server"]
