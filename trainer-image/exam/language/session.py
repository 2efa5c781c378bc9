"""Ask one candidate of a language model the sequences of a round, and score its answers.

Everything that comes over the data connection is checked, because agent code sends it.
"""

from __future__ import annotations

import time
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from exam.kit import wire
from exam.kit.answer_cost import AnswerCost
from exam.kit.errors import Rejection
from exam.kit.session import CandidateSession
from exam.kit.wire import Closed, Deadline
from exam.language.protocol import REPLY, Question, Tokens, check_reply, encode_request
from exam.language.scoring import Nats, nll


@dataclass(frozen=True, slots=True)
class Round:
    """The questions to one process, in their order."""

    tokens: Tokens
    """Sequences that are asked, (n, T)."""
    labels: Tokens
    """The right next token of each position that is answered, (n, P)."""
    cuts: Tokens | None = None
    """The only position of each sequence that is answered, (n,); None for all of them."""

    @classmethod
    def of_sequences(cls, sequences: Tokens) -> Round:
        """The round that asks each next token of sequences (n, T+1)."""
        return cls(sequences[:, :-1], sequences[:, 1:])


def ask_all(
    candidate: CandidateSession,
    asked: Round,
    *,
    vocabulary: int,
    rows: int,
    pool: Executor | None = None,
    cost: AnswerCost | None = None,
) -> Nats:
    """Ask a round, `rows` sequences at a time; returns the nll (n, P) of its labels.

    cost: where the time of the answers is added. Raises Rejection for every fault of a reply.
    """
    try:
        return _ask_all(candidate, asked, vocabulary, rows, pool, cost or AnswerCost())
    except Closed as closed:
        raise candidate.explain(closed) from closed


def _ask_all(
    candidate: CandidateSession,
    asked: Round,
    vocabulary: int,
    rows: int,
    pool: Executor | None,
    cost: AnswerCost,
) -> Nats:
    total, length = asked.tokens.shape
    parts = [slice(at, min(at + rows, total)) for at in range(0, total, rows)]
    questions = [
        Question(id_, part.stop - part.start, length, vocabulary, at_cut=asked.cuts is not None)
        for id_, part in enumerate(parts)
    ]
    buffer = memoryview(bytearray(questions[0].reply_bytes))
    scored = np.empty(asked.labels.shape, np.float32)
    # torch.compile works at the first call: this call may also use what loading left of the start-up limit.
    asked_at = time.monotonic()
    deadline = _ask(candidate, questions[0], asked, parts[0], candidate.time_limits.batch + candidate.ready_by.left())
    for id_, part in enumerate(parts):
        answer = _receive(candidate, questions[id_], buffer, deadline)
        began = time.monotonic()
        if id_ or len(parts) == 1:  # the first call compiles, which is paid once and not for each answer
            cost.add(began - asked_at, answers=questions[id_].rows * length)
        asked_at = began
        if id_ + 1 < len(parts):  # asked before this answer is scored, so that both sides compute at once
            deadline = _ask(candidate, questions[id_ + 1], asked, parts[id_ + 1], candidate.time_limits.batch)
        logits, labels = np.frombuffer(answer, dtype="<f2").reshape(-1, vocabulary), asked.labels[part]
        scored[part] = nll(logits, labels.reshape(-1), pool).reshape(labels.shape)
        deadline.at += time.monotonic() - began  # the scoring is our time, not the candidate's
    return scored


def _ask(candidate: CandidateSession, question: Question, asked: Round, part: slice, seconds: float) -> Deadline:
    if wire.has_unread(candidate.data):
        raise Rejection("protocol", f"bytes came before question {question.id} was asked")
    deadline = Deadline.after(seconds, latest=candidate.latest)
    request = encode_request(question, asked.tokens[part], None if asked.cuts is None else asked.cuts[part])
    wire.send(candidate.data, request, deadline, what=f"question {question.id}")
    return deadline


def _receive(candidate: CandidateSession, question: Question, buffer: memoryview, deadline: Deadline) -> memoryview:
    header = bytearray(REPLY.size)
    wire.receive(candidate.data, header, deadline, what=f"answer {question.id}")
    check_reply(bytes(header), question)
    answer = buffer[: question.reply_bytes]
    wire.receive(candidate.data, answer, deadline, what=f"answer {question.id}")
    return answer
