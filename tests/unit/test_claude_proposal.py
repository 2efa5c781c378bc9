"""One proposal against the stand-in: what comes out, what is booked, and what each mishap ends in."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from typing import Any

import pytest
from pydantic import SecretStr

from controller.agent.claude import ClaudeAgent
from controller.domain import Proposal
from controller.errors import AgentError, SettingsError
from controller.money import CallRecord, dollars, most_expensive, total, usage_of
from controller.ports import Abandoned, Waiting, WaitReason
from controller.settings import ClaudeSettings
from tests.standin import KEY, Fault, Researcher, StandIn, Turn, call, say
from tests.standin.laboratory import TASK, Clock, Laboratory

Script = Callable[[Mapping[str, Any]], Turn]
EDIT = {"path": "train.py", "old": "EMBEDDING_LR = 0.3 ", "new": "EMBEDDING_LR = 0.5 "}
SUBMISSION = {"category": "optimizer", "title": "raise it", "hypothesis": "because", "expected_effect": "better"}


def make_agent(standin: StandIn, *, book: Callable[[CallRecord], None], clock: Clock, **settings: Any) -> ClaudeAgent:
    return ClaudeAgent(
        ClaudeSettings(base_url=standin.url, **settings),
        key=SecretStr(KEY),
        book=book,
        needs_load_model=True,
        clock=clock,
        wait=clock.wait,
        silence_seconds=2.0,
    )


class Bench:
    """A stand-in with an agent before it, and everything that was booked."""

    def __init__(self, script: Script | None = None, *, faults: Iterable[Fault | None] = (), **settings: Any) -> None:
        self.booked: list[CallRecord] = []
        self.clock = Clock()
        self.laboratory = Laboratory({"train.py": TASK})
        self.standin = StandIn(script, faults=faults, clock=self.clock)
        self.settings = settings

    def __enter__(self) -> Bench:
        self.standin.__enter__()
        self.agent = make_agent(self.standin, book=self.booked.append, clock=self.clock, **self.settings)
        return self

    def __exit__(self, *error: Any) -> None:
        self.standin.__exit__(*error)

    def propose(self, *, dollars_limit: float = inf) -> Proposal | Abandoned:
        return self.agent.propose(self.laboratory.request(dollars_limit=dollars_limit))

    @property
    def billed(self) -> float:
        """Dollars by the stand-in's own journal."""
        return sum(dollars(usage_of(e.usage), model=e.request["model"], overrides={}) for e in self.standin.answered)


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
    with Bench() as bench:
        proposal = bench.propose()

    assert isinstance(proposal, Proposal)
    assert proposal.base == bench.laboratory.incumbent
    assert proposal.files["train.py"] == TASK.replace("EMBEDDING_LR = 0.3 ", "EMBEDDING_LR = 0.45 ")
    assert proposal.title == "optimizer: set EMBEDDING_LR to 0.45"
    assert proposal.hypothesis.startswith("EMBEDDING_LR at 0.3")
    assert proposal.agent == "claude/claude-opus-5-5"
    assert proposal.cost.dollars == pytest.approx(bench.billed)
    assert proposal.cost.calls == len(bench.standin.answered)


