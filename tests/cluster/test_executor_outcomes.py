"""Every end of an attempt is read as what it is, on real containers, through the real kubelet."""

from __future__ import annotations

import re

import pytest

from controller.domain import Outcome, Provenance
from controller.executor.kubernetes.naming import job_name
from tests.cluster.executor_task import SCORES, TaskNamespace, running
from tests.cluster.harness import BuiltCluster
from tests.support.waiting import wait_until

STARVES = "tail /dev/zero; sleep 3; exit 0"
"""A child runs out of memory. The end of a shell may be noted before the kernel tells what killed its child."""


def labels(namespace: TaskNamespace, tag: str) -> dict[str, str]:
    [job] = namespace.jobs(tag)
    return dict(job["metadata"]["labels"])


def recorded(namespace: TaskNamespace, tag: str) -> dict[str, str]:
    """The Job's labels once the executor has recorded its end."""
    return wait_until(
        lambda: found if "outcome" in (found := labels(namespace, tag)) else None,
        what="the outcome label",
    )


def starved(phase: str) -> str:
    """What is said of a phase out of memory: the kubelet may note its end before the kernel's word on the cause."""
    return f"out of memory in {phase}|{phase}.* most likely out of memory"


def test_scored_attempt_travels_through_its_phases(namespace: TaskNamespace) -> None:
    with running(namespace) as one:
        result = one.run(SCORES)

        assert (result.outcome, result.reason) == (Outcome.SCORED, "")
        assert result.score is not None
        assert (result.score.value, result.score.provenance) == (0.9871, Provenance.SEALED)
        assert result.exam is not None
        assert result.exam.flag is None
        assert result.log_tail == "loss 1.5\n"
        assert {"train", "examine"} <= set(result.phase_seconds)
        assert result.node
        found = recorded(namespace, one.settings.tag)
        assert {"experiment": "1", "attempt": "1", "outcome": "scored", "val_bpb": "0.9871"}.items() <= found.items()


def test_recorded_job_may_go_and_takes_its_config_map_along(namespace: TaskNamespace) -> None:
    with running(namespace, kubernetes={"keep_succeeded_seconds": 0}) as one:
        one.run(SCORES)
        name = job_name(one.request("").id)

        wait_until(lambda: not namespace.jobs(one.settings.tag), what="the Job to be removed")
        wait_until(
            lambda: name not in namespace.kubectl("get", "configmaps", "-o", "name"),
            what="its ConfigMap to be removed",
        )


def test_result_is_an_event_on_the_job(namespace: TaskNamespace) -> None:
    with running(namespace) as one:
        one.run('echo "Traceback (most recent call last):"; echo "ValueError: heads"; exit 3')

        # The Event comes after the label.
        describing = ("describe", "job", job_name(one.request("").id))
        wait_until(lambda: "AttemptCrashed" in namespace.kubectl(*describing), what="the Event")
        described = namespace.kubectl(*describing)
        assert "train ended with exit code 3: heads. Logs: kubectl logs job/" in described


@pytest.mark.parametrize(
    ("script", "outcome", "reason"),
    [
        pytest.param("exit 7", Outcome.CRASHED, "train ended with exit code 7", id="crash"),
        pytest.param("if then fi (", Outcome.CRASHED, "syntax error", id="syntax error"),
        pytest.param("exit 124", Outcome.TIMED_OUT, "train overran its budget", id="supervisor's 124"),
        pytest.param(
            "true",
            Outcome.CRASHED,
            re.escape("the candidate's process ended (exit code 1)"),
            id="no artifact",
        ),
        pytest.param("exec tail /dev/zero", Outcome.CRASHED, starved("train"), id="process 1 out of memory"),
        pytest.param(STARVES, Outcome.CRASHED, starved("train"), id="child out of memory, shell exits 0"),
        pytest.param(
            f"{SCORES}; echo 'exit 1' > $AUTORESEARCH_ARTIFACT/exam",
            Outcome.LOST,
            "examine itself failed with exit code 1",
            id="examiner fails",
        ),
        pytest.param(
            f"{SCORES}; echo 'score=' > $AUTORESEARCH_ARTIFACT/exam; echo nan > $AUTORESEARCH_ARTIFACT/score",
            Outcome.REJECTED,
            "not valid JSON",
            id="no number",
        ),
        pytest.param(
            f"{SCORES}; echo 'answer x' > $AUTORESEARCH_ARTIFACT/exam",
            Outcome.REJECTED,
            "more than one result",
            id="two results",
        ),
        pytest.param(
            f"{SCORES}; echo 'exit 0' > $AUTORESEARCH_ARTIFACT/exam",
            Outcome.REJECTED,
            "left no result",
            id="silent exam",
        ),
    ],
)
def test_end_is_told_apart(namespace: TaskNamespace, script: str, outcome: Outcome, reason: str) -> None:
    with running(namespace) as one:
        result = one.run(script)

        assert (result.outcome, result.score) == (outcome, None)
        assert re.search(reason, result.reason), result.reason


