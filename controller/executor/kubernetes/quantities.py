"""Reads amounts as Kubernetes writes them, such as `500m` or `32Gi`. Pure."""

from __future__ import annotations

import math

_SUFFIXES = {suffix: 1000.0**power for power, suffix in enumerate(("n", "u", "m", "", "k", *"MGTPE"), start=-3)} | {
    f"{prefix}i": 1024.0**power for power, prefix in enumerate("KMGTPE", start=1)
}


def amount(quantity: str) -> float:
    """The amount in units (CPUs, bytes); infinite if it cannot be read."""
    suffix = next((found for found in (quantity[-2:], quantity[-1:]) if found in _SUFFIXES), "")
    try:
        return float(quantity.removesuffix(suffix)) * _SUFFIXES[suffix]
    except ValueError:
        return math.inf


def smaller(one: str, other: str) -> str:
    """The smaller one of two amounts, as it is written."""
    return min(one, other, key=amount)
