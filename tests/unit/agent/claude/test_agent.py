"""One proposal against the stand-in: what comes out, what is booked, and what each mishap ends in."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf
from typing import Any

import pytest
from pydantic import SecretStr

from controller.agent.claude import ClaudeAgent
from controller.costs.model_calls import CallRecord, price_call, price_dearest_call, read_usage, sum_calls
from controller.domain import Proposal
from controller.errors import AgentError, LabError, SettingsError
from controller.ports import Abandoned, Waiting, WaitReason
from controller.settings import ClaudeSettings
from tests.standin import KEY, Fault, Researcher, StandIn, Turn, call, say
from tests.standin.models import MODELS, Model
from tests.support.campaign_in_memory import TASK, CampaignInMemory, Clock
from tests.support.claude import SILENCE_SECONDS, claude_agent
from tests.support.waiting import PATIENCE_S, wait_until

Script = Callable[[Mapping[str, Any]], Turn]
EDIT = {"path": "train.py", "old": "EMBEDDING_LR = 0.3 ", "new": "EMBEDDING_LR = 0.5 "}
SUBMISSION = {"category": "optimizer", "title": "raise it", "hypothesis": "because", "expected_effect": "better"}


class AgentOnStandIn:
    """A stand-in with an agent before it, and everything that was booked."""

    def __init__(self, script: Script | None = None, *, faults: Iterable[Fault | None] = (), **settings: Any) -> None:
        self.booked: list[CallRecord] = []
        self.clock = Clock()
        self.campaign = CampaignInMemory({"train.py": TASK})
        planned = tuple(faults)
        self.standin = StandIn(script, faults=planned, clock=self.clock)
        silent = any(fault in (Fault.STALL, Fault.SILENCE) for fault in planned)
        self.silence_seconds = SILENCE_SECONDS if silent else PATIENCE_S
        self.settings = settings

    def __enter__(self) -> AgentOnStandIn:
        self.standin.__enter__()
        self.agent = self.make_agent(book=self.booked.append, **self.settings)
        return self

    def __exit__(self, *error: Any) -> None:
        self.standin.__exit__(*error)

    def make_agent(self, *, book: Callable[[CallRecord], None], **settings: Any) -> ClaudeAgent:
        """An agent before the stand-in, as the settings say."""
        chosen = {"clock": self.clock, "silence_seconds": self.silence_seconds, **settings}
        return claude_agent(self.standin, book=book, **chosen)

    def propose(self, *, dollars_limit: float = inf) -> Proposal | Abandoned:
        return self.agent.propose(self.campaign.request(dollars_limit=dollars_limit))

    @property
    def billed(self) -> float:
        """Dollars by the stand-in's own journal."""
        return sum(
            price_call(read_usage(e.usage), model=e.request["model"], overrides={}) for e in self.standin.answered
        )


def in_turn(*turns: Turn) -> Script:
    """Answers one turn after the other, the last one for ever."""
    left: Iterator[Turn] = iter(turns)
    last = [turns[-1]]

    def answer(_: Mapping[str, Any]) -> Turn:
        last[0] = next(left, last[0])
        return last[0]

    return answer


def last_results(standin: StandIn) -> list[dict[str, Any]]:
    """Tool results in the last request."""
    return [b for b in standin.journal[-1].request["messages"][-1]["content"] if b["type"] == "tool_result"]


def test_a_proposal_carries_the_edit_its_reasons_and_its_cost() -> None:
    with AgentOnStandIn() as case:
        proposal = case.propose()

    assert isinstance(proposal, Proposal)
    assert proposal.base == case.campaign.incumbent
    assert proposal.files["train.py"] == TASK.replace("EMBEDDING_LR = 0.3 ", "EMBEDDING_LR = 0.45 ")
    assert proposal.title == "optimizer: set EMBEDDING_LR to 0.45"
    assert proposal.hypothesis.startswith("EMBEDDING_LR at 0.3")
    assert proposal.agent == "claude/claude-opus-5-5"
    assert proposal.cost.dollars == pytest.approx(case.billed)
    assert proposal.cost.calls == len(case.standin.answered)


