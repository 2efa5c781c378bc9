"""Runs tries: the sandboxed phases of an attempt, on this machine or as Kubernetes Jobs.

phases          the phases of a try: program, mounts, environment, time limits (pure)
phase_output    reads the examiner's verdict, and the end of a training's log (pure)
progress_lines  thins the progress lines of a log, so that its end holds the whole curve (pure)
training_facts  tells in sentences what each training gets (pure)
printed_values  finds the values that a log prints behind a name (pure)
units           reads the unit behind a number, and turns numbers of one unit into those of another (pure)
score_line      finds a score by the task's own regular expression, in a process with a deadline
score_forms     reads JSON, YAML, TOML and tables that a training wrote (pure)
score_file      reads a score from a file that the training writes (pure)
log_score       reads the score that a training prints itself
last_words      finds the line of a log that says why a program failed (pure)
disturbance     decides whether other programs disturbed a training (pure)
walls           recognises the wall at which a program failed, and what to do instead (pure)
smoke           the smoke test of an edited program: one step on the CPU, then its artifact is loaded (pure)
attempt_end     decides how an attempt ended, in one sentence (pure)
workshop        the interface of the place where a program that proposes runs
forwarder       the small program that leads from a sandbox's own loopback to the gateway; joins two connections
porter          carries a session's folder into a pod and back out, and reads back what a program left
local           sandboxes on this machine
kubernetes      one Job per try
"""
