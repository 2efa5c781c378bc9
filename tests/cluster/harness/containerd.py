"""The cluster's image store: emptied of the last run's containers, filled with images, told their digests."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from .layout import Layout
from .machine import Machine
from .waiting import wait_until

# What ctr prints for each image of an archive.
UNPACKED = re.compile(r"^unpacking (\S+) \((sha256:[0-9a-f]{64})\)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Containerd:
    """containerd of one cluster, driven by its own client, ctr, within the cluster's namespaces."""

    layout: Layout
    machine: Machine

    def start(self, argv: list[str]) -> None:
        """Start it, first once without its pods' side where an earlier run may have left containers behind."""
        dirty = self.layout.store / "dirty"
        if dirty.exists():
            self._launch([argv[0], f"--config={self.layout.root}/containerd-cleaning.toml"])
            self._remove_containers()
            self.machine.kill("containerd")
        dirty.touch()
        self._launch(argv)

    def import_image(self, archive: Path) -> list[str]:
        """Load a docker or OCI archive, unless its very content is there; returns the images' names by digest.

        Each image is named by its tag and, so that pods may pin it, by NAME@DIGEST, which an import alone does not do.
        """
        record = self.layout.store / "imported" / f"{_fingerprint(archive)}.json"
        present = self.digests()
        images: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
        if not images or any(present.get(tag) != digest for tag, digest in images.items()):
            images = dict(UNPACKED.findall(self.ctr("images", "import", str(archive))))
            for tag, digest in images.items():
                self._pin(tag, digest, stale=present.get(tag))
            record.parent.mkdir(exist_ok=True)
            record.write_text(json.dumps(images))
        return [pinned(tag, digest) for tag, digest in images.items()]

    def digests(self) -> dict[str, str]:
        """The manifest digest of every image, by name."""
        lines = self.ctr("images", "ls").splitlines()[1:]
        return {fields[0]: fields[2] for fields in (line.split() for line in lines)}

    def ctr(self, *arguments: str) -> str:
        """Run ctr in Kubernetes' namespace of containerd."""
        return self.machine.run("ctr", "--address", str(self.layout.containerd_socket), "-n", "k8s.io", *arguments)

    def _pin(self, tag: str, digest: str, *, stale: str | None) -> None:
        if stale is not None and stale != digest:
            self.ctr("images", "rm", pinned(tag, stale))
        self.ctr("images", "tag", "--force", tag, pinned(tag, digest))

    def _launch(self, argv: list[str]) -> None:
        self.layout.containerd_socket.unlink(missing_ok=True)
        self.machine.start("containerd", argv)
        wait_until(self._answers, what=f"containerd; see {self.layout.logs}/containerd.log", seconds=60)

    def _answers(self) -> bool:
        return self.layout.containerd_socket.exists() and "Server" in self.machine.run(
            "ctr", "--address", str(self.layout.containerd_socket), "version", check=False
        )

    def _remove_containers(self) -> None:
        containers = self.ctr("containers", "ls", "-q").split()
        if containers:
            self.ctr("containers", "rm", *containers)


def pinned(tag: str, digest: str) -> str:
    """The name by which a pod pins an image: localhost/x:1 and sha256:... give localhost/x@sha256:..."""
    name, _, version = tag.rpartition(":")
    return f"{name if '/' not in version else tag}@{digest}"


def _fingerprint(archive: Path) -> str:
    status = archive.stat()
    return hashlib.sha256(f"{archive.resolve()} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:16]
