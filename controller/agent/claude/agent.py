"""The Claude agent: it begins a conversation for each proposal and keeps only what outlives one.

The agent holds the key or identity, the connection and a cache of diffs. It has no shell, no cluster and no write
access to the lab; only proposals and the records of its calls leave it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
from random import Random
from threading import Event, Lock
from uuid import uuid4

from pydantic import SecretStr

from controller.agent.claude import prompt
from controller.agent.claude.answers import Question
from controller.agent.claude.api import SILENCE_SECONDS, Api
from controller.agent.claude.bill import Bill, ReplyLengths
from controller.agent.claude.conversation import CALLS_IN_A_REPLY, Conversation, ConversationResult
from controller.agent.claude.models import Model, Models
from controller.agent.claude.platforms import price_seller
from controller.agent.claude.prompt_size import PromptSize
from controller.agent.claude.refusals import Refusals
from controller.agent.claude.setbacks import Effects, ProposalLimits
from controller.agent.claude.transcript import Transcript
from controller.agent.claude.warming import Warming
from controller.agent.desk import history, strategy
from controller.agent.desk.desk import Desk
from controller.agent.desk.draft import READ_CHARACTERS
from controller.agent.desk.experiment_text import DIFF_CHARACTERS
from controller.agent.desk.purse import Purse
from controller.agent.desk.submissions import Submissions
from controller.costs import model_calls
from controller.domain import Proposal
from controller.errors import AgentError
from controller.planning.back_off import double_wait
from controller.ports import Abandoned, ProposalRequest, Waiting, WaitReason
from controller.settings import ClaudeSettings, Federation

log = logging.getLogger(__name__)

FRUITLESS_REST_SECONDS = 30.0
"""Seconds to the next request after a conversation without a submission; they double with each one in a row."""

LONGEST_REST_SECONDS = 900.0
"""Most seconds after such conversations: four an hour cost little and still find out when they bear fruit again."""

FALLBACK_WAIT_SECONDS = 60.0
"""Longest wait of a conversation if a fallback agent is configured.