def test_every_call_is_booked_before_it_starts_and_before_its_reply_is_used() -> None:
    events: list[str] = []
    with Bench() as bench:
        bench.agent = make_agent(
            bench.standin,
            book=lambda r: events.append("begun" if r.outcome == "begun" else "ended"),
            clock=bench.clock,
        )
        script = bench.standin.researcher

        def told(request: Mapping[str, Any]) -> Turn:
            events.append("asked")
            return script(request)

        bench.standin.researcher = told
        bench.propose()

    assert events == ["begun", "asked", "ended"] * (len(events) // 3)
    assert len(events) >= 9


def test_a_reservation_is_never_less_than_what_the_call_costs() -> None:
    with Bench() as bench:
        bench.propose()

    ended = {r.id: r for r in bench.booked if r.outcome != "begun"}
    begun = {r.id: r for r in bench.booked if r.outcome == "begun"}
    assert begun.keys() == ended.keys()
    assert all(begun[id].dollars >= ended[id].dollars for id in begun)


def test_reservations_grow_with_what_the_model_has_said() -> None:
    def talkative(_: Mapping[str, Any]) -> Turn:
        turn = call(("check", {}), thought="hm " * 6000)
        return Turn(content=turn.content, stop_reason=turn.stop_reason)

    with Bench(talkative, calls_per_proposal=6) as bench:
        bench.propose()

    begun = [r.dollars for r in bench.booked if r.outcome == "begun"]
    inputs = [usage_of(e.usage) for e in bench.standin.journal]
    dearest = [
        most_expensive(input_tokens=u.context - u.output, max_tokens=16_000, model="claude-opus-5-5", overrides={})
        for u in inputs
    ]
    assert all(reserved >= worst for reserved, worst in zip(begun, dearest, strict=True))


def test_a_book_that_fails_ends_the_proposal_before_the_reply_is_used() -> None:
    def failing(record: CallRecord) -> None:
        if record.outcome != "begun":
            raise OSError("disk full")

    with Bench() as bench:
        bench.agent = make_agent(bench.standin, book=failing, clock=bench.clock)

        with pytest.raises(OSError, match="disk full"):
            bench.propose()

        assert len(bench.standin.journal) == 1


def test_the_transcript_holds_the_whole_exchange() -> None:
    with Bench() as bench:
        proposal = bench.propose()

    assert isinstance(proposal, Proposal)
    lines = [json.loads(line) for line in proposal.transcript.splitlines()]
    events = [line["event"] for line in lines]
    assert events[0] == "opening"
    assert events[-1] == "submitted"
    assert lines[0]["messages"] == bench.standin.journal[0].request["messages"]
    answers = [line["content"] for line in lines if line["event"] == "answer"]
    assert answers == [e.message["content"] for e in bench.standin.journal]


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
    with Bench(faults=[None] * place + [fault]) as bench:
        proposal = bench.propose()

    assert isinstance(proposal, Proposal), proposal
    assert proposal.files["train.py"] == TASK.replace("EMBEDDING_LR = 0.3 ", "EMBEDDING_LR = 0.45 ")
    assert len({r.id for r in bench.booked}) == len(bench.standin.journal)
    assert not [e.refusal for e in bench.standin.journal if e.refusal and e.fault is None]


@pytest.mark.parametrize("fault", [Fault.CUT_IN_TOOL, Fault.ERROR_EVENT, Fault.DROPPED, Fault.STALL], ids=str)
def test_a_reply_that_broke_off_is_booked_with_what_was_told_of_it(fault: Fault) -> None:
    with Bench(faults=[fault]) as bench:
        bench.propose()

    broken = next(r for r in bench.booked if r.outcome != "begun")
    assert broken.usage.cache_write_5m == bench.standin.journal[0].usage["cache_creation_input_tokens"]
    assert broken.usage.output > 0
    assert broken.dollars > 0


@pytest.mark.parametrize("fault", [Fault.REFUSED_CONNECTION, Fault.DISORDER], ids=str)
def test_a_question_whose_answer_never_came_is_booked_with_its_input(fault: Fault) -> None:
    with Bench(faults=[fault]) as bench:
        bench.propose()

    lost = next(r for r in bench.booked if r.outcome != "begun")
    assert lost.usage.input > 1000
    assert lost.dollars > 0
    assert lost.raw["estimated"] is True


def test_a_question_that_was_never_sent_costs_nothing() -> None:
    with Bench(seconds_per_proposal=30) as bench:
        pass
    abandoned = bench.propose()

    assert isinstance(abandoned, Abandoned)
    assert "unreachable" in abandoned.reason
    assert abandoned.cost.dollars == 0
    assert abandoned.cost.calls > 1


def test_a_tool_whose_input_broke_off_is_not_carried_out() -> None:
    script = in_turn(call(("replace", EDIT)), call(("replace", EDIT)), call(("submit", SUBMISSION)))
    with Bench(script, faults=[Fault.CUT_IN_TOOL]) as bench:
        proposal = bench.propose()

    assert isinstance(proposal, Proposal)
    assert proposal.files["train.py"] == TASK.replace("EMBEDDING_LR = 0.3 ", "EMBEDDING_LR = 0.5 ")


def test_nothing_is_submitted_beside_an_edit_that_failed() -> None:
    missing = {**EDIT, "old": "NO_SUCH_LINE = 1"}
    script = in_turn(
        call(("replace", EDIT), ("replace", missing), ("submit", SUBMISSION)),
        call(("replace", {**EDIT, "old": "ADAM_BETA1 = 0.8 ", "new": "ADAM_BETA1 = 0.9 "}), ("submit", SUBMISSION)),
    )
    with Bench(script) as bench:
        proposal = bench.propose()
        results = last_results(bench.standin)

    assert isinstance(proposal, Proposal)
    assert "ADAM_BETA1 = 0.9 " in proposal.files["train.py"]
    assert [r.get("is_error", False) for r in results] == [False, True, True]
    assert "not submitted" in results[2]["content"]


def test_many_calls_in_one_reply_are_all_answered_and_few_carried_out() -> None:
    many = call(*[("check", {})] * 30)
    with Bench(in_turn(many, call(("replace", EDIT), ("submit", SUBMISSION)))) as bench:
        proposal = bench.propose()
        results = last_results(bench.standin)

    assert isinstance(proposal, Proposal)
    assert len(results) == 30
    assert sum(r.get("is_error", False) for r in results) == 20


def test_a_tool_reply_without_any_tool_is_answered_with_words() -> None:
    odd = Turn(content=[{"type": "text", "text": "Hm."}], stop_reason="tool_use")
    with Bench(in_turn(odd, call(("replace", EDIT), ("submit", SUBMISSION)))) as bench:
        assert isinstance(bench.propose(), Proposal)

    assert not [e.refusal for e in bench.standin.journal if e.refusal]


def test_a_stream_that_breaks_off_again_and_again_is_given_up_with_its_cost() -> None:
    with Bench(faults=[Fault.CUT_STREAM] * 10) as bench:
        abandoned = bench.propose()

    assert isinstance(abandoned, Abandoned)
    assert "broke off 4 times" in abandoned.reason
    assert abandoned.cost.dollars > 0
    assert len(bench.standin.journal) == 4


FOR_GOOD = {
    Fault.AUTHENTICATION: "ANTHROPIC_API_KEY",
    Fault.BILLING: "add credit",
    Fault.PERMISSION: "permissions",
    Fault.SPEND_LIMIT: "spend limit",
}


@pytest.mark.parametrize(("fault", "advice"), FOR_GOOD.items(), ids=map(str, FOR_GOOD))
def test_what_only_a_human_can_mend_stops_at_once_with_advice(fault: Fault, advice: str) -> None:
    with Bench(faults=[fault]) as bench, pytest.raises(AgentError, match=advice) as caught:
        bench.propose()

    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert bench.clock.waits == []
    assert [r.outcome == "begun" for r in bench.booked] == [True, False]
    assert total(bench.booked).dollars == 0


def test_a_rate_limit_waits_as_long_as_it_is_told() -> None:
    with Bench(faults=[Fault.RATE_LIMIT]) as bench:
        bench.propose()

    assert len(bench.clock.waits) == 1
    assert 2.0 <= bench.clock.waits[0] <= 2.2


def test_a_rate_limit_for_a_day_is_capped_and_hands_the_slot_back() -> None:
    with Bench(faults=[Fault.RATE_LIMIT_FOR_A_DAY] * 9, seconds_per_proposal=900, fallback="none") as bench:
        abandoned = bench.propose()

    assert isinstance(abandoned, Abandoned)
    assert max(bench.clock.waits) <= 330
    assert sum(bench.clock.waits) < 900
    assert 0 < abandoned.retry_after <= 330


def test_overload_backs_off_further_each_time() -> None:
    with Bench(faults=[Fault.OVERLOADED] * 6, fallback="none") as bench:
        assert isinstance(bench.propose(), Proposal)

    bounds = [2, 4, 8, 16, 32, 60]
    assert len(bench.clock.waits) == 6
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(bench.clock.waits, bounds, strict=True))


