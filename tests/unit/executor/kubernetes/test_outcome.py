"""Statuses of a real cluster are read right: recorded Pods and Jobs in `observed/`, and every pair that conflicts."""

from __future__ import annotations

from typing import Any

import pytest

from controller.domain import LostTo, Outcome
from controller.executor.kubernetes.observation import FAULTS, EndCause, Observation, TryEnd, TryProgress
from controller.executor.kubernetes.outcome import SILENCE_SECONDS, assess
from tests.support.kubernetes_objects import (
    DRAIN,
    FAILED,
    RUNNING,
    Thing,
    ended,
    make_job,
    make_pod,
    recorded,
)

DONE = ended(0)
SCORED = ended(0, message="@@RESULT v1 {}")


def how(job: Thing, pod: Thing | None = None, **seen: Any) -> TryEnd:
    answer = assess(Observation(job=job, pod=pod or {}, **seen))
    assert isinstance(answer, TryEnd), answer
    return answer


def still(job: Thing, pod: Thing | None = None, **seen: Any) -> TryProgress:
    answer = assess(Observation(job=job, pod=pod or {}, **seen))
    assert isinstance(answer, TryProgress), answer
    return answer


@pytest.mark.parametrize(
    ("pod", "job", "cause"),
    [
        ("pod-pod-deadline-main", "job-pod-deadline-main", EndCause.DEADLINE),
        ("pod-pod-deadline-init-ignores-term", "job-pod-deadline-init-ignores-term", EndCause.DEADLINE),
        ("pod-job-deadline-last-seen", "job-job-deadline", EndCause.DEADLINE),
        ("pod-evicted-by-api-last-seen", "job-evicted-by-api", EndCause.DRAINED),
        ("pod-plain-delete-last-seen", "job-plain-delete", EndCause.DELETED),
        ("pod-emptydir-full", "job-emptydir-full", EndCause.DISK_LIMIT),
        ("pod-oom-pid-1", "job-oom-pid-1", EndCause.OOM),
        ("pod-oom-child-exit-0", "job-oom-child-exit-0", EndCause.OOM),
        ("pod-bad-command", "job-bad-command", EndCause.CONFIG_ERROR),
        ("pod-exit-nonzero", "job-exit-nonzero", EndCause.CRASH),
        ("pod-node-deleted-last-seen", "job-node-lost-failed", EndCause.NODE_LOST),
        ("pod-node-lost-taint-last-seen", "job-node-lost-failed", EndCause.NODE_LOST),
    ],
)
def test_recorded_end_has_its_cause(pod: str, job: str, cause: EndCause) -> None:
    assert how(recorded(job), recorded(pod)).cause is cause


@pytest.mark.parametrize(
    ("pod", "trouble"),
    [("pod-image-missing-ifnotpresent", "ErrImagePull"), ("pod-image-missing-never", "ErrImageNeverPull")],
)
def test_image_that_cannot_be_had_is_trouble_and_no_end(pod: str, trouble: str) -> None:
    assert trouble in still(recorded("job-image-missing"), recorded(pod)).trouble


def test_preempted_by_the_queue_waits_although_its_pod_failed() -> None:
    pod = recorded("kueue-pod-preempted-failed")

    for job in ("kueue-job-preempting", "kueue-job-preempted-terminating", "kueue-job-preempted-pending"):
        assert still(recorded(job), pod).phase == "queued"


def test_pod_on_a_silent_node_waits_a_while_and_then_is_lost_with_it() -> None:
    pod, job = recorded("pod-node-notready-short-toleration"), recorded("job-node-notready-short-toleration")

    assert still(job, pod, ending_seconds=SILENCE_SECONDS - 1).phase == "terminating"
    lost = how(job, pod, ending_seconds=SILENCE_SECONDS)
    assert (lost.cause, lost.unfinished) == (EndCause.NODE_LOST, True)


