"""A Kubernetes cluster as a test sees it: a kubeconfig, kubectl, and images that can be brought in."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE_S, wait_until

from .binaries import binary
from .errors import ClusterError
from .oci import Image

Manifest = dict[str, Any]


class Cluster(ABC):
    """kubeconfig: the administrator's, for what is being tested. Where faults can be made they act on it."""

    kubeconfig: Path

    @abstractmethod
    def import_image(self, image: Image) -> str:
        """Bring an image to the node; returns its name by digest (localhost/x@sha256:...)."""

    @property
    def harness_kubeconfig(self) -> Path:
        """The kubeconfig of the harness itself, which no fault cuts if that can be avoided."""
        return self.kubeconfig

    @property
    def kubectl_program(self) -> str:
        """The installed kubectl, or else the one that the harness builds."""
        return shutil.which("kubectl") or str(binary("kubectl"))

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = PATIENCE_S) -> str:
        """Run kubectl and return its output. Raises ClusterError with its words when it fails or hangs."""
        done = self.try_kubectl(*arguments, stdin=stdin, seconds=seconds)
        if done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()[-4000:]}")
        return done.stdout

    def try_kubectl(
        self, *arguments: str, stdin: str | None = None, seconds: float = PATIENCE_S
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl and return how it ended, for tests that expect a refusal."""
        command = [self.kubectl_program, f"--kubeconfig={self.harness_kubeconfig}", *arguments]
        options: dict[str, Any] = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=seconds, **options)
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"kubectl {' '.join(arguments)}: no answer within {seconds:g} s") from error

    def get(self, *arguments: str) -> Manifest:
        """`kubectl get ARGUMENTS -o json`, parsed."""
        found: Manifest = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def apply(self, *manifests: Manifest, namespace: str | None = None) -> None:
        """Create or update objects."""
        scope = [f"--namespace={namespace}"] if namespace else []
        bundle = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", *scope, "-f", "-", stdin=json.dumps(bundle))

    def wait_for(
        self,
        *arguments: str,
        until: Callable[[Manifest], bool],
        what: str,
        seconds: float = PATIENCE_S,
    ) -> Manifest:
        """Ask for `kubectl get ARGUMENTS` until the object meets the condition; returns it.

        A missing object or an API server that does not answer counts as not yet. Raises DeadlineError.
        """

        def poll() -> Manifest | None:
            done = self.try_kubectl("get", *arguments, "-o", "json")
            found = json.loads(done.stdout) if done.returncode == 0 else None
            return found if found is not None and until(found) else None

        return wait_until(poll, what=what, seconds=seconds, interval=0.2)


class ForeignCluster(Cluster):
    """A cluster somebody else runs, given by its kubeconfig. Images must have been brought there beforehand."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def import_image(self, image: Image) -> str:
        raise ClusterError(f"{self.kubeconfig} is a foreign cluster: the harness cannot bring {image.tag} to it")


class KindCluster(Cluster):
    """A cluster made by kind, for machines where Docker runs. made: by us, so that `stop` deletes it."""

    def __init__(self, name: str, kubeconfig: Path, *, made: bool) -> None:
        self.name = name
        self.kubeconfig = kubeconfig
        self.made = made

    @classmethod
    def start(cls, name: str, *, kubeconfig: Path) -> KindCluster:
        """Create it, or use the one of that name which runs, and let its node pretend to have 4 GPUs."""
        kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        # Always by a kubeconfig of its own: without one kind would make this the current context of whoever tests.
        place = ("--name", name, "--kubeconfig", str(kubeconfig))
        made = name not in _kind("get", "clusters").split()
        if made:
            _kind("create", "cluster", *place, "--wait", "180s")
        else:
            _kind("export", "kubeconfig", *place)
        cluster = cls(name, kubeconfig, made=made)
        set_gpus(cluster, 4, node=f"{name}-control-plane")
        return cluster

    def stop(self) -> None:
        """Delete it, unless it was there before."""
        if self.made:
            _kind("delete", "cluster", "--name", self.name, "--kubeconfig", str(self.kubeconfig))

    def import_image(self, image: Image) -> str:
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            image.write_archive(archive)
            archive.flush()
            _kind("load", "image-archive", archive.name, "--name", self.name)
        node = ["docker", "exec", f"{self.name}-control-plane", "ctr", "-n", "k8s.io"]
        subprocess.run([*node, "images", "tag", "--force", image.tag, image.pinned], check=True, capture_output=True)
        return image.pinned


def set_gpus(cluster: Cluster, count: int, *, node: str) -> None:
    """Let a node pretend to have GPUs; the kubelet and the scheduler believe it until the node object is re-created."""
    # The kubelet would copy capacity to allocatable by itself, ten seconds later.
    paths = [f"/status/{part}/nvidia.com~1gpu" for part in ("capacity", "allocatable")]
    change = json.dumps([{"op": "add", "path": path, "value": str(count)} for path in paths])
    cluster.kubectl("patch", "node", node, "--subresource=status", "--type=json", f"--patch={change}")


def _kind(*arguments: str) -> str:
    done = subprocess.run(["kind", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ClusterError(f"kind {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def tail(path: Path, *, lines: int) -> Sequence[str]:
    """The last lines of a log, none where it does not exist."""
    return path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []
