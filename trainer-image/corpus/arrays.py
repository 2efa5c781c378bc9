"""Token ids in memory and on disk: unsigned little-endian integers, in `.npy` files or one bare stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.unsignedinteger[Any]]


def token_type(vocabulary_size: int) -> type[np.uint16] | type[np.uint32]:
    """The smallest little-endian type that holds every id."""
    return np.uint16 if vocabulary_size <= 65_536 else np.uint32


def save(path: Path, array: npt.NDArray[Any]) -> None:
    """Write one array, and its folder where there is none yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
