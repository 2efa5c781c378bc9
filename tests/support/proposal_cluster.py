"""A stand-in for a cluster that runs the Jobs of proposals as plain processes, one container after the other.

It knows the few requests that a workshop and smoke tests make, and tells Jobs and pods by real watches over real HTTP.
It has no walls: what holds a hostile program is tried on a real cluster (tests/cluster/test_proposals.py).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import urllib3
from pydantic import SecretStr

from controller.agent.command import CommandAgent
from controller.agent.command.upstream import Account, Upstream
from controller.costs.model_calls import CallRecord
from controller.executor.kubernetes import ClusterWorkshop
from controller.executor.kubernetes.client import Client
from controller.executor.phases import TASK
from controller.settings import CommandSettings, Settings
from tests.standin import KEY, StandIn
from tests.support.kubernetes_api import NAMESPACE
from tests.support.waiting import PATIENCE_S

Thing = dict[str, Any]

PLURALS = ("jobs", "pods", "events")


class ProposalCluster:
    """Jobs, pods and events, and the processes that the pods run.

    refusal: status and message with which a new Job is refused; None if it is not.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refusal: tuple[int, str] | None = None
        self.held: Thing = {}
        """If set, the status of each new pod, which never begins."""
        self.said = b""
        """What containers have printed of which no process runs."""
        self.created: list[Thing] = []
        """The manifest of every Job that was created."""
        self.files: list[Thing] = []
        """The manifest of every ConfigMap that was created."""
        self.changed = threading.Condition()
        self.over = False
        self._version = 0
        self._objects: dict[str, dict[str, Thing]] = {plural: {} for plural in PLURALS}
        self._history: list[tuple[int, str, Thing]] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def names(self, plural: str) -> list[str]:
        """Names of the objects that there are."""
        with self.changed:
            return sorted(self._objects[plural])

    def find(self, plural: str, name: str) -> Thing | None:
        """An object as it is now."""
        with self.changed:
            return self._objects[plural].get(name)

    def list_of(self, plural: str) -> Thing:
        """All objects, and the version up to which they are told."""
        with self.changed:
            return {"items": list(self._objects[plural].values()), "metadata": {"resourceVersion": str(self._version)}}

    def news(self, plural: str, *, since: int) -> list[tuple[int, Thing]]:
        """Events of a watch that are newer."""
        with self.changed:
            return [
                (version, {"type": kind, "object": found})
                for version, kind, found in self._history
                if version > since and found["kind"] == plural
            ]

    def wait_for_news(self, plural: str, *, since: int) -> None:
        """Wait a moment for an event that is newer, or for the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.over or self.news(plural, since=since), 1)

    def create(self, job: Thing) -> Thing:
        """Take on a Job and run its pod."""
        name = job["metadata"]["name"]
        self.created.append(job)
        job = self._store("jobs", name, job | {"status": {}})
        threading.Thread(target=self._run, args=(job,), daemon=True).start()
        return job

    def delete(self, name: str) -> None:
        """Delete a Job with its pod and its processes."""
        self._remove("jobs", name)
        with self.changed:
            process = self._processes.pop(name, None)
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._remove("pods", f"{name}-pod")

    def log(self, pod: str, container: str) -> bytes:
        """What a container has printed."""
        path = self.folder / pod / f"{container}.log"
        return path.read_bytes() if path.exists() else self.said

    def end(self) -> None:
        """End every process and every watch."""
        for name in self.names("jobs"):
            self.delete(name)
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def _run(self, job: Thing) -> None:
        """Run the containers of the Job's pod until one fails."""
        name, spec = job["metadata"]["name"], job["spec"]["template"]["spec"]
        labels = {"batch.kubernetes.io/job-name": name, "batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
        containers = [*spec.get("initContainers", ()), *spec["containers"]]
        pod: Thing = {"metadata": {"name": f"{name}-pod", "labels": labels}, "spec": spec}
        states: dict[str, Thing] = {one["name"]: {"waiting": {"reason": "PodInitializing"}} for one in containers}
        if self.held:
            self._store("pods", f"{name}-pod", pod | {"status": self.held})
            return
        folder = self.folder / f"{name}-pod"
        (folder / "task").mkdir(parents=True)
        phase = "Running"
        for container in containers:
            states[container["name"]] = {"running": {"startedAt": _now()}}
            self._show(pod, containers, states, phase)
            code = self._run_container(name, container, folder)
            if code is None:
                return
            states[container["name"]] = {
                "terminated": {"exitCode": code, "startedAt": _now(), "finishedAt": _now(), "reason": "Completed"}
            }
            if code != 0:
                break
        phase = "Succeeded" if code == 0 else "Failed"
        self._show(pod, containers, states, phase)

    def _run_container(self, job: str, container: Thing, folder: Path) -> int | None:
        """Exit code of a container; None if its Job is gone."""
        task = str(folder / "task")
        command = [word.replace("$$(", "$(") for word in container["command"]]
        command = [sys.executable if word == "python" else task if word == TASK else word for word in command]
        environment = {one["name"]: one["value"] for one in container["env"]} | {"HOME": str(folder)}
        with (folder / f"{container['name']}.log").open("wb") as log:
            with self.changed:
                if job not in self._objects["jobs"]:
                    return None
                process = subprocess.Popen(
                    command,
                    cwd=task if container["workingDir"] == TASK else folder,
                    env={"PATH": os.environ["PATH"], **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                self._processes[job] = process
            code = process.wait()
        return code if self.find("jobs", job) else None

    def _show(self, pod: Thing, containers: list[Thing], states: dict[str, Thing], phase: str) -> None:
        told = [{"name": one["name"], "state": states[one["name"]]} for one in containers]
        status = {
            "phase": phase,
            "startTime": _now(),
            "initContainerStatuses": told[:-1],
            "containerStatuses": told[-1:],
        }
        self._store("pods", pod["metadata"]["name"], pod | {"status": status})

    def _store(self, plural: str, name: str, thing: Thing) -> Thing:
        with self.changed:
            self._version += 1
            metadata = {"uid": f"uid-{name}", "creationTimestamp": _now(), **thing["metadata"]}
            stored = thing | {"kind": plural, "metadata": metadata | {"resourceVersion": str(self._version)}}
            if (
                plural == "pods"
                and stored["metadata"]["labels"]["batch.kubernetes.io/job-name"] not in (self._objects["jobs"])
            ):
                return stored
            kind = "MODIFIED" if name in self._objects[plural] else "ADDED"
            self._objects[plural][name] = stored
            self._history.append((self._version, kind, stored))
            self.changed.notify_all()
            return stored

    def _remove(self, plural: str, name: str) -> None:
        with self.changed:
            gone = self._objects[plural].pop(name, None)
            if gone is not None:
                self._version += 1
                gone = gone | {"metadata": gone["metadata"] | {"resourceVersion": str(self._version)}}
                self._history.append((self._version, "DELETED", gone))
                self.changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: ProposalCluster

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        words = parts.path.strip("/").split("/")
        if words == ["version"]:
            return self._send(200, {"major": "1", "minor": "34"})
        if words[-1] == "log":
            return self._send(200, self.cluster.log(words[-2], query["container"]))
        if words[-1] in PLURALS:
            if "watch" in query:
                return self._watch(words[-1], int(query["resourceVersion"]))
            return self._send(200, self.cluster.list_of(words[-1]))
        found = self.cluster.find(words[-2], words[-1])
        return self._send(200, found) if found else self._send(404, {"reason": "NotFound"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("selfsubjectaccessreviews"):
            return self._send(201, {"status": {"allowed": True}})
        if self.cluster.refusal:
            status, message = self.cluster.refusal
            return self._send(status, {"reason": "Forbidden", "message": message})
        if body["kind"] == "ConfigMap":
            self.cluster.files.append(body)
            return self._send(201, body)
        return self._send(201, self.cluster.create(body))

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.cluster.delete(self.path.rpartition("/")[2])
        return self._send(200, {})

    def _watch(self, plural: str, since: int) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not self.cluster.over:
            for version, event in self.cluster.news(plural, since=since):
                line = json.dumps(event).encode() + b"\n"
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                since = version
            self.cluster.wait_for_news(plural, since=since)
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, status: int, body: object) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A workshop that stops hangs up on its watches."""


@contextmanager
def proposal_cluster() -> Iterator[tuple[ProposalCluster, Client]]:
    """A stand-in, and a client of it."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = ProposalCluster(Path(folder))
        handler = type("Handler", (_Handler,), {"cluster": cluster})
        with _Server(("127.0.0.1", 0), handler) as server, urllib3.PoolManager(maxsize=64) as pool:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            host = f"http://127.0.0.1:{server.server_address[1]}"
            try:
                yield cluster, Client(host=host, namespace=NAMESPACE, pool=pool, credentials=dict)
            finally:
                cluster.end()
                server.shutdown()
                thread.join()


def cluster_settings(**command: Any) -> Settings:
    """Settings of a campaign whose programs propose in Jobs."""
    return Settings.model_validate(
        {
            "executor": {"kind": "kubernetes", "kubernetes": {"namespace": NAMESPACE, "image": "trainer:1"}},
            "agent": {
                "kind": "command",
                "command": {
                    "run": ["python", "-c", "pass"],
                    "address": "127.0.0.1",
                    "port": 0,
                    "seconds": PATIENCE_S,
                    **command,
                },
            },
        }
    )


@contextmanager
def cluster_workshop(**command: Any) -> Iterator[tuple[ClusterWorkshop, CommandSettings, ProposalCluster]]:
    """A workshop on the stand-in, and its settings."""
    settings = cluster_settings(**command)
    with proposal_cluster() as (cluster, client):
        workshop = ClusterWorkshop(settings, client=client, warn=lambda _: None)
        try:
            yield workshop, settings.agent.command, cluster
        finally:
            workshop.stop()


@contextmanager
def command_agent_in_jobs(
    *program: str, book: Callable[[CallRecord], None] = lambda _: None, standin: StandIn | None = None
) -> Iterator[CommandAgent]:
    """An agent that runs this Python program in Jobs of the stand-in. standin: whom it may ask in Anthropic's place."""
    text = "".join(textwrap.dedent(part) for part in program)
    chosen = {"run": ["python", "-c", text], "gateway": ["anthropic"] if standin else []}
    with cluster_workshop(**chosen) as (workshop, settings, _):
        upstream = None
        if standin is not None:
            account = Account(vendor="anthropic", address=standin.url, read_key=lambda: SecretStr(KEY))
            upstream = Upstream({"anthropic": account})
        yield CommandAgent(settings, workshop=workshop, upstream=upstream, book=book)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