def test_every_call_is_booked_before_it_starts_and_before_its_reply_is_used() -> None:
    events: list[str] = []
    with AgentOnStandIn() as case:
        case.agent = case.make_agent(book=lambda r: events.append("begun" if r.outcome == "begun" else "ended"))
        script = case.standin.researcher

        def told(request: Mapping[str, Any]) -> Turn:
            events.append("asked")
            return script(request)

        case.standin.researcher = told
        case.propose()

    assert events == ["begun", "asked", "ended"] * (len(events) // 3)
    assert len(events) >= 9


def test_a_reservation_is_never_less_than_what_the_call_costs() -> None:
    with AgentOnStandIn() as case:
        case.propose()

    ended = {r.id: r for r in case.booked if r.outcome != "begun"}
    begun = {r.id: r for r in case.booked if r.outcome == "begun"}
    assert begun.keys() == ended.keys()
    assert all(begun[id].dollars >= ended[id].dollars for id in begun)


def test_reservations_grow_with_what_the_model_has_said() -> None:
    def talkative(_: Mapping[str, Any]) -> Turn:
        turn = call(("check", {}), thought="hm " * 6000)
        return Turn(content=turn.content, stop_reason=turn.stop_reason)

    with AgentOnStandIn(talkative, calls_per_proposal=6) as case:
        case.propose()

    begun = [r.dollars for r in case.booked if r.outcome == "begun"]
    inputs = [read_usage(e.usage) for e in case.standin.journal]
    dearest = [
        price_dearest_call(input_tokens=u.context - u.output, max_tokens=64_000, model="claude-opus-5-5", overrides={})
        for u in inputs
    ]
    assert all(reserved >= worst for reserved, worst in zip(begun, dearest, strict=True))


def test_a_book_that_fails_ends_the_proposal_before_the_reply_is_used() -> None:
    def failing(record: CallRecord) -> None:
        if record.outcome != "begun":
            raise OSError("disk full")

    with AgentOnStandIn() as case:
        case.agent = case.make_agent(book=failing)

        with pytest.raises(OSError, match="disk full"):
            case.propose()

        assert len(case.standin.journal) == 1


def test_the_transcript_holds_the_whole_exchange() -> None:
    with AgentOnStandIn() as case:
        proposal = case.propose()

    assert isinstance(proposal, Proposal)
    lines = [json.loads(line) for line in proposal.transcript.splitlines()]
    events = [line["event"] for line in lines]
    assert events[0] == "opening"
    assert events[-1] == "submitted"
    assert lines[0]["messages"] == case.standin.journal[0].request["messages"]
    answers = [line["content"] for line in lines if line["event"] == "answer"]
    assert answers == [e.message["content"] for e in case.standin.journal]


PASSING = [
    Fault.RATE_LIMIT,
    Fault.OVERLOADED,
    Fault.SERVER_ERROR,
    Fault.HTML_GATEWAY,
    Fault.REFUSED_CONNECTION,
    Fault.CUT_STREAM,
    Fault.CUT_IN_TOOL,
    Fault.DROPPED,
    Fault.MALFORMED,
    Fault.DISORDER,
    Fault.ERROR_EVENT,
    Fault.STALL,
    Fault.MAX_TOKENS,
    Fault.PAUSE,
    Fault.NO_TOOL,
    Fault.EMPTY,
]


@pytest.mark.parametrize("fault", PASSING, ids=str)
@pytest.mark.parametrize("place", [0, 2])
def test_a_passing_fault_costs_a_call_but_not_the_proposal(fault: Fault, place: int) -> None:
    with AgentOnStandIn(faults=[None] * place + [fault]) as case:
        proposal = case.propose()

    assert isinstance(proposal, Proposal), proposal
    assert proposal.files["train.py"] == TASK.replace("EMBEDDING_LR = 0.3 ", "EMBEDDING_LR = 0.45 ")
    assert len({r.id for r in case.booked}) == len(case.standin.journal)
    assert not [e.refusal for e in case.standin.journal if e.refusal and e.fault is None]


def long_thinking(_: Mapping[str, Any]) -> Turn:
    """A reply that shows 700 tokens of its thinking."""
    return call(("check", {}), thought="hm " * 800)


@pytest.mark.parametrize("fault", [Fault.CUT_IN_TOOL, Fault.ERROR_EVENT, Fault.DROPPED, Fault.STALL], ids=str)
def test_a_reply_that_broke_off_is_booked_with_its_input_and_the_most_it_can_have_said(fault: Fault) -> None:
    with AgentOnStandIn(long_thinking, faults=[fault], calls_per_proposal=2) as case:
        case.propose()

    broken = next(r for r in case.booked if r.outcome != "begun")
    billed = case.standin.journal[0].usage
    assert broken.usage.cache_write_5m == billed["cache_creation_input_tokens"]
    assert broken.usage.output == case.standin.journal[0].request["max_tokens"] > billed["output_tokens"]
    assert broken.raw["estimated"] is True


@pytest.mark.parametrize(
    "fault", [Fault.CUT_STREAM, Fault.STALL, Fault.SILENCE, Fault.DISORDER, Fault.DROPPED], ids=str
)
def test_no_broken_silent_or_lost_call_is_booked_below_its_bill(fault: Fault) -> None:
    with AgentOnStandIn(long_thinking, faults=[fault], calls_per_proposal=2, cache_ttl="1h") as case:
        case.propose()

    first = next(r for r in case.booked if r.outcome != "begun")
    usage = case.standin.journal[0].usage
    assert first.dollars >= price_call(read_usage(usage), model=first.model, overrides={})


@pytest.mark.parametrize("fault", [Fault.REFUSED_CONNECTION, Fault.DISORDER], ids=str)
def test_a_question_whose_answer_never_came_is_booked_with_its_input(fault: Fault) -> None:
    with AgentOnStandIn(faults=[fault]) as case:
        case.propose()

    lost = next(r for r in case.booked if r.outcome != "begun")
    billed = case.standin.journal[0].usage
    if billed:
        assert lost.dollars >= price_call(read_usage(billed), model=lost.model, overrides={})
    assert lost.usage.cache_write_1h > 1000, "at the dearest price of an input token"
    assert lost.raw["estimated"] is True


def test_a_question_that_was_never_sent_costs_nothing() -> None:
    with AgentOnStandIn(seconds_per_proposal=30) as case:
        pass
    abandoned = case.propose()

    assert isinstance(abandoned, Abandoned)
    assert "unreachable" in abandoned.reason
    assert abandoned.cost.dollars == 0
    assert abandoned.cost.calls > 1


def test_a_tool_whose_input_broke_off_is_not_carried_out() -> None:
    script = in_turn(call(("replace", EDIT)), call(("replace", EDIT)), call(("submit", SUBMISSION)))
    with AgentOnStandIn(script, faults=[Fault.CUT_IN_TOOL]) as case:
        proposal = case.propose()

    assert isinstance(proposal, Proposal)
    assert proposal.files["train.py"] == TASK.replace("EMBEDDING_LR = 0.3 ", "EMBEDDING_LR = 0.5 ")


def test_nothing_is_submitted_beside_an_edit_that_failed() -> None:
    missing = {**EDIT, "old": "NO_SUCH_LINE = 1"}
    script = in_turn(
        call(("replace", EDIT), ("replace", missing), ("submit", SUBMISSION)),
        call(("replace", {**EDIT, "old": "ADAM_BETA1 = 0.8 ", "new": "ADAM_BETA1 = 0.9 "}), ("submit", SUBMISSION)),
    )
    with AgentOnStandIn(script) as case:
        proposal = case.propose()
        results = last_results(case.standin)

    assert isinstance(proposal, Proposal)
    assert "ADAM_BETA1 = 0.9 " in proposal.files["train.py"]
    assert [r.get("is_error", False) for r in results] == [False, True, True]
    assert "not submitted" in results[2]["content"]


def test_many_calls_in_one_reply_are_all_answered_and_few_carried_out() -> None:
    many = call(*[("check", {})] * 30)
    with AgentOnStandIn(in_turn(many, call(("replace", EDIT), ("submit", SUBMISSION)))) as case:
        proposal = case.propose()
        results = last_results(case.standin)

    assert isinstance(proposal, Proposal)
    assert len(results) == 30
    assert sum(r.get("is_error", False) for r in results) == 20


def test_a_tool_reply_without_any_tool_is_answered_with_words() -> None:
    odd = Turn(content=[{"type": "text", "text": "Hm."}], stop_reason="tool_use")
    with AgentOnStandIn(in_turn(odd, call(("replace", EDIT), ("submit", SUBMISSION)))) as case:
        assert isinstance(case.propose(), Proposal)

    assert not [e.refusal for e in case.standin.journal if e.refusal]


def test_a_stream_that_breaks_off_again_and_again_is_given_up_with_its_cost() -> None:
    with AgentOnStandIn(faults=[Fault.CUT_STREAM] * 10) as case:
        abandoned = case.propose()

    assert isinstance(abandoned, Abandoned)
    assert "broke off 4 times" in abandoned.reason
    assert abandoned.cost.dollars > 0
    assert len(case.standin.journal) == 4


FOR_GOOD = {
    Fault.AUTHENTICATION: "ANTHROPIC_API_KEY",
    Fault.BILLING: "add credit",
    Fault.PERMISSION: "permissions",
    Fault.SPEND_LIMIT: "spend limit",
}


@pytest.mark.parametrize(("fault", "advice"), FOR_GOOD.items(), ids=map(str, FOR_GOOD))
def test_what_only_a_human_can_mend_stops_at_once_with_advice(fault: Fault, advice: str) -> None:
    with AgentOnStandIn(faults=[fault]) as case, pytest.raises(AgentError, match=advice) as caught:
        case.propose()

    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert case.clock.waits == []
    assert [r.outcome == "begun" for r in case.booked] == [True, False]
    assert sum_calls(case.booked).dollars == 0


def test_a_rate_limit_waits_as_long_as_it_is_told() -> None:
    with AgentOnStandIn(faults=[Fault.RATE_LIMIT]) as case:
        case.propose()

    assert len(case.clock.waits) == 1
    assert 2.0 <= case.clock.waits[0] <= 2.2


def test_a_rate_limit_for_a_day_is_capped_and_hands_the_slot_back() -> None:
    with AgentOnStandIn(faults=[Fault.RATE_LIMIT_FOR_A_DAY] * 9, seconds_per_proposal=900, fallback="none") as case:
        abandoned = case.propose()

    assert isinstance(abandoned, Abandoned)
    assert max(case.clock.waits) <= 330
    assert sum(case.clock.waits) < 900
    assert 0 < abandoned.retry_after <= 330


def test_overload_backs_off_further_each_time() -> None:
    with AgentOnStandIn(faults=[Fault.OVERLOADED] * 6, fallback="none") as case:
        assert isinstance(case.propose(), Proposal)

    bounds = [2, 4, 8, 16, 32, 60]
    assert len(case.clock.waits) == 6
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(case.clock.waits, bounds, strict=True))


