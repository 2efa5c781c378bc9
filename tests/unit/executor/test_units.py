"""Units behind printed numbers: the same by any spelling, and turned into each other where that is certain."""

from __future__ import annotations

import pytest

from controller.executor.units import factor_between, unit_of


@pytest.mark.parametrize(
    ("behind", "unit"),
    [
        (" ms", "ms"),
        ("msec per loop", "ms"),
        (" milliseconds", "ms"),
        ("\u00b5s", "us"),
        (" \u03bcs", "us"),
        (" sec", "s"),
        (" s.", "s"),
        (" KiB", "KiB"),
        (" Kelem/s", "Kelem/s"),
        (" M", ""),
        (" points", ""),
        (" msec/step", "ms/step"),
        (" \u00b5s/op", "us/op"),
        (" s/it", "s/it"),
        (" it/s", "it/s"),
        (" GHz", "GHz"),
        (" TFLOPS", "TFLOPS"),
        (" mJ", "mJ"),
        (" B/s", "B/s"),
        (" m/s", ""),
        ("", ""),
        ("%", ""),
    ],
)
def test_unit_has_one_name(behind: str, unit: str) -> None:
    assert unit_of(behind) == unit


@pytest.mark.parametrize(
    ("unit", "wanted", "factor"),
    [
        ("us", "ms", 1e-3),
        ("s", "ms", 1e3),
        ("min", "s", 60.0),
        ("d", "h", 24.0),
        ("Melem/s", "Kelem/s", 1e3),
        ("us/op", "ns/op", 1e3),
        ("s/step", "ms/step", 1e3),
        ("MHz", "GHz", 1e-3),
        ("TFLOPS", "GFLOPS", 1e3),
        ("J", "mJ", 1e3),
        ("ms", "ms", 1.0),
        ("", "ms", 1.0),
    ],
)
def test_certain_units_are_turned_into_each_other(unit: str, wanted: str, factor: float) -> None:
    assert factor_between(unit, wanted) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("unit", "wanted"),
    [("MB", "KB"), ("ms", "MB"), ("tok/s", "req/s"), ("s/it", "it/s"), ("ms/step", "ms"), ("GB/s", "MB/s")],
)
def test_uncertain_units_are_not(unit: str, wanted: str) -> None:
    assert factor_between(unit, wanted) is None
