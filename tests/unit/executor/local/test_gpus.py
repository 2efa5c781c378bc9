"""Which GPUs attempts may use, from what can be read of them: nothing here needs a GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.executor.local.gpus import (
    Card,
    Gpus,
    Seen,
    environment_alone,
    environment_beside_others,
    find_gpus,
    read_card,
)

INFORMATION = """\
Model: \t\t NVIDIA H100 80GB HBM3
IRQ:   \t\t 215
GPU UUID: \t GPU-2c1b5f0e-9d4d-9a5e-1c1f-0d2f1c3b4a5d
Video BIOS: \t 96.00.5e.00.01
Bus Location: \t 0000:1b:00.0
Device Minor: \t 3
GPU Excluded:\t No
"""


def card(minor: int, *, bus: str = "", model: str = "H100", uuid: str | None = None, split: bool = False) -> Card:
    return Card(
        bus=bus or f"0000:{minor:02x}:00.0",
        minor=minor,
        model=model,
        uuid=f"GPU-aaaa{minor}" if uuid is None else uuid,
        split=split,
    )


EIGHT = tuple(card(minor) for minor in range(8))


def identities(found: Gpus) -> list[str]:
    return [accelerator.identity for accelerator in found.accelerators]


def test_driver_tells_number_model_and_uuid_of_a_card() -> None:
    found = read_card("0000:1b:00.0", INFORMATION)

    assert (found.minor, found.model) == (3, "NVIDIA H100 80GB HBM3")
    assert found.uuid == "GPU-2c1b5f0e-9d4d-9a5e-1c1f-0d2f1c3b4a5d"


def test_uuid_of_a_card_that_was_not_used_yet_is_none() -> None:
    unused = INFORMATION.replace("2c1b5f0e-9d4d-9a5e-1c1f-0d2f1c3b4a5d", "????????-????-????-????-????????????")

    assert read_card("0000:1b:00.0", unused).uuid == ""


def test_only_gpu_that_is_not_number_0_is_named_by_uuid_and_its_own_node_is_bound() -> None:
    found = find_gpus(Seen(nodes=(1,), cards=EIGHT[:2]))

    [one] = found.accelerators
    assert one.nodes == ("/dev/nvidia1",)
    assert environment_beside_others([one])["CUDA_VISIBLE_DEVICES"] == "GPU-aaaa1"
    assert environment_alone([one]) == {}, "in a sandbox that shows it alone it is CUDA's number 0"


def test_only_gpu_of_which_the_driver_says_nothing_is_cudas_number_0() -> None:
    [one] = find_gpus(Seen(nodes=(3,))).accelerators

    assert environment_beside_others([one])["CUDA_VISIBLE_DEVICES"] == "0"


def test_gpus_are_counted_in_the_order_of_the_bus_and_not_of_their_nodes() -> None:
    cards = (card(0, bus="0000:81:00.0", uuid=""), card(1, bus="0000:01:00.0", uuid=""))

    found = find_gpus(Seen(nodes=(0, 1), cards=cards))

    assert [(a.nodes, a.identity) for a in found.accelerators] == [(("/dev/nvidia1",), "0"), (("/dev/nvidia0",), "1")]
    assert environment_beside_others(found.accelerators)["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


@pytest.mark.parametrize(
    ("visible", "chosen"),
    [
        pytest.param("1", ["GPU-aaaa1"], id="a number"),
        pytest.param("3,1", ["GPU-aaaa3", "GPU-aaaa1"], id="numbers in another order"),
        pytest.param("GPU-aaaa2", ["GPU-aaaa2"], id="a UUID"),
        pytest.param("GPU-AAAA2", ["GPU-aaaa2"], id="a UUID in capitals"),
        pytest.param(" 2 , GPU-aaaa5", ["GPU-aaaa2", "GPU-aaaa5"], id="both kinds"),
        pytest.param("2,2", ["GPU-aaaa2"], id="twice the same"),
    ],
)
def test_what_the_operator_chose_is_kept_to(visible: str, chosen: list[str]) -> None:
    found = find_gpus(Seen(nodes=tuple(range(8)), cards=EIGHT, visible=visible))

    assert identities(found) == chosen
    assert found.doubts == ()


def test_numbers_count_the_gpus_that_can_be_opened_here() -> None:
    found = find_gpus(Seen(nodes=(4, 6), cards=EIGHT, visible="1"))

    assert identities(found) == ["GPU-aaaa6"]


@pytest.mark.parametrize(
    ("visible", "kept", "word"),
    [("0,9,1", ["GPU-aaaa0"], "'9'"), ("GPU-bbbb", [], "'GPU-bbbb'"), ("all", [], "'all'")],
)
def test_name_that_no_gpu_has_ends_the_list_as_in_cuda_and_is_told(visible: str, kept: list[str], word: str) -> None:
    found = find_gpus(Seen(nodes=(0, 1), cards=EIGHT[:2], visible=visible))

    assert identities(found) == kept
    assert f"names {word}, which is no GPU here (there are 2, from number 0 on)" in found.doubts[0]


@pytest.mark.parametrize("seen", [Seen(nodes=(0, 1), cards=EIGHT[:2]), Seen(dxg=True, wsl_libraries=True)], ids=str)
@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles"])
def test_hidden_gpus_are_not_used_and_that_is_told(seen: Seen, visible: str) -> None:
    found = find_gpus(replace(seen, visible=visible))

    assert found.accelerators == ()
    [doubt] = found.doubts
    assert "attempts train on the CPU: CUDA_VISIBLE_DEVICES hides" in doubt


def test_numbers_among_different_models_are_doubted_unless_they_follow_the_bus() -> None:
    mixed = (card(0, model="GT 1030"), card(1, model="H100"))

    doubtful = find_gpus(Seen(nodes=(0, 1), cards=mixed, visible="0"))
    sure = find_gpus(Seen(nodes=(0, 1), cards=mixed, visible="0", by_bus=True))

    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in doubtful.doubts[0]
    assert "(GT 1030)" in doubtful.doubts[0]
    assert sure.doubts == ()


def test_slices_are_each_one_accelerator_and_see_the_nodes_of_cards_that_are_cut() -> None:
    cards = (card(0), card(1, split=True))

    found = find_gpus(Seen(nodes=(0, 1), cards=cards, visible="MIG-1111,MIG-2222"))

    assert identities(found) == ["MIG-1111", "MIG-2222"]
    assert {a.nodes for a in found.accelerators} == {("/dev/nvidia1",)}
    assert environment_alone(found.accelerators[1:])["CUDA_VISIBLE_DEVICES"] == "MIG-2222"


def test_slice_named_in_the_old_way_tells_its_card() -> None:
    found = find_gpus(Seen(nodes=(0, 1), cards=(card(0, split=True), card(1, split=True)), visible="MIG-GPU-aaaa1/3/0"))

    assert found.accelerators[0].nodes == ("/dev/nvidia1",)


def test_cut_card_whose_slices_nobody_named_is_doubted() -> None:
    found = find_gpus(Seen(nodes=(0,), cards=(card(0, split=True),)))

    assert identities(found) == ["GPU-aaaa0"]
    assert "CUDA_VISIBLE_DEVICES=MIG-" in found.doubts[0]


def test_gpu_of_wsl_is_one_accelerator_with_its_device_and_libraries() -> None:
    [one] = find_gpus(Seen(dxg=True, wsl_libraries=True)).accelerators

    assert one.nodes == ("/dev/dxg",)
    assert environment_alone([one]) == {"LD_LIBRARY_PATH": "/usr/lib/wsl/lib"}


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        pytest.param(Seen(dxg=True), "no libcuda.so.1 in /usr/lib/wsl/lib; install NVIDIA's driver", id="WSL"),
        pytest.param(Seen(on_bus=2), "2 NVIDIA cards, but no /dev/nvidia0; install the driver", id="no driver"),
    ],
)
def test_half_known_gpu_is_told_instead_of_training_on_the_cpu_in_silence(seen: Seen, words: str) -> None:
    found = find_gpus(seen)

    assert found.accelerators == ()
    [doubt] = found.doubts
    assert doubt.startswith("attempts train on the CPU: ")
    assert words in doubt


def test_machine_without_any_sign_of_a_gpu_has_nothing_to_tell() -> None:
    assert find_gpus(Seen()) == Gpus()
    assert find_gpus(Seen(visible="0")) == Gpus()


@given(
    nodes=st.sets(st.integers(0, 9), max_size=6).map(lambda numbers: tuple(sorted(numbers))),
    known=st.sets(st.integers(0, 9)),
    visible=st.none() | st.text("0123,-GPUMIaig/ ", max_size=12),
)
def test_no_gpu_is_dealt_out_twice_or_from_beyond_this_machine(
    nodes: tuple[int, ...], known: set[int], visible: str | None
) -> None:
    found = find_gpus(Seen(nodes=nodes, cards=tuple(card(minor) for minor in sorted(known)), visible=visible))

    names = identities(found)
    assert len(names) == len(set(names))
    assert {node for gpu in found.accelerators for node in gpu.nodes} <= {f"/dev/nvidia{minor}" for minor in nodes}
    if visible is None:
        assert len(names) == len(nodes)


def test_this_machine_can_be_looked_at() -> None:
    from controller.executor.local.gpus import see_gpus

    assert see_gpus().dxg == Path("/dev/dxg").exists()
