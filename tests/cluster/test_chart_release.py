"""One release on a real cluster, by the real Helm: it runs a campaign, and its walls hold."""

from __future__ import annotations

import copy
import json
import os
import re
import secrets
import subprocess
import sys
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from controller.executor.kubernetes.smoke_job import build_smoke_files, build_smoke_job, smoke_request
from controller.settings.file import load_settings
from tests.chart.live import PREPARATIONS, Release, pod_like_an_attempt
from tests.chart.rendering import CI, pods, render
from tests.cluster.harness import BUSYBOX_IMAGE, Cluster, Manifest
from tests.cluster.harness.policies import policies_ignored
from tests.support.http import get
from tests.support.waiting import PATIENCE_S, wait_until

__all__ = ["PREPARATIONS"]

OVERHEAD_SECONDS = 10.0
"""From install to the first score, beyond preparing the data and the attempt itself."""


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def took(job: Manifest) -> float:
    return moment(job["status"]["completionTime"]) - moment(job["metadata"]["creationTimestamp"])


@pytest.mark.timeout(900)
def test_install_runs_the_campaign_to_its_end(installed: Release) -> None:
    judged = installed.wait_judged(2)

    assert {experiment["number"] for experiment in judged} >= {1}
    assert {experiment["verdict"] for experiment in judged} <= {"keep", "discard"}
    attempts = [attempt for e in installed.experiments() for attempt in e.get("attempts", [])]
    assert all(attempt["result"]["score"]["provenance"] == "sealed" for attempt in attempts)
    assert "SMOOTHING" in installed.ask("log") or "SHARE" in installed.ask("log")


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_first_score_comes_soon_after_the_install(installed: Release) -> None:
    installed.wait_judged(1)

    began = moment(installed.get("deployment", "autoresearch")["metadata"]["creationTimestamp"])
    prepared = installed.get("job", "ar-prepare-autoresearch-data", namespace=installed.runs)
    first = f"ar-{installed.values['campaign']['tag']}-e0000-a1-t1"
    attempt = installed.cluster.wait_for(
        *("job", first, f"--namespace={installed.runs}"),
        until=lambda job: "autoresearch.dev/recorded" in job["metadata"]["annotations"],
        what="the first attempt to be recorded",
    )
    recorded = moment(attempt["metadata"]["annotations"]["autoresearch.dev/recorded"])
    overhead = (
        recorded
        - began
        - took(prepared)
        - (moment(attempt["status"]["completionTime"]) - moment(attempt["metadata"]["creationTimestamp"]))
    )
    print(f"install to first score {recorded - began:.0f} s, of which the chart's own {overhead:.0f} s")
    assert overhead <= OVERHEAD_SECONDS


def test_people_can_look(installed: Release) -> None:
    """By the command that the notes name."""
    with installed.page() as page:
        assert "alive" in get(f"{page}/healthz")
        assert installed.values["campaign"]["tag"] in get(f"{page}/")
        assert "autoresearch_build_info" in get(f"{page}/metrics")


@pytest.mark.timeout(900)
def test_lab_can_be_cloned_from_the_service(installed: Release, tmp_path: Any) -> None:
    installed.wait_judged(1)

    with installed.page() as page:
        command = ["git", "clone", "--quiet", "--mirror", f"{page}/lab.git", str(tmp_path / "lab.git")]
        subprocess.run(command, check=True)
    refs = subprocess.run(
        ["git", "-C", str(tmp_path / "lab.git"), "for-each-ref"], check=True, capture_output=True, text=True
    ).stdout
    assert f"autoresearch/{installed.values['campaign']['tag']}" in refs


ASKED_AGAIN = ("rerun", "0", "--seeds", "1", "--json")


def wait_ended(release: Release) -> None:
    release.wait_judged(2)
    wait_until(lambda: " has ended: " in release.ask("status"), what="the end of the campaign", interval=1.0)


def jobs_of(release: Release, study: str) -> list[Manifest]:
    """Jobs of a study, which are all of its tries: it has none that was lost."""
    tag = release.values["campaign"]["tag"]
    found: list[Manifest] = release.get("jobs", f"-lcampaign={tag},study={study}", namespace=release.runs)["items"]
    return found