def test_where_another_stands_in_a_conversation_waits_a_minute_and_not_a_quarter_of_an_hour() -> None:
    with AgentOnStandIn(faults=[None, *[Fault.OVERLOADED] * 20]) as case:
        overloaded = case.propose()
    with AgentOnStandIn(faults=[Fault.RATE_LIMIT_FOR_A_DAY]) as case:
        limited = case.propose()
        waited = list(case.clock.waits)

    assert isinstance(overloaded, Abandoned)
    assert isinstance(limited, Abandoned)
    assert "another stands in" in overloaded.reason
    assert 0 < overloaded.retry_after <= 60
    assert limited.retry_after >= 300
    assert waited == []


def test_a_refusal_without_a_second_model_is_abandoned_with_its_category_and_rests_longer_each_time() -> None:
    with AgentOnStandIn(faults=[Fault.REFUSAL] * 3, refusal_model=None) as case:
        ended = [case.propose() for _ in range(4)]

    refused = [e for e in ended if isinstance(e, Abandoned)]
    assert [e.retry_after for e in refused] == [30, 60, 120]
    assert "frontier_llm" in refused[0].reason
    assert all(e.cost.dollars > 0 for e in refused)
    assert isinstance(ended[3], Proposal)


def test_a_context_that_overflows_makes_the_next_prompt_shorter() -> None:
    with AgentOnStandIn(faults=[Fault.CONTEXT_EXCEEDED]) as case:
        abandoned = case.propose()
        again = case.propose()

    assert isinstance(abandoned, Abandoned)
    assert "context" in abandoned.reason
    assert isinstance(again, Proposal)


