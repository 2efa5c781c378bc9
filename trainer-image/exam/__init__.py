"""The sealed exam: four phases that train an agent's file, question what it made, and score the answers.

`supervise`, `probe` and `candidate` run beside or around agent code; `examine` scores and never imports,
unpickles or executes anything the agent wrote. docs/exam.md tells the protocol and its limits.
"""
