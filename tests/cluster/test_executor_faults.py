"""Whatever a cluster, a network and people do to a campaign: nothing runs twice, nothing is lost, all is told."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import pytest

from controller.domain import Outcome, TryId
from controller.errors import ClusterError
from controller.executor.kubernetes import executor
from controller.executor.kubernetes.client import CONFIG_MAPS, JOBS, Client, Object, Resource
from controller.executor.kubernetes.errors import Unavailable
from controller.executor.kubernetes.naming import RECORDED, config_map_name, job_name
from controller.executor.kubernetes.pod_status import is_finished
from controller.executor.kubernetes.running_try import RETRY_SECONDS
from tests.cluster.executor_task import HELD, HOLD, SCORES, Running, TaskNamespace, controller_process, running
from tests.cluster.harness import BuiltCluster, Manifest
from tests.support.waiting import PATIENCE_S, wait_until


def pod_of(namespace: TaskNamespace, tag: str) -> Manifest:
    [pod] = namespace.cluster.get("pods", f"--namespace={namespace.name}", f"-lcampaign={tag}")["items"]
    return dict(pod)


def is_recorded(namespace: TaskNamespace, one: Running) -> bool:
    return RECORDED in namespace.job(one.request("").id)["metadata"]["annotations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LosesReplies(Client):
    """A client over a bad line: the first `create` of each kind takes effect, and its reply never arrives."""

    lost: Counter[str]

    def create(self, resource: Resource, body: Object) -> Object:
        created = Client.create(self, resource, body)
        self.lost[resource.plural] += 1
        if self.lost[resource.plural] == 1:
            raise Unavailable("the reply was lost")
        return created


def test_lost_reply_to_create_is_adopted_and_nothing_runs_twice(namespace: TaskNamespace) -> None:
    lost = Counter({"leases": 1})
    settings = namespace.settings("lostreply")
    with namespace.client(settings) as plain:
        fields = {"host": plain.host, "namespace": plain.namespace, "pool": plain.pool}
        bad = LosesReplies(**fields, credentials=plain.credentials, lost=lost)
    with running(namespace, tag="lostreply", parts={"client": bad}) as one:
        result = one.run(SCORES)

        assert result.outcome is Outcome.SCORED
        assert {"jobs", "configmaps"} <= set(lost)
        assert len(namespace.jobs("lostreply")) == 1


def test_restarted_controller_adopts_what_runs(namespace: TaskNamespace) -> None:
    with running(namespace, tag="adopts") as first:
        request = first.launch(HELD)
        first.wait_for("train")
    with running(namespace, tag="adopts", adopting=[request]) as second:
        namespace.let_go("campaign=adopts")
        result = second.result()

        assert result.outcome is Outcome.SCORED
        assert len(namespace.jobs("adopts")) == 1


def test_study_carries_its_label_is_left_alone_by_the_campaign_and_adopted_by_the_next_study(
    namespace: TaskNamespace,
) -> None:
    tried = TryId("studied", 2, 1, 1, study="claim-1")
    with running(namespace, tag="studied", parts={"studies": True}) as first:
        request = first.launch(HELD, id=tried, holdout=True)
        first.wait_for("train")
    with running(namespace, tag="studied") as campaign:
        # When its own try has ended, the campaign's search for orphans is long over.
        assert campaign.run(SCORES).outcome is Outcome.SCORED
    with running(namespace, tag="studied", adopting=[request], parts={"studies": True}) as second:
        namespace.let_go("campaign=studied", "study=claim-1")

        assert second.result().outcome is Outcome.SCORED
        second.executor.recorded(tried)
        [job] = namespace.cluster.get("jobs", f"--namespace={namespace.name}", "-lcampaign=studied,study=claim-1")[
            "items"
        ]
        assert job["metadata"]["labels"]["arm"] == "2"
        assert "experiment" not in job["metadata"]["labels"]


@pytest.mark.parametrize("minutes", [-7, 7])
def test_controller_whose_clock_is_minutes_off_runs_adopts_and_scores_as_any(
    namespace: TaskNamespace, minutes: int
) -> None:
    def clock() -> float:
        return time.time() + 60 * minutes

    tag, began = f"clock{minutes % 60}", clock()
    with running(namespace, tag=tag, parts={"clock": clock}) as first:
        request = first.launch(HELD)
        assert began <= first.wait_for("train").started_at <= clock()
    with running(namespace, tag=tag, adopting=[request], parts={"clock": clock}) as second:
        adopted = second.wait_for("train")
        age = clock() - adopted.started_at
        namespace.let_go(f"campaign={tag}")
        result = second.result()

        # The node's clock tells a start minutes ago. No phase is shown as older than it may become.
        assert 0 <= age <= adopted.phase_seconds + 30
        assert (result.outcome, result.reason) == (Outcome.SCORED, "")
        assert 1 <= result.phase_seconds["train"] <= result.seconds <= clock() - began + 1
        second.wait_for_no_trouble()
        assert len(namespace.jobs(tag)) == 1


def test_stop_right_after_the_last_result_still_records_it(
    namespace: TaskNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "RECORD_SECONDS", PATIENCE_S)
    with running(namespace) as one:
        one.run(SCORES)

    [job] = namespace.jobs(one.settings.tag)
    assert job["metadata"]["labels"]["outcome"] == "scored"
    assert job["spec"]["ttlSecondsAfterFinished"] > 0


@pytest.mark.parametrize(
    "effect",
    [
        "create leases",
        "create configmaps",
        "create jobs",
        "patch configmaps",
        "get pods/log",
        "patch jobs",
        "create events",
    ],
)
def test_controller_killed_after_any_effect_is_followed_by_one_that_finishes(
    namespace: TaskNamespace, effect: str
) -> None:
    tag = effect.replace(" ", "-").replace("/", "-")
    settings = namespace.settings(tag)
    with controller_process(settings, SCORES, dies_after=effect) as first:
        assert first.wait(timeout=PATIENCE_S) == 9
    request = Running(settings).request(SCORES)
    with running(namespace, tag=tag, adopting=[request]) as second:
        result = second.result()
        second.executor.recorded(request.id)

        assert (result.outcome, result.reason) == (Outcome.SCORED, "")
        assert second.ends.empty()
        wait_until(lambda: is_recorded(namespace, second), what="the record")
        [job] = namespace.jobs(tag)
        assert job["metadata"]["labels"]["outcome"] == "scored"
        assert len(namespace.cluster.get("pods", f"--namespace={namespace.name}", f"-lcampaign={tag}")["items"]) == 1


def test_try_that_ended_while_no_controller_ran_is_reported_and_recorded(namespace: TaskNamespace) -> None:
    with running(namespace, tag="ended") as first:
        request = first.launch(SCORES)
        wait_until(lambda: namespace.jobs("ended"), what="the Job")
    place = ("job", job_name(request.id), f"--namespace={namespace.name}")
    namespace.cluster.wait_for(*place, until=is_finished, what="the end of the Job")
    with running(namespace, tag="ended", adopting=[request]) as second:
        assert second.result().outcome is Outcome.SCORED

        second.executor.recorded(request.id)
        wait_until(lambda: is_recorded(namespace, second), what="the record")


def test_intent_without_a_job_is_launched_on_adoption(namespace: TaskNamespace) -> None:
    intended = Running(namespace.settings("intended")).request(SCORES)
    with running(namespace, tag="intended", adopting=[intended]) as one:
        assert one.result().outcome is Outcome.SCORED


def test_orphans_are_removed_if_they_run_and_labelled_if_they_ended(namespace: TaskNamespace) -> None:
    with running(namespace, tag="orphans") as first:
        done = first.launch(SCORES, number=1)
        first.result()
        first.launch("sleep 300", number=2)
        first.wait_for("train")
    with running(namespace, tag="orphans"):
        wait_until(
            lambda: [job["metadata"]["name"] for job in namespace.jobs("orphans")] == [job_name(done.id)],
            what="the running orphan to go",
        )
        wait_until(
            lambda: namespace.job(done.id)["metadata"]["labels"].get("outcome") == "orphan",
            what="the ended orphan to be labelled",
        )
        assert namespace.job(done.id)["spec"]["ttlSecondsAfterFinished"] > 0


def test_job_deleted_by_a_human_is_recorded_as_that(namespace: TaskNamespace) -> None:
    with running(namespace) as one:
        request = one.launch("sleep 300")
        one.wait_for("train")
        namespace.kubectl("delete", "job", job_name(request.id))

        result = one.result()
        assert (result.outcome, result.reason) == (Outcome.LOST, "deleted by someone: the Job is gone")
        assert result.seconds > 0


def test_pod_deleted_by_a_human_is_recorded_as_that(namespace: TaskNamespace) -> None:
    with running(namespace) as one:
        one.launch("sleep 300")
        one.wait_for("train")
        namespace.kubectl("delete", "pod", pod_of(namespace, one.settings.tag)["metadata"]["name"], "--wait=false")

        result = one.result()
        assert (result.outcome, result.reason) == (Outcome.LOST, "deleted by someone: the pod is gone")


def test_name_taken_by_another_try_is_trouble_until_a_human_clears_it(namespace: TaskNamespace) -> None:
    with running(namespace, tag="taken") as first:
        first.launch("sleep 300")
        first.wait_for("train")
        name = job_name(first.request("").id)
    settings = namespace.settings("taken")
    second = Running(settings)
    second.executor.start(second.take)
    try:
        second.launch(SCORES, commit="another")
        second.wait_for_trouble("is not this try")
        namespace.kubectl("delete", "job", name)

        assert second.result().outcome is Outcome.SCORED
        second.wait_for_no_trouble()
    finally:
        second.executor.stop()


def test_recorded_job_of_an_earlier_campaign_makes_way(namespace: TaskNamespace) -> None:
    with running(namespace, tag="again") as first:
        first.run(SCORES, commit="one")
        wait_until(lambda: is_recorded(namespace, first), what="the record")
    with running(namespace, tag="again") as second:
        assert second.run(SCORES, commit="two").outcome is Outcome.SCORED


def test_unschedulable_is_shown_and_is_no_end(namespace: TaskNamespace) -> None:
    with running(namespace, kubernetes={"gpus": 64}) as one:
        one.launch(SCORES)

        waiting = one.wait_for("unschedulable")
        assert "Insufficient nvidia.com/gpu" in waiting.line
        one.wait_for_no_trouble()
        assert one.ends.empty()


def test_missing_image_is_trouble_and_no_end(namespace: TaskNamespace) -> None:
    with running(namespace, kubernetes={"image": "localhost/nowhere:1"}) as one:
        one.launch(SCORES)

        one.wait_for_trouble("image localhost/nowhere:1 cannot be had (ErrImageNeverPull)")
        assert one.ends.empty()


def test_missing_data_is_shown(namespace: TaskNamespace) -> None:
    with running(namespace, kubernetes={"data_claim": "nowhere"}) as one:
        one.launch(SCORES)

        assert 'persistentvolumeclaim "nowhere" not found' in one.wait_for("unschedulable").line


def test_volume_that_cannot_be_mounted_is_trouble(namespace: TaskNamespace) -> None:
    size = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    volume = f"broken-{namespace.name}"
    namespace.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                **size,
                "capacity": {"storage": "1Gi"},
                "claimRef": {"namespace": namespace.name, "name": "broken"},
                "hostPath": {"path": "/nowhere/at/all", "type": "Directory"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "broken", "namespace": namespace.name},
            "spec": {**size, "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}},
        },
    )
    with running(namespace, kubernetes={"data_claim": "broken"}) as one:
        one.launch(SCORES)
        one.wait_for_trouble("hostPath type check failed")
        assert one.ends.empty()
    namespace.cluster.kubectl("delete", "persistentvolume", volume, "--wait=false")


def test_pod_refused_by_admission_is_trouble(namespace: TaskNamespace) -> None:
    with running(namespace, kubernetes={"service_account": "nowhere"}) as one:
        one.launch(SCORES)

        one.wait_for_trouble('serviceaccount "nowhere" not found')


def test_impossible_settings_are_refused_once_and_are_trouble(namespace: TaskNamespace) -> None:
    seen: Counter[str] = Counter()

    def observe(verb: str, resource: str, code: str, seconds: float) -> None:
        seen[f"{verb} {resource} {code[0]}"] += 1

    with running(namespace, kubernetes={"memory": "32GB"}, parts={"observe": observe}) as one:
        one.launch(SCORES)
        one.wait_for_trouble("correct the settings and start the controller again")
        assert seen["create jobs 4"] == 1


def test_quota_on_jobs_waits_without_a_busy_loop_and_goes_on(
    namespace: TaskNamespace, built_cluster: BuiltCluster
) -> None:
    refused: list[float] = []

    def observe(verb: str, resource: str, code: str, seconds: float) -> None:
        if (verb, resource, code) == ("create", "jobs", "403"):
            refused.append(time.monotonic())

    built_cluster.faults.fill_quota(namespace.name, "count/jobs.batch")
    try:
        with running(namespace, parts={"observe": observe}) as one:
            one.launch(SCORES)
            assert "exceeded quota" in one.wait_for("quota").line
            wait_until(lambda: len(refused) >= 3, what="three refusals")
            # Each pause is drawn from the last quarter of its length.
            pauses = [0.75 * RETRY_SECONDS[0] * 2**number for number in range(len(refused))]
            assert all(
                later - earlier >= pause for (earlier, later), pause in zip(pairwise(refused), pauses, strict=False)
            )
            one.wait_for_no_trouble()
            built_cluster.faults.free_quota(namespace.name)

            assert one.result().outcome is Outcome.SCORED
    finally:
        built_cluster.try_kubectl("delete", "resourcequota", "filled", f"--namespace={namespace.name}")


def test_quota_on_pods_waits_and_goes_on(namespace: TaskNamespace, built_cluster: BuiltCluster) -> None:
    built_cluster.faults.fill_quota(namespace.name, "pods")
    try:
        with running(namespace) as one:
            one.launch(SCORES)
            assert "exceeded quota" in one.wait_for("quota").line
            one.wait_for_no_trouble()
            built_cluster.faults.free_quota(namespace.name)

            assert one.result().outcome is Outcome.SCORED
    finally:
        built_cluster.try_kubectl("delete", "resourcequota", "filled", f"--namespace={namespace.name}")


def test_second_controller_of_a_campaign_refuses(namespace: TaskNamespace) -> None:
    # A busy machine renews a short lease too late, and then it is free.
    lease = {"lease_seconds": 30}
    with running(namespace, tag="twice", kubernetes=lease):
        second = Running(namespace.settings("twice", kubernetes=lease))

        with pytest.raises(ClusterError, match=r"campaign twice is run by .*stop it, or choose another tag"):
            second.start()


def test_files_near_the_limit_of_a_config_map_are_delivered_and_beyond_it_crash(namespace: TaskNamespace) -> None:
    padding = "#" * (2**20 - 1000) + "\n"
    with running(namespace) as one:
        fits = one.run(padding + SCORES)
        beyond = one.run(padding + padding, number=2)

    assert fits.outcome is Outcome.SCORED
    assert beyond.outcome is Outcome.CRASHED
    assert "a try carries at most 1,048,576" in beyond.reason


def test_names_at_the_length_limit_run(namespace: TaskNamespace) -> None:
    with running(namespace, tag="n" * 30) as one:
        assert one.run(SCORES, number=123456789).outcome is Outcome.SCORED


def test_training_is_followed_live(namespace: TaskNamespace) -> None:
    with running(namespace) as one:
        one.launch(f"echo step 3; {HOLD}; {SCORES}")
        one.wait_for("train")

        wait_until(
            lambda: any(progress.line.startswith("step 3") for progress in one.executor.progress()),
            what="a line of training",
        )
        namespace.let_go(f"campaign={one.settings.tag}")
        assert one.result().outcome is Outcome.SCORED


def test_life_of_an_attempt_costs_at_most_12_requests(namespace: TaskNamespace) -> None:
    seen: Counter[str] = Counter()

    def observe(verb: str, resource: str, code: str, seconds: float) -> None:
        seen[f"{verb} {resource}"] += 1

    with running(namespace, parts={"observe": observe}) as one:
        before = seen.copy()
        for number in (1, 2, 3):
            one.run(SCORES, number=number)
        wait_until(lambda: seen["create events"] == 3, what="three records")

    mine = seen - before
    mine.pop("update leases", None)  # the campaign's, every few seconds, however many attempts there are
    assert sum(mine.values()) / 3 <= 12, mine
    assert mine["create jobs"] == mine["create configmaps"] == 3


def test_manifest_is_what_was_sent(namespace: TaskNamespace) -> None:
    """The client's round trip changes nothing: fields that a model would drop arrive."""
    with running(namespace) as one:
        request = one.launch("sleep 300")
        one.wait_for("train")
        with namespace.client(one.settings) as client:
            found = client.get(JOBS, job_name(request.id))
            files = client.get(CONFIG_MAPS, config_map_name(request))

    candidate = found["spec"]["template"]["spec"]["initContainers"][-1]
    assert (candidate["name"], candidate["restartPolicy"]) == ("candidate", "Always")
    assert found["spec"]["podReplacementPolicy"] == "Failed"
    assert files["immutable"]
    assert files["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]
