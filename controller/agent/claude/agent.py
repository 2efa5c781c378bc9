"""The Claude agent: constructs a conversation for each proposal, and remembers only what outlives one.

It holds the key, the connection and a cache of diffs. It has no shell, no cluster and no write access to the
lab: what leaves it is a proposal, and the records of its calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
from random import Random
from threading import Event, Lock
from uuid import uuid4

from pydantic import SecretStr

from controller import money
from controller.agent.claude import history, prompt, strategy, tools, toolset
from controller.agent.claude.answers import Question
from controller.agent.claude.board import Board
from controller.agent.claude.conversation import Conversation, Limits, Surroundings
from controller.agent.claude.dialogue import Ended
from controller.agent.claude.ledger import Ledger
from controller.agent.claude.models import Model, Models
from controller.agent.claude.purse import Purse, Share
from controller.agent.claude.wire import SILENCE_SECONDS, Wire
from controller.domain import Proposal
from controller.ports import Abandoned, ProposalRequest, Waiting
from controller.settings import ClaudeSettings

REFUSED_REST_SECONDS = 30.0
LONGEST_REST_SECONDS = 900.0

STOOD_IN_SECONDS = 60.0
"""So long a conversation waits where another agent stands in; then its slot is worth more than what it has cost."""


class ClaudeAgent:
    """Proposes edits by asking Claude; safe to call from several threads, one proposal in each.

    book: stores a call's record durably before it returns. booked: dollars of calls before this process.
    needs_load_model: the task is scored by the exam.
    stop: ends every wait and every call at once. wait: sleeps and says whether to stop; by default on `stop`.
    Raises SettingsError where a model's calls could not be priced.
    """

    name = "claude"

    def __init__(
        self,
        settings: ClaudeSettings,
        *,
        key: SecretStr,
        book: Callable[[money.CallRecord], None],
        needs_load_model: bool,
        booked: float = 0.0,
        stop: Event | None = None,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], bool] | None = None,
        random: Random | None = None,
        new_id: Callable[[], str] = lambda: uuid4().hex,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        for model in filter(None, (settings.model, settings.plateau_model)):
            money.require_price(model, settings.prices)
        self._settings = settings
        self._needs_load_model = needs_load_model
        self._diffs = history.Diffs()
        self._models = Models(
            settings, Wire(key=key, base_url=settings.base_url, silence_seconds=silence_seconds), clock
        )
        self._stopping = stop or Event()
        self._around = Surroundings(
            wire=self._models.wire,
            clock=clock,
            wait=wait or self._stopping.wait,
            stopped=self._stopping.is_set,
            random=random or Random(),
        )
        self._purse = Purse(booked)
        self._board = Board()
        self._ledger = partial(Ledger, book=book, clock=clock, new_id=new_id, prices=settings.prices)
        self._lock = Lock()
        self._waiting: dict[int, Waiting] = {}
        self._prompt_tokens = prompt.PROMPT_TOKENS
        self._refused_in_a_row = 0
        self._turn = 0

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """What proposals wait for right now."""
        with self._lock:
            return tuple(self._waiting.values())

    def stop(self) -> None:
        """Give up waiting: a `propose` under way returns Abandoned soon, and so does every later one."""
        self._stopping.set()

    def check(self) -> list[str]:
        """Ask the API about the models; warnings for the operator. Raises AgentError: retired, unknown, key refused."""
        return [warning for model in self._models.used for warning in self._models.of(model).warnings]

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """One proposal from a fresh conversation. Raises AgentError when only a human can help."""
        settings = self._settings
        way = self._way(request)
        name = settings.plateau_model if way == strategy.OTHER_MODEL and settings.plateau_model else settings.model
        model = self._models.of(name)
        with self._purse.opened(request.dollars_limit) as share, self._board.joined() as others:
            conversation = self._conversation(request, way=way, model=model, share=share, others=others)
            ended = conversation.run(agent=f"{self.name}/{name}", strategy=way)
        if isinstance(ended, Proposal):
            self._refused_in_a_row = 0
            return ended
        return self._learn(*ended)

    def _way(self, request: ProposalRequest) -> str:
        """The strategy of this proposal; an abandoned one takes its turn too, so that none is stuck."""
        if not strategy.on_plateau(request.experiments, after=self._settings.plateau_after):
            return strategy.OPEN
        with self._lock:
            turn = max(self._turn, strategy.turns_taken(request.experiments))
            self._turn = turn + 1
        return strategy.in_turn(turn, other_model=self._settings.plateau_model is not None)

    def _conversation(
        self, request: ProposalRequest, *, way: str, model: Model, share: Share, others: int
    ) -> Conversation:
        settings = self._settings
        tried = self._diffs.tried(request.experiments, request.notebook.diff)
        definitions = toolset.definitions()
        ttl = prompt.cache_ttl(request, setting=settings.cache_ttl)
        limit = min(self._prompt_tokens, model.opening_tokens)
        told = prompt.build(request, tried, tools=definitions, way=way, ttl=ttl, limit=limit, others=others)
        question = Question(
            model=model.name,
            max_tokens=model.max_tokens,
            system=told.system,
            tools=definitions,
            messages=[{"role": "user", "content": told.opening}],
            thinking=model.thinking,
            effort=model.effort,
        )
        return Conversation(
            question,
            desk=tools.Desk(request=request, tried=tried, needs_load_model=self._needs_load_model, board=self._board),
            limits=Limits(
                calls=settings.calls_per_proposal,
                seconds=settings.seconds_per_proposal,
                waiting=STOOD_IN_SECONDS if settings.fallback == "perturb" else inf,
            ),
            around=replace(self._around, notice=partial(self._notice, request.number)),
            ledger=self._ledger(question, request, share=share),
            estimate=max(self._models.wire.count(question) or 0, told.tokens),
        )

    def _learn(self, end: Ended, abandoned: Abandoned) -> Abandoned:
        """Next time shorter after an overflow, later after a refusal."""
        if end.too_long:
            self._prompt_tokens = max(self._prompt_tokens // 2, 8_000)
        self._refused_in_a_row = self._refused_in_a_row + 1 if end.refused else 0
        if end.refused:
            rest = min(LONGEST_REST_SECONDS, REFUSED_REST_SECONDS * 2.0 ** min(self._refused_in_a_row - 1, 10))
            return replace(abandoned, retry_after=rest)
        return abandoned

    def _notice(self, number: int, waiting: Waiting | None) -> None:
        with self._lock:
            self._waiting.pop(number, None)
            if waiting:
                self._waiting[number] = waiting
