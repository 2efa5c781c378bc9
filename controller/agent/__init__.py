"""Proposers of edits.

desk        what any researcher works with: history, files, tools and a budget
claude      a researcher on Anthropic's API, who sits at the desk
command     any program, in a sandbox of its own
mcp         a client from outside, over the Model Context Protocol
perturb     changes one constant at a time; needs no key
replay      proposes the patches of a folder, one after another
fallback    lets another agent propose while the first one cannot
succession  lets another agent propose once the first one has nothing left
"""
