"""The command that confines a phase, as a value; what it really confines is in tests/redteam."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.executor.local.gpus import Accelerator
from controller.executor.local.machine import Bubblewrap, Machine
from controller.executor.local.sandbox import Places, Scratch, in_bubblewrap, in_the_open, real_path
from controller.executor.phases import Mount, Phase, PhaseName, Volume, phases
from tests.support.local_task import make_request, make_settings

GPUS = tuple(Accelerator(name="H100", nodes=(f"/dev/nvidia{n}",), identity=f"GPU-{n}") for n in range(4))
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


@pytest.mark.parametrize("phase", all_phases().values(), ids=lambda phase: phase.name)
def test_gpus_of_the_slot_are_named_where_all_are_in_sight_and_no_others(phase: Phase) -> None:
    inside = words(phase, accelerators=GPUS[1:3])
    command = in_the_open(
        phase,
        view=Path("/view"),
        places=PLACES,
        machine=MACHINE,
        processes=None,
        temporary=Path("/view/tmp"),
        accelerators=GPUS[1:3],
    )

    # CUDA counts what it can open from 0 on: inside, where these alone can be opened, any number would be wrong.
    assert "CUDA_VISIBLE_DEVICES" not in inside
    named = "" if phase.name is PhaseName.EXAMINE else "GPU-1,GPU-2"
    assert command.environment["CUDA_VISIBLE_DEVICES"] == named


def test_slice_of_a_gpu_is_named_in_its_sandbox_as_its_nodes_show_all_slices() -> None:
    cut = Accelerator(name="H100 MIG", nodes=("/dev/nvidia0",), identity="MIG-7", sliced=True)

    argv = words(all_phases()[PhaseName.TRAIN], accelerators=(cut,))

    assert has(argv, "--setenv", "CUDA_VISIBLE_DEVICES", "MIG-7")
    assert has(argv, "--dev-bind", "/dev/nvidia0", "/dev/nvidia0")


def test_an_older_bubblewrap_is_not_given_options_that_it_does_not_know() -> None:
    phase = all_phases()[PhaseName.TRAIN]

    assert "--disable-userns" in words(phase)
    assert "--disable-userns" not in words(phase, userns=False)


def test_the_environment_is_set_and_not_inherited() -> None:
    argv = words(replace(all_phases()[PhaseName.TRAIN], environment={"AUTORESEARCH_SEED": "3"}))

    assert "--clearenv" in argv
    names = {argv[i + 1] for i, word in enumerate(argv) if word == "--setenv"}
    assert names == {"AUTORESEARCH_SEED", "PATH", "HOME", "PYTHONUNBUFFERED"}


@pytest.mark.parametrize("phase", all_phases().values(), ids=lambda phase: phase.name)
def test_every_phase_is_under_a_filter_and_only_training_may_use_its_own_network(phase: Phase) -> None:
    argv = in_bubblewrap(
        phase,
        places=replace(PLACES, filters=Path("/campaign/filters")),
        machine=MACHINE,
        bubblewrap=Bubblewrap(program="bwrap", disable_userns=True),
        scratch=Scratch(temporary_bytes=4096),
    ).argv

    name = "training" if phase.name is PhaseName.TRAIN else "exam"
    assert argv[3] == f"/campaign/filters/{name}.filter"
    assert has(argv, "--seccomp", "4")


@pytest.mark.parametrize("phase", all_phases().values(), ids=lambda phase: phase.name)
@pytest.mark.parametrize("gpus", [(), GPUS[:1]], ids=["without a GPU", "with a GPU"])
def test_cuda_libraries_are_shown_to_phases_that_have_a_gpu(phase: Phase, gpus: tuple[Accelerator, ...]) -> None:
    argv = in_bubblewrap(
        phase,
        places=PLACES,
        machine=replace(MACHINE, cuda_files=("/opt/venv/libcudnn_engines.so.9",)),
        bubblewrap=Bubblewrap(program="bwrap", disable_userns=True),
        scratch=Scratch(temporary_bytes=4096),
        accelerators=gpus,
    ).argv

    hidden = has(argv, "--ro-bind", "/dev/null", "/opt/venv/libcudnn_engines.so.9")
    assert hidden == (not gpus or phase.name is PhaseName.EXAMINE)


def test_copies_of_the_kernels_files_lie_over_what_drivers_are_shown() -> None:
    places = replace(PLACES, frozen=((Path("/campaign/cpu"), "/sys/devices/system/cpu"),))
    argv = in_bubblewrap(
        all_phases()[PhaseName.TRAIN],
        places=places,
        machine=replace(MACHINE, accelerator_folders=("/sys/devices",)),
        bubblewrap=Bubblewrap(program="bwrap", disable_userns=True),
        scratch=Scratch(temporary_bytes=4096),
        accelerators=GPUS[:1],
    ).argv

    assert argv.index("/campaign/cpu") > argv.index("/sys/devices")


@given(st.integers(min_value=1, max_value=6), st.integers(min_value=0, max_value=6))
def test_gpus_are_dealt_out_evenly_and_none_idles(slots: int, gpus: int) -> None:
    machine = replace(MACHINE, accelerators=GPUS[:gpus] + GPUS[: max(0, gpus - 4)])
    hands = [machine.accelerators_of(slot, slots) for slot in range(slots)]

    dealt = [gpu for hand in hands for gpu in hand]
    assert max(map(len, hands)) - min(map(len, hands)) <= 1
    if slots <= len(machine.accelerators):
        assert sorted(g.identity for g in dealt) == sorted(g.identity for g in machine.accelerators)
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


def test_this_machine_can_be_described() -> None:
    from controller.executor.local.machine import look_around

    machine = look_around()

    assert machine.interpreter == sys.executable
    assert any(Path(sys.executable).is_relative_to(folder) for folder in machine.folders)
    assert "/proc/keys" in machine.proc_files
    assert "/proc/irq" in machine.proc_folders
    assert machine.proc_read_only[0] == "/proc/sys"


def test_folders_of_the_exams_text_are_empty_in_every_phase() -> None:
    hidden = replace(MACHINE, held_out=("/usr/lib/python3.11/test",))
    for phase in all_phases().values():
        argv = in_bubblewrap(
            phase,
            places=PLACES,
            machine=hidden,
            bubblewrap=Bubblewrap(program="bwrap", disable_userns=True),
            scratch=Scratch(temporary_bytes=4096),
        ).argv
        shown = argv.index("/usr")
        assert has(argv[shown:], "--ro-bind", "/campaign/etc/nothing", "/usr/lib/python3.11/test")


def test_linked_packages_of_the_task_are_those_of_the_copy(tmp_path: Path) -> None:
    settings = make_settings("task.score=log", "task.environment.PYTHONPATH=lib")
    (train,) = phases(settings, make_request())
    machine = replace(MACHINE, task_packages=("src", "."))

    closed = in_bubblewrap(
        train,
        places=PLACES,
        machine=machine,
        bubblewrap=Bubblewrap(program="bwrap", disable_userns=True),
        scratch=Scratch(temporary_bytes=4096),
    )
    opened = in_the_open(
        train, view=tmp_path, places=PLACES, machine=machine, processes=None, temporary=tmp_path / "tmp"
    )

    assert has(closed.argv, "--setenv", "PYTHONPATH", "lib:/task/src:/task")
    assert opened.environment["PYTHONPATH"] == "lib:/campaign/task/src:/campaign/task"
