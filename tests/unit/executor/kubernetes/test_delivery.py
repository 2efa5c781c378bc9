"""What is taken of a delivery, whoever wrote it: wanted files that are short enough, and one line about each other."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.executor.kubernetes.delivery import UNREADABLE, read_delivery
from controller.text.safe_text import LINE

WANTED = {"train.py": 8, "proposal.json": 4}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*WANTED, "other"]), inner, max_size=3),
    max_leaves=8,
)
CODED = st.binary(max_size=12).map(lambda content: base64.b64encode(content).decode())
DELIVERIES = st.fixed_dictionaries(
    {},
    optional={
        "files": st.dictionaries(st.sampled_from([*WANTED, "../lab", "other"]), CODED | JSON, max_size=4) | JSON,
        "faults": st.dictionaries(st.sampled_from([*WANTED, "other"]), st.text(max_size=2000) | JSON, max_size=4)
        | JSON,
    },
)


def is_sound(files: dict[str, bytes], faults: dict[str, str]) -> bool:
    """True if each wanted file is there, within its length, or has one short line about it."""
    return (
        set(files) | set(faults) == set(WANTED)
        and not set(files) & set(faults)
        and all(len(content) <= WANTED[path] for path, content in files.items())
        and all(0 < len(fault) <= LINE and fault.isprintable() for fault in faults.values())
    )


@given(delivered=st.binary(max_size=300))
def test_any_bytes_give_a_fault_for_each_wanted_file(delivered: bytes) -> None:
    assert is_sound(*read_delivery(delivered, WANTED))


@given(delivery=DELIVERIES)
def test_any_object_gives_wanted_files_alone_none_of_them_too_long(delivery: dict[str, Any]) -> None:
    assert is_sound(*read_delivery(json.dumps(delivery).encode(), WANTED))


@given(content=st.binary(max_size=8))
def test_a_file_arrives_byte_by_byte(content: bytes) -> None:
    delivered = json.dumps({"files": {"train.py": base64.b64encode(content).decode()}, "faults": {}}).encode()

    assert read_delivery(delivered, WANTED) == ({"train.py": content}, {"proposal.json": UNREADABLE})


def test_brackets_without_end_are_nothing_that_arrived() -> None:
    files, faults = read_delivery(b"[" * 1_000_000, WANTED)

    assert files == {}
    assert set(faults.values()) == {UNREADABLE}


def test_fault_of_the_porter_is_told() -> None:
    delivered = json.dumps({"files": {}, "faults": {"train.py": "is\nno regular file"}}).encode()

    assert read_delivery(delivered, {"train.py": 8}) == ({}, {"train.py": "is no regular file"})
