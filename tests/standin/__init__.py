"""A local stand-in for the Messages API: as strict as the real one, with faults on demand and a scripted researcher.

contract: what is refused. cache: prompt caching and its bill. faults: what goes wrong. stream: replies as server-sent
events. server: all of it over HTTP, with a journal. platforms: the doors of Bedrock, Vertex AI and Foundry.
researcher: proposes sensible edits of the CPU preset. plan: a researcher with ideas that a test wrote down.
"""

from tests.standin.faults import Fault, random_faults
from tests.standin.plan import Idea, PlannedResearcher
from tests.standin.researcher import Researcher, Turn, call, say
from tests.standin.server import KEY, Exchange, StandIn

__all__ = [
    "KEY",
    "Exchange",
    "Fault",
    "Idea",
    "PlannedResearcher",
    "Researcher",
    "StandIn",
    "Turn",
    "call",
    "random_faults",
    "say",
]
