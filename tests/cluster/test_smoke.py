"""Smoke tests as Jobs on a real cluster: what is a crash, what is none, and that nothing is left or waited for in vain.

That one runs in the real exam's training container is tried in test_examined_task.py.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from controller.campaign import Campaign
from controller.domain import Outcome, Proposal, Verdict
from controller.executor.kubernetes import smoke_job, smoke_state
from controller.executor.kubernetes.smoke import REST_SECONDS
from controller.folder import CampaignFolder
from controller.judge import make_judge
from controller.lab import Lab
from controller.lab.writer import LabWriter
from controller.ports import Abandoned, ProposalRequest, SmokeCrash, Untested
from controller.run.wiring import build_executor, build_smoke_test
from controller.settings import Settings
from tests.cluster.executor_task import HELD, SCORES, Running, TaskNamespace, running
from tests.cluster.harness import BuiltCluster, Manifest
from tests.cluster.harness.images import base_image, base_step
from tests.support.scripted import NumberAgent
from tests.support.waiting import PATIENCE_S, wait_until

PREPARATIONS = [base_step()]

FOREVER = "echo begun; sleep 3600"
CRASHES = 'echo "step 1"; echo "Traceback (most recent call last):"; echo "ValueError: heads must divide"; exit 3'
PASSES = """
test "$AUTORESEARCH_SMOKE" = 1 || exit 11
test "$NVIDIA_VISIBLE_DEVICES" = void || exit 12
test -z "$AUTORESEARCH_WITNESS_KEY" || exit 13
echo weights > "$AUTORESEARCH_ARTIFACT/weights"
"""
NOWHERE = {"smoke_node_selector": {"pool": "nonesuch"}}
PATIENT = {"lease_seconds": 3600}
"""For a test that turns the controller's clock on, by which its lease is renewed."""


class Told(list[str]):
    """What the operator was told."""

    def warn(self, line: str) -> None:
        self.append(line)


@contextmanager
def executor_of(
    namespace: TaskNamespace, *, tag: str | None = None, parts: dict[str, Any] | None = None, **overrides: Any
) -> Iterator[tuple[Running, Told]]:
    """An executor of a campaign of its own, and what it tells the operator."""
    told = Told()
    with running(namespace, tag=tag, parts={"warn": told.warn, **(parts or {})}, **overrides) as one:
        yield one, told


def objects(namespace: TaskNamespace, kind: str, tag: str) -> list[Manifest]:
    """Objects of the campaign's smoke tests that nobody has deleted."""
    labels = f"-lcampaign={tag},smoke"
    found = namespace.cluster.get(kind, f"--namespace={namespace.name}", labels)["items"]
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def is_gone(namespace: TaskNamespace, kind: str, tag: str) -> bool:
    """True if there are none of them."""
    return not objects(namespace, kind, tag)


def wait_for_nothing_left(namespace: TaskNamespace, tag: str) -> None:
    """Wait until neither a Job, nor its pod, nor its ConfigMap is left, which the garbage collector deletes."""
    for kind in ("jobs", "pods", "configmaps"):
        wait_until(partial(is_gone, namespace, kind, tag), what=f"the end of all {kind}")


def wait_for_begun(namespace: TaskNamespace, tag: str) -> Manifest:
    """Wait until the only smoke test runs its program; its pod."""

    def begun() -> Manifest | None:
        pods = objects(namespace, "pods", tag)
        states = [
            one["state"] for pod in pods for one in pod["status"].get("containerStatuses", ()) if one["name"] == "train"
        ]
        return pods[0] if any("running" in state for state in states) else None

    return wait_until(begun, what="a smoke test that runs")


@pytest.mark.parametrize("score", ["log", "exam"])
def test_program_that_crashes_comes_back_with_its_error_and_its_log(namespace: TaskNamespace, score: str) -> None:
    with executor_of(namespace, score=score) as (one, told):
        crash = one.executor.smoke({"train.py": CRASHES})

        assert isinstance(crash, SmokeCrash)
        assert "exit code 3: heads must divide" in crash.reason
        assert "step 1" in crash.log
        assert told == []
        wait_for_nothing_left(namespace, one.settings.tag)


@pytest.mark.parametrize("score", ["log", "exam"])
def test_program_that_works_passes_in_a_pod_without_an_accelerator(namespace: TaskNamespace, score: str) -> None:
    with executor_of(namespace, score=score) as (one, told):
        blind = "test -e /data/probes -o -e /data/validation && exit 14" if score == "exam" else ""

        assert one.executor.smoke({"train.py": f"{blind}{PASSES}"}) is None
        assert told == []
        wait_for_nothing_left(namespace, one.settings.tag)


