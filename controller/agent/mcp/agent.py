"""The agent that is a client from outside: answers the loop with what the client has submitted.

A question of the loop waits until somebody submits, and gives way to the fallback when nobody has for a time. Clients
call from the server's threads, at any moment, and see the campaign as it is then.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from controller.agent.desk.draft import ToolError
from controller.agent.mcp.box import Submission, SubmissionBox
from controller.agent.mcp.calls import ClientCalls
from controller.agent.mcp.drafts import read_program
from controller.domain import Cost, Proposal
from controller.edits import novelty
from controller.ports import Abandoned, ProposalRequest, Waiting
from controller.settings import McpSettings

LOOK_SECONDS = 0.5
"""Longest time between two looks at what became of submissions, while a question waits."""

LEAST_PATIENCE_ALONE = 60.0
"""Least seconds that a question waits where there is no fallback: it must end at times, so that a budget can."""

REST_SECONDS = 1.0
"""Seconds to the next question after one that nobody has answered: a submission is taken up within them."""


class ClientServer(Protocol):
    """Serves the tools to clients."""

    def start(self) -> list[str]:
        """Begin to serve, if it does not; returns warnings for the operator. Raises AgentError if it cannot."""

    def close(self) -> None:
        """End. Calls under way are answered."""


class McpAgent:
    """Proposes what clients submit, the oldest first; safe to call from several threads."""

    name = "mcp"

    def __init__(
        self,
        settings: McpSettings,
        *,
        folder: Path,
        serve: Callable[[ClientCalls, Callable[[], bool]], ClientServer],
        needs_load_model: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """folder: where submissions are kept; it need not exist. serve: makes the server of calls, not started; it is
        also told how to ask whether the campaign ends. Raises OSError."""
        self._settings, self._needs_load_model, self._clock = settings, needs_load_model, clock
        self._box = SubmissionBox(folder, most=settings.most_waiting)
        self._stopping = False
        self._asked: ProposalRequest | None = None
        # A question, and the same brought up to date.
        self._seen: tuple[ProposalRequest, ProposalRequest] | None = None
        self._heard_at = clock()
        self._calls = calls = ClientCalls(settings, self._box, request=self._now, needs_load_model=needs_load_model)
        self._server = serve(calls, lambda: self._stopping)

    def check(self) -> list[str]:
        """Begin to serve. Raises AgentError if the address cannot be had."""
        return self._server.start()

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """Always empty: a client that thinks is an agent that thinks."""
        return ()

    def stop(self) -> None:
        """Answer what is asked, by the loop and by clients, and end the server. What waits is proposed at the next
        start."""
        self._stopping = True
        with self._box.changed:
            self._box.changed.notify_all()
        self._server.close()

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """The oldest submission, once there is one. Raises AgentError if clients cannot be served, and LabError."""
        if not self._stopping:
            self._server.start()
        if self._asked is None:
            # The baseline's trainings may have taken longer than the patience lasts.
            self._heard_at = self._clock()
        self._asked = request
        began = self._clock()
        while not self._stopping:
            self._calls.settle()
            submission = self._box.take(now=self._clock())
            if submission is None:
                if self._is_out_of_patience(began):
                    reason = f"no client has submitted for {self._settings.patience:.0f} s"
                    return Abandoned(reason=reason, retry_after=REST_SECONDS)
                self._wait_for_submission()
                continue
            self._heard_at = self._clock()
            if refusal := self._find_refusal(submission):
                self._box.settle(submission.ticket, sent_back=refusal)
                continue
            return as_proposal(submission)
        return Abandoned(reason="the campaign ends", retry_after=REST_SECONDS)

    def _is_out_of_patience(self, began: float) -> bool:
        """True if nobody has submitted for long, also before this question, which began then."""
        now = self._clock()
        if self._settings.fallback == "none":
            # Nobody stands in, and each answer is a line on the operator's terminal.
            return now - max(began, self._heard_at) >= max(self._settings.patience, LEAST_PATIENCE_ALONE)
        return now - self._heard_at >= self._settings.patience

    def _wait_for_submission(self) -> None:
        with self._box.changed:
            if not self._stopping:
                self._box.changed.wait(LOOK_SECONDS)

    def _now(self) -> ProposalRequest | None:
        """The newest question, with the experiments of this moment."""
        asked = self._asked
        if asked is None or (experiments := asked.newest_experiments()) is None:
            return asked
        known = self._seen
        # Every `wait` looks several times a second, and the loop changes them once.
        if known is not None and known[0] is asked and known[1].experiments is experiments:
            return known[1]
        tried = asked.fingerprints | {each.fingerprint for each in experiments if each.fingerprint}
        now = replace(asked, experiments=experiments, fingerprints=tried)
        self._seen = (asked, now)
        return now

    def _find_refusal(self, submission: Submission) -> str | None:
        """The reason why a submission is sent back although it was accepted: other edits were admitted meanwhile."""
        request = self._now()
        if request is None:
            return None
        try:
            base = read_program(submission.base, request)
        except ToolError as error:
            return str(error)
        return novelty.find_refusal(
            base=base,
            proposed=submission.files,
            tried=request.fingerprints - request.revivable,
            needs_load_model=self._needs_load_model,
            max_lines=request.max_lines,
        )


def as_proposal(submission: Submission) -> Proposal:
    """The submission as the loop takes it."""
    told = {"ticket": submission.ticket, "declared_dollars": submission.declared_dollars, "diff": submission.diff}
    return Proposal(
        base=submission.base,
        files=submission.files,
        title=submission.title,
        hypothesis=submission.hypothesis,
        expected_effect=submission.expected_effect,
        agent=submission.agent,
        strategy=submission.strategy,
        cost=Cost(declared_dollars=submission.declared_dollars),
        transcript=json.dumps(told, ensure_ascii=False) + "\n",
        notes=submission.notes,
        ticket=submission.ticket,
    )
