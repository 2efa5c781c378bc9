"""The agent that is a client from outside, who sits at the desk by way of the Model Context Protocol.

agent         answers the loop with what a client submitted
box           submissions that wait for their turn, kept beside the lab
client_tools  the tools of a client: names, purposes and arguments
calls         carries out a client's calls
drafts        makes a draft of the edits that a client sends
fates         tells what became of a submission
briefing      the brief and the history as a client reads them
address       the file in which a client on this machine finds address and token
server        serves the tools over HTTP, behind a token
bridge        lets a client that starts programs reach the server through stdin and stdout

`server` and `bridge` alone import the package mcp, which is an extra.
"""

from controller.agent.mcp.agent import McpAgent

__all__ = ["McpAgent"]
