"""The command agent: for each proposal it runs a program of the operator's in a sandbox, and reads what that left.

The program may be anything, from three lines of shell to a coding agent with a model behind it. It holds no key: what
it asks a model goes through a gateway of its own, which ends with it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from threading import Lock
from uuid import uuid4

from controller.agent.command import folder
from controller.agent.command.gateway import Gateway
from controller.agent.command.meter import Meter
from controller.agent.command.submission import FILE_BYTES, PROPOSAL_BYTES, read_submission
from controller.agent.command.upstream import Upstream
from controller.agent.desk import history, strategy
from controller.agent.desk.purse import Purse
from controller.costs.model_calls import CallRecord
from controller.domain import Cost, Proposal
from controller.errors import AgentError
from controller.executor.workshop import Session, SessionCause, SessionEnd, Workshop
from controller.planning.back_off import double_wait
from controller.ports import Abandoned, ProposalRequest, Waiting
from controller.settings import CommandSettings

PLATEAU_AFTER = 10
"""Verdicts without a keep before the strategy changes, as for Claude by default."""

CAMPAIGN_PURSE = "budget.dollars"
"""The setting that limits the dollars of all proposals together. They may become free again, those of one do not."""

FRUITLESS_REST_SECONDS = 5.0
"""Seconds to the next run after one without a submission; they double with each one in a row."""

LONGEST_REST_SECONDS = 900.0
"""Most seconds after such runs: four an hour still find out when the program works again."""


class CommandAgent:
    """Proposes what a program makes of its folder; safe to call from several threads, one session in each."""

    name = "command"

    def __init__(
        self,
        settings: CommandSettings,
        *,
        workshop: Workshop,
        upstream: Upstream | None,
        book: Callable[[CallRecord], None],
        booked: float = 0.0,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        """upstream: the vendors that the program may ask; None for none, and then it has no network at all.

        book: stores a call's record durably before it returns. booked: dollars of calls before this process.
        """
        self._settings, self._workshop, self._upstream = settings, workshop, upstream
        self._book, self._clock, self._new_id = book, clock, new_id
        self._purse = Purse(booked)
        self._diffs = history.Diffs()
        self._lock = Lock()
        self._fruitless_in_a_row = 0
        self._turns = strategy.StrategyTurns()

    def check(self) -> list[str]:
        """Make a sandbox and look for the program in it. Raises SandboxError, TaskError, AgentError."""
        self._workshop.check(self._settings.run)
        return []

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """Always empty: what a session waits for is its program's own business."""
        return ()

    def stop(self) -> None:
        """Kill the sessions under way, so that each `propose` returns soon."""
        self._workshop.stop()

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """Run the program once. Raises SandboxError, LabError, and AgentError if only a human can help."""
        way = self._turns.choose(request.experiments, plateau_after=PLATEAU_AFTER, other_model=False)
        with ExitStack() as until_it_is_booked:
            gateway = meter = None
            if self._upstream is not None:
                purses = {"agent.command.dollars": Purse().open_share(lambda: self._settings.dollars)}
                purses |= {CAMPAIGN_PURSE: self._purse.open_share(request.dollars_limit)}
                shares = {name: until_it_is_booked.enter_context(purse) for name, purse in purses.items()}
                meter = Meter(
                    request,
                    book=self._book,
                    clock=self._clock,
                    new_id=self._new_id,
                    prices=self._settings.prices,
                    shares=shares,
                    most_calls=self._settings.calls,
                )
                gateway = Gateway(self._upstream, meter, models=self._settings.models)
            session = self._describe_session(request, way, gateway)
            end = self._workshop.run(session, serve=gateway.serve if gateway else None)
        if gateway is not None and gateway.fault is not None:
            raise gateway.fault
        return self._answer(request, way, end, gateway=gateway, meter=meter)

    def _describe_session(self, request: ProposalRequest, way: str, gateway: Gateway | None) -> Session:
        tried = self._diffs.tried(request.experiments, request.notebook.diff)
        # By its number a program can tell its proposal from those that it makes side by side, of the same history.
        told = {**self._settings.environment, "AUTORESEARCH_PROPOSAL": str(request.number)}
        if gateway is not None:
            address = self._workshop.gateway_url
            told |= {
                "ANTHROPIC_BASE_URL": address,
                "ANTHROPIC_API_KEY": gateway.bearer,
                "OPENAI_BASE_URL": f"{address}/v1",
                "OPENAI_API_KEY": gateway.bearer,
            }
        return Session(
            command=self._settings.run,
            environment=told,
            files=folder.lay_out(request, tried, way=way),
            wanted={**dict.fromkeys(request.files, FILE_BYTES), folder.PROPOSAL: PROPOSAL_BYTES},
            seconds=self._settings.seconds,
            number=request.number,
            bearer=gateway.bearer if gateway else "",
        )

    def _answer(
        self, request: ProposalRequest, way: str, end: SessionEnd, *, gateway: Gateway | None, meter: Meter | None
    ) -> Proposal | Abandoned:
        calls = meter.calls if meter else ()
        _require_accepted_key(calls)
        cost = meter.cost if meter else Cost()
        transcript = _write_transcript(gateway.notes if gateway else [], end)
        submission = read_submission(end, request.files)
        if isinstance(submission, str):
            unpaid = meter.unpaid if meter and not calls else ""
            return Abandoned(
                reason=f"no call was made, as {unpaid}: {submission}" if unpaid else submission,
                cost=cost,
                transcript=transcript,
                short_of_money=bool(unpaid and meter and CAMPAIGN_PURSE in meter.too_small),
                retry_after=0.0 if end.cause is SessionCause.STOPPED else self._rest(),
            )
        with self._lock:
            self._fruitless_in_a_row = 0
        return Proposal(
            base=request.base,
            files=submission.files,
            title=submission.title,
            hypothesis=submission.hypothesis,
            expected_effect=submission.expected_effect,
            notes=submission.notes,
            agent="/".join(filter(None, (self.name, self._settings.shown_name, _name_model(calls)))),
            strategy=way,
            cost=cost,
            transcript=transcript,
        )

    def _rest(self) -> float:
        """Seconds to the next run after one more in a row without a submission."""
        with self._lock:
            times = self._fruitless_in_a_row
            self._fruitless_in_a_row += 1
        return double_wait(FRUITLESS_REST_SECONDS, times=times, longest_seconds=LONGEST_REST_SECONDS)


def _require_accepted_key(calls: tuple[CallRecord, ...]) -> None:
    """Raise AgentError if every call was refused for its key: only the operator can give another."""
    refused = [call for call in calls if call.outcome in ("http 401", "http 403")]
    if calls and len(refused) == len(calls):
        vendor = refused[0].vendor
        raise AgentError(
            f"{vendor} refuses the key: set {vendor.upper()}_API_KEY, or the file that {vendor.upper()}_API_KEY_FILE "
            "names, to one that may ask these models"
        )


def _name_model(calls: tuple[CallRecord, ...]) -> str:
    """The model that the most dollars went to; empty if none was asked."""
    dollars: dict[str, float] = {}
    for call in calls:
        dollars[call.model] = dollars.get(call.model, 0.0) + call.dollars
    return max(dollars, key=lambda model: dollars[model], default="")


def _write_transcript(notes: list[dict[str, object]], end: SessionEnd) -> str:
    """The calls, and the end of what the program printed, as JSON lines."""
    last = {
        "cause": end.cause.value,
        "code": end.code,
        "seconds": round(end.seconds, 3),
        "still_seconds": round(end.still_seconds, 3),
        "output": end.output,
    }
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in (*notes, last))
