"""The harness keeps its promises: what a test sees on its cluster is what a real cluster does."""

from __future__ import annotations

import contextlib
import io
import os
import select
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster.harness import (
    BuiltCluster,
    Cluster,
    ClusterSpec,
    FreshCluster,
    Manifest,
    NamespacePair,
    image_of_files,
    slots,
)
from tests.cluster.harness.binaries import binary, program
from tests.cluster.harness.built import node_is_ready
from tests.cluster.harness.choice import Built, Given, Kind, Missing, Surroundings, choose
from tests.cluster.harness.dockerignore import ignored
from tests.cluster.harness.enlist_pod import address_set
from tests.cluster.harness.fake_nodes import SELECTOR, start_fake_nodes
from tests.cluster.harness.images import busybox_image
from tests.cluster.harness.layout import Layout
from tests.cluster.harness.machine import Machine
from tests.cluster.script_job import script_job
from tests.support.waiting import PATIENCE_S, wait_until

PREPARATIONS = [program("kwok")]


def finished(job: Manifest) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(condition["type"] in ("Complete", "Failed") for condition in conditions)


def is_ready(job: Manifest) -> bool:
    ready: int = job.get("status", {}).get("ready", 0)
    return ready > 0


def terminated(pod: Manifest) -> Manifest:
    state: Manifest = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    return state


def traces(layout: Layout, *, namespaces: set[str]) -> Iterator[str]:
    """Whatever of this cluster is to be seen on the machine. namespaces: those its process 1 was in.

    Components are known by their namespaces, containers, which have their own, by their control group.
    """
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if namespaces & namespaces_of(process) or f"/{layout.cgroup}/" in (process / "cgroup").read_text():
                yield f"process {process.name}: {(process / 'cmdline').read_text(errors='replace')}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if str(layout.root) in line or str(layout.store) in line:
            yield f"mount {line}"
    left = [layout.root, Path("/sys/class/net") / layout.host_link, *slots.control_groups(layout)]
    yield from (str(path) for path in left if path.exists())


def namespaces_of(process: Path) -> set[str]:
    found = set()
    for kind in ("mnt", "net", "pid"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(process / "ns" / kind))
    return found


def answers(cluster: Cluster, *flags: str) -> bool:
    return cluster.try_kubectl(*flags, "get", "configmaps", "--request-timeout=5s").returncode == 0


def not_ready(node: Manifest) -> bool:
    return not node_is_ready(node)


@pytest.fixture(scope="module")
def breakable(buildable: None) -> Iterator[BuiltCluster]:
    """One cluster for the tests that break it and mend it again."""
    cluster = BuiltCluster.start("breakable", ClusterSpec(quick_node_loss=True))
    yield cluster
    cluster.stop()


def run_job(cluster: Cluster, namespace: str, job: Manifest) -> tuple[Manifest, Manifest]:
    """Create the Job and wait for its end; returns Job and pod."""
    name = job["metadata"]["name"]
    cluster.apply(job, namespace=namespace)
    done = cluster.wait_for("job", name, "-n", namespace, until=finished, what=f"the end of Job {name}")
    pods = cluster.get("pods", "-n", namespace, "-l", f"batch.kubernetes.io/job-name={name}")["items"]
    return done, pods[0]


def test_job_runs_and_its_log_and_termination_message_can_be_read(cluster: Cluster, namespaces: NamespacePair) -> None:
    script = "echo to the log; printf 'to the kubelet' > /dev/termination-log"

    job, pod = run_job(cluster, namespaces.runner, script_job("hello", script))

    assert job["status"]["succeeded"] == 1
    assert cluster.kubectl("logs", "job/hello", "-n", namespaces.runner) == "to the log\n"
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == "to the kubelet"


def test_scheduler_counts_the_pretended_gpus(built_cluster: BuiltCluster, namespaces: NamespacePair) -> None:
    scope = ("-n", namespaces.runner)
    all_of_them = {"limits": {"nvidia.com/gpu": str(built_cluster.spec.gpus)}}
    built_cluster.apply(script_job("holder", "sleep 600", resources=all_of_them), namespace=namespaces.runner)
    built_cluster.wait_for("job", "holder", *scope, until=is_ready, what="the holder of all GPUs to run")

    one = {"limits": {"nvidia.com/gpu": "1"}}
    built_cluster.apply(script_job("waiter", "true", resources=one), namespace=namespaces.runner)
    wait_until(
        lambda: "Insufficient nvidia.com/gpu" in built_cluster.kubectl("events", *scope),
        what="the scheduler to say that no GPU is left",
    )
    built_cluster.kubectl("delete", "job", "holder", *scope, "--wait=false")
    built_cluster.kubectl("delete", "pods", "-l", "batch.kubernetes.io/job-name=holder", *scope, "--force")
    waiter = built_cluster.wait_for("job", "waiter", *scope, until=finished, what="the waiter to get a freed GPU")

    assert waiter["status"]["succeeded"] == 1


