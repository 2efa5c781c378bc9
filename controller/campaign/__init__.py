"""The loop of one campaign: it asks the planner for the next action, carries it out and records it.

preflight        looks for mistakes that can be known before anything is spent
beginning        begins a campaign in the lab, or its baseline again after the task was mended
loop             the loop itself; its thread is the only one that changes experiments in the lab
study            runs a study by the same tries, without agent and verdicts
tries            launches tries and collects their ends
requests         puts together the question to an agent
questions        counts the questions without an answer, and what each may still bring
proposals        asks the agent for edits and takes in its answers
smoke            decides which edits are run for one step before their first attempt
safe_answers     makes an agent's answer safe to keep and to show
trouble          decides when a trouble that an operator must mend is told
activity_writer  writes the loop's newest activity beside the lab, for commands in another process
reserve          gives each try text that no candidate was asked before
recorder         writes experiments, attempts and verdicts into the lab, and folds them into the campaign's state
"""

from controller.campaign.loop import Campaign

__all__ = ["Campaign"]