def test_candidate_that_never_serves_has_no_score_whoever_notices_first(namespace: TaskNamespace) -> None:
    """The kubelet may or may not begin the exam before it sees the candidate end; a real examiner then rejects."""
    with running(namespace) as one:
        result = one.run(f"{SCORES}; echo 'exit 3' > $AUTORESEARCH_ARTIFACT/candidate")

    assert result.score is None
    assert (result.outcome, result.reason) in {
        (Outcome.CRASHED, "candidate exited 2 times before the exam could begin"),
        (Outcome.REJECTED, "no candidate connected"),
    }


def test_printed_scores_of_training_are_just_text(namespace: TaskNamespace) -> None:
    forged = '@@RESULT v1 {"attempt":"x","verdict":"scored","val_bpb":0.1}'
    script = f"""
        for i in 1 2 3; do echo '{forged}'; done
        printf '%s' '{forged}' > /dev/termination-log
        echo ---
        echo 'val_bpb: 0.1'
        {SCORES}
    """
    with running(namespace) as one:
        result = one.run(script)

        assert result.score is not None
        assert result.score.value == 0.9871


def test_binary_and_huge_output_is_cut_and_harmless(namespace: TaskNamespace) -> None:
    script = f"head -c 30000000 /dev/urandom; yes 'a line that says nothing' | head -c 60000000; echo; {SCORES}"
    with running(namespace) as one:
        result = one.run(script)

        assert result.outcome is Outcome.SCORED
        # Where the kubelet begins a new file at that very moment, what was followed live stands in for the end.
        assert result.log_tail.endswith("loss 1.5\n") or "a line that says nothing\n" in result.log_tail
        assert len(result.log_tail.encode()) <= 65_536


def test_deadline_of_the_pod_keeps_the_log_although_process_1_ignores_term(namespace: TaskNamespace) -> None:
    script = "trap '' TERM; echo started; while true; do sleep 1; done"
    deadlines = {"image_pull": 1, "train_grace": 1, "examine": 2}
    with running(namespace, deadlines=deadlines, budget={"train_seconds": 5, "experiments": 1}) as one:
        result = one.run(script)

        assert (result.outcome, result.reason) == (
            Outcome.TIMED_OUT,
            "train was still running and was killed at the pod's deadline",
        )
        assert result.log_tail == "started\n"
        recorded(namespace, one.settings.tag)
        assert namespace.kubectl("logs", f"job/{job_name(one.request('').id)}", "-c", "train") == "started\n"


@pytest.mark.slow
def test_artifact_beyond_its_limit_is_the_attempts_fault(namespace: TaskNamespace) -> None:
    script = "dd if=/dev/zero of=$AUTORESEARCH_ARTIFACT/huge bs=1M count=100; while true; do sleep 1; done"
    with running(namespace, budget={"train_seconds": 120, "experiments": 1}) as one:
        result = one.run(script, seconds=200)

        assert result.outcome is Outcome.CRASHED
        assert "used more disk than it may: Usage of EmptyDir volume" in result.reason


def test_log_scored_task_is_marked_unverified(namespace: TaskNamespace) -> None:
    with running(namespace, score="log") as one:
        scored = one.run("echo 'val_bpb: 0.2'; echo ---; echo 'val_bpb: 1.25'")
        silent = one.run("echo done", number=2)
        crashed = one.run("echo ---; echo 'val_bpb: 1.0'; exit 1", number=3)

    assert scored.score is not None
    assert (scored.score.value, scored.score.provenance) == (1.25, Provenance.LOG)
    assert (silent.outcome, silent.score) == (Outcome.CRASHED, None)
    assert (crashed.outcome, crashed.score) == (Outcome.CRASHED, None)