def test_memory_limit_kills(cluster: Cluster, namespaces: NamespacePair) -> None:
    # tail keeps the whole of an endless line.
    job = script_job("glutton", "exec tail /dev/zero", resources={"limits": {"memory": "32Mi"}})

    _, pod = run_job(cluster, namespaces.runner, job)

    # "Error" where containerd notes the end before it hears from the kernel that memory was the cause.
    assert terminated(pod)["reason"] in {"OOMKilled", "Error"}
    assert terminated(pod)["exitCode"] == 137


def test_pod_deadline_ends_the_pod_and_leaves_its_log(cluster: Cluster, namespaces: NamespacePair) -> None:
    scope = ("-n", namespaces.runner)
    quick_end = {"terminationGracePeriodSeconds": 1}
    cluster.apply(script_job("endless", "echo begun; sleep 600", pod=quick_end), namespace=namespaces.runner)
    wait_until(lambda: cluster.try_kubectl("logs", "job/endless", *scope).stdout == "begun\n", what="the script")
    [pod] = cluster.get("pods", *scope)["items"]

    # One of the few fields of a running pod that may be changed.
    cluster.kubectl("patch", "pod", pod["metadata"]["name"], *scope, '--patch={"spec": {"activeDeadlineSeconds": 1}}')
    cluster.wait_for("job", "endless", *scope, until=finished, what="the end of the Job")

    [ended] = cluster.get("pods", *scope)["items"]
    assert ended["status"]["reason"] == "DeadlineExceeded"
    assert cluster.kubectl("logs", "job/endless", *scope) == "begun\n"


def test_overfull_disk_is_evicted(built_cluster: BuiltCluster, namespaces: NamespacePair) -> None:
    pod_parts = {"volumes": [{"name": "out", "emptyDir": {"sizeLimit": "10Mi"}}]}
    mount = [{"name": "out", "mountPath": "/out"}]
    fill = "dd if=/dev/zero of=/out/x bs=1M count=30; sleep 600"
    job = script_job("hoarder", fill, pod=pod_parts, volumeMounts=mount)

    _, pod = run_job(built_cluster, namespaces.runner, job)

    assert pod["status"]["reason"] == "Evicted"


def test_images_can_be_pinned_by_digest(cluster: Cluster, namespaces: NamespacePair) -> None:
    pinned = cluster.import_image(busybox_image())

    job, _ = run_job(cluster, namespaces.runner, script_job("pinned", "true", image=pinned))

    assert "@sha256:" in pinned
    assert job["status"]["succeeded"] == 1


def test_enforced_network_stops_what_a_plain_one_lets_through(
    built_cluster: BuiltCluster, namespaces: NamespacePair
) -> None:
    targets = [f"{built_cluster.layout.api_service_address}:443", f"{built_cluster.node_address}:6443"]
    attempts = " || ".join(f"nc -w 2 {target.replace(':', ' ')} < /dev/null" for target in targets)

    open_job, _ = run_job(built_cluster, namespaces.runner, script_job("open", attempts))
    with built_cluster.enforce_network(namespaces.runner):
        shut_job, _ = run_job(built_cluster, namespaces.runner, script_job("shut", attempts))
        other_job, _ = run_job(built_cluster, namespaces.controller, script_job("other", attempts))

    assert open_job["status"].get("succeeded") == 1
    assert shut_job["status"].get("failed") == 1
    assert other_job["status"].get("succeeded") == 1, "another namespace was shut in as well"


def test_api_server_restart_leaves_pods_and_clients_working(breakable: BuiltCluster) -> None:
    script = "until test -e /tmp/end; do sleep 0.5; done; sleep 1"
    breakable.apply(script_job("survivor", script), namespace="default")
    breakable.wait_for("job", "survivor", until=is_ready, what="a running pod")

    breakable.faults.restart_api_server()
    ending = ("exec", "job/survivor", "--", "touch", "/tmp/end")
    wait_until(lambda: breakable.try_kubectl(*ending).returncode == 0, what="the pod to be told")

    done = breakable.wait_for("job", "survivor", until=finished, what="the end of a Job begun before")
    assert done["status"]["succeeded"] == 1


