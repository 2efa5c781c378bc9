"""The desk: what a researcher is shown and may do, the same for whoever proposes. It knows no API and no model.

desk             everything that the tools of one proposal may read
toolset          the tools: names, purposes and arguments
tools            carries out tool calls: read, edit, search, check, submit
draft            the edit in the making
draft_checks     looks at a draft before it is submitted
history          what each experiment changed, and how to find it
experiment_text  one experiment as a line of text, or whole
digest           the history as text, in blocks that never change once written
news             the part of the history that changes with every proposal
measurements     what the runs of an experiment measured, as text
fencing          one tag around all that experiments wrote
strategy         the instruction of a proposal, which changes on a plateau
submissions      what proposals under way tell each other
purse            the dollars that proposals spend side by side
"""