def test_three_replies_without_a_submission_end_the_proposal() -> None:
    with AgentOnStandIn(lambda _: say("I would rather not.")) as case:
        abandoned = case.propose()

    assert isinstance(abandoned, Abandoned)
    assert len(case.standin.journal) == 3
    assert abandoned.cost.dollars == pytest.approx(case.billed)


def test_three_malformed_submissions_end_the_proposal() -> None:
    with AgentOnStandIn(lambda _: call(("submit", {"title": "x"}))) as case:
        abandoned = case.propose()

    assert isinstance(abandoned, Abandoned)
    assert len(case.standin.journal) == 3


def test_a_researcher_that_never_submits_is_stopped_by_the_number_of_calls() -> None:
    with AgentOnStandIn(lambda _: call(("check", {})), calls_per_proposal=5) as case:
        abandoned = case.propose()

    assert isinstance(abandoned, Abandoned)
    assert "5 calls" in abandoned.reason
    assert len(case.standin.journal) == 5
    assert "1 more" in str(case.standin.journal[-1].request["messages"][-1])


def test_a_proposal_that_takes_too_long_is_given_up() -> None:
    with AgentOnStandIn() as case:
        script = case.standin.researcher

        def slow(request: Mapping[str, Any]) -> Turn:
            case.clock.now += 400
            return script(request)

        case.standin.researcher = slow
        abandoned = case.propose()

    assert isinstance(abandoned, Abandoned)
    assert "900 seconds" in abandoned.reason
    assert abandoned.cost.dollars > 0


def test_no_call_is_started_that_could_cross_the_budget() -> None:
    with AgentOnStandIn() as case:
        abandoned = case.propose(dollars_limit=0.01)

    assert isinstance(abandoned, Abandoned)
    assert abandoned.short_of_money
    assert not abandoned.exhausted
    assert case.standin.journal == []
    assert case.booked == []


def test_a_budget_that_ends_within_a_proposal_is_not_crossed() -> None:
    left = 0.5
    with AgentOnStandIn(lambda _: call(("check", {})), calls_per_proposal=200) as case:
        abandoned = case.propose(dollars_limit=left)

    assert isinstance(abandoned, Abandoned)
    assert "dollar budget" in abandoned.reason
    assert not abandoned.short_of_money
    assert 0 < case.billed <= left
    assert abandoned.cost.dollars == pytest.approx(case.billed)


def test_an_unknown_model_is_refused_before_anything_is_sent() -> None:
    with AgentOnStandIn() as case, pytest.raises(SettingsError, match="price is not known"):
        case.make_agent(book=case.booked.append, model="claude-unknown-9")


