"""The cluster's image store: emptied of the last run's containers, filled with images, told their digests."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.waiting import wait_until

from .cache import unused, written_whole
from .errors import ClusterError
from .layout import Layout
from .machine import Machine
from .oci import Image


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
            self._forget_unused()
            self.machine.kill("containerd")
        dirty.touch()
        self._launch(argv)

    def import_image(self, image: Image) -> str:
        """Bring an image in, unless it is there, sending only the blobs that are not; returns its name by digest.

        It is named by its tag and, so that pods may pin it, by NAME@DIGEST, which an import alone does not do.
        """
        use = self._uses / image.tag.replace("/", "_")
        with written_whole(use) as private:
            private.write_text(image.tag)
        present = self.digests()
        if present.get(image.tag) == present.get(image.pinned) == image.digest:
            return image.pinned
        blobs = frozenset(self.ctr("content", "ls", "-q").split())
        self._feed(image, without=blobs)
        self._share_blobs(image)
        stale = present.get(image.tag)
        if stale is not None and stale != image.digest:
            self.ctr("images", "rm", replace(image, digest=stale).pinned)
        self.ctr("images", "tag", "--force", image.tag, image.pinned)
        return image.pinned

    def digests(self) -> dict[str, str]:
        """The manifest digest of every image, by name."""
        lines = self.ctr("images", "ls").splitlines()[1:]
        return {fields[0]: fields[2] for fields in (line.split() for line in lines)}

    def _feed(self, image: Image, *, without: frozenset[str]) -> None:
        # From outside its namespaces: a socket knows no borders.
        command = ["ctr", "--address", str(self.layout.containerd_socket), "-n", "k8s.io", "images", "import", "-"]
        with (
            tempfile.TemporaryFile() as words,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=words, stderr=words) as ctr,
        ):
            assert ctr.stdin is not None
            with contextlib.suppress(BrokenPipeError), ctr.stdin as stream:
                image.write_archive(stream, without=without)
            if ctr.wait() != 0:
                words.seek(0)
                raise ClusterError(f"importing {image.tag}: {words.read().decode(errors='replace')[-2000:]}")

    def _share_blobs(self, image: Image) -> None:
        """Let the cluster and the cache hold one file where they can: an image with torch has gigabytes."""
        if image.layout.stat().st_dev != self._content.stat().st_dev:
            return
        for digest in image.blobs():
            held = self._content / digest.replace(":", "/")
            # Renaming one name of a file to another name of it does nothing, and would leave both.
            if not held.samefile(image.blob(digest)):
                with written_whole(held) as private:
                    private.hardlink_to(image.blob(digest))

    def ctr(self, *arguments: str) -> str:
        """Run ctr in Kubernetes' namespace of containerd."""
        return self.machine.run("ctr", "--address", str(self.layout.containerd_socket), "-n", "k8s.io", *arguments)

    @property
    def _content(self) -> Path:
        """Folder in which containerd keeps blobs as they came, beside the layers that it unpacked."""
        return self.layout.store / "io.containerd.content.v1.content" / "blobs"

    @property
    def _uses(self) -> Path:
        """A file for each tag that was ever brought in, as old as its last use."""
        return self.layout.store / "uses"

    def _forget_unused(self) -> None:
        for use in [path for path in self._uses.glob("*") if unused(path)]:
            tag = use.read_text()
            name = tag.rpartition(":")[0]
            self.ctr(
                "images", "rm", *(known for known in self.digests() if known == tag or known.startswith(f"{name}@"))
            )
            use.unlink()

    def _launch(self, argv: list[str]) -> None:
        self.layout.containerd_socket.unlink(missing_ok=True)
        self.machine.start("containerd", argv)
        wait_until(self._answers, what=f"containerd; see {self.layout.logs}/containerd.log")

    def _answers(self) -> bool:
        return self.layout.containerd_socket.exists() and "Server" in self.machine.run(
            "ctr", "--address", str(self.layout.containerd_socket), "version", check=False
        )

    def _remove_containers(self) -> None:
        containers = self.ctr("containers", "ls", "-q").split()
        if containers:
            self.ctr("containers", "rm", *containers)
