"""CUDA libraries that PyTorch does not link are found by the names in its own, and nothing else is hidden."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from controller.executor.local.libraries import unlinked_cuda

LARGE = 2**20


def elf(*linked: str, size: int = 0) -> bytes:
    """A library of 64 bit that links these, as small as the kernel's format allows, filled up to `size`."""
    base, names = 0x10000, b"\0" + b"".join(name.encode() + b"\0" for name in linked)
    dynamic_at, headers_at = 64 + 2 * 56, 64
    entries, place = [], 1
    for name in linked:
        entries.append((1, place))
        place += len(name) + 1
    names_at = dynamic_at + 16 * (len(entries) + 2)
    entries += [(5, base + names_at), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    end = names_at + len(names)
    start = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, headers_at, 0, 0, 64, 56, 2, 0, 0, 0)
    loaded = struct.pack("<IIQQQQQQ", 1, 4, 0, base, base, end, end, 4096)
    section = struct.pack("<IIQQQQQQ", 2, 4, dynamic_at, base + dynamic_at, 0, len(dynamic), len(dynamic), 8)
    return (start + loaded + section + dynamic + names).ljust(size, b"\0")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    for name, content in {
        "torch/lib/libtorch_cuda.so": elf("libcudnn.so.9", "libc.so.6"),
        "torch/_C.cpython-311.so": elf("libtorch_cuda.so"),
        "torch/lib/notes.so": b"no library",
        "nvidia/cudnn/lib/libcudnn.so.9": elf("libcublas.so.13", size=2 * LARGE),
        "nvidia/cu13/lib/libcublas.so.13": elf(size=2 * LARGE),
        "nvidia/cudnn/lib/libcudnn_engines.so.9": elf("libcudnn.so.9", size=2 * LARGE),
        "nvidia/cu13/lib/small.so": elf(),
        "nvidia/cu13/include/cuda.h": b"x" * 2 * LARGE,
        "other/lib/large.so": elf(size=2 * LARGE),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_what_is_linked_directly_or_not_stays(packages: Path) -> None:
    assert unlinked_cuda(packages) == (str(packages / "nvidia/cudnn/lib/libcudnn_engines.so.9"),)


def test_without_pytorch_nobody_links_any(packages: Path) -> None:
    for path in (*packages.glob("torch/lib/*.so"), *packages.glob("torch/*.so")):
        path.unlink()

    assert {Path(path).name for path in unlinked_cuda(packages)} == {
        "libcudnn.so.9",
        "libcublas.so.13",
        "libcudnn_engines.so.9",
    }


def test_a_machine_without_such_packages_hides_nothing(tmp_path: Path) -> None:
    assert unlinked_cuda(tmp_path) == ()
