"""Ask one candidate process questions of stated types, and measure what each answer takes."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from exam.examiner import Episodes, Questions, Spent, Streams
from exam.kit import messages, types, wire
from exam.kit.errors import Rejection
from exam.kit.session import CandidateSession
from exam.kit.streams import StreamConnection
from exam.kit.types import Array, Json, Type
from exam.kit.wire import Closed, Deadline

Examiner = Questions | Episodes | Streams

MANNERS = {Questions: 1, Episodes: 2, Streams: 3}
"""The manner of an exam, as the candidate is told it before it loads anything."""

JSON_GROWTH = 24
"""Bytes that a value takes for each byte of its JSON, at most: an empty list has 3 there and 64 in memory."""


def hello(examiner: Examiner) -> bytes:
    """The first message to a candidate: in which manner it will be asked."""
    manner = next(code for kind, code in MANNERS.items() if isinstance(examiner, kind))
    return messages.HEADER.pack(messages.TASK, manner, 0, 0, 0)


def withholds(examiner: Examiner) -> bool:
    """True if the author's examiner has questions with the solution withheld, as far as its code tells."""
    return isinstance(examiner, Questions) and type(examiner).withheld is not Questions.withheld


@dataclass(slots=True)
class Asking:
    """The questions to one candidate process, in lockstep: the next one goes out when the last was answered."""

    candidate: CandidateSession
    examiner: Examiner
    spent: list[Spent] = field(default_factory=list)
    """Time of each answer, in order."""
    received: int = 0
    """Bytes of the newest answer."""
    _number: int = 0
    """Messages so far, which number the questions."""
    _cpu: float = 0.0
    """CPU seconds of the candidate when it had given its last answer."""

    def close(self) -> None:
        """Close the connections to the candidate."""
        self.candidate.close()

    def begin(self) -> None:
        """Note the CPU time that loading took, which is nobody's question."""
        if self.examiner.measure_cpu:
            self._cpu = self.candidate.read_usage().cpu_seconds

    def ask(self, asks: Type, value: Any, answers: Type) -> Any:
        """Ask one question and return its answer, checked. Raises Rejection for every fault of an answer."""
        number = self._number
        message = messages.encode_question(messages.ASK, number, asks, value, wanted=answers.wanted)
        return self._exchange(message, answers, number)

    def reset(self) -> None:
        """Tell the candidate that a new episode begins, and wait until it is ready."""
        number = self._number
        message = messages.HEADER.pack(messages.RESET, number, 0, 0, 0)
        self._exchange(message, None, number)

    def connect(self, deadline: Deadline) -> StreamConnection:
        """Open a connection to the candidate's server. Nothing but its end of it crosses the wall."""
        # A pair has no address, so nobody else can connect to either end.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            header = messages.HEADER.pack(messages.CONNECT, self._number, 0, 0, 0)
            self._number += 1
            self.candidate.data.settimeout(max(deadline.left(), 1e-3))
            try:
                # SCM_RIGHTS needs a byte beside it; the receiver gets a descriptor of its own for the same socket.
                socket.send_fds(self.candidate.data, [header], [theirs.fileno()])
            except TimeoutError:
                ours.close()
                raise wire.fault(f"a connection was not taken {deadline.limit}") from None
            except OSError:
                ours.close()
                raise self.candidate.explain(Closed("the candidate has gone before a connection was opened")) from None
        return StreamConnection(ours, deadline)

    def next_deadline(self) -> Deadline:
        """The end of the next answer's time. The first may also use what loading left: some compile only then."""
        extra = 0.0 if self.spent else self.candidate.ready_by.left()
        return Deadline.after(self.examiner.answer_seconds + extra, latest=self.candidate.latest)

    def timed(self, work: Callable[[], Any]) -> Any:
        """Do some work with the candidate, and add what it took."""
        began = time.monotonic()
        result = work()
        wall = time.monotonic() - began
        self.spent.append(Spent(wall, self._cpu_since() if self.examiner.measure_cpu else None))
        return result

    def _exchange(self, message: bytes, answers: Type | None, number: int) -> Any:
        if wire.has_unread(self.candidate.data):
            raise Rejection("protocol", f"bytes came before question {number} was asked")
        self._number += 1
        deadline = self.next_deadline()
        try:
            if answers is None:
                return self._receive(message, types.Bytes(0), number, deadline, kind=types.Kind.NOTHING)
            body = self.timed(lambda: self._receive(message, answers, number, deadline))
            self.received = len(body)
            return messages.decode_answer(body, number, answers)
        except Closed as closed:
            raise self.candidate.explain(closed) from closed

    def _receive(
        self, message: bytes, answers: Type, number: int, deadline: Deadline, *, kind: types.Kind | None = None
    ) -> bytearray:
        what = f"answer {number}"
        wire.send(self.candidate.data, message, deadline, what=f"question {number}")
        header = bytearray(messages.HEADER.size)
        wire.receive(self.candidate.data, header, deadline, what=what)
        if kind is types.Kind.NOTHING:
            if bytes(header) != messages.HEADER.pack(messages.ANSWER, number, 0, 0, 0):
                raise wire.fault(f"a new episode was answered by something else than an empty answer {number}")
            return bytearray()
        body = bytearray(messages.decode_header(bytes(header), number, answers))
        wire.receive(self.candidate.data, body, deadline, what=what)
        return body

    def _cpu_since(self) -> float:
        before, self._cpu = self._cpu, self.candidate.read_usage().cpu_seconds
        return max(0.0, self._cpu - before)


def memory_by_choice(type_: Type, size: int) -> int:
    """Bytes of memory that an answer takes because its sender chose so; 0 where the author has stated its size."""
    if isinstance(type_, Array) and None not in type_.shape:
        return 0
    return JSON_GROWTH * size if isinstance(type_, Json) else size
