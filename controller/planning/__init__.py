"""Chooses the next action of a campaign from its records, the running tries and the spent budget. Pure.

planner         decides: launch, run again, judge; else what `stopping` says
stopping        one more proposal, wait, or stop, and why
actions         the planner's answers, and the view that it decides on
campaign_state  everything that the lab says about a campaign, folded into one value
settlement      puts what was kept meanwhile onto the program of an edit that conflicts with some of it
guards          numbers beside the metric that must stay within bounds
budget          what the budget still has room for
pacing          the number of proposals to have under way, so that no slot waits for the agent
back_off        when to ask an agent again that asked for a pause or needs its operator
"""
