"""The command that confines a phase, as a value; what it really confines is in tests/redteam."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.executor.local.machine import Accelerator, Bubblewrap, Machine
from controller.executor.local.sandbox import Places, Scratch, in_bubblewrap, real_path
from controller.executor.local.site import explain
from controller.phases import Mount, Phase, PhaseName, Volume, phases
from tests.local_task import make_request, make_settings

GPUS = tuple(Accelerator(name="H100", nodes=(f"/dev/nvidia{n}",), number=n) for n in range(4))
MACHINE = Machine(
    node="n1",
    interpreter="/opt/venv/bin/python3.11",
    links=(("usr/lib", "/lib"),),
    folders=("/usr", "/opt/venv"),
    accelerator_folders=("/sys/class",),
    accelerator_nodes=("/dev/nvidiactl",),
    accelerators=GPUS,
)
PLACES = Places(
    volumes={volume: Path("/campaign") / volume for volume in Volume},
    task=((Path("/campaign/try/train.py"), "train.py"),),
    etc=Path("/campaign/etc"),
)


def words(phase: Phase, *, accelerators: tuple[Accelerator, ...] = (), userns: bool = True) -> tuple[str, ...]:
    return in_bubblewrap(
        phase,
        places=PLACES,
        machine=MACHINE,
        bubblewrap=Bubblewrap(program="bwrap", disable_userns=userns),
        scratch=Scratch(temporary_bytes=4096),
        accelerators=accelerators,
    ).argv


def has(argv: tuple[str, ...], *run: str) -> bool:
    return any(argv[i : i + len(run)] == run for i in range(len(argv)))


def all_phases() -> dict[PhaseName, Phase]:
    return {phase.name: phase for phase in phases(make_settings(), make_request())}


def test_every_python_of_a_command_is_the_controllers_interpreter() -> None:
    argv = words(all_phases()[PhaseName.TRAIN])

    python = MACHINE.interpreter
    assert argv[-6:] == (python, "-m", "exam.supervise", "--", python, "train.py")


@pytest.mark.parametrize("phase", all_phases().values(), ids=lambda phase: phase.name)
def test_a_phase_may_write_its_own_volumes_and_no_other(phase: Phase) -> None:
    argv = words(phase)

    writable = {argv[i + 2] for i, word in enumerate(argv) if word == "--bind"}
    assert writable == {mount.path for mount in phase.mounts if mount.writable}


@pytest.mark.parametrize("phase", all_phases().values(), ids=lambda phase: phase.name)
def test_gpus_of_the_slot_are_bound_where_the_phase_computes_and_nowhere_else(phase: Phase) -> None:
    argv = words(phase, accelerators=GPUS[1:2])

    bound = {argv[i + 1] for i, word in enumerate(argv) if word == "--dev-bind"}
    assert bound == (set() if phase.name is PhaseName.EXAMINE else {"/dev/nvidiactl", "/dev/nvidia1"})


def test_an_older_bubblewrap_is_not_given_options_that_it_does_not_know() -> None:
    phase = all_phases()[PhaseName.TRAIN]

    assert "--disable-userns" in words(phase)
    assert "--disable-userns" not in words(phase, userns=False)


def test_the_environment_is_set_and_not_inherited() -> None:
    argv = words(replace(all_phases()[PhaseName.TRAIN], environment={"AUTORESEARCH_SEED": "3"}))

    assert "--clearenv" in argv
    names = {argv[i + 1] for i, word in enumerate(argv) if word == "--setenv"}
    assert names == {"AUTORESEARCH_SEED", "PATH", "HOME", "PYTHONUNBUFFERED"}


@given(st.integers(min_value=1, max_value=6), st.integers(min_value=0, max_value=6))
def test_gpus_are_dealt_out_evenly_and_none_idles(slots: int, gpus: int) -> None:
    machine = replace(MACHINE, accelerators=GPUS[:gpus] + GPUS[: max(0, gpus - 4)])
    hands = [machine.accelerators_of(slot, slots) for slot in range(slots)]

    dealt = [gpu for hand in hands for gpu in hand]
    assert max(map(len, hands)) - min(map(len, hands)) <= 1
    if slots <= len(machine.accelerators):
        assert sorted(g.number for g in dealt) == sorted(g.number for g in machine.accelerators)
    elif machine.accelerators:
        assert all(len(hand) == 1 for hand in hands)
    else:
        assert dealt == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("/data", "/view/data", id="above the mounts"),
        pytest.param("/data/train", "/campaign/data/train", id="a mount"),
        pytest.param("/data/train/tokens.bin", "/campaign/data/train/tokens.bin", id="below a mount"),
        pytest.param("/socket", "/campaign/socket", id="short, as a socket's path must be"),
        pytest.param("/database", "/database", id="no path of the phase"),
        pytest.param("/", "/", id="the root"),
        pytest.param("7", "7", id="no path"),
    ],
)
def test_paths_of_a_phase_lead_to_real_folders_where_there_is_no_sandbox(value: str, expected: str) -> None:
    mounts = (Mount(Volume.DATA, "/data/train", "train"), Mount(Volume.SOCKET, "/socket"))

    assert real_path(value, mounts=mounts, volumes=PLACES.volumes, view=Path("/view")) == expected


@pytest.mark.parametrize(
    ("said", "explained"),
    [
        ("bwrap: No permissions to create a new namespace, likely because ...", "cannot make user namespaces here"),
        ("bwrap: setting up uid map: Permission denied", "cannot make user namespaces here"),
        ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", "cannot make user namespaces here"),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "Can't mount proc"),
        ("bwrap: Can't find source path /x: No such file or directory", "Can't find source path /x"),
    ],
)
def test_what_bubblewrap_says_becomes_what_an_operator_can_do(said: str, explained: str) -> None:
    sentence = explain(said)

    assert explained in sentence
    assert sentence.endswith("or run with --sandbox none: scores will be marked unsealed")
    assert "\n" not in sentence


def test_this_machine_can_be_described() -> None:
    from controller.executor.local.machine import look_around

    machine = look_around()

    assert machine.interpreter == sys.executable
    assert any(Path(sys.executable).is_relative_to(folder) for folder in machine.folders)
    assert "/proc/keys" in machine.proc_files
    assert "/proc/irq" in machine.proc_folders
    assert machine.proc_read_only[0] == "/proc/sys"
