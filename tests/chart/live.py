"""A release on a real cluster, by the real Helm: its volumes, its values, and what is asked of it.

For clusters that the harness built: they have no storage class, so the volumes are folders of the node.
"""

from __future__ import annotations

import json
import secrets
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from select import select
from typing import Any

from controller.domain import BASELINE
from tests.chart.images import BIGRAM, CONTROLLER, REPOSITORY, TRAINER, controller_image, trainer_image
from tests.chart.rendering import CHART, HelmError, Manifest
from tests.cluster.harness import BuiltCluster, Cluster
from tests.cluster.harness.binaries import binary, program
from tests.cluster.harness.images import base_step
from tests.cluster.harness.namespaces import NamespacePair, diagnosis
from tests.cluster.harness.policies import enforce_policies
from tests.support.waiting import PATIENCE_S, wait_until

PREPARATIONS = [base_step(), CONTROLLER, TRAINER, program("helm"), program("kube-router")]
"""What a test module with releases must have made before."""

OUTSIDE_PORT = 18443
"""Where the world begins: what the tests let the controller and the preparation reach on this machine."""

PREPARE = (
    *("--source", "/text", "--vocabulary", "512", "--sequence-length", "64"),
    *("--sequences", "128", "--probes", "64"),
)
"""Data that is made in seconds and fits the bigram model."""


def values(cluster: BuiltCluster, tag: str) -> dict[str, Any]:
    """A small campaign of the bigram task, on one of the cluster's GPUs of no substance."""
    controller, trainer = (cluster.import_image(image) for image in (controller_image(), trainer_image()))
    outside = {"cidrs": [f"{cluster.host_address}/32"], "ports": [OUTSIDE_PORT]}
    return {
        "image": _by_digest(controller),
        "trainerImage": {key: text for key, text in _by_digest(trainer).items() if key != "pullPolicy"},
        "campaign": {
            "tag": tag,
            "task": {
                "folder": "/task",
                "probe_sets": 4,
                "reserve_slices": 4,
                "prepare": [*PREPARE, "--probe-sets", "4", "--reserve-slices", "4"],
            },
            "budget": {"train_seconds": 120, "experiments": 2},
            "judge": {"baseline_runs": 2, "max_runs": 1},
            "deadlines": {"image_pull": 120, "train_grace": 120},
            "executor": {
                "limits": {"artifact_gb": 0.1, "scratch_gb": 0.1},
                "kubernetes": {
                    "cpu": "200m",
                    "memory": "512Mi",
                    "examine_cpu": "200m",
                    "examine_memory": "256Mi",
                    "shared_memory": "16Mi",
                },
            },
        },
        "controller": {
            "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
            "extraVolumes": [{"name": "task", "configMap": {"name": "task"}}],
            "extraVolumeMounts": [{"name": "task", "mountPath": "/task", "readOnly": True}],
        },
        "lab": {"storageClass": "-", "size": "1Gi"},
        "data": {"storageClass": "-", "size": "1Gi", "download": {"enabled": True, **outside}},
        # As narrow as an operator who knows the addresses can make it.
        "networkPolicy": {
            "apiServer": {"cidrs": [f"{cluster.node_address}/32"], "ports": [6443]},
            "model": outside,
            "git": outside,
        },
    }


def _by_digest(pinned: str) -> dict[str, str]:
    repository, _, digest = pinned.partition("@")
    return {"repository": repository, "digest": digest, "pullPolicy": "Never"}