def test_where_another_stands_in_a_conversation_waits_a_minute_and_not_a_quarter_of_an_hour() -> None:
    with Bench(faults=[None, *[Fault.OVERLOADED] * 20]) as bench:
        overloaded = bench.propose()
    with Bench(faults=[Fault.RATE_LIMIT_FOR_A_DAY]) as bench:
        limited = bench.propose()
        waited = list(bench.clock.waits)

    assert isinstance(overloaded, Abandoned)
    assert isinstance(limited, Abandoned)
    assert "another stands in" in overloaded.reason
    assert 0 < overloaded.retry_after <= 60
    assert limited.retry_after >= 300
    assert waited == []


def test_a_refusal_is_abandoned_with_its_category_and_rests_longer_each_time() -> None:
    with Bench(faults=[Fault.REFUSAL] * 3) as bench:
        ended = [bench.propose() for _ in range(4)]

    refused = [e for e in ended if isinstance(e, Abandoned)]
    assert [e.retry_after for e in refused] == [30, 60, 120]
    assert "frontier_llm" in refused[0].reason
    assert all(e.cost.dollars > 0 for e in refused)
    assert isinstance(ended[3], Proposal)


def test_a_context_that_overflows_makes_the_next_prompt_shorter() -> None:
    with Bench(faults=[Fault.CONTEXT_EXCEEDED]) as bench:
        abandoned = bench.propose()
        again = bench.propose()

    assert isinstance(abandoned, Abandoned)
    assert "context" in abandoned.reason
    assert isinstance(again, Proposal)