def test_a_retired_model_is_refused_with_one_sentence() -> None:
    with AgentOnStandIn(model="claude-opus-4-5") as case, pytest.raises(AgentError, match="claude-opus-4-5 is retired"):
        case.agent.check()


def test_a_model_that_retires_soon_is_warned_about_and_used() -> None:
    with AgentOnStandIn(model="claude-opus-4-8") as case:
        case.clock.now = 1_795_000_000.0  # 18 November 2026
        warnings = case.agent.check()
        proposal = case.propose()

    assert warnings == ["the model claude-opus-4-8 retires on 2026-12-10: choose another soon"]
    assert isinstance(proposal, Proposal)


def test_a_model_without_effort_is_asked_without_it() -> None:
    with AgentOnStandIn(model="claude-haiku-4-5") as case:
        assert isinstance(case.propose(), Proposal)

    assert all("output_config" not in e.request for e in case.standin.journal)


def test_a_way_of_thinking_that_the_model_refuses_is_an_error_with_advice() -> None:
    with AgentOnStandIn(thinking="disabled") as case, pytest.raises(AgentError, match=r"thinking to adaptive$"):
        case.propose()


def test_a_gateway_that_neither_counts_nor_knows_models_is_enough() -> None:
    case = AgentOnStandIn()
    case.standin.has_models = case.standin.has_counting = False
    with case:
        assert isinstance(case.propose(), Proposal)

    assert case.standin.counted == 0


def test_a_stop_ends_a_silent_call_at_once() -> None:
    stop, asked = threading.Event(), threading.Event()
    ended: list[Proposal | Abandoned] = []

    def script(request: Mapping[str, Any]) -> Turn:
        asked.set()
        return Researcher()(request)

    with StandIn(script, faults=[Fault.STALL]) as standin:
        agent = ClaudeAgent(
            ClaudeSettings(base_url=standin.url),
            key=SecretStr(KEY),
            book=lambda _: None,
            needs_load_model=True,
            stop=stop,
        )
        request = CampaignInMemory({"train.py": TASK}).request()
        thread = threading.Thread(target=lambda: ended.append(agent.propose(request)))
        thread.start()
        assert asked.wait(PATIENCE_S)
        agent.stop()
        thread.join(PATIENCE_S)

    assert [e.reason for e in ended if isinstance(e, Abandoned)] == ["the campaign is stopping"]
    assert not thread.is_alive(), "the silence would have been waited out"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.RATE_LIMIT, WaitReason.RATE_LIMIT),
        (Fault.OVERLOADED, WaitReason.OVERLOADED),
        (Fault.ERROR_EVENT, WaitReason.OVERLOADED),
        (Fault.SERVER_ERROR, WaitReason.ERROR),
        (Fault.REFUSED_CONNECTION, WaitReason.UNREACHABLE),
        (Fault.CUT_STREAM, WaitReason.BROKEN_STREAM),
    ],
)
def test_what_a_proposal_waits_for_is_told_while_it_waits(fault: Fault, reason: WaitReason) -> None:
    seen: list[tuple[Waiting, ...]] = []
    ends: list[float | None] = []

    class Watching(Clock):
        def wait(self, seconds: float) -> bool:
            seen.append(case.agent.waiting)
            ends.append(self() + seconds)
            return super().wait(seconds)

    with AgentOnStandIn(faults=[fault]) as case:
        clock = Watching()
        case.agent = case.make_agent(book=case.booked.append, clock=clock)
        proposal = case.propose()

    assert isinstance(proposal, Proposal)
    assert [[waiting.reason for waiting in moment] for moment in seen] == [[reason]]
    assert [waiting.until for waiting in seen[0]] == ends
    assert case.agent.waiting == ()


def test_a_stop_ends_a_wait_of_a_day_at_once() -> None:
    with StandIn(faults=[Fault.RATE_LIMIT_FOR_A_DAY] * 100) as standin:
        booked: list[CallRecord] = []
        agent = ClaudeAgent(
            ClaudeSettings(base_url=standin.url, fallback="none"),
            key=SecretStr(KEY),
            book=booked.append,
            needs_load_model=True,
        )
        request = CampaignInMemory({"train.py": TASK}).request()
        ended: list[Proposal | Abandoned] = []
        thread = threading.Thread(target=lambda: ended.append(agent.propose(request)))
        thread.start()
        wait_until(lambda: agent.waiting, what="the agent to wait")
        assert agent.waiting[0].reason is WaitReason.RATE_LIMIT
        assert "rate_limit_error" in agent.waiting[0].text
        agent.stop()
        thread.join(PATIENCE_S)

    assert [e.reason for e in ended if isinstance(e, Abandoned)] == ["the campaign is stopping"]
    assert agent.waiting == ()


def of_model(name: str, refused: Turn) -> Script:
    """Refuses every question to the model of that name; others research."""
    researcher = Researcher()
    return lambda request: refused if request["model"] == name else researcher(request)


