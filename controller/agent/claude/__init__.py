"""The researcher: Claude, working from git memory through narrow tools, inside a budget.

Reading order: agent (construction, one proposal), conversation (the loop), dialogue (what a reply does), wire (one
reply, whole or not), prompt and digest (what it is told), draft, toolset and tools (what it can do), strategy (what
changes on a plateau), purse and board (what proposals share that are thought of at the same time).
"""

from controller.agent.claude.agent import ClaudeAgent

__all__ = ["ClaudeAgent"]