def test_program_that_runs_longer_than_it_may_passes_and_is_ended(
    namespace: TaskNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke_job, "SMOKE_SECONDS", 2.0)
    with executor_of(namespace, score="log") as (one, _):
        assert one.executor.smoke({"train.py": FOREVER}) is None
        wait_for_nothing_left(namespace, one.settings.tag)


def test_program_that_needs_more_memory_than_it_may_passes(namespace: TaskNamespace) -> None:
    with executor_of(namespace, score="log") as (one, _):
        hungry = "x=1; while true; do x=$x$x; done"

        assert one.executor.smoke({"train.py": hungry}) is None


def test_without_a_place_edits_go_on_and_the_operator_is_told_once(
    namespace: TaskNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke_state, "PLACE_SECONDS", 3.0)
    ahead = [0.0]
    parts = {"monotonic": lambda: time.monotonic() + ahead[0]}
    with executor_of(namespace, score="log", kubernetes=NOWHERE | PATIENT, parts=parts) as (one, told):
        began = time.monotonic()
        assert one.executor.smoke({"train.py": CRASHES}) is Untested.UNTESTED
        assert time.monotonic() - began < PATIENCE_S
        # For a while none is tried, so that no proposal waits in vain.
        assert one.executor.smoke({"train.py": CRASHES}) is Untested.UNTESTED
        assert objects(namespace, "jobs", one.settings.tag) == []
        ahead[0] += REST_SECONDS
        with ThreadPoolExecutor(1) as threads:
            again = threads.submit(one.executor.smoke, {"train.py": CRASHES})
            wait_until(lambda: objects(namespace, "jobs", one.settings.tag), what="the next smoke test")
            assert again.result(PATIENCE_S) is Untested.UNTESTED

        [line] = told
        assert "no place within 3 s" in line
        assert "executor.kubernetes.smoke_node_selector" in line
        wait_for_nothing_left(namespace, one.settings.tag)


def test_image_that_cannot_be_had_is_no_crash(namespace: TaskNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke_state, "TROUBLE_SECONDS", 2.0)
    with executor_of(namespace, score="log", kubernetes={"image": "localhost/nonesuch:1"}) as (one, told):
        assert one.executor.smoke({"train.py": CRASHES}) is Untested.UNTESTED
        assert ["localhost/nonesuch:1 cannot be had" in line for line in told] == [True]
        assert one.executor.trouble() == "", "an attempt will tell, if it meets it too"


def test_program_that_the_image_lacks_is_no_crash(namespace: TaskNamespace) -> None:
    with executor_of(namespace, score="log", task={"command": ["nonesuch"]}) as (one, told):
        assert one.executor.smoke({"train.py": CRASHES}) is Untested.UNTESTED
        assert len(told) == 1


def test_none_runs_beside_an_attempt_that_has_an_exam(
    namespace: TaskNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke_state, "PLACE_SECONDS", 3.0)
    with executor_of(namespace) as (one, told):
        one.launch(HELD)
        one.wait_for("train")
        assert one.executor.smoke({"train.py": CRASHES}) is Untested.UNTESTED
        namespace.let_go(f"campaign={one.settings.tag}", "attempt")

        assert one.result().outcome is Outcome.SCORED
        assert ["anti-affinity" in line for line in told] == [True]


def test_where_there_is_no_exam_one_runs_beside_attempts(namespace: TaskNamespace) -> None:
    with executor_of(namespace, score="log") as (one, _):
        one.launch(FOREVER)
        one.wait_for("train")

        assert isinstance(one.executor.smoke({"train.py": CRASHES}), SmokeCrash)


def test_attempt_that_finds_a_smoke_test_in_its_place_goes_first(namespace: TaskNamespace) -> None:
    with executor_of(namespace) as (one, told), ThreadPoolExecutor(1) as threads:
        testing = threads.submit(one.executor.smoke, {"train.py": FOREVER})
        wait_for_begun(namespace, one.settings.tag)
        began = time.monotonic()
        one.launch(SCORES)

        assert testing.result(PATIENCE_S) is Untested.UNTESTED
        assert one.result().outcome is Outcome.SCORED
        assert time.monotonic() - began < smoke_job.run_seconds(one.settings)
        assert told == []