def test_pod_that_outlives_its_deadline_is_on_a_node_that_nobody_hears() -> None:
    """Seen on a real cluster: when all nodes are silent, Kubernetes evicts from none of them."""
    pod = make_pod(RUNNING)
    pod["spec"]["activeDeadlineSeconds"] = 100

    assert still(make_job(), pod, active_seconds=100 + SILENCE_SECONDS).phase == "train"
    for job in (make_job(), make_job(("FailureTarget", "DeadlineExceeded"))):
        lost = how(job, pod, active_seconds=101 + SILENCE_SECONDS)
        assert (lost.cause, lost.unfinished) == (EndCause.NODE_LOST, True)


def test_init_container_out_of_memory_with_exit_0_ends_the_try_though_no_kubelet_does() -> None:
    for states in ([ended(0, reason="OOMKilled")], [DONE, ended(0, reason="OOMKilled")]):
        answer = how(make_job(), make_pod(*states))

        assert (answer.cause, answer.unfinished) == (EndCause.OOM, True)


def test_candidate_that_keeps_dying_before_the_exam_is_a_crash() -> None:
    pod = make_pod(DONE, {"waiting": {"reason": "CrashLoopBackOff"}})
    candidate = pod["status"]["initContainerStatuses"][1]

    candidate["restartCount"] = 1
    assert still(make_job(), pod).trouble == ""
    candidate["restartCount"] = 2
    answer = how(make_job(), pod)
    assert (answer.cause, answer.container, answer.unfinished) == (EndCause.CRASH, "candidate", True)


def test_candidate_that_restarts_during_the_exam_goes_on() -> None:
    pod = make_pod(DONE, {"waiting": {"reason": "CrashLoopBackOff"}}, RUNNING)
    pod["status"]["initContainerStatuses"][1]["restartCount"] = 3

    assert still(make_job(), pod).phase == "examine"


def test_result_stands_whatever_happens_to_the_pod_afterwards() -> None:
    finished = make_pod(DONE, ended(137), SCORED, phase="Failed", deleted=True, conditions=(DRAIN,))
    deadline = make_job(("Failed", "DeadlineExceeded"))

    for job in (deadline, FAILED, make_job(suspend=True), make_job(deleted=True)):
        answer = how(job, finished, job_gone=True, pod_gone=True)
        assert (answer.cause, answer.message) == (EndCause.FINISHED, "@@RESULT v1 {}")


def test_result_comes_from_the_pod_before_the_job_says_anything() -> None:
    assert how(make_job(), make_pod(DONE, RUNNING, SCORED)).cause is EndCause.FINISHED


def test_killed_sidecar_after_the_exam_is_no_crash() -> None:
    assert how(make_job(), make_pod(DONE, ended(137), SCORED, phase="Succeeded")).cause is EndCause.FINISHED


def test_examined_try_tells_which_container_ran_out_of_memory() -> None:
    pod = make_pod(DONE, RUNNING, SCORED, last=ended(137, reason="OOMKilled"))

    assert how(make_job(), pod).oom == "candidate"


def test_examiner_out_of_memory_with_exit_0_is_its_own_failure_and_trouble() -> None:
    answer = how(make_job(), make_pod(DONE, ended(137), ended(0, reason="OOMKilled"), phase="Succeeded"))

    assert answer.cause is EndCause.EXAMINER_ERROR
    assert "examine_memory" in answer.trouble


def test_examiner_that_meets_bad_data_is_trouble() -> None:
    answer = how(FAILED, make_pod(DONE, ended(137), ended(2), phase="Failed"))

    assert (answer.cause, bool(answer.trouble)) == (EndCause.EXAMINER_ERROR, True)


def test_examiner_that_crashes_is_not_the_attempts_fault() -> None:
    answer = how(FAILED, make_pod(DONE, ended(137), ended(1), phase="Failed"))

    assert (answer.cause, answer.trouble) == (EndCause.EXAMINER_ERROR, "")
    assert answer.cause not in FAULTS


