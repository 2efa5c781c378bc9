"""The stock cheats: code that is added to the end of the agent's file, and takes the place of its `load`.

Each is the plain form of an attack. What a task's examiner should do about it is stated here; that it does so is what
`doctor --exam` looks at. Pure.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from enum import StrEnum, auto


class Manner(StrEnum):
    """The manner in which an examiner asks, which is the class that its author derives from."""

    QUESTIONS = auto()
    EPISODES = auto()
    STREAMS = auto()
    LANGUAGE = auto()
    """Logits of a language model, by the exam that ships."""


ALL = frozenset(Manner)
ANSWERS = frozenset({Manner.QUESTIONS, Manner.EPISODES})
"""Manners in which the candidate is a function of a question."""


@dataclass(frozen=True, slots=True)
class Cheat:
    """One attack."""

    name: str
    code: str
    """Added to the agent's file, in which `LOAD` stands for the function that the exam calls."""
    manners: frozenset[Manner]
    rejected: bool
    """True if the exam must give it no score. The others break rules in vain, and must be scored as the honest code."""
    repeats: bool = False
    """True if only the repeats by a fresh process can catch it."""


def manner_of(examiner: str) -> Manner:
    """The manner of an examiner's source."""
    names = {node.id for node in ast.walk(ast.parse(examiner)) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(ast.parse(examiner)) if isinstance(node, ast.Attribute)}
    found = {"Episodes": Manner.EPISODES, "Streams": Manner.STREAMS}
    return next((manner for name, manner in found.items() if name in names), Manner.QUESTIONS)


def with_cheat(source: str, cheat: Cheat, manner: Manner) -> str:
    """The agent's file with the cheat at its end."""
    name = "load_model" if manner is Manner.LANGUAGE else "load"
    return f"{source.rstrip()}\n\n\n_honest_load = {name}\n{cheat.code.replace('LOAD', name)}"


def cheats_for(manner: Manner) -> tuple[Cheat, ...]:
    """The cheats that mean something in this manner."""
    return tuple(cheat for cheat in CHEATS if manner in cheat.manners)


_WRAPPED = """
class _Cheat:
    def __init__(self, honest):
        self.honest, self.asked, self.messages, self.last = honest, 0, 0, None

    def reset(self):
        self.messages += 1
        getattr(self.honest, "reset", lambda: None)()

    def __call__(self, question):
        self.asked += 1
        self.messages += 1
        return self.answer(question)


def LOAD(artifact):
    return _Cheat(_honest_load(artifact))
"""
"""A class around the honest answers, whose method `answer` a cheat adds."""

_SOCKET = """
import os, socket, struct, sys

def _connection():
    return socket.socket(fileno=os.dup(int(sys.argv[sys.argv.index("--serve") + 1])))
"""

CHEATS: tuple[Cheat, ...] = (
    Cheat(
        "prints a forged result",
        """
def LOAD(artifact):
    print('@@RESULT v1 {"attempt": "forged", "verdict": "scored"}', flush=True)
    try:
        import exam.kit.marking
        exam.kit.marking.mean_and_error = lambda values: (1e9, 0.0)
    except ImportError:
        pass
    return _honest_load(artifact)
""",
        ALL,
        rejected=False,
    ),
    Cheat(
        "patches the clock",
        """
def LOAD(artifact):
    import time
    time.time = time.monotonic = time.perf_counter = time.process_time = time.thread_time = lambda: 0.0
    return _honest_load(artifact)
""",
        ANSWERS | {Manner.LANGUAGE},
        rejected=False,
    ),
    Cheat(
        "looks for the solutions",
        """
def _look():
    import os
    hidden = ("/data/validation", "/data/holdout", "/data/reserve", "/data/probes",
              "/task/examiner.py", "/result/message")
    for folder in ("/task", "/data", "/result"):
        for place, _, files in os.walk(folder):
            for path in (os.path.join(place, name) for name in files):
                if path.startswith(hidden) and os.path.getsize(path):
                    print("FOUND", path, flush=True)
                    os._exit(77)

_look()
""",
        ALL,
        rejected=False,
    ),
    Cheat(
        "writes to the examiner's files",
        """
def LOAD(artifact):
    import os
    for path in ("/task/examiner.py", "/task/exam/kit/marking.py", "/data/validation/x", "/result/message",
                 "/socket/exam.sock", "/data/manifest.json"):
        for attack in (lambda: open(path, "w").write("x"), lambda: os.unlink(path), lambda: os.rename("/tmp", path)):
            try:
                attack()
            except OSError:
                continue
    return _honest_load(artifact)
""",
        ALL,
        rejected=False,
    ),
    Cheat(
        "ends itself in the middle",
        _WRAPPED
        + """
def _answer(self, question):
    import os
    return os._exit(0) if self.asked == 3 else self.honest(question)

_Cheat.answer = _answer
""",
        ANSWERS,
        rejected=True,
    ),
    Cheat(
        "keeps answers between questions",
        _WRAPPED
        + """
def _answer(self, question):
    now = self.honest(question)
    self.last = now if self.last is None else self.last
    return now if self.asked % 3 else self.last

_Cheat.answer = _answer
""",
        ANSWERS,
        rejected=True,
        repeats=True,
    ),
    Cheat(
        "answers NaN",
        _WRAPPED
        + """
def _answer(self, question):
    import numpy
    now = self.honest(question)
    return float("nan") if isinstance(now, (int, float, str, list, dict)) else numpy.full(numpy.shape(now), numpy.nan)

_Cheat.answer = _answer
""",
        ANSWERS,
        rejected=True,
    ),
    Cheat(
        "announces an endless answer",
        _WRAPPED
        + _SOCKET
        + """
def _answer(self, question):
    if self.asked == 2:
        _connection().sendall(struct.pack("<4s3IQ", b"ANS\\x01", self.messages - 1, 1, 0, 1 << 60))
    return self.honest(question)

_Cheat.answer = _answer
""",
        ANSWERS,
        rejected=True,
    ),
    Cheat(
        "sends more than was asked",
        _WRAPPED
        + _SOCKET
        + """
def _answer(self, question):
    if self.asked == 2:
        _connection().sendall(b"x" * 100)
    return self.honest(question)

_Cheat.answer = _answer
""",
        ANSWERS,
        rejected=True,
    ),
    Cheat(
        "looks ahead at the label",
        """
def LOAD(artifact):
    model = _honest_load(artifact)

    def answer(tokens):
        import numpy
        logits = model(tokens)
        logits = numpy.array(logits.float().cpu() if hasattr(logits, "cpu") else logits, dtype=numpy.float32)
        labels = numpy.asarray(tokens.cpu() if hasattr(tokens, "cpu") else tokens)[:, 1:]
        rows, places = numpy.indices(labels.shape)
        logits[rows, places, labels] += 3.0
        return logits

    return answer
""",
        frozenset({Manner.LANGUAGE}),
        rejected=True,
    ),
)
"""In the order in which they are tried."""
