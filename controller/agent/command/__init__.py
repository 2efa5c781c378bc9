"""An agent that is any program of the operator's: it runs in a sandbox and leaves an edit and a proposal.json.

agent        runs the program once for each proposal
folder       what the program finds in its folder; pure
submission   makes a proposal of what it left; pure
gateway      the one address that it can reach: passes calls of models on
connections  serves the gateway's socket, a thread for each connection
surfaces     what may be asked of the vendors, and what is taken out of a request; pure
content      what in a conversation is no text: what reaches beyond it, and what costs more than its bytes; pure
reading      reads from a reply what was used and how it ended
sizes        bounds the tokens of a request by those of earlier ones
meter        books each call before it starts and after it ended
outlet       sends a reply on without making the vendor wait for the program
upstream     requests to the vendors, with the keys
"""

from controller.agent.command.agent import CommandAgent

__all__ = ["CommandAgent"]
