"""The images that every cluster starts with, and those that tests build on, named and cached."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from .binaries import binary
from .builder import build_image, image_store
from .cache import announce, digest_of, locked
from .components import PAUSE_IMAGE
from .oci import Image, image_of_files
from .waiting import ClusterError

BUSYBOX_IMAGE = "localhost/busybox:1"
BASE_IMAGE = "localhost/python:3.11"
TASK_IMAGE = "localhost/task:test"
RECIPES = Path(__file__).parents[1] / "images"
# Debian 12, because its Python is 3.11.
SUITE = "bookworm"
BASE_PACKAGES = "python3,python3-pip,python3-venv,git,ca-certificates"


def pause_image() -> Image:
    """The container that holds a pod's namespaces."""
    executables = {"bin/pause": binary("pause")}
    return image_of_files(image_store(), tag=PAUSE_IMAGE, executables=executables, links={}, entrypoint=["/bin/pause"])


def busybox_image() -> Image:
    """A shell and the usual commands in 2 MB."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise ClusterError("busybox is not installed: apt-get install busybox-static")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    links = {f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"}
    executables = {"bin/busybox": Path(busybox)}
    return image_of_files(
        image_store(), tag=BUSYBOX_IMAGE, executables=executables, links=links, entrypoint=["/bin/sh"]
    )


def base_image() -> Image:
    """A stand-in for python:3.11-slim, for BASE_IMAGE of the project's Dockerfiles: Debian with Python, pip and git."""
    recipe = RECIPES / "python"
    key = digest_of(recipe.iterdir(), root=recipe, extra=f"{SUITE} {BASE_PACKAGES}")
    folder = image_store() / "rootfs" / key
    with locked(folder.with_suffix(".lock")):
        if not (folder / "rootfs.tar").exists():
            folder.mkdir(exist_ok=True)
            _debootstrap(folder / "rootfs.tar", cleaning=recipe / "clean.sh")
    return build_image(recipe / "Dockerfile", folder, BASE_IMAGE)


def task_image() -> Image:
    """Python and numpy for user 1000, without torch: enough for most tests of attempts. 350 MB."""
    recipe = RECIPES / "task"
    return build_image(recipe / "Dockerfile", recipe, TASK_IMAGE, base=base_image())


def _debootstrap(rootfs: Path, *, cleaning: Path) -> None:
    announce("making a Debian base image by debootstrap, once; about 2 min ...")
    with tempfile.TemporaryDirectory(prefix="autoresearch-rootfs-") as folder:
        _run("debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", SUITE, folder)
        _run("chroot", folder, "/bin/sh", "-ec", cleaning.read_text())
        unfinished = rootfs.with_suffix(".unfinished")
        _run("tar", "--sort=name", "--numeric-owner", "-C", folder, "-cf", str(unfinished), ".")
        unfinished.rename(rootfs)


def _run(*argv: str) -> None:
    done = subprocess.run(["nice", *argv], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(argv[:3])}: exit {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
