"""Finds the line of a log that says why a program failed.

It knows how Python, node, Go, Rust, the JVM, C++ and shells end: the exception first, and around it frames, notes and
numbers that are no reason. A printed score is never the reason of a failure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from controller.executor.log_score import is_score_line, last_score_line
from controller.text.safe_text import one_line

WORDS = 200
"""Characters of a program's last words that a reason quotes."""

_REACH = 40
"""Lines from the end in which a program's last words are looked for; what is older belongs to work that went well.
Fewer than are kept of a long run of progress lines (`progress_lines`), before which nothing is a last word."""

_SPREAD = 12
"""Lines at the end over which programs in other languages than Python spread what went wrong."""

_FAILURE = re.compile(r"error|exception|fatal|panic|failed|cannot|can't|unable|not found", re.IGNORECASE)
STARTING = " [while starting a program]"
"""Put behind an exception that was raised by starting a process: alone it reads like one about a file."""

_STARTS = re.compile(r"_execute_child|_fork_exec|os\.fork\(|posix_spawn|start_new_thread")
_CHAIN = ("During handling of the above exception", "The above exception was the direct cause")
_TRACEBACK = "Traceback (most recent call last)"
_GROUP = "Exception Group Traceback (most recent call last):"
_GROUP_EDGE = re.compile(r"^ *(?:\+-?)?(?:\+-+(?: \S+ )?-*$|[|+] )")
"""The lines that Python draws around the exceptions of a group, up to the text of each."""

_RANK = re.compile(r"^\[rank\d+\]: ?")
"""torchrun writes the rank in front of each line."""

_OPENING = " \t{\"'`*"
"""Signs in front of a name that begins a line."""

_EXCEPTION = re.compile(r"^(?:[A-Za-z_][\w.]*\.)?([A-Za-z_]\w*)(?:: ?(.*))?$")
_SAY_IT_ALL = frozenset({"AssertionError", "ValueError", "RuntimeError", "Exception", "SystemExit"})
"""Exceptions whose name adds nothing to their message."""

_NOISE = re.compile(
    r"\s+(?!what\(\))\S.*"  # frames and fields are indented; C++ indents the message itself
    r"|\s*|[\^~}\])]+[;,]?"
    r"|at \S+.*|\.{3} \d+ more"
    r"|Node\.js v[\d.]+|exit status \d+"
    r"|note: .*|stack backtrace:|Stack ?trace:|#\d+ .*"
    r"|Emitted 'error' event on .*|Execution halted"
)
_DEATH = re.compile(
    r"(?:Aborted|Killed|Terminated|Segmentation fault|Bus error|Illegal instruction|Floating point exception)"
    r"(?: \(core dumped\))?"
)
"""A shell's note that its program was killed by a signal, which the exit code tells better."""

_GO_STACK = re.compile(r"^goroutine \d+ ")
_GO_WORDS = ("panic: ", "fatal error: ", "runtime: ")


def last_words(text: str, metric: str = "") -> str:
    """One line for people: the last exception, else the last line that is no frame, note or score; else nothing.

    text: a log that is safe to read. metric: the name of the score, whose lines are no words.
    """
    lines = _own_lines(text, metric)
    return one_line(_exception(lines) or _panic(lines) or _last_line(lines[-_REACH:], metric), WORDS)


def lines_after_score(text: str, metric: str) -> list[str]:
    """The lines behind the last printed score, all where there is none: before it the program did well."""
    lines = text.split("\n")
    # An exception may name the metric and a number too, so that only a line which begins with the name counts.
    told = [line if line.lstrip(_OPENING).startswith(metric) else "" for line in lines]
    printed = last_score_line(told, metric) if metric else None
    return lines if printed is None else lines[printed + 1 :]


def _own_lines(text: str, metric: str) -> list[str]:
    """The lines behind the last score as the program wrote them, without what a launcher or a group draws before."""
    lines = [_RANK.sub("", line) for line in lines_after_score(text, metric)]
    if not any(_GROUP in line for line in lines):
        return lines
    bare = (_GROUP_EDGE.sub("", line) for line in lines)
    return [line.replace(_GROUP, _TRACEBACK) for line in bare if line]


def _exception(lines: Sequence[str]) -> str:
    """The message of Python's last traceback, unless the program went on for long after it."""
    starts = [i for i, line in enumerate(lines) if line.startswith(_TRACEBACK)]
    if not starts:
        return ""
    frames: list[str] = []
    for index, line in enumerate(lines[starts[-1] + 1 :], start=starts[-1] + 1):
        if line and not line[0].isspace():
            return _told(line, frames) if index >= len(lines) - _REACH else ""
        frames.append(line)
    return ""


def _told(raised: str, frames: Sequence[str]) -> str:
    """An exception's message, with its name where that says something; a bare name with the line that raised it."""
    match = _EXCEPTION.match(raised)
    if match and match[2]:
        return match[2] if match[1] in _SAY_IT_ALL else raised
    code = [line.strip() for line in frames if line.strip() and not set(line.strip()) <= set("^~")]
    if match and code and not code[-1].startswith("File"):
        return f"{raised.rstrip(':')}: {code[-1]}"
    return raised


def _panic(lines: Sequence[str]) -> str:
    """The line that Go prints in front of its stacks."""
    stack = next((i for i, line in enumerate(lines) if _GO_STACK.match(line)), 0)
    return next((line for line in reversed(lines[:stack]) if line.startswith(_GO_WORDS)), "")


def _last_line(lines: Sequence[str], metric: str) -> str:
    """The last line that says something; where there are only frames, the last of them."""
    told = [line for line in lines if line.strip() and not _DEATH.fullmatch(line.strip())]
    told = [line for line in told if not (metric and is_score_line(line, metric))]
    return next((line for line in reversed(told) if not _NOISE.fullmatch(line)), told[-1] if told else "")


def tells_failure(words: str, text: str, metric: str = "") -> bool:
    """True if last words say themselves what failed: then no line around them says it better."""
    return bool(_exception(_own_lines(text, metric)) or _FAILURE.search(words))


def evidence(text: str, metric: str = "") -> list[str]:
    """The lines that may show at which wall a program failed, the most telling one first.

    Of Python's tracebacks these are the exceptions of the last chain alone: a warning that somebody printed before is
    no cause. Other languages spread an error over the last lines.
    """
    lines = _own_lines(text, metric)
    words = _exception(lines)
    if words:
        start = max(i for i, line in enumerate(lines) if line.startswith(_TRACEBACK))
        words += STARTING if any(_STARTS.search(line) for line in lines[start:]) else ""
        links = [i for i, line in enumerate(lines) if line.startswith(_CHAIN)]
        causes = [next((line for line in reversed(lines[:i]) if line.strip()), "") for i in links]
        return [words, *reversed(causes)]
    return [last_words(text, metric), *reversed(lines[-_SPREAD:])]
