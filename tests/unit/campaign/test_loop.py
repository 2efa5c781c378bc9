"""The loop on a real lab: what a campaign leaves behind, whatever its experiments do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Barrier, Event

import pytest

from controller.campaign.proposals import TWIN
from controller.domain import (
    BASELINE,
    ExamReport,
    Experiment,
    LostTo,
    Outcome,
    Proposal,
    Result,
    TryRequest,
    Verdict,
    Witness,
)
from controller.errors import AgentError
from controller.lab import Lab
from controller.notices import Activity, Admitted, Concluded, Notice, Refused, Troubled
from controller.planning.actions import Stop
from controller.ports import Abandoned, ProposalRequest
from tests.support.scripted import TRAIN, InstantExecutor, NumberAgent, campaign, kept, scored, settings
from tests.support.waiting import PATIENCE_S


def noisy(request: TryRequest) -> Result:
    """Baseline near 2.0, experiment n better by n tenths; seeds add a little noise."""
    jitter = (request.seed % 1000) / 1e5
    return scored(2.0 - request.id.experiment / 10 + jitter)


ONE_BY_ONE = "agent.max_in_flight=1"
"""For agents that count their questions: otherwise two may be asked at once, and each counts both."""


def run(folder: Path, executor: InstantExecutor, *overrides: str, agent: NumberAgent | None = None) -> Stop:
    return campaign(folder, executor, agent=agent, chosen=settings(*overrides)).run()


def test_campaign_ends_by_its_budget_with_every_experiment_judged(tmp_path: Path) -> None:
    ended = run(tmp_path, InstantExecutor(noisy))

    experiments = Lab.open(tmp_path / "lab.git").experiments("t")
    assert ended.reason == "6 experiments (budget)"
    assert [e.number for e in experiments] == list(range(7))
    assert all(e.judgement for e in experiments)
    assert len(experiments[BASELINE].scores) == 3


def test_branch_holds_the_kept_commits_with_hypothesis_and_scores(tmp_path: Path) -> None:
    run(tmp_path, InstantExecutor(noisy))

    lab = Lab.open(tmp_path / "lab.git")
    winners = kept(lab.experiments("t"))
    assert winners
    head = winners[-1].judgement
    assert head is not None
    assert lab.incumbent("t") == head.kept_as
    message = lab.message(head.kept_as)
    assert winners[-1].title in message
    assert winners[-1].hypothesis in message
    told = re.search(r"^val_bpb ([\d. ]+)\(n=", message, re.MULTILINE)
    assert told is not None
    assert [float(word) for word in told[1].split()] == pytest.approx(winners[-1].scores, abs=1e-3)


def test_worse_experiments_are_discarded_and_stay_in_the_lab(tmp_path: Path) -> None:
    worse = InstantExecutor(lambda r: scored(2.0 + r.id.experiment + (r.seed % 1000) / 1e5))

    run(tmp_path, worse)

    lab = Lab.open(tmp_path / "lab.git")
    experiments = lab.experiments("t")
    assert {e.judgement.verdict for e in experiments[1:] if e.judgement} == {Verdict.DISCARD}
    assert lab.incumbent("t") == experiments[BASELINE].commit
    assert "+K" in lab.diff(experiments[3])


def test_crash_is_a_verdict_with_the_reason(tmp_path: Path) -> None:
    def crashing(request: TryRequest) -> Result:
        if request.id.experiment == 2:
            return Result(outcome=Outcome.CRASHED, reason="ZeroDivisionError: division by zero", log_tail="boom")
        return noisy(request)

    run(tmp_path, InstantExecutor(crashing))

    lab = Lab.open(tmp_path / "lab.git")
    second = lab.experiments("t")[2]
    assert second.judgement is not None
    assert (second.judgement.verdict, second.judgement.reason) == (
        Verdict.CRASH,
        "ZeroDivisionError: division by zero",
    )
    assert lab.attachment("t", "000002/a1-t1.log") == b"boom"


def test_lost_try_is_run_again_with_the_same_seed_and_fresh_name(tmp_path: Path) -> None:
    def losing(request: TryRequest) -> Result:
        if request.id.experiment == 1 and request.id.number == 1:
            return Result(outcome=Outcome.LOST, reason="node drained", seconds=7.0)
        return noisy(request)

    executor = InstantExecutor(losing)
    run(tmp_path, executor, "budget.experiments=1")

    first = Lab.open(tmp_path / "lab.git").experiments("t")[1]
    tries = [r for r in executor.launched if r.id.experiment == 1 and r.id.attempt == 1]
    assert [r.id.number for r in tries] == [1, 2]
    assert tries[0].seed == tries[1].seed
    assert [t.lost for t in first.attempts[0].tries] == ["node drained", ""]
    assert first.attempts[0].seconds == 27.0


def test_attempt_lost_too_often_is_never_counted_as_a_crash(tmp_path: Path) -> None:
    gone = Result(outcome=Outcome.LOST, reason="node lost")
    executor = InstantExecutor(lambda r: gone if r.id.experiment == 1 else noisy(r))

    run(tmp_path, executor, "budget.experiments=1", "executor.max_tries=2")

    judgement = Lab.open(tmp_path / "lab.git").experiments("t")[1].judgement
    assert judgement is not None
    assert (judgement.verdict, judgement.reason) == (Verdict.DISCARD, "never judged: node lost")


BUSY = Witness(waited=0.5, taken=0.5)
CALM = Witness(waited=0.02, taken=0.01)


def test_disturbed_attempt_is_run_again_twice_then_counts_and_says_so(tmp_path: Path) -> None:
    def beside_a_neighbour(request: TryRequest) -> Result:
        if request.id.experiment == BASELINE:
            return replace(noisy(request), witness=CALM)
        if not request.counts:
            return Result(outcome=Outcome.LOST, lost_to=LostTo.DISTURBED, reason="other programs", seconds=1.0)
        return replace(noisy(request), witness=BUSY)

    executor = InstantExecutor(beside_a_neighbour)
    run(tmp_path, executor, "budget.experiments=2", "executor.max_tries=1")

    experiments = Lab.open(tmp_path / "lab.git").experiments("t")
    first, later = experiments[1].attempts[0], [a for e in experiments[1:] for a in e.attempts][1:]
    assert [t.lost_to for t in first.tries] == [LostTo.DISTURBED, LostTo.DISTURBED, None]
    assert first.result is not None
    assert first.result.disturbed.startswith("other programs took 50% of the CPUs")
    assert later
    assert [len(a.tries) for a in later] == [1] * len(later), "on a machine that stays busy nothing is run again"


def test_baseline_that_a_busy_machine_makes_late_is_run_again(tmp_path: Path) -> None:
    def late_at_first(request: TryRequest) -> Result:
        if request.id.experiment == BASELINE and request.id.attempt == 1 and not request.late_counts:
            assert request.counts, "a score of the baseline says what is normal here"
            return Result(outcome=Outcome.LOST, lost_to=LostTo.DISTURBED, reason="other programs", seconds=1.0)
        return replace(noisy(request), witness=CALM)

    stop = run(tmp_path, InstantExecutor(late_at_first), "budget.experiments=1", "executor.max_tries=1")

    baseline = Lab.open(tmp_path / "lab.git").experiments("t")[BASELINE]
    assert not stop.failed
    assert [t.lost_to for t in baseline.attempts[0].tries] == [LostTo.DISTURBED, LostTo.DISTURBED, None]


def test_campaign_that_a_busy_machine_never_lets_begin_says_so(tmp_path: Path) -> None:
    late = Result(outcome=Outcome.TIMED_OUT, reason="train overran its budget of 20 s", seconds=20.0, witness=BUSY)

    stop = run(tmp_path, InstantExecutor(lambda _: late), "budget.experiments=1")

    assert stop.failed
    assert "overran its budget of 20 s; other programs took 50% of the CPUs while it trained, and it" in stop.reason


def test_burst_costs_the_tries_that_it_hit_and_no_more(tmp_path: Path) -> None:
    def with_a_burst(request: TryRequest) -> Result:
        disturbed = request.id.experiment == 2 and request.id.attempt == 1 and request.id.number <= 2
        if disturbed and not request.counts:
            return Result(outcome=Outcome.LOST, lost_to=LostTo.DISTURBED, reason="other programs", seconds=1.0)
        return replace(noisy(request), witness=BUSY if disturbed else CALM)

    run(tmp_path, InstantExecutor(with_a_burst), "budget.experiments=3")

    experiments = Lab.open(tmp_path / "lab.git").experiments("t")
    tries = {(e.number, a.number): len(a.tries) for e in experiments for a in e.attempts}
    assert tries.pop((2, 1)) == 3
    assert set(tries.values()) == {1}
    assert not any(a.result.disturbed for e in experiments for a in e.attempts if a.result)


def test_one_hit_asks_for_fresh_cuts_and_two_reject(tmp_path: Path) -> None:
    def hit(request: TryRequest) -> Result:
        exam = ExamReport(raw=1.0, hits=1, inflation=0.0, probes=512)
        return scored(1.0, exam=exam) if request.id.experiment == 1 else noisy(request)

    executor = InstantExecutor(hit)
    run(tmp_path, executor, "budget.experiments=1")

    first = Lab.open(tmp_path / "lab.git").experiments("t")[1]
    assert len(first.attempts) == 2
    assert first.judgement is not None
    assert first.judgement.verdict is Verdict.REJECT


def test_baseline_that_crashes_stops_the_campaign_and_says_why(tmp_path: Path) -> None:
    broken = InstantExecutor(lambda _: Result(outcome=Outcome.CRASHED, reason="no such file: data"))

    ended = run(tmp_path, broken)

    assert ended.failed
    assert "no such file: data" in ended.reason
    assert len(broken.launched) == 1


def test_agent_with_nothing_left_ends_the_campaign(tmp_path: Path) -> None:
    ended = run(tmp_path, InstantExecutor(noisy), ONE_BY_ONE, agent=NumberAgent(proposals=2))

    assert ended.reason == "the agent has nothing left to propose"
    assert len(Lab.open(tmp_path / "lab.git").experiments("t")) == 3


def test_second_run_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    run(tmp_path, InstantExecutor(noisy), "budget.experiments=2")
    again = InstantExecutor(noisy)

    ended = run(tmp_path, again, "budget.experiments=4")

    assert ended.reason == "4 experiments (budget)"
    assert {r.id.experiment for r in again.launched} == {3, 4}


def test_everything_recorded_is_released_for_cleaning_up(tmp_path: Path) -> None:
    executor = InstantExecutor(noisy)

    run(tmp_path, executor)

    assert sorted(executor.cleaned) == sorted(r.id for r in executor.launched)


@pytest.mark.parametrize("slots", [2, 5])
def test_edit_measured_on_an_old_incumbent_is_tried_again_on_the_new_one(tmp_path: Path, slots: int) -> None:
    ended = run(tmp_path, InstantExecutor(noisy), f"executor.slots={slots}", "budget.experiments=10")

    lab = Lab.open(tmp_path / "lab.git")
    experiments = lab.experiments("t")
    assert not ended.failed
    assert all(e.judgement for e in experiments)
    line = [experiments[BASELINE].commit, *(e.judgement.kept_as for e in kept(experiments) if e.judgement)]
    assert [followed(e) for e in kept(experiments)] == line[:-1]


def followed(experiment: Experiment) -> str:
    """The incumbent that a kept experiment followed."""
    assert experiment.judgement is not None
    return experiment.judgement.onto or experiment.base


def test_proposals_are_refused_before_anything_runs(tmp_path: Path) -> None:
    class Stubborn(NumberAgent):
        def propose(self, request):  # type: ignore[no-untyped-def]  # same signature
            answer = super().propose(request)
            return type(answer)(**{f: getattr(answer, f) for f in answer.__slots__} | {"files": request.files})

    executor = InstantExecutor(noisy)
    ended = run(tmp_path, executor, agent=Stubborn())

    assert ended.reason == "the agent has nothing left to propose"
    assert {r.id.experiment for r in executor.launched} == {BASELINE}


@dataclass
class Unpaid(NumberAgent):
    """The third question and the four after it are refused, as long as nobody pays."""

    refusals: int = 5
    said: list[Notice] = field(default_factory=list)

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        answer = super().propose(request)
        if 3 <= len(self.asked) < 3 + self.refusals:
            raise AgentError("the account cannot pay: add credit")
        return answer


def test_agent_that_only_a_human_can_help_pauses_the_campaign_which_goes_on_afterwards(tmp_path: Path) -> None:
    agent = Unpaid()
    told: list[Activity] = []

    def observe(notice: Notice) -> None:
        agent.said.append(notice)
        told.append(ran.activity())

    ran = campaign(tmp_path, InstantExecutor(noisy), agent=agent, chosen=settings(ONE_BY_ONE), observe=observe)
    ended = ran.run()

    experiments = Lab.open(tmp_path / "lab.git").experiments("t")
    troubles = [notice.reason for notice in agent.said if isinstance(notice, Troubled)]
    paused = agent.said.index(Troubled("agent numbers: the account cannot pay: add credit"))
    assert ended == Stop("6 experiments (budget)")
    assert all(e.judgement for e in experiments)
    assert troubles == ["agent numbers: the account cannot pay: add credit", ""]
    assert told[paused].needs == "agent numbers: the account cannot pay: add credit", "for commands that only read"
    assert told[-1].needs == ""
    assert not any(isinstance(notice, Refused) for notice in agent.said), "nobody's proposal was at fault"


def test_what_was_proposed_before_is_run_confirmed_and_judged_while_the_agent_cannot_work(tmp_path: Path) -> None:
    class NeverPaid(NumberAgent):
        def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
            answer = super().propose(request)
            if len(self.asked) == 6:
                ran.stop("seen enough")
            if len(self.asked) > 2:
                raise AgentError("the key was refused")
            return answer

    ran = campaign(tmp_path, InstantExecutor(noisy), agent=NeverPaid(), chosen=settings(ONE_BY_ONE))
    ended = ran.run()

    experiments = Lab.open(tmp_path / "lab.git").experiments("t")
    assert ended == Stop("seen enough")
    assert len(experiments) == 3
    assert all(e.judgement for e in experiments)
    assert len(experiments[1].attempts) > 1, "its rerun went on"


@dataclass
class Alike(NumberAgent):
    """The first four proposals are thought of together and are the same; later ones are new."""

    together: Barrier = field(default_factory=lambda: Barrier(4))

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        first = request.number <= 4
        answer = super().propose(replace(request, number=1) if first else request)
        if first:
            self.together.wait(timeout=PATIENCE_S)
        return answer


def test_same_idea_thought_of_at_the_same_time_costs_no_run_and_is_nobodys_fault(tmp_path: Path) -> None:
    executor, said = InstantExecutor(noisy), list[Notice]()
    chosen = settings("executor.slots=4", "agent.max_in_flight=4")

    ended = campaign(tmp_path, executor, agent=Alike(), chosen=chosen, observe=said.append).run()

    assert ended == Stop("6 experiments (budget)")
    assert [notice.reason for notice in said if isinstance(notice, Refused)] == [TWIN] * 3
    assert len([notice for notice in said if isinstance(notice, Admitted)]) >= 6
    firsts = [r.files["train.py"] for r in executor.launched if r.id.experiment and r.id.attempt == 1]
    assert len(set(firsts)) == len(firsts)


@pytest.mark.parametrize("fault", [ZeroDivisionError("a fault of ours"), RecursionError(), OSError("disk full")])
def test_fault_in_an_agents_thread_pauses_the_campaign_and_is_told_with_its_place(
    tmp_path: Path, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(NumberAgent):
        def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
            answer = super().propose(request)
            if 2 <= len(self.asked) < 5:
                raise fault
            return answer

    said: list[Notice] = []
    chosen = settings(ONE_BY_ONE)
    ended = campaign(tmp_path, InstantExecutor(noisy), agent=Broken(), chosen=chosen, observe=said.append).run()

    experiments = Lab.open(tmp_path / "lab.git").experiments("t")
    troubles = [notice.reason for notice in said if isinstance(notice, Troubled)]
    assert ended == Stop("6 experiments (budget)")
    assert all(e.judgement for e in experiments)
    assert troubles[-1] == ""
    assert type(fault).__name__ in troubles[0]
    assert "test_loop.py" in troubles[0]
    assert "Traceback" in caplog.text


def test_what_ends_the_program_is_not_held_up_by_an_agents_thread(tmp_path: Path) -> None:
    class Exiting(NumberAgent):
        def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        campaign(tmp_path, InstantExecutor(noisy), agent=Exiting()).run()


@dataclass
class Short(NumberAgent):
    """Cannot pay a call while less than so many dollars are free for all of them."""

    needs: float = 0.0

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        if request.dollars_limit() < self.needs:
            self.asked.append(request)
            return Abandoned(reason="the next call could cross the dollar budget", short_of_money=True)
        return super().propose(request)


def test_agent_that_cannot_pay_a_call_ends_the_campaign_when_nothing_gives_money_back(tmp_path: Path) -> None:
    chosen = settings("budget.dollars=5", "budget.experiments=null")
    agent = Short(needs=10.0)

    ended = campaign(tmp_path, InstantExecutor(noisy), agent=agent, chosen=chosen).run()

    assert ended == Stop("the budget's dollars have no room for another call of the model")
    assert len(agent.asked) < 10


@dataclass
class Overlapping(NumberAgent):
    """The first sets K1 and K2; the second, which comes when that was kept, only K1, and was asked on the baseline."""

    kept: Event = field(default_factory=Event)

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        answer = super().propose(request)
        if request.number > 2:
            return Abandoned(reason="no more", exhausted=self.kept.wait(timeout=PATIENCE_S))
        assert isinstance(answer, Proposal)
        text = request.files["train.py"].replace("K1 = 0", "K1 = 5")
        if request.number == 1:
            return replace(answer, files={"train.py": text.replace("K2 = 0", "K2 = 5")})
        assert self.kept.wait(timeout=PATIENCE_S)
        return replace(answer, files={"train.py": text})

    def observe(self, notice: Notice) -> None:
        if isinstance(notice, Concluded) and notice.experiment.number == 1:
            self.kept.set()


def test_edit_that_the_incumbent_has_already_is_not_run(tmp_path: Path) -> None:
    agent, executor = Overlapping(), InstantExecutor(noisy)

    campaign(tmp_path, executor, agent=agent, chosen=settings("executor.slots=2"), observe=agent.observe).run()

    first, second = Lab.open(tmp_path / "lab.git").experiments("t")[1:]
    assert first.judgement is not None
    assert first.judgement.verdict is Verdict.KEEP
    assert second.judgement is not None
    assert "a program that was tried already" in second.judgement.reason
    assert {request.id.experiment for request in executor.launched} == {BASELINE, 1}


def test_trouble_that_only_changes_its_words_is_told_once(tmp_path: Path) -> None:
    class Refused(InstantExecutor):
        """A cluster that refuses pods in ever new words."""

        looks = 0

        def trouble(self) -> str:
            self.looks += 1
            return f"the cluster refuses the pod x-{self.looks}" if self.looks < 40 else ""

    said = list[Notice]()

    campaign(tmp_path, Refused(noisy), observe=said.append).run()

    assert [type(notice) for notice in said if isinstance(notice, Troubled)] == [Troubled, Troubled]


def test_what_one_proposal_wants_remembered_the_next_ones_are_told_also_after_a_restart(tmp_path: Path) -> None:
    class Remembering(NumberAgent):
        def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
            answer = super().propose(request)
            return replace(answer, notes=f"{request.notes}{len(self.asked)}") if len(self.asked) <= 2 else answer

    first = Remembering()
    campaign(tmp_path, InstantExecutor(noisy), agent=first, chosen=settings(ONE_BY_ONE)).run()
    later = NumberAgent(name="later")
    campaign(tmp_path, InstantExecutor(noisy), agent=later, chosen=settings("budget.experiments=8")).run()

    told = Lab.open(tmp_path / "lab.git").attachment("t", "notes.txt")
    assert first.asked[0].notes == ""
    assert told == b"12"
    assert {request.notes.encode() for request in later.asked} == {told}


def test_a_better_score_that_breaks_a_guard_is_discarded_and_says_which(tmp_path: Path) -> None:
    def slow(request: TryRequest) -> Result:
        latency = 90.0 if request.id.experiment % 2 else 40.0
        return replace(noisy(request), summary={"latency_ms": latency})

    run(tmp_path, InstantExecutor(slow), "task.guards={latency_ms: {max: 50}}")

    for experiment in Lab.open(tmp_path / "lab.git").experiments("t")[1:]:
        assert experiment.judgement is not None
        broken = experiment.number % 2 == 1
        assert ("breaks the guard latency_ms" in experiment.judgement.reason) == broken
        assert experiment.judgement.verdict is (Verdict.DISCARD if broken else Verdict.KEEP)


def test_a_model_that_searches_for_every_answer_is_discarded_once_a_second_run_says_so(tmp_path: Path) -> None:
    def searches(request: TryRequest) -> Result:
        edited = request.id.experiment % 2
        slow = edited or (request.id.experiment, request.id.attempt) == (2, 1)  # a neighbour, in one run
        exam = ExamReport(seconds_per_answer=2e-2 if slow else 1e-5)
        return replace(noisy(request), exam=exam)

    run(tmp_path, InstantExecutor(searches))

    for experiment in Lab.open(tmp_path / "lab.git").experiments("t")[1:]:
        assert experiment.judgement is not None
        broken = experiment.number % 2 == 1
        assert ("breaks the guard seconds_per_answer" in experiment.judgement.reason) == broken
        assert experiment.judgement.verdict is (Verdict.DISCARD if broken else Verdict.KEEP)
        assert len(experiment.attempts) >= (2 if broken else 1)


@dataclass
class Apart(NumberAgent):
    """The first two proposals are thought of together and change two constants; later ones change others."""

    together: Barrier = field(default_factory=lambda: Barrier(2))

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        answer = super().propose(request)
        if request.number <= 2:
            self.together.wait(timeout=PATIENCE_S)
        return answer


def test_a_merge_on_which_every_edit_crashes_is_taken_back(tmp_path: Path) -> None:
    """Each of the two edits runs, and both together do not."""

    def outcome(request: TryRequest) -> Result:
        text = request.files["train.py"]
        if "K1 = 1" in text and "K2 = 2" in text:
            return Result(outcome=Outcome.CRASHED, reason="NameError: K")
        gain = 0.3 * ("K1 = 1" in text) + 0.3 * ("K2 = 2" in text)
        return scored(2.0 - gain + (request.seed % 1000) / 1e5)

    chosen = settings("executor.slots=2", "agent.max_in_flight=2", "budget.experiments=16")
    campaign(tmp_path, InstantExecutor(outcome), agent=Apart(), chosen=chosen).run()

    lab = Lab.open(tmp_path / "lab.git")
    experiments = lab.experiments("t")
    text = lab.source(lab.incumbent("t"), "train.py")
    taken = [e for e in experiments if e.undoes is not None][-1]
    assert taken.judgement is not None
    assert "has crashed" in taken.judgement.reason
    assert lab.message(taken.judgement.kept_as).startswith(f"take back {taken.undoes}: K")
    assert ("K1 = 1" in text) != ("K2 = 2" in text), "one of the two is left"
    assert all(e.judgement for e in experiments)
    assert experiments[-1].scores, "edits run again"
    line = [experiments[BASELINE].commit, *(e.judgement.kept_as for e in kept(experiments) if e.judgement)]
    assert [followed(e) for e in kept(experiments)] == line[:-1]


@dataclass
class Returner(NumberAgent):
    """Proposes a number, and from then on the unchanged program again and again."""

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        answer = super().propose(request)
        if len(self.asked) == 1 or isinstance(answer, Abandoned) or request.files["train.py"] == TRAIN:
            return answer
        return replace(answer, files={"train.py": TRAIN}, title="take it all back")


def test_program_that_lost_its_place_to_a_keep_may_be_tried_again_once(tmp_path: Path) -> None:
    refused: list[str] = []

    def note(notice: Notice) -> None:
        if isinstance(notice, Refused):
            refused.append(notice.reason)

    chosen = settings("budget.experiments=6", "agent.max_in_flight=1", "judge.policy=greedy")
    campaign(tmp_path, InstantExecutor(noisy_by_number), agent=Returner(), chosen=chosen, observe=note).run()

    experiments = Lab.open(tmp_path / "lab.git").experiments("t")
    again = [e for e in experiments if e.title == "take it all back" and e.attempts]
    assert [e.fingerprint for e in again] == [experiments[BASELINE].fingerprint]
    assert "this program was already tried: propose another change" in refused


def noisy_by_number(request: TryRequest) -> Result:
    """The first edit is better than the baseline, whatever comes after it is worse."""
    worse = 1.0 if request.id.experiment > 1 else 0.0
    return scored(2.0 - 0.5 * (request.id.experiment == 1) + worse + (request.seed % 1000) / 1e5)