def helm_on(
    cluster: Cluster, namespace: str, values: Mapping[str, Any], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run Helm on a cluster; `-f -` among the arguments reads the values."""
    command = [str(binary("helm")), *arguments, "--namespace", namespace]
    command += ["--kubeconfig", str(cluster.harness_kubeconfig)]
    return subprocess.run(command, capture_output=True, text=True, input=json.dumps(values), timeout=600, check=False)


def said_by(done: subprocess.CompletedProcess[str]) -> str:
    """Both streams of a Helm that succeeded. Raises HelmError with its words."""
    if done.returncode:
        raise HelmError(done.stdout + done.stderr)
    return done.stdout + done.stderr


@dataclass(slots=True)
class Release:
    """One release called `autoresearch`, in a namespace of its own."""

    cluster: BuiltCluster
    own: str
    values: dict[str, Any]

    @property
    def runs(self) -> str:
        """The namespace of attempts."""
        return f"{self.own}-runs"

    def helm(self, *arguments: str) -> str:
        """Run Helm in the release's namespace; returns what it said on both streams. Raises HelmError."""
        return said_by(self.try_helm(*arguments))

    def try_helm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Helm and return how it ended."""
        return helm_on(self.cluster, self.own, self.values, *arguments)

    def install(self, *arguments: str) -> str:
        """Install it; returns the notes."""
        return self.helm("install", "autoresearch", str(CHART), "-f", "-", *arguments)

    def upgrade(self, *arguments: str) -> str:
        """Upgrade it to its present values."""
        return self.helm("upgrade", "autoresearch", str(CHART), "-f", "-", *arguments)

    def uninstall(self, *arguments: str) -> str:
        """Uninstall it and wait."""
        return self.helm("uninstall", "autoresearch", "--wait", *arguments)

    def test(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`helm test`."""
        return self.try_helm("test", "autoresearch", "--timeout", "400s", *arguments)

    @contextmanager
    def page(self) -> Iterator[str]:
        """The address of its page on this machine, by the command that the notes name."""
        command = [self.cluster.kubectl_program, f"--kubeconfig={self.cluster.harness_kubeconfig}"]
        command += [f"--namespace={self.own}", "port-forward", "service/autoresearch", ":8080"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forwarding:
            assert forwarding.stdout is not None
            try:
                yield "http://" + forwarding.stdout.readline().split()[2]
            finally:
                forwarding.terminate()

    def kubectl(self, *arguments: str, namespace: str | None = None) -> str:
        """kubectl in the release's namespace, or in another."""
        return self.cluster.kubectl(f"--namespace={namespace or self.own}", *arguments)

    def get(self, *arguments: str, namespace: str | None = None) -> Manifest:
        """Objects of the release's namespace, or of another."""
        return self.cluster.get(*arguments, f"--namespace={namespace or self.own}")

    def controller(self) -> Manifest:
        """The controller's pod, the newest where one is on its way out."""
        found = self.get("pods", "-lapp.kubernetes.io/component=controller")["items"]
        return max(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default={})

    def wait_ready(self, *, seconds: float = PATIENCE_S) -> Manifest:
        """Wait until the controller says that it is ready."""

        def ready() -> Manifest | None:
            pod = self.controller()
            conditions = pod.get("status", {}).get("conditions", [])
            fine = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            return pod if fine and "deletionTimestamp" not in pod["metadata"] else None

        return wait_until(ready, what="a ready controller", seconds=seconds, interval=0.5)

    def ask(self, *arguments: str) -> str:
        """The controller's own command line, in its pod."""
        return self.kubectl("exec", "deploy/autoresearch", "-c", "controller", "--", "autoresearch", *arguments)

    def experiments(self) -> list[dict[str, Any]]:
        """The experiments in the lab."""
        done = self.cluster.try_kubectl(
            *("exec", f"--namespace={self.own}", "deploy/autoresearch", "-c", "controller", "--"),
            *("autoresearch", "log", "--json"),
        )
        found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
        return found

    def judged(self) -> list[dict[str, Any]]:
        """Experiments with a verdict, the baseline not counted."""
        return [e for e in self.experiments() if e["verdict"] != "open" and e["number"] != BASELINE]

    def wait_judged(self, count: int, *, seconds: float = 500) -> list[dict[str, Any]]:
        """Wait until so many experiments have a verdict."""
        return wait_until(
            lambda: found if len(found := self.judged()) >= count else None,
            what=f"{count} verdicts",
            seconds=seconds,
            interval=2.0,
        )

    def objects(self) -> set[str]:
        """Everything in both namespaces that somebody made, and what the release has outside of them."""
        kinds = self.cluster.kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
        kinds = [kind for kind in kinds if kind not in ("events", "events.events.k8s.io")]
        found = set()
        for place in (self.own, self.runs):
            listed = self.cluster.try_kubectl("get", ",".join(kinds), f"--namespace={place}", "-o", "name")
            found |= {f"{place}: {name}" for name in listed.stdout.split()}
        outside = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
        listed = self.cluster.try_kubectl("get", outside, "-o", "name")
        return found | {name for name in listed.stdout.split() if self.own in name}


def pod_like_an_attempt(release: Release, **changes: Any) -> Manifest:
    """A pod that the policy lets in; `changes` are laid over its specification."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    images = release.values["trainerImage"]
    spec: Manifest = {
        "restartPolicy": "Never",
        "serviceAccountName": "autoresearch-attempt",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "train",
                "image": f"{images['repository']}@{images['digest']}",
                "imagePullPolicy": "Never",
                "command": ["true"],
                "securityContext": security,
            }
        ],
    }
    return spec | changes


@contextmanager
def a_release(cluster: BuiltCluster, **changes: Any) -> Iterator[Release]:
    """A namespace with volumes and the task's files, ready to install into; removed at the end, whatever is left.

    From here on the cluster enforces network policies.
    """
    enforce_policies(cluster)
    tag = f"c{secrets.token_hex(3)}"
    release = Release(cluster, own=f"research-{tag}", values=_merged(values(cluster, tag), changes))
    folder = f"/var/tmp/{release.own}"
    volumes = {"lab": release.own, "data": release.runs}
    for name in volumes:
        cluster.machine.run("install", "-d", "-m", "0770", "-o", "65532", "-g", "65532", f"{folder}/{name}")
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": release.own}},
        *(
            _volume(f"{release.own}-{name}", place, f"autoresearch-{name}", f"{folder}/{name}")
            for name, place in volumes.items()
        ),
        _task(release.own),
    )
    try:
        yield release
    except BaseException:
        print(diagnosis(cluster, NamespacePair(controller=release.own, runner=release.runs)))
        raise
    finally:
        release.try_helm("uninstall", "autoresearch", "--no-hooks", "--ignore-not-found")
        for kind, names in (
            ("namespace", (release.own, release.runs)),
            ("persistentvolume", tuple(f"{release.own}-{name}" for name in volumes)),
        ):
            cluster.kubectl("delete", kind, *names, "--ignore-not-found", "--wait=false")
        cluster.machine.run("rm", "-rf", folder)


def _volume(name: str, namespace: str, claim: str, path: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "capacity": {"storage": "1Gi"},
            "claimRef": {"namespace": namespace, "name": claim},
            "hostPath": {"path": path, "type": "Directory"},
            "persistentVolumeReclaimPolicy": "Retain",
        },
    }


def _task(namespace: str) -> Manifest:
    files = {"train.py": BIGRAM / "train.py", "prepare.py": REPOSITORY / "trainer-image" / "prepare.py"}
    files["program.md"] = REPOSITORY / "program.md"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "task", "namespace": namespace},
        "data": {name: path.read_text() for name, path in files.items()},
    }


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


class Door(socketserver.ThreadingTCPServer):
    """Its port is free again at once."""

    allow_reuse_address = True


@contextmanager
def reachable_from_pods(cluster: BuiltCluster, port: int) -> Iterator[str]:
    """The address under which pods reach a server that listens on this machine's loopback."""

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as inside:
                ends = {inside: self.request, self.request: inside}
                while True:
                    for source in select(list(ends), [], [])[0]:
                        data = source.recv(65536)
                        if not data:
                            return
                        ends[source].sendall(data)

    with Door((cluster.host_address, OUTSIDE_PORT), Connection) as door:
        thread = threading.Thread(target=door.serve_forever, args=(0.05,))
        thread.start()
        yield f"{cluster.host_address}:{OUTSIDE_PORT}"
        door.shutdown()
        thread.join()