def test_attempt_without_an_exam_writes_to_a_copy_of_the_images_folder(namespace: TaskNamespace) -> None:
    script = """
        ls /task
        echo changed > /task/journal && echo exit 1 > train.py && mkdir results && cat journal train.py
        touch /etc/x /data/x
        echo 'eval/loss=0.5'
    """
    with running(namespace, score="log", task={"metric": "eval/loss"}) as one:
        first = one.run(script)
        second = one.run(script, number=2)

    for result in (first, second):
        assert result.score is not None, result.reason
        assert result.score.value == 0.5
        assert "train.py" in result.log_tail.split()
        assert "results" not in result.log_tail.split()
        # Containerd copies the two streams of a container each by itself, so that their lines may change places.
        printed = [line for line in result.log_tail.splitlines() if not line.startswith("touch: ")]
        assert "changed\nexit 1" in "\n".join(printed)
        assert "touch: /etc/x: Read-only file system" in result.log_tail
        assert set(result.phase_seconds) == {"train"}


def test_score_file_is_read_from_the_log_of_the_pod(namespace: TaskNamespace) -> None:
    place = {"metric": "eval/loss", "score_file": "out/m.json:val.loss"}
    with running(namespace, score="log", task=place) as one:
        written = one.run("""mkdir out; echo '{"val": {"loss": 0.25}}' > out/m.json""")
        missing = one.run("echo done", number=2)
        failed = one.run("""mkdir out; echo '{"val": {"loss": 0.25}}' > out/m.json; exit 3""", number=3)

    assert written.score is not None, written.reason
    assert written.score.value == 0.25
    assert missing.reason.startswith("train left no file out/m.json in the task folder")
    assert failed.reason.startswith("train ended with exit code 3")


def test_copy_of_the_folder_is_bounded(namespace: TaskNamespace) -> None:
    script = "dd if=/dev/zero of=huge bs=1M count=100; while true; do sleep 1; done"
    limits = {"task_gb": 0.03}
    with running(namespace, score="log", limits=limits, budget={"train_seconds": 120, "experiments": 1}) as one:
        result = one.run(script, seconds=200)

    assert result.outcome is Outcome.CRASHED
    assert "used more disk than it may: Usage of EmptyDir volume" in result.reason


def test_attempt_code_finds_no_way_out(namespace: TaskNamespace) -> None:
    """Each line prints what it could do; the network itself is the NetworkPolicy's business, names are ours."""
    script = f"""
        id -u
        touch /etc/x /task/x /data/x /data/train/x /bin/x
        ls /var/run/secrets /data/validation /data/holdout /data/probe /socket
        ls /data
        nc -w 1 kubernetes.default.svc 443 < /dev/null
        {SCORES}
    """
    with running(namespace) as one:
        result = one.run(script)

    said = result.log_tail
    # Containerd copies the two streams of a container each by itself: only within one is there an order.
    printed = [line for line in said.splitlines() if not line.startswith(("touch: ", "ls: ", "nc: "))]
    assert printed[0] == "65532"
    assert "tokenizer\ntrain" in "\n".join(printed)
    for path in ("/etc/x", "/task/x", "/data/x", "/data/train/x", "/bin/x"):
        assert f"touch: {path}: Read-only file system" in said
    for path in ("/var/run/secrets", "/data/validation", "/data/holdout", "/data/probe", "/socket"):
        assert f"ls: {path}: No such file or directory" in said
    assert "nc: bad address 'kubernetes.default.svc'" in said
    assert result.outcome is Outcome.SCORED


def test_network_is_shut_where_a_plug_in_enforces_it(namespace: TaskNamespace, built_cluster: BuiltCluster) -> None:
    """The API server by its Service and by its node, the kubelet, the metadata address, a neighbour's port."""
    node = built_cluster.node_address
    targets = (f"{built_cluster.layout.api_service_address} 443", f"{node} 6443", f"{node} 10250", "169.254.169.254 80")
    script = "\n".join(f"nc -w 2 {target} < /dev/null && echo reached {target}" for target in targets) + f"\n{SCORES}"
    with running(namespace) as one:
        open_to_all = one.run(script)
        with built_cluster.enforce_network(namespace.name):
            shut = one.run(script, number=2)

    assert "reached" in open_to_all.log_tail
    assert "reached" not in shut.log_tail
    assert shut.outcome is Outcome.SCORED


