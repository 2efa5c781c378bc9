"""The loop on a real lab: what a campaign leaves behind, whatever its experiments do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Barrier, Event

import pytest

from controller.actions import Stop
from controller.domain import BASELINE, ExamReport, Outcome, Proposal, Result, TryRequest, Verdict
from controller.errors import AgentError
from controller.lab import Lab
from controller.notices import Admitted, Concluded, Notice, Refused, Troubled
from controller.ports import Abandoned, ProposalRequest
from controller.proposing import TWIN
from tests.scripted import InstantExecutor, NumberAgent, campaign, kept, scored, settings


def noisy(request: TryRequest) -> Result:
    """Baseline near 2.0, experiment n better by n tenths; seeds add a little noise."""
    jitter = (request.seed % 1000) / 1e5
    return scored(2.0 - request.id.experiment / 10 + jitter)


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
    assert f"{winners[-1].scores[0]:.6f}" in message


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
    ended = run(tmp_path, InstantExecutor(noisy), agent=NumberAgent(proposals=2))

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
    assert [e.base for e in kept(experiments)] == line[:-1]


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
    told: list[str] = []

    def observe(notice: Notice) -> None:
        agent.said.append(notice)
        told.append(Lab.open(tmp_path / "lab.git").trouble("t"))

    ended = campaign(tmp_path, InstantExecutor(noisy), agent=agent, observe=observe).run()

    experiments = Lab.open(tmp_path / "lab.git").experiments("t")
    troubles = [notice.reason for notice in agent.said if isinstance(notice, Troubled)]
    paused = agent.said.index(Troubled("agent numbers: the account cannot pay: add credit"))
    assert ended == Stop("6 experiments (budget)")
    assert all(e.judgement for e in experiments)
    assert troubles == ["agent numbers: the account cannot pay: add credit", ""]
    assert told[paused] == "agent numbers: the account cannot pay: add credit", "for commands that only read"
    assert told[-1] == ""
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

    ran = campaign(tmp_path, InstantExecutor(noisy), agent=NeverPaid())
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
            self.together.wait(timeout=20)
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


def test_fault_in_an_agents_thread_ends_the_campaign_with_it(tmp_path: Path) -> None:
    class Broken(NumberAgent):
        def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
            raise ZeroDivisionError("a fault of ours")

    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        campaign(tmp_path, InstantExecutor(noisy), agent=Broken()).run()


@dataclass
class Overlapping(NumberAgent):
    """The first sets K1 and K2; the second, which comes when that was kept, only K1, and was asked on the baseline."""

    kept: Event = field(default_factory=Event)

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        answer = super().propose(request)
        if request.number > 2:
            return Abandoned(reason="no more", exhausted=self.kept.wait(timeout=20))
        assert isinstance(answer, Proposal)
        text = request.files["train.py"].replace("K1 = 0", "K1 = 5")
        if request.number == 1:
            return replace(answer, files={"train.py": text.replace("K2 = 0", "K2 = 5")})
        assert self.kept.wait(timeout=20)
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


def test_trouble_that_only_changes_its_words_is_told_once_and_not_written_without_the_lease(tmp_path: Path) -> None:
    class Refused(InstantExecutor):
        """A cluster that refuses pods in ever new words, and has lost its lease at first."""

        looks = 0

        def trouble(self) -> str:
            self.looks += 1
            return f"the cluster refuses the pod x-{self.looks}" if self.looks < 40 else ""

        def ready(self) -> bool:
            return self.looks > 20

    said, written = list[Notice](), list[str]()

    def turned() -> None:
        written.append(Lab.open(tmp_path / "lab.git").trouble("t"))

    campaign(tmp_path, Refused(noisy), observe=said.append, turned=turned).run()

    assert [type(notice) for notice in said if isinstance(notice, Troubled)] == [Troubled, Troubled]
    assert set(written[:15]) == {""}
    assert "the cluster refuses the pod x-1" in written
    assert written[-1] == ""
