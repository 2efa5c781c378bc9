"""The researcher: Claude, working from git memory through narrow tools, inside a budget.

Reading order: agent (construction, one proposal), conversation (the loop), wire (one reply, whole or not),
prompt and digest (what it is told), draft and tools (what it can do), strategy (what changes on a plateau).
"""

from controller.agent.claude.agent import ClaudeAgent

__all__ = ["ClaudeAgent"]