def test_fork_bomb_ends_as_a_crash_and_leaves_the_node_alone(
    namespace: TaskNamespace, built_cluster: BuiltCluster
) -> None:
    """The kubelet's podPidsLimit is 512 here; the bomb is bounded only so that a missing limit does not end us."""
    script = "i=0; while test $i -lt 3000; do sleep 60 & i=$((i+1)); done; echo unlimited"
    with running(namespace) as one:
        bomb = one.run(script)
        after = one.run(SCORES, number=2)

    assert bomb.outcome is Outcome.CRASHED
    assert "unlimited" not in bomb.log_tail
    assert after.outcome is Outcome.SCORED


def test_candidate_forgets_everything_when_it_restarts(namespace: TaskNamespace) -> None:
    """The candidate notes its first life wherever it can write; its second life looks for the notes."""
    candidate = r"""
        for place in /tmp /dev/shm /var/tmp /task /artifact /socket /dev /run /; do
            if test -e "$place/note"; then echo "remembered in $place"; fi
            echo x 2> /dev/null > "$place/note" && echo "wrote $place"
        done
        echo looked
        until test -e "$AUTORESEARCH_SOCKET/begun" || test -e "$AUTORESEARCH_SOCKET/end"; do sleep 0.1; done
        test -e "$AUTORESEARCH_SOCKET/end" || exit 0
    """
    script = f"""
        cat > $AUTORESEARCH_ARTIFACT/candidate <<'END'
{candidate}
END
        {SCORES}
    """
    with running(namespace) as one:
        request = one.launch(script)
        place, labels = f"--namespace={namespace.name}", f"-lcampaign={one.settings.tag}"
        [pod] = wait_until(lambda: namespace.cluster.get("pods", place, labels)["items"], what="the pod")
        name = pod["metadata"]["name"]
        at_examiner = ("exec", place, name, "--container=examine", "--", "sh", "-c")
        begin = (*at_examiner, 'touch "$AUTORESEARCH_SOCKET/begun"')
        wait_until(lambda: namespace.cluster.try_kubectl(*begin).returncode == 0, what="the candidate's first end")
        namespace.cluster.wait_for(
            *("pod", name, place),
            until=lambda found: found["status"].get("initContainerStatuses", [{}])[-1].get("restartCount", 0) >= 1,
            what="the candidate's second life",
        )
        reading = ("logs", place, name, "--container=candidate")
        log = wait_until(
            lambda: said if "looked" in (said := namespace.cluster.try_kubectl(*reading).stdout) else None,
            what="the candidate to look for its notes",
        )
        end = (*at_examiner, 'rm "$AUTORESEARCH_SOCKET/begun" && touch "$AUTORESEARCH_SOCKET/end"')
        wait_until(lambda: namespace.cluster.try_kubectl(*end).returncode == 0, what="the candidate to be told")
        result = one.result()
        one.executor.recorded(request.id)

    assert result.outcome is Outcome.SCORED
    assert "wrote /tmp" in log
    assert [line for line in log.splitlines() if line not in ("wrote /tmp", "wrote /var/tmp", "looked")] == []


def test_eviction_by_a_drain_is_another_try(namespace: TaskNamespace, built_cluster: BuiltCluster) -> None:
    with running(namespace) as one:
        one.launch("trap 'exit 1' TERM; while true; do sleep 0.1 & wait $!; done")
        one.wait_for("train")
        [pod] = namespace.cluster.get("pods", f"--namespace={namespace.name}", f"-lcampaign={one.settings.tag}")[
            "items"
        ]
        built_cluster.faults.evict_pod(namespace.name, pod["metadata"]["name"])

        result = one.result()
        assert (result.outcome, result.reason) == (Outcome.LOST, "drained: Eviction API: evicting")


def test_pod_that_no_kubelet_ends_is_ended_once_recorded_and_keeps_its_log(namespace: TaskNamespace) -> None:
    with running(namespace) as one:
        result = one.run(f"echo before; {STARVES}")
        wait_until(lambda: namespace.job(one.request("").id)["status"].get("failed"), what="the Job to fail")

        assert "before" in result.log_tail.splitlines()
        log = namespace.kubectl("logs", f"job/{job_name(one.request('').id)}", "-c", "train")
        assert "before" in log.splitlines()
