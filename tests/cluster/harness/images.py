"""The images that tests run, made on this machine without a registry and cached by what they are made of."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .archive import write_archive
from .binaries import binary
from .cache import cache_folder, digest_of, locked
from .components import PAUSE_IMAGE
from .waiting import ClusterError

BUSYBOX_IMAGE = "localhost/busybox:1"


def pause_archive() -> Path:
    """The image of the container that holds a pod's namespaces."""
    return _small_image("pause", PAUSE_IMAGE, binary("pause"), links={}, entrypoint=["/bin/pause"])


def busybox_archive() -> Path:
    """An image with a shell and the usual commands, 2 MB."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise ClusterError("busybox is not installed: apt-get install busybox-static")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    links = {f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"}
    return _small_image("busybox", BUSYBOX_IMAGE, Path(busybox), links=links, entrypoint=["/bin/sh"])


def _small_image(name: str, tag: str, program: Path, *, links: dict[str, str], entrypoint: list[str]) -> Path:
    content = digest_of([program], root=program.parent, extra=f"{tag}{sorted(links)}{entrypoint}")
    target = cache_folder() / "images" / f"{name}-{content}.tar"
    if not target.exists():
        with locked(target.with_suffix(".lock")):
            executables = {f"bin/{name}": program}
            write_archive(target, tag=tag, executables=executables, links=links, entrypoint=entrypoint)
    return target
