"""Building Dockerfiles by buildah, without a daemon or a registry, cached by the hash of all that goes in.

Builds run in a chroot on the machine's network with its pip configuration and certificates mounted read-only, where
there are any, so that a Dockerfile needs to know nothing about the machine. Results and layers are kept in the cache
folder; what no test has asked for in a week, or of which there are newer ones, is removed when the next is built.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .cache import cache_folder, digest_of, locked, remove, unused, written_whole
from .dockerignore import context_files
from .errors import ClusterError
from .oci import Image, changing, with_plain_layers
from .processes import DIES_WITH_US

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
    arguments = _arguments(build_args, base)
    record = _record_of(dockerfile, context, tag, arguments, base)
    if found := _recorded(record):
        return found
    with locked(image_store() / "build.lock"):
        if found := _recorded(record):
            return found
        build_name = f"{tag}-{record.stem}"
        _clear_leftovers()
        _forget_unused(wanted=build_name)
        image = _build(dockerfile, context, tag=tag, build_name=build_name, arguments=arguments)
        with written_whole(record) as private:
            private.write_text(json.dumps({"tag": tag, "digest": image.digest, "build_name": image.build_name}))
        return image


def built_image(
    dockerfile: Path,
    context: Path,
    tag: str,
    build_args: Mapping[str, str] | None = None,
    *,
    base: Image | None = None,
) -> Image | None:
    """The image of an earlier build of the same input; None if there was none."""
    return _recorded(_record_of(dockerfile, context, tag, _arguments(build_args, base), base))


def forget_images() -> None:
    """Empty the image store, but for the locks that others may hold or wait for."""
    with locked(image_store() / "build.lock"), changing(image_store()):
        for path in image_store().glob("*"):
            if path.suffix != ".lock":
                remove(path)


def _arguments(build_args: Mapping[str, str] | None, base: Image | None) -> dict[str, str]:
    return {**(build_args or {}), **({"BASE_IMAGE": base.build_name} if base else {})}


def _record_of(dockerfile: Path, context: Path, tag: str, arguments: Mapping[str, str], base: Image | None) -> Path:
    """The file that notes the end of a build of this input; its name is the key of all that goes in."""
    # Neither place counts: a context laid out in a temporary folder is the same input as the next time.
    recipe = digest_of([dockerfile], root=dockerfile.parent)
    extra = f"{tag} {recipe} {sorted(arguments.items())} {base.digest if base else ''}"
    key = digest_of(context_files(context), root=context, extra=extra)
    return image_store() / "built" / f"{key}.json"


def _build(dockerfile: Path, context: Path, *, tag: str, build_name: str, arguments: Mapping[str, str]) -> Image:
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
    return with_plain_layers(pushed)


def _machine_files() -> dict[Path, str]:
    """Files that pip and TLS need on this machine to reach the packages, and their places in a build."""
    home = Path.home()
    known = {
        CERTIFICATES: str(CERTIFICATES),
        Path("/etc/pip.conf"): "/etc/pip.conf",
        home / ".pip" / "pip.conf": "/root/.pip/pip.conf",
        home / ".config" / "pip" / "pip.conf": "/root/.config/pip/pip.conf",
    }
    return {source: target for source, target in known.items() if source.exists()}


def _recorded(record: Path) -> Image | None:
    """The image of a record, which from now on is in use."""
    with changing(image_store()):
        if not record.exists():
            return None
        record.touch()
        return _read(record)


def _read(record: Path) -> Image:
    return Image(**json.loads(record.read_text()), layout=image_store())


def _forget_unused(*, wanted: str) -> None:
    """Drop the records of images that nobody wants any more, then every image and blob that no record names.

    In this order: who is killed on the way leaves images without a record, which the next build drops.
    wanted: the name that is built next; what a killed build made of it is not made again.
    """
    with changing(image_store()):
        records = set((image_store() / "built").glob("*.json"))
        forgotten = set(_unwanted(records))
        for record in forgotten:
            record.unlink()
    kept = [_read(record) for record in records - forgotten]
    listed = _buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()
    stale = {name for name in listed if "<none>" not in name} - {wanted, *(image.build_name for image in kept)}
    if stale:
        _buildah("rmi", "--force", *stale)
        _buildah("rmi", "--prune", "--force")
    used = {image.blob(digest) for image in kept for digest in image.blobs()}
    with changing(image_store()):
        for path in (image_store() / "blobs" / "sha256").glob("*"):
            if path not in used and unused(path, hours=1):
                path.unlink()


def _unwanted(records: Iterable[Path]) -> Iterator[Path]:
    """Records that nobody asked for in a week, or in an hour where so many newer ones have the same tag."""
    newer: Counter[str] = Counter()
    for record in sorted(records, key=lambda record: record.stat().st_mtime, reverse=True):
        tag = _read(record).tag
        if unused(record) or (newer[tag] >= KEPT and unused(record, hours=1)):
            yield record
        newer[tag] += 1


def _buildah(*arguments: str) -> str:
    storage = image_store() / "storage"
    # Of this store alone: what buildah notes there about mounts goes by names that another store may have as well.
    runroot = Path("/run/autoresearch-tests", hashlib.sha256(bytes(storage)).hexdigest()[:16])
    runroot.mkdir(parents=True, exist_ok=True)
    places = ["--root", str(storage), "--runroot", str(runroot), "--storage-driver", "overlay"]
    # In a mount namespace of its own: what it mounts would outlive it where it is killed.
    done = subprocess.run(
        [*DIES_WITH_US, "unshare", "--mount", "nice", "-n", "10", "buildah", *places, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": str(Path.home()), "TMPDIR": str(_scratch())},
    )
    if done.returncode != 0:
        raise ClusterError(f"buildah {arguments[0]}: exit {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def _scratch() -> Path:
    """Folder for buildah's layers on their way: gigabytes, so not on a memory disk."""
    folder = image_store() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _clear_leftovers() -> None:
    """Remove what killed builds left on their way; the caller holds the lock, so nothing of it is in use."""
    # The list of what was pushed: nobody reads it, and a push cannot extend half of one.
    for path in (*_scratch().iterdir(), *image_store().glob("oci-put-blob*"), image_store() / "index.json"):
        remove(path)
    _buildah("rm", "--all")
