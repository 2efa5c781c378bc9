"""The names that the author of an examiner imports: `from exam.examiner import Questions, Array, Json, Close`.

docs/examiner.md shows it at work. A task's `examiner.py` holds one class that derives from `Questions`, `Episodes` or
`Streams`. It runs where no code of the agent's runs, and it alone reads the validation data, the reserve and the
holdout. The kit does the rest: it draws the order, checks every answer before the author sees it, kills the candidate
and asks again, measures, and prints the result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from exam.kit.errors import Rejection
from exam.kit.types import Array, Bytes, Json, Type

__all__ = [
    "Array",
    "Bytes",
    "Close",
    "Connection",
    "Episodes",
    "Equal",
    "Json",
    "Mark",
    "Questions",
    "Spent",
    "Streams",
    "reject",
    "splice",
]

Mark = float | Mapping[str, float]
"""A number, the metric of one item; or numbers by name, among them the metric. The mean over all items is reported."""

Ask = Callable[[Any], Any]
"""Gives the candidate an observation and returns its answer."""


def reject(sentence: str) -> Rejection:
    """The error to raise in `mark`, `play` or `talk` where one answer disqualifies the candidate as a whole.

    The sentence is shown to people and to the agent, so that it must not tell anything of the test data.
    """
    return Rejection("answer", sentence)


@dataclass(frozen=True, slots=True)
class Spent:
    """Time that one answer took, measured on the examiner's side."""

    wall_seconds: float
    """From the first byte of the question sent to the last byte of the answer received."""
    cpu_seconds: float | None = None
    """CPU time of all of the candidate's processes since the answer before this one, so that work between two
    questions counts. None unless `measure_cpu` is set."""


class Equality(Protocol):
    """Tells whether two answers to one question, by two processes, are the same."""

    def holds(self, first: Any, again: Any) -> bool:
        """True if they are."""
        ...


@dataclass(frozen=True, slots=True)
class Equal:
    """Exactly the same."""

    def holds(self, first: Any, again: Any) -> bool:
        """True if they are: of arrays, in every number."""
        return Close(relative=0.0, absolute=0.0).holds(first, again)