def test_broken_watch_stays_silent_while_new_connections_pass_afterwards(breakable: BuiltCluster) -> None:
    proxy = f"--server={breakable.layout.faulty_api_server}"
    kubectl = [str(binary("kubectl")), f"--kubeconfig={breakable.kubeconfig}"]
    watch = [*kubectl, "get", "configmaps", "--watch", "-o", "name"]
    with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "configmap/kube-root-ca.crt\n"

        breakable.faults.break_watch(600)
        breakable.kubectl("create", "configmap", "unseen")
        during = breakable.try_kubectl(proxy, "get", "configmaps", "--request-timeout=1s")
        breakable.faults.break_watch(1)
        wait_until(lambda: answers(breakable, proxy), what="new connections to pass again")
        learned = select.select([watcher.stdout], [], [], 0)[0]
        watcher.kill()

    assert during.returncode != 0
    assert learned == [], "the old watch learned of the change"


def test_refused_connections_end_a_watch_at_once(breakable: BuiltCluster) -> None:
    proxy = f"--server={breakable.layout.faulty_api_server}"
    kubectl = [str(binary("kubectl")), f"--kubeconfig={breakable.kubeconfig}"]
    watch = [*kubectl, "get", "configmaps", "--watch", "-o", "name"]
    with subprocess.Popen(watch, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as watcher:
        assert watcher.stdout is not None
        watcher.stdout.readline()

        breakable.faults.refuse_connections(600)
        ended = watcher.wait(timeout=PATIENCE_S)
    during = breakable.try_kubectl(proxy, "get", "configmaps", "--request-timeout=5s")
    breakable.faults.heal()

    assert ended is not None
    assert during.returncode != 0
    wait_until(lambda: answers(breakable, proxy), what="connections after healing")


def test_pod_network_fails_and_heals(built_cluster: BuiltCluster, namespaces: NamespacePair) -> None:
    reach = f"nc -w 2 {built_cluster.node_address} 6443 < /dev/null"

    with built_cluster.faults.pod_network_down():
        down, _ = run_job(built_cluster, namespaces.runner, script_job("down", reach))
    up, _ = run_job(built_cluster, namespaces.runner, script_job("up", reach))

    assert down["status"].get("failed") == 1
    assert up["status"].get("succeeded") == 1


def test_node_is_lost_and_comes_back_with_its_gpus(breakable: BuiltCluster) -> None:
    breakable.faults.stop_kubelet()
    lost = breakable.wait_for("node", breakable.node, until=not_ready, what="the node to be NotReady")

    breakable.faults.start_kubelet()
    breakable.faults.delete_node()
    breakable.faults.restore_node()

    found = breakable.get("node", breakable.node)
    assert lost["metadata"]["uid"] != found["metadata"]["uid"]
    assert found["status"]["capacity"]["nvidia.com/gpu"] == "4"


def test_evicted_pod_says_that_it_was_disrupted(built_cluster: BuiltCluster, namespaces: NamespacePair) -> None:
    scope = ("-n", namespaces.runner)
    # So long can be seen what it says of itself.
    slow_end = {"terminationGracePeriodSeconds": 60}
    built_cluster.apply(script_job("victim", "sleep 600", pod=slow_end), namespace=namespaces.runner)
    built_cluster.wait_for("job", "victim", *scope, until=is_ready, what="the victim to run")
    [pod] = built_cluster.get("pods", *scope)["items"]

    built_cluster.faults.evict_pod(namespaces.runner, pod["metadata"]["name"])

    def disrupted(found: Manifest) -> bool:
        return any(c["type"] == "DisruptionTarget" for c in found["status"]["conditions"])

    found = built_cluster.wait_for("pod", pod["metadata"]["name"], *scope, until=disrupted, what="DisruptionTarget")
    reasons = {c["reason"] for c in found["status"]["conditions"] if c["type"] == "DisruptionTarget"}
    assert reasons == {"EvictionByEvictionAPI"}


def test_full_quota_keeps_a_job_waiting_until_it_is_freed(
    built_cluster: BuiltCluster, namespaces: NamespacePair
) -> None:
    scope = ("-n", namespaces.runner)
    built_cluster.faults.fill_quota(namespaces.runner)
    built_cluster.apply(script_job("patient", "true"), namespace=namespaces.runner)
    wait_until(
        lambda: "exceeded quota: filled" in built_cluster.kubectl("events", *scope),
        what="the refusal of the pod",
    )

    built_cluster.faults.free_quota(namespaces.runner)

    job = built_cluster.wait_for("job", "patient", *scope, until=finished, what="the Job after the quota")
    assert job["status"]["succeeded"] == 1


def test_fake_nodes_run_many_pods_beside_the_real_one(breakable: BuiltCluster) -> None:
    start_fake_nodes(breakable, nodes=10, gpus=8)
    job = script_job("crowd", "never run", pod=SELECTOR, resources={"limits": {"nvidia.com/gpu": "1"}})
    job["spec"] |= {"completions": 60, "parallelism": 60}

    done, _ = run_job(breakable, "default", job)

    pods = breakable.get("pods", "-n", "default", "-l", "batch.kubernetes.io/job-name=crowd")["items"]
    assert done["status"]["succeeded"] == 60
    assert {pod["spec"]["nodeName"][:5] for pod in pods} == {"fake-"}


def test_two_clusters_side_by_side_do_not_see_each_other(fresh_cluster: FreshCluster) -> None:
    one, other = fresh_cluster("one"), fresh_cluster("other")

    jobs = [run_job(cluster, "default", script_job("same-name", "exit 0"))[0] for cluster in (one, other)]
    one.stop()

    assert [job["status"]["succeeded"] for job in jobs] == [1, 1]
    assert other.kubectl("get", "--raw", "/readyz") == "ok"


def test_stop_leaves_no_process_mount_link_control_group_or_file(buildable: None) -> None:
    cluster = BuiltCluster.start("traceless")
    inside = namespaces_of(Path("/proc") / str(cluster.machine.process.pid)) - namespaces_of(Path("/proc/self"))
    cluster.apply(script_job("left", "sleep 600"), namespace="default")
    cluster.wait_for("job", "left", until=is_ready, what="a running pod")
    during = set(traces(cluster.layout, namespaces=inside))

    cluster.stop()

    assert any("pause" in trace for trace in during), "the check sees nothing"
    assert list(traces(cluster.layout, namespaces=inside)) == []


def test_cluster_dies_with_the_process_that_started_it(buildable: None) -> None:
    program = "from tests.cluster.harness import BuiltCluster; BuiltCluster.start('orphan'); print('up'); input()"
    command = [sys.executable, "-u", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "up\n"
        layout = next(layout for layout in slots.occupied() if layout.name == "orphan")
        init = Machine.find(layout).process
        inside = namespaces_of(Path("/proc") / str(init.pid)) - namespaces_of(Path("/proc/self"))

        maker.kill()

    wait_until(lambda: not init.alive, what="the cluster's process 1 to follow its maker")
    slots.sweep()
    wait_until(lambda: not list(traces(layout, namespaces=inside)), what="every trace of it to be gone")


@pytest.mark.parametrize(
    ("path", "patterns", "expected"),
    [
        pytest.param("docs/a/b.md", ["docs"], True, id="a folder takes along all below it"),
        pytest.param("a/notes.md", ["*.md"], False, id="a pattern without ** is about the top"),
        pytest.param("a/notes.md", ["**/*.md"], True, id="with ** it is about any depth"),
        pytest.param("docs/keep.md", ["docs/*", "!docs/keep.md"], False, id="the last match decides"),
        pytest.param("a/x/b", ["a/**/b"], False, id="what is not understood ignores nothing"),
        pytest.param("docs", ["", "# docs"], False, id="comments and empty lines say nothing"),
    ],
)
def test_dockerignore(path: str, patterns: list[str], expected: bool) -> None:
    assert expected == ignored(path, patterns)


@given(namespace=st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789-"), min_size=1, max_size=63))
def test_every_namespace_has_an_address_set_that_ipset_accepts(namespace: str) -> None:
    assert len(address_set(namespace)) <= 31


def test_a_given_cluster_wins_over_kind_and_kind_over_building_one() -> None:
    everything = Surroundings(given_kubeconfig="/k", kind=True, root=True, go=True, missing=())

    assert choose(everything) == Given(Path("/k"))
    assert choose(replace(everything, given_kubeconfig=None)) == Kind()
    assert choose(replace(everything, given_kubeconfig=None, kind=False)) == Built()


def test_where_no_cluster_is_possible_the_reason_says_what_to_install() -> None:
    nothing = Surroundings(given_kubeconfig=None, kind=False, root=False, go=False, missing=("runc",))

    choice = choose(nothing)

    assert isinstance(choice, Missing)
    assert all(word in choice.reason for word in ("root", "Go", "runc", "AUTORESEARCH_TEST_KUBECONFIG"))


def test_layouts_of_two_slots_share_nothing() -> None:
    one, other = (slots.layout_of(slot, "same-name") for slot in (0, 1))

    names = [name for name, kind in vars(Layout).items() if isinstance(kind, property)]
    same = {name for name in names if getattr(one, name) == getattr(other, name)}

    assert same == {"node_name"}


def test_an_image_travels_without_the_layers_that_are_there_already(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    image = image_of_files(
        tmp_path, tag="localhost/x:1", executables={"bin/x": program}, links={}, entrypoint=["/bin/x"]
    )
    manifest, config, layer = image.blobs()

    archive = io.BytesIO()
    image.write_archive(archive, without=frozenset({layer}))

    archive.seek(0)
    with tarfile.open(fileobj=archive) as found:
        names = found.getnames()
    expected = [f"blobs/{digest.replace(':', '/')}" for digest in (manifest, config)]
    assert names == ["oci-layout", "index.json", *expected]