REFUSAL = Turn(stop_reason="refusal", stop_details={"type": "refusal", "category": "frontier_llm", "explanation": "no"})


def test_what_one_model_refuses_another_answers_for_an_hour_and_both_are_booked() -> None:
    with AgentOnStandIn(of_model("claude-opus-5-5", REFUSAL)) as case:
        first, second = case.propose(), case.propose()
        asked = [e.request["model"] for e in case.standin.journal]
        case.clock.now += 3601
        third = case.propose()

    assert isinstance(first, Proposal)
    assert isinstance(second, Proposal)
    assert isinstance(third, Proposal)
    assert first.agent == "claude/claude-opus-5"
    assert asked.count("claude-opus-5-5") == 1, "the model that refused is left alone for an hour"
    assert [e.request["model"] for e in case.standin.journal].count("claude-opus-5-5") == 2, "then it is tried again"
    assert first.cost.dollars + second.cost.dollars + third.cost.dollars == pytest.approx(case.billed)
    assert [r.refusal for r in case.booked if r.outcome == "refusal"] == ["frontier_llm"] * 2
    assert case.agent.waiting == ()


def test_a_model_that_answers_again_is_asked_again() -> None:
    with AgentOnStandIn(of_model("claude-opus-5-5", REFUSAL)) as case:
        case.propose()
        case.standin.researcher = Researcher()
        case.clock.now += 3601
        probe, after = case.propose(), case.propose()

    assert isinstance(probe, Proposal)
    assert isinstance(after, Proposal)
    assert (probe.agent, after.agent) == ("claude/claude-opus-5-5",) * 2


def test_three_proposals_that_both_models_refuse_are_told_to_the_operator_until_one_is_taken() -> None:
    with AgentOnStandIn(lambda _: REFUSAL) as case:
        ended = [case.propose() for _ in range(2)]
        quiet = case.agent.waiting
        ended.append(case.propose())
        told = case.agent.waiting
        case.standin.researcher = Researcher()
        answer = case.propose()

    assert [e.retry_after for e in ended if isinstance(e, Abandoned)] == [30, 60, 120]
    assert [e.request["model"] for e in case.standin.journal[:6]] == ["claude-opus-5-5", "claude-opus-5"] * 3
    assert quiet == ()
    assert [w.reason for w in told] == [WaitReason.OPERATOR]
    assert "frontier_llm" in told[0].text
    assert isinstance(answer, Proposal)
    assert case.agent.waiting == ()


def test_a_second_model_that_the_gateway_lacks_is_no_outage() -> None:
    models = {name: model for name, model in MODELS.items() if name != "claude-opus-5"}
    with AgentOnStandIn(lambda _: REFUSAL) as case:
        case.standin.models = models
        answer = case.propose()

    assert isinstance(answer, Abandoned)
    assert "refused" in answer.reason


def bare(model: Model) -> dict[str, Any]:
    """The page of a model as an early version of the API tells it."""
    return {"type": "model", "id": model.id, "display_name": model.id, "created_at": "2026-01-01T00:00:00Z"}


def half(model: Model) -> dict[str, Any]:
    """A page that tells of some ways of thinking only, and of no effort."""
    page = model.page()
    page["capabilities"] = {"thinking": {"supported": True, "types": {"adaptive": {"supported": True}}}}
    return {**page, "max_tokens": None, "retires_at": "soon"}


@pytest.mark.parametrize(
    "page", [bare, half, lambda _: b"<html>not here</html>", lambda _: [], lambda _: {"capabilities": "many"}]
)
def test_a_gateway_may_leave_out_what_a_model_can_do(page: Callable[[Model], object]) -> None:
    with AgentOnStandIn() as case:
        case.standin.page = page
        case.agent.check()
        answer = case.propose()

    assert isinstance(answer, Proposal)
    assert case.standin.journal[0].request["thinking"]["type"] == "adaptive"


def test_a_gateway_may_leave_out_what_a_call_used_and_is_booked_no_lower() -> None:
    with AgentOnStandIn(cache_ttl="1h") as case:
        case.standin.has_usage = False
        answer = case.propose()

    assert isinstance(answer, Proposal)
    assert answer.cost.dollars >= case.billed > 0


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"model": "claude-opus-4-8", "effort": "xhigh"}, "effort to low or medium or high or max"),
        ({"model": "claude-haiku-5-5", "effort": "max", "thinking": "disabled"}, "thinking to adaptive"),
        ({"model": "claude-sonnet-5-5", "thinking": "disabled"}, "thinking to adaptive or between_tools"),
    ],
)
def test_an_option_that_the_model_refuses_is_told_at_the_start(settings: dict[str, Any], advice: str) -> None:
    with AgentOnStandIn(**settings) as case, pytest.raises(AgentError, match=advice):
        case.agent.check()


