"""Ask one candidate of a language model the sequences of a round, and score its answers.

Everything that comes over the data connection is checked, because agent code sends it.
"""

from __future__ import annotations

import time
from concurrent.futures import Executor

import numpy as np

from exam.kit import wire
from exam.kit.answer_cost import AnswerCost
from exam.kit.errors import Rejection
from exam.kit.session import CandidateSession
from exam.kit.wire import Closed, Deadline
from exam.language.protocol import REPLY, Question, Tokens, check_reply, encode_request
from exam.language.scoring import Nats, nll


def ask_all(
    candidate: CandidateSession,
    sequences: Tokens,
    *,
    vocabulary: int,
    rows: int,
    pool: Executor | None = None,
    cost: AnswerCost | None = None,
) -> Nats:
    """Ask sequences (n, T+1) in the order given, `rows` at a time; returns the nll (n, T) of each next token.

    cost: where the time of the answers is added. Raises Rejection for every fault of a reply.
    """
    try:
        return _ask_all(candidate, sequences, vocabulary, rows, pool, cost or AnswerCost())
    except Closed as closed:
        raise candidate.explain(closed) from closed


def _ask_all(
    candidate: CandidateSession,
    sequences: Tokens,
    vocabulary: int,
    rows: int,
    pool: Executor | None,
    cost: AnswerCost,
) -> Nats:
    length = sequences.shape[1] - 1
    batches = [sequences[at : at + rows] for at in range(0, len(sequences), rows)]
    questions = [Question(id_, len(batch), length, vocabulary) for id_, batch in enumerate(batches)]
    buffer = memoryview(bytearray(questions[0].reply_bytes))
    scored = np.empty((len(sequences), length), np.float32)
    # torch.compile works at the first call: this call may also use what loading left of the start-up limit.
    asked_at = time.monotonic()
    deadline = _ask(candidate, questions[0], batches[0], candidate.time_limits.batch + candidate.ready_by.left())
    for id_, batch in enumerate(batches):
        answer = _receive(candidate, questions[id_], buffer, deadline)
        began = time.monotonic()
        if id_ or len(batches) == 1:  # the first call compiles, which is paid once and not for each answer
            cost.add(began - asked_at, answers=len(batch) * length)
        asked_at = began
        if id_ + 1 < len(batches):  # asked before this answer is scored, so that both sides compute at once
            deadline = _ask(candidate, questions[id_ + 1], batches[id_ + 1], candidate.time_limits.batch)
        logits = np.frombuffer(answer, dtype="<f2").reshape(-1, vocabulary)
        scored[id_ * rows :][: len(batch)] = nll(logits, batch[:, 1:].reshape(-1), pool).reshape(-1, length)
        deadline.at += time.monotonic() - began  # the scoring is our time, not the candidate's
    return scored


def _ask(candidate: CandidateSession, question: Question, batch: Tokens, seconds: float) -> Deadline:
    if wire.has_unread(candidate.data):
        raise Rejection("protocol", f"bytes came before question {question.id} was asked")
    deadline = Deadline.after(seconds, latest=candidate.latest)
    request = encode_request(question, batch[:, :-1])
    wire.send(candidate.data, request, deadline, what=f"question {question.id}")
    return deadline


def _receive(candidate: CandidateSession, question: Question, buffer: memoryview, deadline: Deadline) -> memoryview:
    header = bytearray(REPLY.size)
    wire.receive(candidate.data, header, deadline, what=f"answer {question.id}")
    check_reply(bytes(header), question)
    answer = buffer[: question.reply_bytes]
    wire.receive(candidate.data, answer, deadline, what=f"answer {question.id}")
    return answer
