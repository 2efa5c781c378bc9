"""The task of the executor's tests: shell scripts in an image of 2 MB, and a namespace to run it in.

In this task `train.py` is a shell script that the test writes, and the exam believes what training left behind.
It says nothing about the sealed exam, and everything about Jobs, kubelets, watches and clocks: each phase is a
real container with its real walls.
"""

from __future__ import annotations

import os
import queue
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controller.domain import Progress, Result, TryEnded, TryId, TryRequest
from controller.executor.kubernetes import KubernetesExecutor
from controller.executor.kubernetes.client import Client
from controller.executor.kubernetes.connection import connect
from controller.executor.kubernetes.naming import job_name
from controller.executor.kubernetes.pod import USER
from controller.settings import Settings
from tests.cluster.harness import BuiltCluster, Cluster, Manifest
from tests.cluster.harness.builder import image_store
from tests.cluster.harness.oci import Image, image_of_files
from tests.support.waiting import PATIENCE_S, wait_until

IMAGE = "localhost/scripted-task:1"
APPLETS = (
    "cat",
    "chmod",
    "cp",
    "date",
    "dd",
    "echo",
    "head",
    "id",
    "ls",
    "mkdir",
    "mkfifo",
    "nc",
    "rm",
    "sh",
    "sleep",
    "tail",
    "test",
    "timeout",
    "touch",
    "true",
    "wc",
    "yes",
)
SCRIPTS = Path(__file__).parent / "images" / "scripted"

SCORES = 'echo "loss 1.5"; echo 0.9871 > "$AUTORESEARCH_ARTIFACT/score"'
"""A training that ends well."""

HOLD = "until test -e /tmp/go; do sleep 0.5; done; sleep 1"
"""In a training: waits for TaskNamespace.let_go. A kubelet may tell of a short one only when it is over."""

HELD = f"echo begun; {HOLD}; {SCORES}"


def scripted_image() -> Image:
    """Busybox with a `python` that runs shell scripts, as the phases of an attempt."""
    busybox = Path(shutil.which("busybox") or "/bin/busybox")
    return image_of_files(
        image_store(),
        tag=IMAGE,
        executables={
            "bin/busybox": busybox,
            "bin/python": SCRIPTS / "python",
            "task/prepare.py": SCRIPTS / "prepare.py",
        },
        links={f"bin/{applet}": "busybox" for applet in APPLETS},
        entrypoint=["/bin/sh"],
    )


@dataclass(slots=True)
class TaskNamespace:
    """A namespace with data, where executors run tries of campaigns that no other test has."""

    cluster: Cluster
    name: str
    image: str

    def settings(self, tag: str, *, score: str = "exam", **overrides: Any) -> Settings:
        """Settings for small pods; `overrides` are sections by name, laid over these."""
        kubernetes = {
            "namespace": self.name,
            "kubeconfig": str(self.cluster.kubeconfig),
            "image": self.image,
            "image_pull_policy": "Never",
            "service_account": "default",
            "gpus": 1,
            "cpu": "50m",
            "memory": "48Mi",
            "examine_cpu": "50m",
            "examine_memory": "32Mi",
            "shared_memory": "8Mi",
            "lease_seconds": 4,
            **overrides.pop("kubernetes", {}),
        }
        limits = {"artifact_gb": 0.05, "scratch_gb": 0.02, **overrides.pop("limits", {})}
        return Settings.model_validate(
            {
                "tag": tag,
                "task": {"score": score, **overrides.pop("task", {})},
                "budget": {"train_seconds": 30},
                "deadlines": {"image_pull": 120, "examine": 80, **overrides.pop("deadlines", {})},
                "executor": {"kind": "kubernetes", "limits": limits, "kubernetes": kubernetes},
                **overrides,
            }
        )

    @contextmanager
    def client(self, settings: Settings) -> Iterator[Client]:
        """A client as an executor of these settings has it."""
        client = connect(settings.executor.kubernetes)
        yield client
        client.close()

    def jobs(self, tag: str) -> list[Manifest]:
        """The campaign's Jobs as they are now."""
        items: list[Manifest] = self.cluster.get("jobs", f"--namespace={self.name}", f"-lcampaign={tag}")["items"]
        return items

    def job(self, id: TryId) -> Manifest:
        """One Job as it is now."""
        return self.cluster.get("job", job_name(id), f"--namespace={self.name}")

    def let_go(self, *labels: str) -> None:
        """Let the training that waits by HOLD go on: that of the only pod with these labels."""
        [pod] = self.cluster.get("pods", f"--namespace={self.name}", f"-l{','.join(labels)}")["items"]
        place = (f"--namespace={self.name}", pod["metadata"]["name"], "--container=train")
        telling = ("exec", *place, "--", "touch", "/tmp/go")
        wait_until(lambda: self.cluster.try_kubectl(*telling).returncode == 0, what="the training to be told")

    def kubectl(self, *arguments: str) -> str:
        """kubectl in this namespace."""
        return self.cluster.kubectl(*arguments, f"--namespace={self.name}")