After that, freeing the slot is worth more than the money that the conversation has already cost.
"""


class ClaudeAgent:
    """Proposes edits by asking Claude; safe to call from several threads, one proposal in each."""

    name = "claude"

    def __init__(
        self,
        settings: ClaudeSettings,
        *,
        key: SecretStr | None,
        read_key: Callable[[], SecretStr | None] | None = None,
        federation: Federation | None = None,
        book: Callable[[model_calls.CallRecord], None],
        needs_load_model: bool,
        booked: float = 0.0,
        stop: Event | None = None,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], bool] | None = None,
        random: Random | None = None,
        new_id: Callable[[], str] = lambda: uuid4().hex,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        """Raises SettingsError if a model's calls cannot be priced, AgentError without access to the platform.

        key: None where federation or an identity in the platform's cloud stands in for it. read_key: reads the key
        again where it is kept; asked when the API refuses the one in use.
        book: stores a call's record durably before it returns. needs_load_model: true if the exam scores the task.
        booked: dollars of calls before this process. stop: ends every wait and every call at once. wait: sleeps and
        returns true if the campaign stops; waits on `stop` by default.
        """
        for model in settings.models:
            model_calls.require_price(model, settings.prices, price_seller(settings))
        self._settings = settings
        self._needs_load_model = needs_load_model
        self._diffs = history.Diffs()
        api = Api(settings, key=key, read_key=read_key, federation=federation, silence_seconds=silence_seconds)
        self._models = Models(settings, api, clock)
        self._stopping = stop or Event()
        self._effects = Effects(
            clock=clock,
            wait=wait or self._stopping.wait,
            stopped=self._stopping.is_set,
            random=random or Random(),
            warming=Warming(clock),
        )
        self._purse = Purse(booked)
        self._submissions = Submissions()
        self._refusals = Refusals(settings.refusal_model)
        self._bill = partial(
            Bill,
            api=api,
            book=book,
            clock=clock,
            new_id=new_id,
            prices=settings.prices,
            seller=price_seller(settings),
            lengths=ReplyLengths(),
        )
        self._lock = Lock()
        self._waiting: dict[int, Waiting] = {}
        self._prompt_size = PromptSize()
        # Conversations without a submission, since the last submission.
        self._fruitless_in_a_row = 0
        self._turns = strategy.StrategyTurns()

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """The waits of proposals under way, and a sentence on refusals for the operator."""
        refused = self._refusals.trouble
        told = (Waiting(reason=WaitReason.OPERATOR, text=refused),) if refused else ()
        with self._lock:
            return (*told, *self._waiting.values())

    def stop(self) -> None:
        """End all waits: a `propose` under way returns Abandoned soon, and so does every later one."""
        self._stopping.set()

    def check(self) -> list[str]:
        """Ask the API about the models and return warnings for the operator.

        Raises AgentError if a model is retired or unknown, or if the key is refused.
        """
        warnings: list[str] = []
        for name in self._models.used:
            warnings += self._models.find(name, give_up=self._stopping.is_set).warnings
        second = self._settings.refusal_model
        if second and second not in self._models.used:
            try:
                self._models.find(second, give_up=self._stopping.is_set)
            except AgentError as error:
                warnings.append(f"nobody answers what {self._settings.model} refuses: {error}")
        return warnings

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        """Return a proposal from a fresh conversation. Raises AgentError if only a human can help."""
        way = self._turns.choose(
            request.experiments,
            plateau_after=self._settings.plateau_after,
            other_model=self._settings.plateau_model is not None,
        )
        wanted = self._settings.model
        if way == strategy.OTHER_MODEL and self._settings.plateau_model:
            wanted = self._settings.plateau_model
        cap = inf if self._settings.dollars is None else self._settings.dollars
        with (
            self._purse.open_share(lambda: min(cap, request.dollars_limit())) as share,
            self._submissions.join() as others,
        ):
            bill = self._bill(request, share=share)
            result = self._converse(request, way=way, wanted=wanted, bill=bill, others=others)
        if isinstance(result.answer, Abandoned) and result.answer.short_of_money and cap <= request.dollars_limit():
            # Nothing gives these dollars back, while those of the whole budget depend on what runs will cost.
            reason = f"what is left of the {cap:g} dollars of agent.claude.dollars pays no further call"
            return replace(result.answer, reason=reason, short_of_money=False, exhausted=True)
        return self._learn_from(result)

    def _converse(
        self, request: ProposalRequest, *, way: str, wanted: str, bill: Bill, others: int
    ) -> ConversationResult:
        """Converse with the wanted model; with the second one, afresh, if it refuses. Raises AgentError."""
        transcript = Transcript(self._models.api.redact)
        refused: ConversationResult | None = None
        for name in self._refusals.choose_models(wanted, now=self._effects.clock()):
            try:
                model = self._models.find(name, give_up=self._stopping.is_set)
                conversation = self._begin_conversation(
                    request, way=way, model=model, bill=bill, transcript=transcript, others=others
                )
                result = conversation.run()
            except AgentError:
                if name != wanted:
                    self._refusals.avoid_second(wanted)
                if refused is None:
                    raise
                # What the second model lacks is no reason to call the first one broken.
                log.warning("%s cannot be asked after a refusal", name, exc_info=True)
                break
            if result.end is None or not result.end.refused:
                if result.end is None or result.end.fruitless or result.brought:
                    self._refusals.note_answer(name)
                return result
            self._refusals.note_refusal(name, wanted=wanted, now=self._effects.clock())
            if result.brought:
                # It has answered for a time; the second model begins with the next question.
                return result
            refused = result
        assert refused is not None
        self._refusals.note_proposal_refused(refused.answer.reason if isinstance(refused.answer, Abandoned) else "")
        return refused

    def _begin_conversation(
        self, request: ProposalRequest, *, way: str, model: Model, bill: Bill, transcript: Transcript, others: int
    ) -> Conversation:
        settings = self._settings
        tried = self._diffs.tried(request.experiments, request.notebook.diff)
        definitions = prompt.list_definitions(strict=model.strict)
        ttl = prompt.cache_ttl(request, setting=settings.cache_ttl)
        limit = min(self._prompt_size.tokens, model.opening_tokens)
        built = prompt.build_prompt(
            request,
            tried,
            tools=definitions,
            way=way,
            ttl=ttl,
            limit=limit,
            others=others,
            allowed=_tell_limits(settings),
        )
        question = Question(
            model=model.name,
            max_tokens=model.max_tokens,
            system=built.system,
            tools=definitions,
            messages=[{"role": "user", "content": built.opening}],
            thinking=model.thinking,
            effort=model.effort,
        )
        return Conversation(
            question,
            agent=f"{self.name}/{model.name}",
            strategy=way,
            desk=Desk(
                request=request, tried=tried, needs_load_model=self._needs_load_model, submissions=self._submissions
            ),
            limits=ProposalLimits(
                calls=settings.calls_per_proposal,
                seconds=settings.seconds_per_proposal,
                waiting_seconds=FALLBACK_WAIT_SECONDS if settings.fallback == "perturb" else inf,
            ),
            effects=replace(self._effects, notice=partial(self._notice, request.number)),
            bill=bill,
            transcript=transcript,
            longest_tokens=model.longest_tokens,
            # The API's count may be missing, and our estimate may be low: the larger one is reserved.
            estimate=max(
                self._models.api.count(question, give_up=self._stopping.is_set) or 0,
                built.tokens,
            ),
        )

    def _learn_from(self, result: ConversationResult) -> Proposal | Abandoned:
        """Return the answer. The next request comes later after a conversation that led to nothing.

        So another agent may stand in meanwhile.
        """
        end, fruitful = result.end, result.end is None or bool(result.brought)
        self._prompt_size.adapt(submitted=fruitful, too_long=end is not None and end.too_long)
        if fruitful:
            with self._lock:
                self._fruitless_in_a_row = 0
        if isinstance(result.answer, Proposal) or fruitful or (end is not None and not end.fruitless):
            return result.answer
        with self._lock:
            times = self._fruitless_in_a_row
            self._fruitless_in_a_row += 1
        rest = double_wait(FRUITLESS_REST_SECONDS, times=times, longest_seconds=LONGEST_REST_SECONDS)
        return replace(result.answer, retry_after=max(rest, result.answer.retry_after))

    def _notice(self, number: int, waiting: Waiting | None) -> None:
        with self._lock:
            self._waiting.pop(number, None)
            if waiting:
                self._waiting[number] = waiting


def _tell_limits(settings: ClaudeSettings) -> tuple[str, ...]:
    """The limits of one conversation, as the model is told of them."""
    return (
        f"{settings.calls_per_proposal} replies and {settings.seconds_per_proposal:g} seconds until each submission",
        f"{CALLS_IN_A_REPLY} calls in one reply; what comes after them is not carried out",
        f"{DIFF_CHARACTERS:,} characters of a diff and {READ_CHARACTERS:,} of a file in one answer",
    )
