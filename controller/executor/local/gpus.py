"""Finds the GPUs that attempts may use: those of this machine, or those that CUDA_VISIBLE_DEVICES names.

`see_gpus` reads what the kernel, the driver and the environment say. Everything after that is pure. CUDA numbers the
GPUs that it can open, from 0 and in an order of its own. So the number of a device node does not name a GPU, and a
place in a list names it only there. Its UUID names it everywhere, as soon as the driver tells it.

Nothing here has run on a machine with a GPU: the rules are from the documentation of CUDA, MIG and WSL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from controller.executor.local import diagnoses
from controller.settings import visible_devices

WSL_LIBRARIES = "/usr/lib/wsl/lib"
"""Where WSL puts the user's half of the Windows driver."""

NO_DEVICE = ("", "-1", "nodevfiles", "none", "void")
"""Values of CUDA_VISIBLE_DEVICES, in small letters, with which people hide every GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One GPU, or one slice of a GPU."""

    name: str
    """The model, as the driver calls it; scores of different models are not compared."""

    nodes: tuple[str, ...]
    """Device nodes that belong to this GPU alone."""

    identity: str
    """Its name in CUDA_VISIBLE_DEVICES for a process that can open every GPU."""

    sliced: bool = False
    """True if its nodes show more than it, so that a process must be told its name in any case."""

    libraries: str = ""
    """A folder with its libraries that the loader does not search by itself; empty if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One GPU as NVIDIA's driver describes it."""

    bus: str
    """Its address on the PCI bus, such as 0000:1b:00.0."""

    minor: int
    """The N of its device node /dev/nvidiaN."""

    model: str
    uuid: str = ""
    """Empty until the driver has used the GPU for the first time."""

    split: bool = False
    """True if it was cut into MIG slices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything about GPUs that was read from this machine."""

    nodes: tuple[int, ...] = ()
    """The numbers N of the device nodes /dev/nvidiaN."""

    cards: tuple[Card, ...] = ()
    visible: str | None = None
    """CUDA_VISIBLE_DEVICES; None if it is not set."""

    by_bus: bool = False
    """True if numbers in CUDA_VISIBLE_DEVICES follow the PCI bus (CUDA_DEVICE_ORDER)."""

    dxg: bool = False
    """True if there is /dev/dxg, the GPU of a Windows machine in WSL."""

    wsl_libraries: bool = False
    """True if NVIDIA's driver on Windows has put CUDA for WSL beside it."""

    kfd: bool = False
    """True if there is /dev/kfd, the device of AMD's GPUs."""

    on_bus: int = 0
    """NVIDIA's cards on the PCI bus, with or without a driver."""


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs that attempts may use."""

    accelerators: tuple[Accelerator, ...] = ()
    doubts: tuple[str, ...] = ()
    """Sentences for the operator about how they were chosen."""


def see_gpus() -> Seen:
    """Read all of it from this machine."""
    visible, order = visible_devices()
    return Seen(
        # Those without a number, as nvidiactl and nvidia-uvm, belong to all GPUs.
        nodes=tuple(sorted(int(name[6:]) for name in os.listdir("/dev") if re.fullmatch(r"nvidia[0-9]+", name))),
        cards=tuple(_cards(Path("/proc/driver/nvidia"))),
        visible=visible,
        by_bus=order == "PCI_BUS_ID",
        dxg=os.path.exists("/dev/dxg"),
        wsl_libraries=os.path.exists(f"{WSL_LIBRARIES}/libcuda.so.1"),
        kfd=os.path.exists("/dev/kfd"),
        on_bus=_cards_on_bus(Path("/sys/bus/pci/devices")),
    )


def find_gpus(seen: Seen) -> Gpus:
    """Choose the GPUs that attempts may use."""
    if seen.nodes:
        return _nvidia(seen)
    # WSL and AMD do not tell how many GPUs there are: they are one accelerator, and the operator's choice goes along.
    chosen, identity = seen.visible is not None, "0" if seen.visible is None else seen.visible
    if seen.dxg and seen.wsl_libraries:
        found = Accelerator(
            name="nvidia-wsl", nodes=("/dev/dxg",), identity=identity, sliced=chosen, libraries=WSL_LIBRARIES
        )
    elif seen.kfd:
        found = Accelerator(name="amd", nodes=(), identity=identity, sliced=chosen)
    else:
        return Gpus(doubts=tuple(diagnoses.no_gpu(dxg=seen.dxg, on_bus=seen.on_bus)))
    if chosen and identity.strip().lower() in NO_DEVICE:
        return Gpus(doubts=(diagnoses.all_hidden(1),))
    return Gpus((found,))


def environment_beside_others(accelerators: Sequence[Accelerator]) -> dict[str, str]:
    """The variables that confine a process to these GPUs although it could open all of them."""
    # By bus, so that the numbers of GPUs without a UUID mean what they mean here.
    return {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(accelerator.identity for accelerator in accelerators),
        **_loader(accelerators),
    }


def environment_alone(accelerators: Sequence[Accelerator]) -> dict[str, str]:
    """The variables for a process that can open the nodes of these GPUs and no others: only slices must be named."""
    if not any(accelerator.sliced for accelerator in accelerators):
        return _loader(accelerators)
    return environment_beside_others(accelerators)


def _loader(accelerators: Sequence[Accelerator]) -> dict[str, str]:
    folders = {accelerator.libraries for accelerator in accelerators if accelerator.libraries}
    return {"LD_LIBRARY_PATH": ":".join(sorted(folders))} if folders else {}


def _nvidia(seen: Seen) -> Gpus:
    whole = _whole(seen)
    if seen.visible is None:
        split = sum(card.split for card in seen.cards if card.minor in seen.nodes)
        return Gpus(tuple(whole), tuple(diagnoses.unnamed_slices(split)))
    chosen: list[Accelerator] = []
    doubts: list[str] = []
    words = [word.strip() for word in seen.visible.split(",")]
    for word in words:
        found = _named(word, whole, seen)
        if found is None:
            # CUDA goes no further than the first name that is none.
            doubts += [] if word.lower() in NO_DEVICE else [diagnoses.unknown_gpu(word, len(whole))]
            break
        if found not in chosen:
            chosen.append(found)
    if any(word.isdecimal() for word in words) and not seen.by_bus and len({gpu.name for gpu in whole}) > 1:
        doubts.append(diagnoses.numbered_gpus([gpu.name for gpu in chosen]))
    if not chosen:
        doubts.append(diagnoses.all_hidden(len(whole)))
    return Gpus(tuple(chosen), tuple(doubts))


def _whole(seen: Seen) -> list[Accelerator]:
    """Every GPU whose node is here, in the order of the PCI bus, those of which the driver says nothing last."""
    cards = {card.minor: card for card in seen.cards}
    order = sorted(
        seen.nodes, key=lambda minor: (minor not in cards, cards[minor].bus if minor in cards else "", minor)
    )
    found = []
    for number, minor in enumerate(order):
        card = cards.get(minor, Card(bus="", minor=minor, model="nvidia"))
        found.append(Accelerator(name=card.model, nodes=(f"/dev/nvidia{minor}",), identity=card.uuid or str(number)))
    return found


def _named(word: str, whole: Sequence[Accelerator], seen: Seen) -> Accelerator | None:
    """Find the GPU or slice that one word of CUDA_VISIBLE_DEVICES means; None if there is none here."""
    if word.isdecimal():
        return whole[int(word)] if int(word) < len(whole) else None
    kind, rest = word[:4].lower(), word.lower().removeprefix("mig-")
    if kind == "gpu-":
        # CUDA takes the beginning of a UUID for the whole.
        return next((gpu for gpu in whole if gpu.identity.lower().startswith(word.lower())), None)
    if kind != "mig-":
        return None
    # MIG-GPU-<uuid>/<instance>/<slice> names the card; MIG-<uuid> does not, and only split cards can be meant.
    split = {f"/dev/nvidia{card.minor}" for card in seen.cards if card.split}
    parents = [gpu for gpu in whole if rest.startswith(gpu.identity.lower() + "/")]
    parents = parents or [gpu for gpu in whole if gpu.nodes[0] in split] or list(whole)
    nodes = tuple(node for gpu in parents for node in gpu.nodes)
    return replace(parents[0], name=f"{parents[0].name} MIG", nodes=nodes, identity=word, sliced=True)


def _cards(driver: Path) -> Iterator[Card]:
    for information in sorted(driver.glob("gpus/*/information")):
        card = read_card(information.parent.name, information.read_text())
        slices = driver / "capabilities" / f"gpu{card.minor}" / "mig"
        yield replace(card, split=any(slices.glob("gi*")))


def read_card(bus: str, information: str) -> Card:
    """Read the text of /proc/driver/nvidia/gpus/<bus>/information. A UUID of question marks is not known yet."""
    pairs = (line.partition(":") for line in information.splitlines())
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    uuid, minor = fields.get("GPU UUID", ""), fields.get("Device Minor", "")
    return Card(
        bus=bus,
        minor=int(minor) if minor.isdecimal() else -1,
        model=fields.get("Model", "nvidia"),
        uuid="" if "?" in uuid else uuid,
    )


def _cards_on_bus(devices: Path) -> int:
    """Count NVIDIA's display controllers: PCI vendor 0x10de, class 0x03...."""
    found = 0
    for vendor in devices.glob("*/vendor"):
        is_display = (vendor.parent / "class").read_text().startswith("0x03")
        if is_display and vendor.read_text().strip() == "0x10de":
            found += 1
    return found