def test_a_cut_reply_is_asked_for_again_with_more_room_and_counts_as_no_fault() -> None:
    faults = [Fault.MAX_TOKENS] * 2
    with AgentOnStandIn(faults=faults, max_tokens=16_000) as case:
        proposal = case.propose()

    assert isinstance(proposal, Proposal)
    assert [e.request["max_tokens"] for e in case.standin.journal[:3]] == [16_000, 32_000, 64_000]
    assert case.standin.journal[0].request["messages"] == case.standin.journal[2].request["messages"]


def test_a_reply_that_is_cut_at_the_models_own_limit_counts_as_one_that_cannot_be_used() -> None:
    with AgentOnStandIn(faults=[Fault.MAX_TOKENS] * 9, max_tokens=128_000) as case:
        answer = case.propose()

    assert isinstance(answer, Abandoned)
    assert len(case.standin.journal) == 3


def test_replies_have_the_room_of_the_settings_and_less_when_money_is_short() -> None:
    with AgentOnStandIn() as case:
        assert isinstance(case.propose(), Proposal)
        rich = case.standin.journal[-1].request["max_tokens"]
        case.propose(dollars_limit=sum_calls(case.booked).dollars + 0.8)
        poor = case.standin.journal[-1].request["max_tokens"]

    assert rich == 64_000
    assert 16_000 <= poor < 64_000
    assert all(r.dollars < 0.9 for r in case.booked[-2:])


def test_inference_within_one_country_is_booked_at_its_price() -> None:
    with AgentOnStandIn() as case:
        case.standin.geo = "us"
        proposal = case.propose()
    usages = [read_usage(e.usage) for e in case.standin.journal]
    plain = sum(price_call(replace(u, us_only=False), model="claude-opus-5-5", overrides={}) for u in usages)

    assert isinstance(proposal, Proposal)
    assert proposal.cost.dollars == pytest.approx(1.1 * plain)


@pytest.mark.parametrize("place", [0, 1, 7, 50])
def test_a_booking_that_fails_leaks_nothing_from_the_purse(place: int) -> None:
    booked: list[CallRecord] = []
    failing = [False]

    def book(record: CallRecord) -> None:
        if failing[0]:
            raise LabError("the disk is full")
        booked.append(record)

    with AgentOnStandIn(lambda _: call(("check", {})), calls_per_proposal=60, seconds_per_proposal=1e7) as case:
        case.agent = case.make_agent(book=book, calls_per_proposal=60)
        if place:
            script = case.standin.researcher

            def break_disk(request: Mapping[str, Any]) -> Turn:
                failing[0] = len(case.standin.journal) + 1 >= place
                return script(request)

            case.standin.researcher = break_disk
        else:
            failing[0] = True
        with pytest.raises(LabError):
            case.propose()
        failing[0] = False
        case.standin.researcher = Researcher()
        spent = sum_calls(booked).dollars
        poor = case.propose(dollars_limit=spent + 0.01)
        # A purse with a leak would wait here for ever, for what nobody will give back.
        answer = case.propose(dollars_limit=spent + 4)

    assert isinstance(poor, Abandoned)
    assert poor.short_of_money
    assert isinstance(answer, Proposal)


def test_a_key_that_was_replaced_is_read_again_when_the_old_one_is_refused() -> None:
    kept = [SecretStr(KEY)]
    with AgentOnStandIn() as case:
        case.agent = case.make_agent(book=case.booked.append, read_key=lambda: kept[0])
        assert isinstance(case.propose(), Proposal)
        case.standin.key = "sk-ant-standin-another"
        with pytest.raises(AgentError, match="refused the key"):
            case.propose()
        kept[0] = SecretStr("sk-ant-standin-another")
        answer = case.propose()

    assert isinstance(answer, Proposal)
    assert KEY not in answer.transcript
    assert "standin-another" not in answer.transcript


def test_each_booking_names_the_request_and_the_model_that_answered() -> None:
    with AgentOnStandIn(faults=[None, Fault.OVERLOADED, Fault.CUT_STREAM]) as case:
        case.propose()

    ended = [r for r in case.booked if r.outcome != "begun"]
    assert [r.request_id for r in ended] == [e.id for e in case.standin.journal]
    assert {r.served for r in ended if r.outcome == "tool_use"} == {"claude-opus-5-5"}


