"""Images as the harness keeps them: blobs by digest in one folder (an OCI layout), shared by all images.

An image moves into a cluster as a tar stream of those blobs only that the cluster lacks, so that a layer of
gigabytes travels once, however often the small layers on top of it change.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from .cache import locked, written_whole

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, slots=True)
class Image:
    """tag: its full name, localhost/x:1; digest: of its manifest, sha256:...; layout: the folder with its blobs.

    build_name: what the builder's own storage calls it, for images that others build on.
    """

    tag: str
    digest: str
    layout: Path
    build_name: str = ""

    @property
    def pinned(self) -> str:
        """The name that only this very image has: localhost/x@sha256:..."""
        return f"{self.tag.rpartition(':')[0]}@{self.digest}"

    def blob(self, digest: str) -> Path:
        """The file of one of the layout's blobs."""
        return self.layout / "blobs" / digest.replace(":", "/")

    def blobs(self) -> list[str]:
        """The digests of all that the image consists of: manifest, configuration, layers."""
        manifest = json.loads(self.blob(self.digest).read_text())
        return [self.digest, manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]

    def write_archive(self, stream: IO[bytes], *, without: frozenset[str] = frozenset()) -> None:
        """Write an OCI archive to a stream, leaving out blobs that the receiver has already."""
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
            _add(archive, "index.json", json.dumps(self._index()).encode())
            # A stream must not name the same blob twice: two layers may be equal.
            for digest in dict.fromkeys(self.blobs()):
                if digest not in without:
                    archive.add(self.blob(digest), f"blobs/{digest.replace(':', '/')}")

    def _index(self) -> dict[str, Any]:
        annotations = {"io.containerd.image.name": self.tag, "org.opencontainers.image.ref.name": self.tag}
        size = self.blob(self.digest).stat().st_size
        entry = {"mediaType": MANIFEST, "digest": self.digest, "size": size, "annotations": annotations}
        return {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}


def image_of_files(
    layout: Path, *, tag: str, executables: Mapping[str, Path], links: Mapping[str, str], entrypoint: Sequence[str]
) -> Image:
    """Make an image of one layer without a builder, the same bytes for the same input.

    executables: files by their path in the image; links: targets of symbolic links, likewise.
    """
    content = _layer(executables, links)
    with changing(layout):
        layer = _store(layout, content, LAYER)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": list(entrypoint), "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _store(layout, json.dumps(config).encode(), CONFIG),
            "layers": [layer],
        }
        stored = _store(layout, json.dumps(manifest).encode(), MANIFEST)
    return Image(tag=tag, digest=stored["digest"], layout=layout)


def with_plain_layers(image: Image) -> Image:
    """Unpack the image's compressed layers within its layout; those that were unpacked before stay as they are."""
    manifest = json.loads(image.blob(image.digest).read_text())
    plain = json.loads(image.blob(manifest["config"]["digest"]).read_text())["rootfs"]["diff_ids"]
    # Gigabytes take minutes, for which nobody who only stores small blobs should wait.
    with locked(image.layout / "unpacking.lock"):
        for layer, digest in zip(manifest["layers"], plain, strict=True):
            if layer["digest"] != digest:
                _unpack(image.blob(layer["digest"]), image.blob(digest))
            layer |= {"mediaType": LAYER, "digest": digest, "size": image.blob(digest).stat().st_size}
    with changing(image.layout):
        stored = _store(image.layout, json.dumps(manifest).encode(), MANIFEST)
    return replace(image, digest=stored["digest"])


def changing(layout: Path) -> AbstractContextManager[None]:
    """Hold the layout's small blobs as they are for others: what one finds there, none removes meanwhile."""
    return locked(layout / "changing.lock")


def _unpack(packed: Path, target: Path) -> None:
    if not target.exists():
        with written_whole(target) as private, gzip.open(packed) as source, private.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    packed.unlink(missing_ok=True)  # two layers may be equal


def _store(layout: Path, content: bytes, media_type: str) -> dict[str, Any]:
    name = hashlib.sha256(content).hexdigest()
    path = layout / "blobs" / "sha256" / name
    if path.exists():
        path.touch()  # in use: not to be forgotten
    else:
        with written_whole(path) as private:
            private.write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(content)}


def _layer(executables: Mapping[str, Path], links: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            layer.addfile(folder)
        for name, source in sorted(executables.items()):
            _add(layer, name, source.read_bytes(), mode=0o755)
        for name, target in sorted(links.items()):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            layer.addfile(link)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    archive.addfile(member, io.BytesIO(content))
