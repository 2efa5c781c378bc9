"""Looks at everything that a campaign needs before anything is spent, and tries a task's exam with known cheats.

trials     runs single attempts through the executor of the settings, beside no campaign
checkup    settings, agent, data, sandbox, interpreter, a short run, seeds, disk and machine, one finding each
cheats     the stock cheats, as code that is added to the agent's file
exam       an honest candidate and the stock cheats against the task's examiner
findings   what was found, as a table
"""

from __future__ import annotations