def test_three_replies_without_a_submission_end_the_proposal() -> None:
    with Bench(lambda _: say("I would rather not.")) as bench:
        abandoned = bench.propose()

    assert isinstance(abandoned, Abandoned)
    assert len(bench.standin.journal) == 3
    assert abandoned.cost.dollars == pytest.approx(bench.billed)


def test_three_malformed_submissions_end_the_proposal() -> None:
    with Bench(lambda _: call(("submit", {"title": "x"}))) as bench:
        abandoned = bench.propose()

    assert isinstance(abandoned, Abandoned)
    assert len(bench.standin.journal) == 3


def test_a_researcher_that_never_submits_is_stopped_by_the_number_of_calls() -> None:
    with Bench(lambda _: call(("check", {})), calls_per_proposal=5) as bench:
        abandoned = bench.propose()

    assert isinstance(abandoned, Abandoned)
    assert "5 calls" in abandoned.reason
    assert len(bench.standin.journal) == 5
    assert "1 more" in str(bench.standin.journal[-1].request["messages"][-1])


def test_a_proposal_that_takes_too_long_is_given_up() -> None:
    with Bench() as bench:
        script = bench.standin.researcher

        def slow(request: Mapping[str, Any]) -> Turn:
            bench.clock.now += 400
            return script(request)

        bench.standin.researcher = slow
        abandoned = bench.propose()

    assert isinstance(abandoned, Abandoned)
    assert "900 seconds" in abandoned.reason
    assert abandoned.cost.dollars > 0


def test_no_call_is_started_that_could_cross_the_budget() -> None:
    with Bench() as bench:
        abandoned = bench.propose(dollars_limit=0.01)

    assert isinstance(abandoned, Abandoned)
    assert abandoned.exhausted
    assert bench.standin.journal == []
    assert bench.booked == []


