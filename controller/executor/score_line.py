"""Looks for scores by a regular expression of the task's author (`task.score_line`).

An expression can take longer than the universe on an unlucky line, and Python cannot interrupt one. So it is run in a
process of its own, which is killed at a deadline.
"""

from __future__ import annotations

import json
import subprocess
import sys

SECONDS = 10.0
"""For a process to start and search 64 KiB of text, on a busy machine. A plain expression takes milliseconds."""

# A line is shown to people with one blank in place of tabs and many blanks, so an expression may be written for that.
_SEARCH = """\
import json, re, sys
pattern, lines = json.load(sys.stdin)
expression, found = re.compile(pattern), None
for line in lines:
    match = expression.search(line) or expression.search(" ".join(line.split()))
    if match:
        found = match[1] or "", line, match.string[match.end(1):] if match[1] else ""
json.dump(found, sys.stdout)
"""


class Unsearchable(Exception):
    """The expression was not done with this text at its deadline, or ran out of memory."""


def find_last(pattern: str, text: str, *, seconds: float = SECONDS) -> tuple[str, str, str] | None:
    """The text of the expression's group in the last line where it matches, that line, and what is behind the group.

    Raises Unsearchable.
    """
    # Isolated (-I -S): no path or module of the folder in which the controller runs is read.
    command = [sys.executable, "-I", "-S", "-c", _SEARCH]
    asked = json.dumps([pattern, text.split("\n")])
    try:
        # In a session of its own: Ctrl-C at the terminal asks the controller alone, and no score is lost by it.
        done = subprocess.run(
            command, input=asked, capture_output=True, text=True, timeout=seconds, check=True, start_new_session=True
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        raise Unsearchable from error
    found = json.loads(done.stdout)
    return (str(found[0]), str(found[1]), str(found[2])) if found else None