@pytest.mark.parametrize(
    ("pod", "container", "cause", "outcome"),
    [
        pytest.param(make_pod(ended(1), phase="Failed"), "train", EndCause.CRASH, Outcome.CRASHED, id="train exits 1"),
        pytest.param(
            make_pod(ended(124), phase="Failed"), "train", EndCause.DEADLINE, Outcome.TIMED_OUT, id="supervisor's 124"
        ),
        pytest.param(
            make_pod(ended(137, reason="OOMKilled"), phase="Failed"),
            "train",
            EndCause.OOM,
            Outcome.CRASHED,
            id="out of memory beats exit code",
        ),
        pytest.param(
            make_pod(ended(0, reason="OOMKilled"), phase="Failed"),
            "train",
            EndCause.OOM,
            Outcome.CRASHED,
            id="out of memory with exit 0",
        ),
    ],
)
def test_failed_container_is_named(pod: Thing, container: str, cause: EndCause, outcome: Outcome) -> None:
    answer = how(FAILED, pod)

    assert (container, cause, outcome) == (answer.container, answer.cause, FAULTS[answer.cause])


def test_124_is_an_overrun_of_the_supervisor_alone() -> None:
    unsupervised = make_pod(ended(124), phase="Failed")
    del unsupervised["status"]["initContainerStatuses"]
    unsupervised["status"]["containerStatuses"] = [{"name": "train", "state": ended(124)}]

    assert how(FAILED, unsupervised).cause is EndCause.CRASH


def test_program_that_the_image_lacks_is_told_with_what_may_be_used() -> None:
    message = 'exec: "uv": executable file not found in $PATH: unknown'
    missing = ended(128, reason="StartError", message=message)
    missing["terminated"]["startedAt"] = "1970-01-01T00:00:00Z"

    assert how(FAILED, make_pod(missing, phase="Failed")).trouble.endswith(
        f"{message}; task.command may use the programs of the image and of the task folder alone"
    )


def test_out_of_memory_names_the_limit() -> None:
    assert "32Gi" in how(FAILED, make_pod(ended(137, reason="OOMKilled"), phase="Failed")).reason


def test_killed_container_is_suspected_of_its_memory_limit_where_the_kubelet_does_not_know() -> None:
    answer = how(FAILED, make_pod(ended(137), phase="Failed"))

    assert answer.cause is EndCause.CRASH
    assert answer.reason == "train ended with signal 9 (killed); most likely out of memory (limit 32Gi)"


@pytest.mark.parametrize("deleted", [False, True])
def test_crash_seen_before_a_drain_or_a_deletion_is_a_crash(deleted: bool) -> None:
    crashed = make_pod(ended(1), phase="Failed", deleted=deleted, conditions=(DRAIN,))

    assert how(FAILED, crashed, crashed_first=True).cause is EndCause.CRASH


def test_death_during_a_drain_is_no_crash() -> None:
    for at in ("2026-11-24T07:30:20Z", "2026-11-24T07:00:00Z"):
        killed = make_pod(ended(1, at=at), phase="Failed", deleted=True, conditions=(DRAIN,))

        assert how(FAILED, killed).cause is EndCause.DRAINED


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("PreemptionByScheduler", EndCause.PREEMPTED),
        ("EvictionByEvictionAPI", EndCause.DRAINED),
        ("DeletionByTaintManager", EndCause.NODE_LOST),
        ("DeletionByPodGC", EndCause.NODE_LOST),
        ("TerminationByKubelet", EndCause.NODE_PRESSURE),
        ("ANewReason", EndCause.NODE_PRESSURE),
    ],
)
def test_disruption_takes_the_try_and_never_counts(reason: str, cause: EndCause) -> None:
    pod = make_pod(ended(137), phase="Failed", conditions=(DRAIN | {"reason": reason},))

    assert how(FAILED, pod).cause is cause
    assert cause not in FAULTS


def test_eviction_with_a_condition_is_pressure_and_without_one_the_attempts_own_disk_use() -> None:
    said: Thing = {"reason": "Evicted", "message": "The node was low on resource: memory."}
    pressure = DRAIN | {"reason": "TerminationByKubelet"}

    assert (
        how(FAILED, make_pod(ended(137), phase="Failed", conditions=(pressure,), **said)).cause
        is EndCause.NODE_PRESSURE
    )
    assert how(FAILED, make_pod(ended(137), phase="Failed", **said)).cause is EndCause.DISK_LIMIT