@dataclass(frozen=True, slots=True)
class Close:
    """Every number within a tolerance; everything else, such as texts and the lengths of lists, the same."""

    relative: float = 1e-5
    absolute: float = 1e-8

    def holds(self, first: Any, again: Any) -> bool:
        """True if they are, through lists and objects to any depth."""
        if isinstance(first, np.ndarray) or isinstance(again, np.ndarray):
            first, again = np.asarray(first), np.asarray(again)
            return first.shape == again.shape and bool(self._near(first, again).all())
        if isinstance(first, Mapping) and isinstance(again, Mapping):
            return first.keys() == again.keys() and all(self.holds(first[key], again[key]) for key in first)
        if isinstance(first, list | tuple) and isinstance(again, list | tuple):
            return len(first) == len(again) and all(map(self.holds, first, again))
        if _is_number(first) and _is_number(again):
            try:
                return first == again or bool(self._near(np.asarray(first), np.asarray(again)))
            except OverflowError:  # an integer of JSON beyond the range of a double: it is near nothing but itself
                return False
        return bool(type(first) is type(again) and first == again)

    def _near(self, first: npt.NDArray[Any], again: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        if first.dtype.kind in "biu" and again.dtype.kind in "biu" and not (self.relative or self.absolute):
            return np.asarray(first == again)
        return np.isclose(first.astype(np.float64), again.astype(np.float64), self.relative, self.absolute, True)


class _Examiner(ABC):
    """The statements that all examiners make."""

    metric: ClassVar[str]
    """Name of the score, as in `task.metric`."""
    direction: ClassVar[Literal["minimize", "maximize"]]
    """Which way it gets better, as in `task.direction`."""

    repeats: ClassVar[Equality | None] = Equal()
    """A quarter of the items (at most 512) is put to a second, fresh process. Its answers (of `Episodes` and
    `Streams`, the metric of the marks) must be the same by this; None where chance has a part in them, which lets a
    candidate that remembers earlier questions pass."""

    answer_seconds: ClassVar[float] = 30.0
    """Longest wait for one answer."""
    startup_seconds: ClassVar[float] = 60.0
    """Longest wait until `load` has returned."""
    total_seconds: ClassVar[float] = 900.0
    """Longest time for all questions. `deadlines.examine` in the settings has to be longer."""
    measure_cpu: ClassVar[bool] = False
    """Measure CPU seconds of each answer as well; costs about 0.1 ms of waiting an answer."""

    @abstractmethod
    def items(self, folder: Path) -> Sequence[Any]:
        """What is asked from one part of the data: the folder is that of validation, of one slice of the reserve,
        or of the holdout. Its files are what the manifest says."""


class Questions(_Examiner):
    """Single questions: each is answered on its own."""

    asks: ClassVar[Type]
    """Type of a question."""
    answers: ClassVar[Type]
    """Type of an answer."""

    @abstractmethod
    def question(self, item: Any) -> Any:
        """The part of an item that the candidate is shown. It must not hold the solution."""

    @abstractmethod
    def mark(self, item: Any, answer: Any, spent: Spent) -> Mark:
        """Mark one answer, which is of the type `answers`. Raise `reject("...")` for one that disqualifies."""

    def answer_type(self, item: Any) -> Type:  # noqa: ARG002 - an item may decide it
        """The type of the answer to this item, where it depends on the item."""
        return self.answers

    def withheld(self, item: Any) -> Any:  # noqa: ARG002 - an item may have one
        """The same question without what it tells of its own solution, or None.

        For questions that hold labels, such as a text that is shown whole while each next word is predicted: `splice`
        makes one. A fresh process is given some of them at the end of the exam, and what `shared` returns of both
        answers must be the same. Who reads the label answers differently where it is missing.
        """
        return None

    def shared(self, item: Any, answer: Any) -> Any:  # noqa: ARG002 - an item may tell the place
        """The part of an answer that may not depend on what `withheld` leaves out."""
        return answer


class Episodes(_Examiner):
    """Episodes: the examiner steps an environment, and the candidate, which is reset before each, returns actions."""

    asks: ClassVar[Type]
    """Type of an observation, which goes out at each step."""
    answers: ClassVar[Type]
    """Type of an action, which must come back."""

    @abstractmethod
    def play(self, item: Any, ask: Ask) -> Mark:
        """Play one episode: give `ask` an observation, get an action, as often as it takes. Returns the mark."""


class Connection(Protocol):
    """One connection to the candidate, which is a server. Every wait ends at the deadline of the item."""

    def send(self, data: bytes) -> None:
        """Send all of these bytes. Raises BrokenPipeError if the candidate has closed the connection."""
        ...

    def receive(self, most: int) -> bytes:
        """At least one byte and at most so many; empty if the candidate has closed the connection."""
        ...

    def receive_exactly(self, size: int) -> bytes:
        """So many bytes; fewer if the candidate has closed the connection before."""
        ...

    def receive_until(self, end: bytes, most: int) -> bytes:
        """Bytes up to and with `end`; without it if the connection was closed, or if it is not in the first `most`."""
        ...

    def waits(self, seconds: float) -> bool:
        """True if nothing came for so many seconds; for answers that must not come."""
        ...

    def shut(self) -> None:
        """Tell the candidate that nothing more will be sent."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Streams(_Examiner):
    """Raw bytes: the candidate is a server, and the examiner a client that opens connections to it."""

    @abstractmethod
    def talk(self, item: Any, connect: Callable[[], Connection]) -> Mark:
        """Open one connection or several, send, receive, and judge. Open connections are closed afterwards.

        Silence until the deadline of the item (`answer_seconds`) raises TimeoutError: catch it, or the candidate is
        rejected.
        """


def splice(tokens: npt.NDArray[Any], cut: int, other: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Keep a sequence up to and with position `cut`, and continue it with text from another one.

    The label at `cut`, the token after it, is then not at its place: the other text is taken from where it has another
    token there. Raises ValueError if it has none.
    """
    rest = len(tokens) - cut - 1
    starts = [at for at in range(len(other) - rest + 1) if rest == 0 or other[at] != tokens[cut + 1]]
    if rest < 0 or not starts:
        raise ValueError(f"nothing to continue with after position {cut}: the other text is too short, or the same")
    start = min(starts, key=lambda at: abs(at - cut - 1))
    return np.concatenate([tokens[: cut + 1], other[start : start + rest]])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
