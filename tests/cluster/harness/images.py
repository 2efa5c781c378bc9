"""The images that every cluster starts with, and those that tests build on, named and cached."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from .binaries import binary
from .builder import build_image, built_image, image_store
from .cache import digest_of, make_once
from .components import PAUSE_IMAGE
from .errors import ClusterError
from .oci import Image, image_of_files
from .preparation import Step
from .processes import DIES_WITH_US

BUSYBOX_IMAGE = "localhost/busybox:1"
BASE_IMAGE = "localhost/python:3.11"
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


@cache
def base_image() -> Image:
    """A stand-in for python:3.11-slim, for BASE_IMAGE of the project's Dockerfiles: Debian with Python, pip and git."""
    # Once in each process: a key over its 300 MB takes a second.
    folder = make_once(_base_folder(), partial(_debootstrap, cleaning=RECIPES / "python" / "clean.sh"))
    return build_image(RECIPES / "python" / "Dockerfile", folder, BASE_IMAGE)


def image_step(what: str, minutes: float, by: Callable[[Callable[..., Image | None]], Image | None]) -> Step:
    """The preparation of an image on top of base_image. by: calls what it is given, build_image or built_image."""
    return Step(
        f"image {what}",
        minutes,
        made=lambda: _base_is_made() and by(built_image) is not None,
        make=partial(by, build_image),
    )


def base_step() -> Step:
    """The preparation of base_image."""
    return Step("image of Debian", 3, made=_base_is_made, make=base_image)


def _base_is_made() -> bool:
    folder = _base_folder()
    return folder.exists() and built_image(RECIPES / "python" / "Dockerfile", folder, BASE_IMAGE) is not None


def _base_folder() -> Path:
    recipe = RECIPES / "python"
    return image_store() / "rootfs" / digest_of(recipe.iterdir(), root=recipe, extra=f"{SUITE} {BASE_PACKAGES}")


def _debootstrap(folder: Path, *, cleaning: Path) -> None:
    root = folder / "root"
    root.mkdir(parents=True)
    _run("debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", SUITE, str(root))
    _run("chroot", str(root), "/bin/sh", "-ec", cleaning.read_text())
    _run("tar", "--sort=name", "--numeric-owner", "-C", str(root), "-cf", str(folder / "rootfs.tar"), ".")
    shutil.rmtree(root)


def _run(*argv: str) -> None:
    # In a mount namespace of its own: debootstrap mounts /proc, which would outlive it where it is killed.
    command = [*DIES_WITH_US, "unshare", "--mount", "nice", *argv]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(argv[:3])}: exit {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
