"""The command `autoresearch`.

__main__        the entry point, quiet when Ctrl-C comes while the rest still loads
commands        the commands of a campaign and their flags
task_commands   the commands about a task: new, doctor
study_commands  the commands that run studies: claim, ablate, rerun, aa, portability
study_flags     the flags that all of these have, and the campaign that they open
mcp_command     the command that connects a client from outside: mcp
simulate        the command that measures judging policies in simulated campaigns
studies         plans the studies that are asked for
doctor          looks at everything that a campaign needs before anything is spent
reading         finds the campaign and reads its lab, for the commands that only read
streams         standard streams that are closed, full, or take few characters
system_errors   what to do about errors of the system that no command expected
shared          consoles, flags, and the search for folder and settings
reference       generates docs/cli.md from the commands

Nothing is imported here, because the entry point must run first.
"""