def assert_scored(jobs: list[Manifest], *, count: int) -> None:
    assert [job["metadata"]["labels"].get("outcome") for job in jobs] == ["scored"] * count
    assert all(job["spec"]["ttlSecondsAfterFinished"] > 0 for job in jobs)


@pytest.mark.timeout(900)
def test_claim_is_asked_in_the_controllers_pod_when_the_campaign_has_ended(installed: Release) -> None:
    wait_ended(installed)

    answer = json.loads(installed.ask("claim", "1", "baseline", "--seeds", "1", "--json"))

    assert answer["holdout"] is True
    jobs = jobs_of(installed, answer["study"])
    assert_scored(jobs, count=2)
    for job in jobs:
        [examine] = job["spec"]["template"]["spec"]["containers"]
        assert "data/holdout" in [mount.get("subPath") for mount in examine["volumeMounts"]]
    counted = r'^autoresearch_study_attempts_total\{.*kind="claim".*outcome="scored".*\} 2\.0$'
    with installed.page() as page:
        wait_until(lambda: re.search(counted, get(f"{page}/metrics"), re.MULTILINE), what="the claim among the metrics")


@pytest.mark.timeout(900)
def test_study_whose_kubectl_was_killed_goes_on_by_asking_again(installed: Release) -> None:
    wait_ended(installed)
    tag = installed.values["campaign"]["tag"]
    asking = [installed.cluster.kubectl_program, f"--kubeconfig={installed.cluster.harness_kubeconfig}"]
    asking += [f"--namespace={installed.own}", "exec", "deploy/autoresearch", "--", "autoresearch", *ASKED_AGAIN]
    with subprocess.Popen(asking, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as kubectl:
        wait_until(
            lambda: any(
                job["metadata"]["labels"]["study"].startswith("rerun-")
                for job in installed.get("jobs", f"-lcampaign={tag},study", namespace=installed.runs)["items"]
            ),
            what="the first Job",
        )
        kubectl.kill()

    def ask() -> str:
        """Until then the first process may go on by itself, and the second is told so."""
        done = installed.cluster.try_kubectl(*asking[2:])
        if done.returncode:
            assert " of " in done.stderr, done.stderr
            assert "a study needs the lab to itself" in done.stderr
        return done.stdout

    answer = json.loads(wait_until(ask, what="the answer", interval=2.0))

    assert_scored(jobs_of(installed, answer["study"]), count=1)


@pytest.mark.timeout(900)
def test_study_is_asked_of_a_clone_from_outside(installed: Release, tmp_path: Path) -> None:
    """By the lines of docs/statistics.md, with a kubeconfig of this machine and none of the task's files."""
    wait_ended(installed)
    folder, tag = tmp_path / "demo", installed.values["campaign"]["tag"]
    lab = folder / "lab.git"
    folder.mkdir()
    with installed.page() as page:
        subprocess.run(["git", "clone", "--quiet", "--mirror", f"{page}/lab.git", str(lab)], check=True)
    settings = subprocess.run(
        ["git", "-C", str(lab), "show", f"refs/attachments/{tag}:campaign.yaml"], check=True, capture_output=True
    ).stdout
    (folder / "campaign.yaml").write_bytes(settings)
    asked = [sys.executable, "-m", "controller.cli", "rerun", str(folder), "1", "--seeds", "1", "--json"]

    done = subprocess.run(
        asked,
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"KUBECONFIG": str(installed.cluster.harness_kubeconfig)},
        timeout=PATIENCE_S,
    )

    assert done.returncode == 0, done.stderr
    assert_scored(jobs_of(installed, json.loads(done.stdout)["study"]), count=1)


def test_controller_needs_little(installed: Release) -> None:
    usage = installed.kubectl(
        *("exec", "deploy/autoresearch", "-c", "controller", "--", "sh", "-c"),
        "cat /sys/fs/cgroup/memory.stat /sys/fs/cgroup/memory/memory.stat 2>/dev/null | grep -E '^(anon|total_rss) '",
    )
    resident = int(usage.split()[1])

    print(f"controller: {resident / 2**20:.0f} MiB")
    assert resident < 200e6


@pytest.mark.timeout(900)
def test_helm_test_passes_where_the_network_enforces_policies(installed: Release) -> None:
    installed.wait_judged(1)

    done = installed.test()
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for line in ("ok   network", "ok   processes", "ok   data", "ok   exam", "ok   rights", "ok   accelerators"):
        assert line in said