def test_jobs_deadline_is_not_read_as_a_deletion() -> None:
    killed = make_pod(ended(137), phase="Failed", deleted=True)

    assert how(make_job(("FailureTarget", "DeadlineExceeded")), killed).cause is EndCause.DEADLINE


def test_deleted_pod_waits_for_the_job_to_say_whether_it_was_its_own_deadline() -> None:
    killed = make_pod(ended(137), phase="Failed", deleted=True)

    assert still(make_job(), killed).phase == "terminating"
    assert how(FAILED, killed).cause is EndCause.DELETED
    assert how(make_job(), killed, ending_seconds=SILENCE_SECONDS).cause is EndCause.DELETED


@pytest.mark.parametrize("seen", [{"job_gone": True}, {}], ids=["gone", "going"])
def test_deleted_job_is_recorded_as_somebodys_deletion(seen: Thing) -> None:
    answer = how(make_job(deleted=not seen), make_pod(RUNNING), **seen)

    assert answer.cause is EndCause.DELETED
    assert answer.reason.startswith("deleted by someone")


def test_deadline_before_training_began_is_not_the_attempts_fault_and_says_what_it_waited_for() -> None:
    pulling: Thing = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    pod = make_pod(pulling, phase="Failed", reason="DeadlineExceeded", message="Pod was active too long")

    answer = how(FAILED, pod)
    assert (answer.cause, "Back-off pulling" in answer.reason) == (EndCause.NEVER_STARTED, True)
    assert "ImagePullBackOff" in answer.trouble


def test_jobs_deadline_without_a_place_is_never_started() -> None:
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
    pod = {"metadata": {}, "status": {"phase": "Pending", "conditions": [unplaced]}}

    answer = how(make_job(("FailureTarget", "DeadlineExceeded")), pod)
    assert (answer.cause, answer.lost_to) == (EndCause.NEVER_STARTED, LostTo.UNSCHEDULABLE)
    assert answer.reason == "never started before its deadline: no GPU"


@pytest.mark.parametrize(
    ("pod", "event", "lost_to"),
    [
        ("ImagePullBackOff", None, LostTo.IMAGE),
        ("CreateContainerConfigError", None, LostTo.CONFIG),
        ("ContainerCreating", ("FailedMount", "hostPath type check failed"), LostTo.CONFIG),
        ("ContainerCreating", ("FailedCreate", "exceeded quota: of another time"), LostTo.UNKNOWN),
        (None, ("FailedCreate", "exceeded quota: q, requested: pods=1"), LostTo.QUOTA),
        (None, ("FailedCreate", "violates PodSecurity"), LostTo.UNKNOWN),
    ],
)
def test_try_that_never_started_is_lost_to_what_kept_it_waiting(
    pod: str | None, event: tuple[str, str] | None, lost_to: LostTo
) -> None:
    waiting = make_pod({"waiting": {"reason": pod}}, phase="Pending") if pod else None
    events = [{"reason": event[0], "message": event[1]}] if event else []

    assert how(make_job(("FailureTarget", "DeadlineExceeded")), waiting, events=events).lost_to is lost_to


def test_unschedulable_is_shown_with_the_schedulers_words() -> None:
    unplaced = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: 1 Insufficient nvidia.com/gpu."}
    going = still(make_job(), {"metadata": {}, "status": {"phase": "Pending", "conditions": [unplaced]}})

    assert (going.phase, going.trouble) == ("unschedulable", "")
    assert "Insufficient nvidia.com/gpu" in going.line


@pytest.mark.parametrize("reason", ["UnexpectedAdmissionError", "OutOfcpu", "OutOfnvidia.com/gpu", "NodeAffinity", ""])
def test_rejection_by_the_kubelet_is_another_try(reason: str) -> None:
    pod = {"metadata": {}, "status": {"phase": "Failed", "reason": reason, "message": "no healthy devices present"}}

    answer = how(FAILED, pod)
    assert EndCause.ADMISSION_REJECTED is answer.cause
    assert "no healthy devices present" in answer.reason


