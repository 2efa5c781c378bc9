"""Put one item to a candidate in the manner of the author's examiner, and have him mark what came back.

The author's code meets hostile answers here. What fails in it over an answer is the candidate's rejection, and its
sentence names the place in the author's file and nothing of the data.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from exam.examiner import Connection, Episodes, Mark, Questions, Spent, Streams
from exam.kit.asking import Asking, Examiner
from exam.kit.errors import ExamError, Rejection
from exam.kit.marking import read_mark

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answered:
    """One item, answered."""

    numbers: dict[str, float]
    """Its marks by name; empty for a question whose label was withheld, which is not marked."""
    answer: Any
    """The result that a fresh process must repeat: an answer, or the metric where a whole episode is compared."""


def interview(asking: Asking, item: Any) -> Answered:
    """Ask one item and mark it. Raises Rejection for a fault of the candidate, DataError for one of the author's."""
    examiner = asking.examiner
    if isinstance(examiner, Questions):
        kind = examiner.answer_type(item)
        answer = asking.ask(examiner.asks, examiner.question(item), kind)
        spent: Spent = asking.spent[-1]
        return Answered(_read(lambda: examiner.mark(item, answer, spent), examiner.metric), answer)
    if isinstance(examiner, Episodes):
        asking.reset()
        numbers = _read(lambda: _play(asking, examiner, item), examiner.metric)
    else:
        numbers = _read(lambda: asking.timed(lambda: _talk(asking, examiner, item)), examiner.metric)
    return Answered(numbers, numbers[examiner.metric])


def ask_withheld(asking: Asking, item: Any) -> Answered | None:
    """Ask the item's question with the solution withheld; None where its examiner has no such question."""
    examiner = asking.examiner
    if not isinstance(examiner, Questions) or (question := examiner.withheld(item)) is None:
        return None
    answer = asking.ask(examiner.asks, question, examiner.answer_type(item))
    return Answered({}, _of_author(lambda: examiner.shared(item, answer)))


def shared_part(examiner: Examiner, item: Any, answer: Any) -> Any:
    """The part of an answer that may not depend on what is withheld."""
    return _of_author(lambda: examiner.shared(item, answer)) if isinstance(examiner, Questions) else answer


def _play(asking: Asking, examiner: Episodes, item: Any) -> Mark:
    return examiner.play(item, lambda observation: asking.ask(examiner.asks, observation, examiner.answers))


def _talk(asking: Asking, examiner: Streams, item: Any) -> Mark:
    deadline = asking.next_deadline()
    with ExitStack() as opened:

        def connect() -> Connection:
            connection = asking.connect(deadline)
            opened.callback(connection.close)
            return connection

        try:
            return examiner.talk(item, connect)
        # Every error of a socket is an OSError, TimeoutError too, which is therefore asked for first.
        except TimeoutError:
            raise Rejection("protocol", f"silence: the server did not answer {deadline.limit}") from None
        except OSError:
            raise Rejection("protocol", "the server closed a connection on which it had to answer") from None


def _read(mark: Callable[[], Mark], metric: str) -> dict[str, float]:
    return read_mark(_of_author(mark), metric)


def _of_author(work: Callable[[], Result]) -> Result:
    try:
        return work()
    except ExamError:
        raise
    except Exception as error:  # the author's code, over an answer that an agent chose
        traceback.print_exc(file=sys.stderr)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename.endswith("examiner.py")]
        where = f" in line {lines[-1]} of the examiner" if lines else ""
        raise Rejection("answer", f"an answer cannot be marked: {type(error).__name__}{where}") from error