@pytest.mark.timeout(900)
def test_helm_test_fails_where_attempts_can_reach_the_cluster_and_says_so(installed: Release) -> None:
    with policies_ignored(installed.cluster):
        done = installed.test("--filter", "name=autoresearch-test-isolation")

    assert done.returncode != 0
    assert "FAIL network    this pod reached the Kubernetes API" in done.stderr
    assert "does not enforce NetworkPolicy" in done.stderr
    # A pod that Helm has deleted takes a moment to end.
    wait_until(lambda: not objects_of_tests(installed), what=lambda: f"the end of {objects_of_tests(installed)}")


def objects_of_tests(release: Release) -> list[str]:
    return [name for name in release.objects() if "test" in name.rpartition("/")[2]]


@pytest.mark.timeout(900)
def test_helm_test_finds_a_right_too_many(installed: Release) -> None:
    """A RoleBinding that somebody added by hand: the controller may read Secrets beside it."""
    own = f"--namespace={installed.own}"
    installed.cluster.kubectl("create", "role", "extra", own, "--verb=get", "--resource=secrets")
    bound = f"--serviceaccount={installed.own}:autoresearch"
    installed.cluster.kubectl("create", "rolebinding", "extra", own, "--role=extra", bound)
    try:
        done = installed.test("--filter", "name=autoresearch-test-rights")
    finally:
        installed.cluster.kubectl("delete", "role,rolebinding", "extra", own)

    assert done.returncode != 0
    assert f"FAIL rights     may get secrets in {installed.own}, and must not" in done.stderr


@pytest.mark.timeout(900)
def test_helm_test_finds_altered_data(installed: Release) -> None:
    installed.wait_judged(1)
    altered = f"/var/tmp/{installed.own}/data/data/holdout/sequences.npy"
    installed.cluster.machine.run("cp", "-p", altered, f"{altered}.bak")
    installed.cluster.machine.run("sh", "-c", f"printf x | dd of={altered} bs=1 seek=200 conv=notrunc 2>/dev/null")
    try:
        done = installed.test("--filter", "name=autoresearch-test-isolation")
    finally:
        installed.cluster.machine.run("mv", f"{altered}.bak", altered)

    assert "FAIL data" in done.stderr
    assert "holdout/sequences.npy" in done.stderr


# -- the walls around attempts ------------------------------------------------------------------------------------


def container(release: Release, **changes: Any) -> list[Manifest]:
    [found] = copy.deepcopy(pod_like_an_attempt(release))["containers"]
    return [found | changes]


