"""One run for a person at a terminal or for a pod: puts the parts together, and ends them cleanly.

campaign       set-up, the loop, live lines
closing        the closing words, and the report that they point to
warnings       a warning as one line on the terminal
study          what a study asks for, its runs, and its answer
signals        Ctrl-C and SIGTERM as a request to stop
checks         what is looked at before anything is spent
study_checks   the same for a study
wiring         builds the agent and the executor that the settings name; knows every implementation
command_agent  the parts of an agent that is a program: sandboxes, and accounts with vendors
mcp_agent      the parts of an agent that is a client from outside, and where such a client finds it
prepare        calls the task's prepare.py, here or as a Job
"""
