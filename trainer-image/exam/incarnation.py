"""The examiner's side of one candidate incarnation: let it in, question it, see it dead.

Distrusts everything that comes over the data connection. Over the control connection speaks our own
supervisor, whose end of file, after the word that all are dead, is the proof that nothing of the
incarnation lives; its other words only make explanations better.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exam import protocol
from exam.errors import Rejection
from exam.protocol import Closed, Deadline, Question, Tokens
from exam.scoring import Nats, nll

WORDS_BYTES = 512  # the supervisor's words are short
REASON_SECONDS = 2.0  # between the end of a child and its supervisor's report of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the examiner waits, in seconds: for a loaded model, for a batch, for an ending, and for it all."""

    startup: float = 60.0
    batch: float = 30.0
    end: float = 30.0
    total: float = 900.0


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One candidate process tree. ready_by: its start-up limit; latest: when the exam's own time ends, monotonic."""

    control: socket.socket
    data: socket.socket
    patience: Patience
    ready_by: Deadline
    latest: float

    def close(self) -> None:
        """Let go of both connections; the supervisor then ends its incarnation by itself."""
        self.control.close()
        self.data.close()

    def greet(self) -> None:
        """Wait until the model is loaded; raises Rejection when that fails or takes too long."""
        message = bytearray(protocol.READY.size)
        try:
            protocol.receive(self.data, message, self.ready_by, what="the greeting that says the model is loaded")
        except Closed as closed:
            raise self._explain(closed) from closed
        protocol.check_ready(bytes(message))

    def ask_all(self, sequences: Tokens, *, vocabulary: int, rows: int, pool: Executor | None = None) -> Nats:
        """Ask sequences (n, T+1) in the order given, `rows` at a time; returns the nll (n, T) of each next token.

        Raises Rejection for every fault of a reply.
        """
        try:
            return self._ask_all(sequences, vocabulary, rows, pool)
        except Closed as closed:
            raise self._explain(closed) from closed

    def _ask_all(self, sequences: Tokens, vocabulary: int, rows: int, pool: Executor | None) -> Nats:
        length = sequences.shape[1] - 1
        batches = [sequences[at : at + rows] for at in range(0, len(sequences), rows)]
        questions = [Question(id_, len(batch), length, vocabulary) for id_, batch in enumerate(batches)]
        buffer = memoryview(bytearray(questions[0].reply_bytes))
        scored = np.empty((len(sequences), length), np.float32)
        # A compiler may work at the first call: it has what loading left of the start-up limit, too.
        deadline = self._ask(questions[0], batches[0], self.patience.batch + self.ready_by.left())
        for id_, batch in enumerate(batches):
            answer = self._receive(questions[id_], buffer, deadline)
            began = time.monotonic()
            if id_ + 1 < len(batches):  # asked before this answer is scored: the candidate computes meanwhile
                deadline = self._ask(questions[id_ + 1], batches[id_ + 1], self.patience.batch)
            logits = np.frombuffer(answer, dtype="<f2").reshape(-1, vocabulary)
            scored[id_ * rows :][: len(batch)] = nll(logits, batch[:, 1:].reshape(-1), pool).reshape(-1, length)
            deadline.at += time.monotonic() - began  # the scoring is our time, not the candidate's
        return scored

    def _ask(self, question: Question, batch: Tokens, seconds: float) -> Deadline:
        if protocol.is_waiting(self.data):
            raise Rejection("protocol", f"bytes came before question {question.id} was asked")
        deadline = Deadline.after(seconds, latest=self.latest)
        request = protocol.encode_request(question, batch[:, :-1])
        protocol.send(self.data, request, deadline, what=f"question {question.id}")
        return deadline

    def _receive(self, question: Question, buffer: memoryview, deadline: Deadline) -> memoryview:
        header = bytearray(protocol.REPLY.size)
        protocol.receive(self.data, header, deadline, what=f"answer {question.id}")
        protocol.check_reply(bytes(header), question)
        answer = buffer[: question.reply_bytes]
        protocol.receive(self.data, answer, deadline, what=f"answer {question.id}")
        return answer

    def end(self, order: bytes) -> None:
        """Have the incarnation killed and wait for the proof; raises Rejection when it does not come.

        order: protocol.RESTART or protocol.FINISH.
        """
        deadline = Deadline.after(self.patience.end)
        with contextlib.suppress(OSError):  # a supervisor that is gone shows below
            self.control.sendall(order)
        words = self._last_words(deadline)
        if words is None:
            raise Rejection("protocol", f"the candidate did not end within {self.patience.end:g} s of being told to")
        if not words.endswith(protocol.DEAD):
            raise Rejection("protocol", "the candidate's supervisor was killed: nobody vouches that its memory is gone")
        extra = self._leftover(deadline)
        if extra:
            raise Rejection("protocol", f"{extra} bytes came after the last answer")

    def _last_words(self, deadline: Deadline) -> bytes | None:
        """What the supervisor still said before its connection ended, or None when that did not end in time."""
        words = b""
        while deadline.left():
            self.control.settimeout(deadline.left())
            try:
                chunk = self.control.recv(WORDS_BYTES)
            except TimeoutError:
                return None
            except OSError:
                chunk = b""
            if not chunk:
                return words
            words = (words + chunk)[-WORDS_BYTES:]
        return None

    def _leftover(self, deadline: Deadline) -> int:
        count = 0
        with contextlib.suppress(OSError):
            while deadline.left():
                self.data.settimeout(deadline.left())
                got = len(self.data.recv(protocol.READ_BYTES))
                if not got:
                    break
                count += got
        return count

    def _explain(self, closed: Closed) -> Rejection:
        """The supervisor's reason for a closed connection, where it gives one."""
        self.control.settimeout(REASON_SECONDS)
        try:
            word, _, rest = self.control.recv(WORDS_BYTES).decode(errors="replace").partition("\n")[0].partition(" ")
        except OSError:
            return closed
        if word == "artifact":
            return Rejection("artifact", "".join(filter(str.isprintable, rest)))
        if word == "exited":
            return Rejection("protocol", f"the candidate's process ended ({_ending(rest)}): {closed.explanation}")
        return closed


def _ending(code: str) -> str:
    number = int(code) if code.removeprefix("-").isdigit() else 0
    if number < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-number).name}"
    return f"exit code {number}"


def admit(folder: Path, patience: Patience, latest: float) -> Incarnation:
    """Listen for one incarnation, take its two connections, and wait until its model is loaded.

    A listener of its own for each: closed before agent code runs, so no third connection can get in.
    Raises Rejection when nobody comes, or no model is loaded, within the start-up limit.
    """
    ready_by = Deadline.after(patience.startup, latest=latest)
    with contextlib.ExitStack() as on_failure:
        with _listening(folder) as listener:
            control = on_failure.enter_context(_accept(listener, ready_by))
            data = on_failure.enter_context(_accept(listener, ready_by))
        incarnation = Incarnation(control, data, patience, ready_by, latest)
        incarnation.greet()
        on_failure.pop_all()
        return incarnation


@contextlib.contextmanager
def _listening(folder: Path) -> Iterator[socket.socket]:
    handle, path = protocol.socket_address(folder)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)
            os.chmod(path, 0o666)  # the candidate may run as another user; the folder decides who gets here
            listener.listen(2)
            yield listener
            os.unlink(path)
    finally:
        os.close(handle)


def _accept(listener: socket.socket, until: Deadline) -> socket.socket:
    listener.settimeout(max(until.left(), 1e-3))
    try:
        return listener.accept()[0]
    except TimeoutError:
        raise Rejection("protocol", f"no candidate connected {until.limit}") from None
