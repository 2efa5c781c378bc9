"""Building Dockerfiles by buildah, without a daemon or a registry, cached by the hash of all that goes in.

Builds run in a chroot on the machine's network with its pip configuration and certificates mounted read-only, where
there are any, so that a Dockerfile needs to know nothing about the machine. Results and layers are kept in the cache
folder; what no test has asked for in a week, or of which there are newer ones, is removed when the next is built.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .cache import announce, cache_folder, digest_of, locked, unused
from .dockerignore import context_files
from .oci import Image, with_plain_layers
from .waiting import ClusterError

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# Of each tag: two branches that are tested in turn should not build it anew each time.
KEPT = 2


def image_store() -> Path:
    """The OCI layout that holds every image's blobs."""
    return cache_folder() / "images"


def build_image(
    dockerfile: Path,
    context: Path,
    tag: str,
    build_args: Mapping[str, str] | None = None,
    *,
    base: Image | None = None,
) -> Image:
    """Build a Dockerfile, or return what an earlier build of the same input gave.

    context: the folder that COPY sees; what git or .dockerignore ignores in it does not count for the cache.
    base: handed to the Dockerfile as BASE_IMAGE. Raises ClusterError with the build's last words.
    """
    arguments = {**(build_args or {}), **({"BASE_IMAGE": base.build_name} if base else {})}
    sources = {dockerfile.resolve(), *context_files(context.resolve())}
    root = Path(os.path.commonpath([path.parent for path in sources]))
    key = digest_of(sources, root=root, extra=f"{tag} {sorted(arguments.items())} {base.digest if base else ''}")
    record = image_store() / "built" / f"{key}.json"
    with locked(image_store() / "build.lock"):
        if not record.exists():
            _forget_unused()
            image = _build(dockerfile, context, tag=tag, build_name=f"{tag}-{key}", arguments=arguments)
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps({"tag": tag, "digest": image.digest, "build_name": image.build_name}))
        record.touch()
        return _recorded(record)


def _build(dockerfile: Path, context: Path, *, tag: str, build_name: str, arguments: Mapping[str, str]) -> Image:
    announce(f"building image {tag} ...")
    _clear_scratch()
    started = time.monotonic()
    settings = [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
    mounts = [part for source, target in _machine_files().items() for part in ("-v", f"{source}:{target}:ro")]
    build = ["build", "--layers", "--isolation", "chroot", "--network", "host", *mounts, *settings]
    _buildah(*build, "-t", build_name, "-f", str(dockerfile), str(context))
    with tempfile.NamedTemporaryFile("r") as digest:
        # buildah compresses layers for this destination whatever one says; level 0 only wraps them.
        pushing = ["push", "--compression-format", "gzip", "--compression-level", "0", "--digestfile", digest.name]
        _buildah(*pushing, build_name, f"oci:{image_store()}:{build_name.rpartition(':')[2]}")
        pushed = Image(tag=tag, digest=digest.read().strip(), layout=image_store(), build_name=build_name)
    # The next push skips the layers that it finds by the digest it knows, the uncompressed one.
    image = with_plain_layers(pushed)
    announce(f"built image {tag} in {time.monotonic() - started:.0f} s")
    return image


def _machine_files() -> dict[Path, str]:
    """What pip and TLS need on this machine in order to reach the packages, and where a build looks for it."""
    home = Path.home()
    known = {
        CERTIFICATES: str(CERTIFICATES),
        Path("/etc/pip.conf"): "/etc/pip.conf",
        home / ".pip" / "pip.conf": "/root/.pip/pip.conf",
        home / ".config" / "pip" / "pip.conf": "/root/.config/pip/pip.conf",
    }
    return {source: target for source, target in known.items() if source.exists()}


def _recorded(record: Path) -> Image:
    return Image(**json.loads(record.read_text()), layout=image_store())


def _forget_unused() -> None:
    """Drop the records of images that nobody wants any more, then every blob and layer that only they used."""
    records = list((image_store() / "built").glob("*.json"))
    forgotten = set(_unwanted(records))
    if forgotten:
        _buildah("rmi", "--force", *(_recorded(record).build_name for record in forgotten))
        for record in forgotten:
            record.unlink()
        _buildah("rmi", "--prune", "--force")
        used = {blob for record in records if record not in forgotten for blob in _recorded(record).blobs()}
        for path in (image_store() / "blobs" / "sha256").iterdir():
            if f"sha256:{path.name}" not in used and unused(path, hours=1):
                path.unlink()


def _unwanted(records: Iterable[Path]) -> Iterator[Path]:
    """Records that nobody asked for in a week, or in an hour where so many newer ones have the same tag."""
    newer: Counter[str] = Counter()
    for record in sorted(records, key=lambda record: record.stat().st_mtime, reverse=True):
        tag = _recorded(record).tag
        if unused(record) or (newer[tag] >= KEPT and unused(record, hours=1)):
            yield record
        newer[tag] += 1


def _buildah(*arguments: str) -> str:
    storage = image_store() / "storage"
    runroot = Path("/run/autoresearch-tests/buildah")
    runroot.mkdir(parents=True, exist_ok=True)
    places = ["--root", str(storage), "--runroot", str(runroot), "--storage-driver", "overlay"]
    done = subprocess.run(
        ["nice", "-n", "10", "buildah", *places, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": str(Path.home()), "TMPDIR": str(_scratch())},
    )
    if done.returncode != 0:
        raise ClusterError(f"buildah {arguments[0]}: exit {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def _scratch() -> Path:
    """Where buildah puts layers on their way: gigabytes, so not on a memory disk."""
    folder = image_store() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _clear_scratch() -> None:
    """Remove what killed builds left on their way; the caller holds the lock, so nothing of it is in use."""
    for path in (*_scratch().iterdir(), *image_store().glob("oci-put-blob*")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