@pytest.mark.parametrize("fault", [Fault.STALL, Fault.SILENCE], ids=str)
def test_a_call_that_is_given_up_is_hung_up_on_and_booked_no_lower_than_its_bill(fault: Fault) -> None:
    booked: list[CallRecord] = []
    asked = threading.Event()

    def script(_: Mapping[str, Any]) -> Turn:
        asked.set()
        return call(("check", {}), thought="hm " * 800)

    with StandIn(script, faults=[fault]) as standin:
        agent = ClaudeAgent(
            ClaudeSettings(base_url=standin.url), key=SecretStr(KEY), book=booked.append, needs_load_model=True
        )
        request = CampaignInMemory({"train.py": TASK}).request()
        thread = threading.Thread(target=agent.propose, args=(request,))
        thread.start()
        assert asked.wait(PATIENCE_S)
        agent.stop()
        thread.join(PATIENCE_S)
        # The stand-in gives its silence up by itself after a while; then nobody has hung up on it.
        hung_up = standin.hung_up.wait(PATIENCE_S)

    assert not thread.is_alive()
    assert hung_up, "the API goes on making tokens while the connection stands"
    billed = price_call(read_usage(standin.journal[0].usage), model="claude-opus-5-5", overrides={})
    assert booked[-1].outcome == "given up"
    assert booked[-1].dollars >= billed


def test_a_stop_during_look_ups_that_nobody_answers_waits_for_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.agent.claude.api.LOOKUP_SECONDS", 10 * PATIENCE_S)
    with socket.create_server(("127.0.0.1", 0)) as hole, ThreadPoolExecutor(16) as pool:
        agent = ClaudeAgent(
            ClaudeSettings(base_url=f"http://127.0.0.1:{hole.getsockname()[1]}"),
            key=SecretStr(KEY),
            book=lambda _: None,
            needs_load_model=True,
        )
        campaign = CampaignInMemory({"train.py": TASK})
        ended = [pool.submit(agent.propose, campaign.request()) for _ in range(16)]
        connection, _ = hole.accept()
        agent.stop()
        answers = [each.result(timeout=PATIENCE_S) for each in ended]
        connection.close()

    assert [a.reason for a in answers if isinstance(a, Abandoned)] == ["the campaign is stopping"] * 16


def test_a_gateway_that_knows_no_models_is_not_asked_again_with_each_proposal() -> None:
    with AgentOnStandIn() as case:
        case.standin.has_models = case.standin.has_counting = False
        for _ in range(3):
            case.campaign.admit(proposed(case.propose()), at=case.clock.now)

    assert case.standin.looked_up == 1


def proposed(answer: Proposal | Abandoned) -> Proposal:
    assert isinstance(answer, Proposal), answer
    return answer


def test_an_agent_that_brings_no_usable_submission_rests_longer_each_time() -> None:
    with AgentOnStandIn(lambda _: say("I would rather not.")) as case:
        ended = [case.propose() for _ in range(7)]
        case.standin.researcher = Researcher()
        proposed(case.propose())
        case.standin.researcher = lambda _: say("Not today.")
        again = case.propose()

    assert [e.retry_after for e in ended if isinstance(e, Abandoned)] == [30, 60, 120, 240, 480, 900, 900]
    assert isinstance(again, Abandoned)
    assert again.retry_after == 30


def test_the_models_own_dollars_end_before_the_campaigns() -> None:
    with AgentOnStandIn(dollars=0.05) as case:
        answer = case.propose(dollars_limit=100.0)

    assert isinstance(answer, Abandoned)
    assert answer.exhausted
    assert "agent.claude.dollars" in answer.reason
    assert case.standin.journal == []


@pytest.mark.parametrize("submits", [True, False])
def test_notes_for_later_proposals_leave_the_conversation_also_without_a_submission(submits: bool) -> None:
    last = call(("submit", SUBMISSION)) if submits else say("No.")
    script = in_turn(call(("remember", {"text": " warm-up is spent "})), call(("replace", EDIT)), last)
    with AgentOnStandIn(script) as case:
        answer = case.propose()

    assert answer.notes == "warm-up is spent"
    assert isinstance(answer, Proposal) == submits


def test_notes_that_are_too_long_are_sent_back_and_the_old_ones_are_shown() -> None:
    with AgentOnStandIn(in_turn(call(("remember", {"text": "x" * 4001})), say("No."))) as case:
        request = replace(case.campaign.request(), notes="warm-up is spent")
        answer = case.agent.propose(request)
        sent_back = [b for e in case.standin.journal for b in e.request["messages"][-1]["content"] if b.get("is_error")]

    assert answer.notes is None
    assert "4000 at most" in sent_back[0]["content"]
    news = case.standin.journal[0].request["messages"][0]["content"][-1]["text"]
    assert "## Notes of earlier proposals\nwarm-up is spent" in news


def test_the_model_for_refusals_is_asked_with_plain_options_if_it_lacks_those_of_the_settings() -> None:
    script = of_model("claude-sonnet-5-5", REFUSAL)
    with AgentOnStandIn(script, model="claude-sonnet-5-5", thinking="between_tools") as case:
        assert case.agent.check() == []
        answer = case.propose()

    assert isinstance(answer, Proposal)
    asked = {e.request["model"]: e.request["thinking"]["type"] for e in case.standin.journal}
    assert asked == {"claude-sonnet-5-5": "between_tools", "claude-opus-5": "adaptive"}