class Running:
    """An executor that runs, and the ends that it reported."""

    def __init__(self, settings: Settings, **parts: Any) -> None:
        self.settings = settings
        self.executor = KubernetesExecutor(settings, **parts)
        self.ends: queue.Queue[TryEnded] = queue.Queue()
        self.ended_at: dict[str, float] = {}

    def start(self, adopting: Sequence[TryRequest] = ()) -> None:
        """Start, and adopt these tries. What they leave out is an orphan from then on."""
        self.executor.start(self.take)
        self.executor.adopt(adopting)

    def take(self, end: TryEnded) -> None:
        """Note the end of a try by the name of its Job; the executor calls this."""
        self.ended_at[job_name(end.id)] = time.time()
        self.ends.put(end)

    def request(self, script: str, *, number: int = 1, **changes: Any) -> TryRequest:
        """A request for a try whose training is this shell script."""
        request = TryRequest(
            id=TryId(self.settings.tag, number, 1, 1),
            commit=f"c0ffee{number}",
            files={"train.py": script},
            seed=number,
            probe_set=3,
        )
        return replace(request, **changes)

    def launch(self, script: str, *, number: int = 1, **changes: Any) -> TryRequest:
        """Launch such a try."""
        request = self.request(script, number=number, **changes)
        self.executor.launch(request)
        return request

    def result(self, *, seconds: float = PATIENCE_S) -> Result:
        """The result of the next try that ends."""
        return self.end(seconds=seconds).result

    def end(self, *, seconds: float = PATIENCE_S) -> TryEnded:
        """The next end."""
        try:
            return self.ends.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"no try ended within {seconds} s; {self.executor.progress()}") from None

    def run(self, script: str, *, number: int = 1, seconds: float = PATIENCE_S, **changes: Any) -> Result:
        """Launch, wait for the end, and say that it is recorded."""
        request = self.launch(script, number=number, **changes)
        result = self.result(seconds=seconds)
        self.executor.recorded(request.id)
        return result

    def wait_for(self, phase: str) -> Progress:
        """Wait until a try is seen in this phase."""
        return wait_until(
            lambda: next((p for p in self.executor.progress() if p.phase == phase), None),
            what=f"a try in phase {phase}",
        )

    def wait_for_trouble(self, words: str) -> None:
        """Wait until the executor tells of this trouble; a lease that a busy machine renews late is another."""
        wait_until(
            lambda: words in self.executor.trouble(),
            what=lambda: f"the trouble {words!r}; it is {self.executor.trouble()!r}",
        )

    def wait_for_no_trouble(self) -> None:
        """Wait until nothing is left that an operator would have to mend, nor a lease that is late."""
        wait_until(lambda: not self.executor.trouble(), what=lambda: f"the end of {self.executor.trouble()!r}")


@contextmanager
def running(
    namespace: TaskNamespace,
    *,
    tag: str | None = None,
    adopting: Sequence[TryRequest] = (),
    parts: dict[str, Any] | None = None,
    **overrides: Any,
) -> Iterator[Running]:
    """An executor of a campaign of its own, started; stopped at the end."""
    settings = namespace.settings(tag or f"t{secrets.token_hex(4)}", **overrides)
    one = Running(settings, **(parts or {}))
    one.start(adopting)
    try:
        yield one
    finally:
        one.executor.stop()


@contextmanager
def task_namespace_on(cluster: Cluster, namespace: str) -> Iterator[TaskNamespace]:
    """Bring image and data into a namespace."""
    image = cluster.import_image(scripted_image())
    volume, folder = f"data-{namespace}", f"/var/tmp/autoresearch-data-{namespace}"
    size: Manifest = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                **size,
                "capacity": {"storage": "1Gi"},
                "claimRef": {"namespace": namespace, "name": "autoresearch-data"},
                "hostPath": {"path": folder, "type": "DirectoryOrCreate"},
                "persistentVolumeReclaimPolicy": "Retain",
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "autoresearch-data", "namespace": namespace},
            "spec": {**size, "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}},
        },
    )
    if isinstance(cluster, BuiltCluster):
        # Kubernetes gives a hostPath to nobody; where volumes come from a driver, fsGroup does this.
        cluster.machine.run("install", "-d", "-o", str(USER), "-g", str(USER), folder)
    yield TaskNamespace(cluster, namespace, image)
    cluster.kubectl("delete", "persistentvolume", volume, "--wait=false")
    if isinstance(cluster, BuiltCluster):
        cluster.machine.run("rm", "-rf", folder)


@contextmanager
def controller_process(settings: Settings, script: str, *, dies_after: str = "") -> Iterator[subprocess.Popen[str]]:
    """A controller of its own process, which launches one try, records its end, and may be killed at any time.

    dies_after: a verb and a resource, such as "create jobs"; right after its first such request the process is gone.
    """
    command = [sys.executable, "-m", __name__, settings.model_dump_json(), script, dies_after]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        yield process
        process.kill()


def _be_a_controller(settings: Settings, script: str, dies_after: str) -> None:
    def die(verb: str, resource: str, code: str, seconds: float) -> None:
        if f"{verb} {resource}" == dies_after:
            os._exit(9)  # as SIGKILL does: no handler, no flush, no goodbye

    one = Running(settings, observe=die)
    one.start()
    request = one.launch(script)
    print("launched", flush=True)
    one.result()
    one.executor.recorded(request.id)
    threading.Event().wait()


if __name__ == "__main__":
    _be_a_controller(Settings.model_validate_json(sys.argv[1]), sys.argv[2], sys.argv[3])
