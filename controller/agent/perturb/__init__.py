"""The agent that needs no key: it changes one upper-case constant at a time.

agent              proposes the most promising change that was not tried yet
ideas              orders the changes that are left, by the verdicts on earlier ones
steps              finds values that are worth trying in place of a constant's
constants          finds the constants of a Python program and replaces their values
foreign_constants  finds the named numbers of programs and settings files in other languages
"""

from controller.agent.perturb.agent import PerturbAgent

__all__ = ["PerturbAgent"]