def test_eviction_is_no_crash_and_the_next_one_is_held(built_cluster: BuiltCluster, namespace: TaskNamespace) -> None:
    with executor_of(namespace, score="log") as (one, _), ThreadPoolExecutor(1) as threads:
        testing = threads.submit(one.executor.smoke, {"train.py": FOREVER})
        pod = wait_for_begun(namespace, one.settings.tag)
        built_cluster.faults.evict_pod(namespace.name, pod["metadata"]["name"])

        assert testing.result(PATIENCE_S) is Untested.UNTESTED
        assert isinstance(one.executor.smoke({"train.py": CRASHES}), SmokeCrash)


def test_job_deleted_by_a_human_is_no_crash(namespace: TaskNamespace) -> None:
    with executor_of(namespace, score="log") as (one, _), ThreadPoolExecutor(1) as threads:
        testing = threads.submit(one.executor.smoke, {"train.py": FOREVER})
        wait_for_begun(namespace, one.settings.tag)
        namespace.kubectl("delete", "jobs", f"-lcampaign={one.settings.tag}", "--wait=false")

        assert testing.result(PATIENCE_S) is Untested.UNTESTED


def test_full_quota_is_no_crash(own_namespace: TaskNamespace) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "full", "namespace": own_namespace.name},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    own_namespace.cluster.apply(quota)
    with executor_of(own_namespace, score="log") as (one, told):
        wait_until(
            lambda: one.executor.smoke({"train.py": PASSES}) is Untested.UNTESTED, what="the quota to be counted"
        )
        assert ["exceeded quota" in line for line in told] == [True]


def test_api_server_that_is_away_is_no_crash_and_what_it_left_is_deleted_later(
    built_cluster: BuiltCluster, own_namespace: TaskNamespace
) -> None:
    ahead = [0.0]
    parts = {"monotonic": lambda: time.monotonic() + ahead[0]}
    with (
        executor_of(own_namespace, score="log", kubernetes=PATIENT, parts=parts) as (one, told),
        ThreadPoolExecutor(1) as threads,
    ):
        testing = threads.submit(one.executor.smoke, {"train.py": FOREVER})
        wait_for_begun(own_namespace, one.settings.tag)
        built_cluster.faults.refuse_connections(PATIENCE_S)
        try:
            # Its time is over for us, while nobody hears of the cluster.
            ahead[0] += smoke_job.run_seconds(one.settings)
            assert testing.result(PATIENCE_S) is None
            assert one.executor.smoke({"train.py": CRASHES}) is Untested.UNTESTED
        finally:
            built_cluster.faults.heal()
        assert any("is not deleted yet" in line for line in told)
        assert any("go without their smoke test" in line for line in told)
        ahead[0] += REST_SECONDS

        assert isinstance(one.executor.smoke({"train.py": CRASHES}), SmokeCrash)
        wait_for_nothing_left(own_namespace, one.settings.tag)


def test_stop_ends_a_smoke_test_and_deletes_it_before_it_returns(namespace: TaskNamespace) -> None:
    with executor_of(namespace, score="log") as (one, _), ThreadPoolExecutor(1) as threads:
        testing = threads.submit(one.executor.smoke, {"train.py": FOREVER})
        wait_for_begun(namespace, one.settings.tag)
        one.executor.stop()

        assert objects(namespace, "jobs", one.settings.tag) == []
        assert testing.result(PATIENCE_S) is Untested.UNTESTED
        assert one.executor.smoke({"train.py": CRASHES}) is Untested.UNTESTED


TRAIN = """\
import os

WIDTH = 4
print("val_bpb:", 2.0 + int(os.environ["AUTORESEARCH_SEED"]) % 1000 / 1e5)
"""
LARGE = "".join(f"N{n} = {n}\n" for n in range(12))


class Rewriter(NumberAgent):
    """Waits until the baseline is judged, then makes two large edits, of which the second one breaks."""

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        wait_until(lambda: (request.newest_experiments() or request.experiments)[0].judgement, what="the baseline")
        answer = super().propose(request)
        if isinstance(answer, Abandoned):
            return answer
        broken = "" if len(self.asked) == 1 else "print(widht)\n"
        return replace(answer, files={"train.py": f"WIDTH = {len(self.asked)}\n{LARGE}{broken}{TRAIN}"})