def submit(release: Release, kind: str, spec: Manifest) -> subprocess.CompletedProcess[str]:
    """Ask the API server to create it among the attempts, without doing so."""
    manifest: Manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}, "spec": spec}
    if kind == "Job":
        manifest |= {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": spec}}}
    return release.cluster.try_kubectl(
        *("create", "--dry-run=server", f"--namespace={release.runs}", "-f", "-"), stdin=json.dumps(manifest)
    )


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_what_looks_like_an_attempt_is_let_in(installed: Release, kind: str) -> None:
    spec = pod_like_an_attempt(installed)

    done = submit(installed, kind, spec)
    assert done.returncode == 0, done.stderr


def foreign(release: Release) -> Manifest:
    return pod_like_an_attempt(release, containers=container(release, image=BUSYBOX_IMAGE))


def foreign_beside(release: Release) -> Manifest:
    return pod_like_an_attempt(release, initContainers=container(release, name="i", image=BUSYBOX_IMAGE))


def volume(source: Manifest, release: Release) -> Manifest:
    return pod_like_an_attempt(release, volumes=[{"name": "v", **source}])


def secret_environment(release: Release) -> Manifest:
    reference = {"secretKeyRef": {"name": "anthropic", "key": "api-key"}}
    return pod_like_an_attempt(release, containers=container(release, env=[{"name": "K", "valueFrom": reference}]))


def secret_environment_whole(release: Release) -> Manifest:
    return pod_like_an_attempt(release, containers=container(release, envFrom=[{"secretRef": {"name": "anthropic"}}]))


def capability(release: Release) -> Manifest:
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    return pod_like_an_attempt(release, containers=container(release, securityContext=security))


token = {"sources": [{"serviceAccountToken": {"path": "t"}}]}


@pytest.mark.parametrize("kind", ["Pod", "Job"])
@pytest.mark.parametrize(
    ("build", "words"),
    [
        pytest.param(foreign, "neither the trainer image", id="foreign image"),
        pytest.param(foreign_beside, "neither the trainer image", id="foreign image of an init container"),
        pytest.param(partial(volume, {"hostPath": {"path": "/"}}), "volumes may only be", id="the node's files"),
        pytest.param(partial(volume, {"secret": {"secretName": "s"}}), "volumes may only be", id="a Secret"),
        pytest.param(partial(volume, {"projected": token}), "volumes may only be", id="a token as a volume"),
        pytest.param(
            partial(volume, {"persistentVolumeClaim": {"claimName": "autoresearch-lab"}}),
            "volumes may only be",
            id="another claim",
        ),
        pytest.param(secret_environment, "may not come from Secrets", id="a Secret as a variable"),
        pytest.param(secret_environment_whole, "may not come from Secrets", id="a Secret as the environment"),
        pytest.param(capability, "no capability may be added", id="a capability that the standard allows"),
        pytest.param(
            # Into a pod the API server has put a volume with it by then.
            partial(pod_like_an_attempt, automountServiceAccountToken=True),
            "without its token|volumes may only be",
            id="a token",
        ),
        pytest.param(partial(pod_like_an_attempt, serviceAccountName="default"), "service account", id="account"),
        pytest.param(partial(pod_like_an_attempt, hostNetwork=True), "the node's network", id="the node's network"),
        pytest.param(partial(pod_like_an_attempt, hostPID=True), "the node's network", id="the node's processes"),
    ],
)
def test_what_could_break_out_is_kept_out(installed: Release, kind: str, build: Any, words: str) -> None:
    done = submit(installed, kind, build(installed))

    assert done.returncode != 0, done.stdout
    # For pods the Pod Security standard speaks first where it forbids the same.
    standard = kind == "Pod" and 'violates PodSecurity "restricted' in done.stderr
    assert standard or re.search(words, done.stderr), done.stderr


def test_expressions_of_the_policy_are_type_checked_without_complaint(installed: Release) -> None:
    [policy] = [
        found
        for found in installed.cluster.get("validatingadmissionpolicies")["items"]
        if found["metadata"]["name"] == f"{installed.own}.autoresearch"
    ]

    status = installed.cluster.wait_for(
        "validatingadmissionpolicy",
        policy["metadata"]["name"],
        until=lambda found: "typeChecking" in found.get("status", {}),
        what="the type check of the policy",
    )["status"]
    assert not status["typeChecking"].get("expressionWarnings")


def test_controller_may_do_what_the_role_says_and_nothing_else(installed: Release) -> None:
    account = f"--as=system:serviceaccount:{installed.own}:autoresearch"

    def rights(namespace: str) -> set[tuple[str, str]]:
        text = installed.cluster.kubectl("auth", "can-i", "--list", account, f"--namespace={namespace}")
        rows = [line for line in text.splitlines()[1:] if not line.startswith(("selfsubject", " ", "["))]
        return {
            (row.split()[0], verb) for row in rows for verb in row.rpartition("[")[2].rstrip("]").split() if row.split()
        }

    [role] = [m for m in render(namespace=installed.own) if m["kind"] == "Role"]
    expected = {
        (f"{resource}.{group}" if group else resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert rights(installed.runs) == expected
    assert rights(installed.own) == set()
    assert rights("kube-system") == set()


def test_attempts_may_do_nothing(installed: Release) -> None:
    account = f"--as=system:serviceaccount:{installed.runs}:autoresearch-attempt"

    for verb, resource in (("get", "pods"), ("create", "pods"), ("get", "secrets"), ("get", "configmaps")):
        done = installed.cluster.try_kubectl("auth", "can-i", verb, resource, account, f"--namespace={installed.runs}")
        assert done.stdout.strip() == "no"


def test_smoke_test_is_admitted_as_the_controller_makes_it(installed: Release, tmp_path: Path) -> None:
    """Its Job, its ConfigMap and, by the Job controller, its pod: past rights, policy, Pod Security and quota."""
    own = installed.cluster.get("configmap", "autoresearch-campaign", f"--namespace={installed.own}")
    file = tmp_path / "campaign.yaml"
    file.write_text(own["data"]["campaign.yaml"])
    settings = load_settings(file)
    request = smoke_request(settings, {"train.py": "print(1)\n"})
    flags = (f"--as=system:serviceaccount:{installed.own}:autoresearch", f"--namespace={installed.runs}")

    def create(manifest: Manifest) -> Manifest:
        told = installed.cluster.kubectl("create", "-f", "-", "--output=json", *flags, stdin=json.dumps(manifest))
        created: Manifest = json.loads(told)
        return created

    job = create(build_smoke_job(settings, request, secrets.token_hex(4)))
    name = job["metadata"]["name"]
    try:
        assert create(build_smoke_files(settings, request, job))["metadata"]["name"] == name
        of_job = (f"--namespace={installed.runs}", f"-lbatch.kubernetes.io/job-name={name}")
        wait_until(lambda: installed.cluster.get("pods", *of_job)["items"], what="the pod of the smoke test")
    finally:
        installed.cluster.kubectl("delete", "job", name, *flags)
    of_files = ("configmap", name, f"--namespace={installed.runs}")
    wait_until(lambda: installed.cluster.try_kubectl("get", *of_files).returncode != 0, what="the end of its ConfigMap")


def test_more_than_the_quota_is_refused(installed: Release) -> None:
    """Two GPUs for one slot, so that the next attempt need not wait for the last one's end; three are too many."""
    limits = {"resources": {"limits": {"nvidia.com/gpu": "3"}}}
    done = submit(installed, "Pod", pod_like_an_attempt(installed, containers=container(installed, **limits)))

    assert "exceeded quota: autoresearch, requested: requests.nvidia.com/gpu=3" in done.stderr


def test_container_that_asks_for_nothing_gets_limits(installed: Release) -> None:
    created = submit(installed, "Pod", pod_like_an_attempt(installed))

    assert created.returncode == 0
    [limits] = installed.get("limitrange", namespace=installed.runs)["items"]
    assert limits["spec"]["limits"][0]["default"]["memory"] == "1Gi"


# -- the API server's own opinion of every example ----------------------------------------------------------------


@pytest.mark.parametrize("file", CI, ids=lambda file: file.name)
def test_api_server_takes_every_manifest_as_it_is(cluster: Cluster, file: Any) -> None:
    """Strict: an unknown or misspelt field is an error."""
    suffix = f"strict-{file.name.partition('-')[0]}-{int(time.time())}"
    manifests = render(None, file, namespace=suffix)
    places = {m["metadata"].get("namespace", suffix) for m in manifests} | {suffix}
    places |= {m["metadata"]["name"] for m in manifests if m["kind"] == "Namespace"}
    named = [
        named_object("v1", "ServiceAccount", pod["serviceAccountName"], namespace=m["metadata"]["namespace"])
        for m in manifests
        for _, pod in pods([m])
    ]
    for _, pod in pods(manifests):
        if "priorityClassName" in pod:
            named.append(named_object("scheduling.k8s.io/v1", "PriorityClass", pod["priorityClassName"], value=-10))
        if "runtimeClassName" in pod:
            named.append(named_object("node.k8s.io/v1", "RuntimeClass", pod["runtimeClassName"], handler="runc"))
    cluster.apply(*(named_object("v1", "Namespace", name) for name in places))
    cluster.apply(*named)
    others = [m for m in manifests if m["kind"] not in ("Namespace", "ServiceAccount")]
    try:
        bundle = {"apiVersion": "v1", "kind": "List", "items": others}
        done = cluster.try_kubectl(
            *("create", "--dry-run=server", "--validate=strict", "-f", "-"), stdin=json.dumps(bundle)
        )
        assert done.returncode == 0, done.stderr
    finally:
        cluster.kubectl("delete", "namespace", *places, "--wait=false")
        for found in named:
            if "namespace" not in found["metadata"]:
                cluster.kubectl("delete", found["kind"], found["metadata"]["name"], "--ignore-not-found")


def named_object(version: str, kind: str, name: str, *, namespace: str | None = None, **rest: Any) -> Manifest:
    """The objects that a manifest refers to by name."""
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **place}, **rest}