def test_config_error_is_trouble_while_it_lasts() -> None:
    waiting: Thing = {"waiting": {"reason": "CreateContainerConfigError", "message": 'configmap "x" not found'}}

    assert "not found" in still(make_job(), make_pod(waiting, phase="Pending")).trouble


def test_volume_that_cannot_be_mounted_is_shown_and_becomes_trouble_when_it_stays() -> None:
    creating: Thing = {"waiting": {"reason": "ContainerCreating"}}
    event = {"reason": "FailedMount", "message": "hostPath type check failed", "lastTimestamp": "2026-11-24T07:30:00Z"}
    pod = make_pod(creating, phase="Pending")

    once = still(make_job(), pod, events=[event | {"count": 1}])
    often = still(make_job(), pod, events=[event | {"count": 9}])
    assert (once.line, once.trouble) == ("hostPath type check failed", "")
    assert "hostPath type check failed" in often.trouble
    assert still(make_job(), make_pod(RUNNING), events=[event | {"count": 9}]).trouble == ""


def test_quota_is_a_wait_and_pod_security_is_trouble() -> None:
    def refusal(message: str) -> Thing:
        return {"reason": "FailedCreate", "message": message, "lastTimestamp": "2026-11-24T07:30:00Z"}

    quota = still(make_job(), events=[refusal('pods "x" is forbidden: exceeded quota: q, requested: pods=1')])
    policy = still(make_job(), events=[refusal('pods "x" is forbidden: violates PodSecurity "restricted:v1.34"')])

    assert (quota.phase, quota.trouble) == ("quota", "")
    assert "violates PodSecurity" in policy.trouble


def test_pod_that_vanished_with_a_failed_job_is_lost_with_its_node() -> None:
    assert how(FAILED, make_pod(RUNNING), pod_gone=True).cause is EndCause.NODE_LOST
    assert how(FAILED).cause is EndCause.NODE_LOST


@pytest.mark.parametrize(
    ("pod", "phase"),
    [
        (make_pod(RUNNING), "train"),
        (make_pod(DONE, RUNNING), "candidate"),
        (make_pod(DONE, RUNNING, RUNNING), "examine"),
        (make_pod(phase="Pending"), "starting"),
    ],
)
def test_running_phase_is_shown(pod: Thing, phase: str) -> None:
    assert still(make_job(), pod).phase == phase


def test_times_are_the_kubelets() -> None:
    candidate, examine = ended(0, at="2026-11-24T07:31:20Z"), ended(1, at="2026-11-24T07:31:20Z")
    pod = make_pod(ended(0, at="2026-11-24T07:31:10Z"), candidate, examine, phase="Failed")

    answer = how(FAILED, pod)
    assert (answer.seconds, answer.node) == (75.0, "node-1")
    assert answer.phase_seconds == {"train": 60.0, "candidate": 70.0, "examine": 70.0}


def pod_with_copy(copy: Thing, train: Thing, *, phase: str) -> Thing:
    """A pod without an exam: the copy of the task folder, and the training."""
    pod = make_pod(phase=phase)
    pod["spec"] |= {"initContainers": [{"name": "copy-task", "image": "i"}], "containers": [{"name": "train"}]}
    pod["status"] |= {
        "initContainerStatuses": [{"name": "copy-task", "state": copy}],
        "containerStatuses": [{"name": "train", "state": train}],
    }
    return pod


def test_folder_that_cannot_be_copied_is_the_operators_to_mend() -> None:
    failed = ended(1, message="cp: cannot open '/task/x': Permission denied")
    end = how(FAILED, pod_with_copy(failed, {"waiting": {"reason": "PodInitializing"}}, phase="Failed"))

    assert end.cause is EndCause.CONFIG_ERROR
    assert "cp: cannot open '/task/x': Permission denied" in end.trouble


def test_copy_of_the_folder_is_no_phase_of_the_attempt() -> None:
    pod = pod_with_copy(ended(0), ended(3), phase="Failed")

    assert how(FAILED, pod).container == "train"
    assert set(how(FAILED, pod).phase_seconds) <= {"train"}
    assert still(make_job(), pod_with_copy(RUNNING, {"waiting": {"reason": "PodInitializing"}}, phase="Pending")).phase
