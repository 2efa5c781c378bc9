"""The Debian packages and programs that the cluster needs: found missing, installed where that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .cache import locked
from .errors import ClusterError
from .preparation import Step

# What each package is needed for, told by a file that it brings.
PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "iproute2": "ip",
    "etcd-server": "etcd",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "busybox-static": "busybox",
    "ipset": "ipset",
    "conntrack": "conntrack",
    "ethtool": "ethtool",
    "socat": "socat",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "util-linux": "unshare",
    "openssl": "openssl",
}
LOCK = Path("/var/lib/autoresearch-tests/packages.lock")


def missing_packages() -> list[str]:
    """The packages whose program is not there."""
    return [package for package, program in PACKAGES.items() if shutil.which(program) is None]


def ensure_packages() -> None:
    """Install what is missing. Raises ClusterError where that needs root, or a Debian, and neither is at hand."""
    if not missing_packages():
        return
    if not can_install():
        raise ClusterError(f"install these first: {' '.join(missing_packages())}")
    with locked(LOCK):
        install(missing_packages())


def packages_step() -> Step:
    """The preparation that installs what is missing."""
    return Step("Debian packages", 1, made=lambda: not missing_packages(), make=ensure_packages)


def install(packages: Sequence[str]) -> None:
    """Install packages, which needs root and a Debian. Raises ClusterError with the words of apt-get."""
    if packages:
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *packages)


def can_install() -> bool:
    """True if packages may be installed here: as root, on a Debian."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _apt_get(*arguments: str) -> None:
    done = subprocess.run(
        # Somebody else may be installing: the machine itself, or what an earlier run left when it was killed.
        ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        # Ctrl-C reaches the whole foreground group, and would leave packages half installed.
        start_new_session=True,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode != 0:
        raise ClusterError(f"apt-get {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