def test_campaign_holds_them_and_a_crash_there_costs_no_attempt(own_namespace: TaskNamespace, tmp_path: Path) -> None:
    own_namespace.image = own_namespace.cluster.import_image(base_image())
    settings = own_namespace.settings(
        f"t{secrets.token_hex(4)}",
        score="log",
        task={"command": ["python3", "train.py"]},
        kubernetes={"memory": "128Mi", "examine_memory": "128Mi", "cpu": "500m", "examine_cpu": "100m"},
        budget={"train_seconds": 120, "experiments": 2},
        judge={"policy": "greedy", "baseline_runs": 2, "max_runs": 1},
        agent={"max_in_flight": 1},
    )
    folder = CampaignFolder(tmp_path / "c")
    executor = build_executor(folder, settings)
    smoke = build_smoke_test(executor, wanted=settings.smoke_tests)
    assert smoke is not None, "on by itself, as a training takes two minutes"
    ended = Campaign(
        settings=settings,
        lab=LabWriter.open(tmp_path / "lab.git", create=True),
        executor=executor,
        agent=Rewriter(),
        judge=make_judge(settings.judge, minimize=True),
        task_files={"train.py": TRAIN, "program.md": "Lower it.\n"},
        brief="Lower it.\n",
        clock=time.time,
        observe=lambda _: None,
        smoke=smoke,
    ).run()

    lab = Lab.open(tmp_path / "lab.git")
    assert len(lab.experiments(settings.tag)) == 3, ended.reason
    baseline, good, broken = lab.experiments(settings.tag)
    assert len(baseline.attempts) == 2
    assert len(good.attempts) == 1
    assert broken.attempts == ()
    assert broken.judgement is not None
    assert broken.judgement.verdict is Verdict.CRASH
    assert "in its smoke test, before any attempt" in broken.judgement.reason
    assert "name 'widht' is not defined" in broken.judgement.reason
    assert ["NameError" in log.text for log in lab.logs(settings.tag, broken.number)] == [True]
    wait_for_nothing_left(own_namespace, settings.tag)


@contextmanager
def controller_process(settings: Settings, *, dies_after: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A controller of its own process that holds one smoke test. dies_after: as of `executor_task`."""
    command = [sys.executable, "-m", __name__, settings.model_dump_json(), dies_after]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as process:
        yield process
        process.kill()


def test_what_a_killed_controller_left_goes_when_the_next_one_starts(namespace: TaskNamespace) -> None:
    tag = f"t{secrets.token_hex(4)}"
    with controller_process(namespace.settings(tag, score="log")):
        wait_for_begun(namespace, tag)
    assert objects(namespace, "jobs", tag) != []

    with executor_of(namespace, tag=tag, score="log") as (one, _):
        wait_for_nothing_left(namespace, tag)
        assert isinstance(one.executor.smoke({"train.py": CRASHES}), SmokeCrash)


@pytest.mark.parametrize("effect", ["create jobs", "create configmaps"])
def test_controller_killed_after_any_effect_leaves_nothing_that_its_successor_does_not_delete(
    namespace: TaskNamespace, effect: str
) -> None:
    tag = effect.replace(" ", "-")
    with controller_process(namespace.settings(tag, score="log"), dies_after=effect) as first:
        assert first.wait(timeout=PATIENCE_S) == 9
    assert len(objects(namespace, "jobs", tag)) == 1

    with executor_of(namespace, tag=tag, score="log") as (one, _):
        wait_for_nothing_left(namespace, tag)
        assert one.executor.smoke({"train.py": PASSES}) is None


def test_search_for_orphans_leaves_the_smoke_tests_of_its_own_controller_alone(namespace: TaskNamespace) -> None:
    tag = f"t{secrets.token_hex(4)}"
    with executor_of(namespace, tag=tag, score="log") as (first, _):
        first.launch(FOREVER)
        first.wait_for("train")
    with executor_of(namespace, tag=tag, score="log") as (second, _):
        # The search is repeated until no orphan is left.
        assert isinstance(second.executor.smoke({"train.py": f"sleep 15; {CRASHES}"}), SmokeCrash)
        assert namespace.jobs(tag) == []


def _be_a_controller(settings: Settings, dies_after: str) -> None:
    def die(verb: str, resource: str, code: str, seconds: float) -> None:
        if f"{verb} {resource}" == dies_after:
            os._exit(9)

    one = Running(settings, observe=die)
    one.start()
    one.executor.smoke({"train.py": FOREVER})


if __name__ == "__main__":
    _be_a_controller(Settings.model_validate_json(sys.argv[1]), sys.argv[2])
