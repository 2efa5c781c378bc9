"""Finds CUDA libraries that no program needs on a machine without a GPU, so that sandboxes need not show them.

PyTorch for CUDA links many of them, and is not imported without those. It opens the others, the engines of cuDNN for
example, only where there is a GPU.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

_LARGE = 2**20
"""Files up to this size, in bytes, are not worth a mount each."""

_LOADED, _DYNAMIC = 1, 2
"""Types of program headers."""

_NEEDED, _STRINGS = 1, 5
"""Tags of the dynamic section: the name of a library that is linked, and where the names lie."""


def unlinked_cuda(packages: Path) -> tuple[str, ...]:
    """Large libraries below `nvidia` in a folder of packages that PyTorch there does not link, directly or not."""
    libraries = {path.name: path for path in sorted((packages / "nvidia").rglob("*.so*")) if path.is_file()}
    pending = [*(packages / "torch").glob("lib/*.so*"), *(packages / "torch").glob("*.so")]
    linked: set[str] = set()
    while pending:
        for name in _linked(pending.pop()):
            if name in libraries and name not in linked:
                linked.add(name)
                pending.append(libraries[name])
    unlinked = (path for name, path in libraries.items() if name not in linked)
    return tuple(str(path) for path in unlinked if path.stat().st_size > _LARGE)


def _linked(path: Path) -> Iterator[str]:
    """Names of the libraries that an ELF file of 64 bit links; none for any other file."""
    with path.open("rb") as file:
        # The magic of ELF, then class 2 (64 bit) and order 1 (little-endian).
        if file.read(6) != b"\x7fELF\x02\x01":
            return
        # Of a mapped file only the pages that are looked at are read, and libraries of CUDA have gigabytes.
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as image:
            headers = list(_headers(image))
            for kind, offset, _, size in headers:
                if kind == _DYNAMIC:
                    yield from _names(image, headers, list(struct.iter_unpack("<qQ", image[offset : offset + size])))


def _headers(image: mmap.mmap) -> Iterator[tuple[int, int, int, int]]:
    """Type, place in the file, address and size of each part."""
    # Elf64_Ehdr: e_phoff lies at byte 32, e_phentsize and e_phnum at 54 and 56.
    (start,) = struct.unpack_from("<Q", image, 32)
    each, count = struct.unpack_from("<HH", image, 54)
    for at in range(start, start + each * count, each):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", image, at)
        yield kind, offset, address, size


def _names(image: mmap.mmap, headers: list[tuple[int, int, int, int]], entries: list[tuple[int, int]]) -> Iterator[str]:
    strings = next((value for tag, value in entries if tag == _STRINGS), 0)
    for kind, offset, address, size in headers:
        # DT_STRTAB is an address in memory; the part that is loaded there tells the place in the file.
        if kind == _LOADED and address <= strings < address + size:
            table = offset + strings - address
            for tag, value in entries:
                if tag == _NEEDED:
                    end = image.find(b"\0", table + value)
                    yield image[table + value : end].decode(errors="replace")