def test_a_budget_that_ends_within_a_proposal_is_not_crossed() -> None:
    left = 0.5
    with Bench(lambda _: call(("check", {})), calls_per_proposal=200) as bench:
        abandoned = bench.propose(dollars_limit=left)

    assert isinstance(abandoned, Abandoned)
    assert "dollar budget" in abandoned.reason
    assert not abandoned.exhausted
    assert 0 < bench.billed <= left
    assert abandoned.cost.dollars == pytest.approx(bench.billed)


def test_an_unknown_model_is_refused_before_anything_is_sent() -> None:
    with Bench() as bench, pytest.raises(SettingsError, match="price is not known"):
        make_agent(bench.standin, book=bench.booked.append, clock=bench.clock, model="claude-unknown-9")


def test_a_retired_model_is_refused_with_one_sentence() -> None:
    with Bench(model="claude-opus-4-5") as bench, pytest.raises(AgentError, match="claude-opus-4-5 is retired"):
        bench.agent.check()


def test_a_model_that_retires_soon_is_warned_about_and_used() -> None:
    with Bench(model="claude-opus-4-8") as bench:
        bench.clock.now = 1_795_000_000.0  # 18 November 2026
        warnings = bench.agent.check()
        proposal = bench.propose()

    assert warnings == ["the model claude-opus-4-8 retires on 2026-12-10: choose another soon"]
    assert isinstance(proposal, Proposal)


def test_a_model_without_effort_is_asked_without_it() -> None:
    with Bench(model="claude-haiku-5-5") as bench:
        assert isinstance(bench.propose(), Proposal)

    assert all("output_config" not in e.request for e in bench.standin.journal)


def test_a_way_of_thinking_that_the_model_refuses_is_an_error_with_advice() -> None:
    with Bench(thinking="disabled") as bench, pytest.raises(AgentError, match=r"thinking to adaptive"):
        bench.propose()


def test_a_gateway_that_neither_counts_nor_knows_models_is_enough() -> None:
    bench = Bench()
    bench.standin.has_models = bench.standin.has_counting = False
    with bench:
        assert isinstance(bench.propose(), Proposal)

    assert bench.standin.counted == 0


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
        request = Laboratory({"train.py": TASK}).request()
        thread = threading.Thread(target=lambda: ended.append(agent.propose(request)))
        thread.start()
        assert asked.wait(20)
        begun = time.monotonic()
        agent.stop()
        thread.join(10)
        seconds = time.monotonic() - begun

    assert [e.reason for e in ended if isinstance(e, Abandoned)] == ["the campaign is stopping"]
    assert seconds < 2


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

    class Watching(Clock):
        def wait(self, seconds: float) -> bool:
            seen.append(bench.agent.waiting)
            return super().wait(seconds)

    with Bench(faults=[fault]) as bench:
        bench.agent = make_agent(bench.standin, book=bench.booked.append, clock=Watching())
        proposal = bench.propose()

    assert isinstance(proposal, Proposal)
    assert [[waiting.reason for waiting in moment] for moment in seen] == [[reason]]
    assert "asking again in" in seen[0][0].text
    assert bench.agent.waiting == ()


def test_a_stop_ends_a_wait_of_a_day_at_once() -> None:
    with StandIn(faults=[Fault.RATE_LIMIT_FOR_A_DAY] * 100) as standin:
        booked: list[CallRecord] = []
        agent = ClaudeAgent(
            ClaudeSettings(base_url=standin.url, fallback="none"),
            key=SecretStr(KEY),
            book=booked.append,
            needs_load_model=True,
        )
        request = Laboratory({"train.py": TASK}).request()
        ended: list[Proposal | Abandoned] = []
        thread = threading.Thread(target=lambda: ended.append(agent.propose(request)))
        thread.start()
        deadline = time.monotonic() + 20
        while not agent.waiting and time.monotonic() < deadline:
            thread.join(0.01)
        assert agent.waiting[0].reason is WaitReason.RATE_LIMIT
        assert "rate_limit_error" in agent.waiting[0].text
        agent.stop()
        thread.join(5)

    assert [e.reason for e in ended if isinstance(e, Abandoned)] == ["the campaign is stopping"]
    assert agent.waiting == ()
