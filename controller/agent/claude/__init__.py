"""The researcher: Claude proposes edits from the lab's history, through narrow tools and within a budget.

A reply comes in at `api`, is booked by `bill` and carried out by `conversation`, with the tools of the desk; `agent`
returns the proposal. The other modules serve these.

agent         begins a conversation for each proposal
conversation  the loop of one proposal: ask, carry out the reply, ask again
setbacks      limits of a proposal, and waits after calls without a reply
messages      the messages of a conversation, as the API requires them
transcript    the whole exchange as JSON lines, for the lab
prompt        the opening of a conversation, laid out for the prompt cache
prompt_size   the room that an opening may take
answers       questions and answers as values
api           one question, one whole reply or the reason why there is none
listening     a request on a thread of its own, which can be given up at once
lookups       requests that need no model: counting tokens, facts about a model
api_errors    errors of the API as answers: wait, shorten, or have a person correct something
keys          the API key, read again when it is refused
platforms     who serves the model: the vendor's API, Bedrock, Vertex AI or Foundry
bill          books each call before it starts and after it ended
billed_usage  what a call can have been billed, also where the API did not report it
warming       lets one conversation write the common prompt to the cache
refusals      the model to ask while models refuse
models        facts about the models in use
"""

from controller.agent.claude.agent import ClaudeAgent

__all__ = ["ClaudeAgent"]
