"""The types of questions and answers: what was sent comes back, and what is no such value is refused by its header."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from exam.examiner import Close, Equal, splice
from exam.kit import messages, types
from exam.kit.errors import DataError, Rejection
from exam.kit.types import DTYPES, Array, Bytes, Json
from hypothesis import given
from hypothesis import strategies as st

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def sent(type_: types.Type, value: Any) -> tuple[bytes, bytes]:
    """Header and body of an answer."""
    kind, body = type_.encode(value)
    code = type_.wanted if isinstance(type_, Array) else int(kind)
    return messages.HEADER.pack(messages.ANSWER, 7, code, 0, len(body)), body


def refusal(read: Callable[[types.Type], object], type_: types.Type) -> str:
    """Why something was rejected; empty if it was not. Any other error passes."""
    try:
        read(type_)
    except Rejection as rejection:
        return rejection.explanation
    return ""


@given(JSON_VALUES)
def test_json_comes_back_as_it_was_sent(value: Any) -> None:
    header, body = sent(Json(), value)
    assert messages.decode_header(header, 7, Json()) == len(body)
    assert messages.decode_answer(body, 7, Json()) == value


@given(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3))
def test_arrays_come_back_in_dtype_shape_and_numbers(dtype: str, shape: list[int]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    for type_ in (Array(dtype, tuple(shape)), Array(dtype, (None,) * len(shape))):
        header, body = sent(type_, array)
        assert messages.decode_header(header, 7, type_) == len(body)
        back = messages.decode_answer(body, 7, type_)
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert (back == array).all()


@given(st.binary(max_size=64), st.binary(min_size=24, max_size=24))
def test_no_bytes_of_a_candidate_raise_anything_but_a_rejection(body: bytes, header: bytes) -> None:
    for type_ in (Json(), Bytes(), Array("float32", (2, None)), Array("bool", ()), Array("int64", (None, None))):
        for said in (
            refusal(lambda kind: messages.decode_header(header, 7, kind), type_),
            refusal(lambda kind: messages.decode_answer(body, 7, kind), type_),
        ):
            assert not said or said.startswith(("answer 7 ", "an answer to question "))


@pytest.mark.parametrize(
    ("type_", "size"),
    [(Array("float32", (1000,)), 4016), (Array("float32", (None,), most=500), 500), (Json(most=9), 9), (Bytes(3), 3)],
    ids=["fixed array", "open array", "JSON", "bytes"],
)
def test_a_size_beyond_the_stated_one_is_refused_by_its_header(type_: types.Type, size: int) -> None:
    code = type_.wanted
    messages.decode_header(messages.HEADER.pack(messages.ANSWER, 7, code, 0, size), 7, type_)
    with pytest.raises(Rejection, match=f"announces {size + 1} bytes"):
        messages.decode_header(messages.HEADER.pack(messages.ANSWER, 7, code, 0, size + 1), 7, type_)


def test_brackets_in_a_text_are_no_depth() -> None:
    assert types.Json().decode(json.dumps("[" * 500).encode()) == "[" * 500


def test_a_question_that_is_not_what_its_author_states_is_his_mistake() -> None:
    with pytest.raises(DataError, match="question 3 has shape"):
        messages.encode_question(messages.ASK, 3, Array("float32", (2,)), [[1.0]], wanted=1)
    with pytest.raises(DataError, match="asks may take 268435457 bytes"):
        types.check_type(Bytes((256 << 20) + 1), whose="asks")


@given(JSON_VALUES)
def test_every_value_is_equal_to_itself(value: Any) -> None:
    assert Equal().holds(value, json.loads(json.dumps(value)))


def test_close_compares_numbers_within_its_tolerance_and_all_else_exactly() -> None:
    close = Close(relative=0.0, absolute=0.1)
    assert close.holds({"a": [1.0, "x"]}, {"a": [1.05, "x"]})
    assert close.holds(np.array([1.0, 2.0]), np.array([1.05, 1.95]))
    assert not close.holds({"a": [1.0, "x"]}, {"a": [1.2, "x"]})
    assert not close.holds({"a": [1.0, "x"]}, {"a": [1.0, "y"]})
    assert not close.holds(np.array([1.0]), np.array([[1.0]]))
    assert not close.holds([1], [1, 1])
    assert not Equal().holds(1.0, 1.0 + 1e-12)
    assert not close.holds(True, "x")


@given(st.lists(st.integers(0, 3), min_size=3, max_size=12), st.data())
def test_a_spliced_sequence_does_not_hold_the_label(tokens: list[int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(tokens) - 2))
    other = np.array([*range(4), *tokens, *tokens])
    spliced = splice(np.array(tokens), cut, other)
    assert spliced.tolist()[: cut + 1] == tokens[: cut + 1]
    assert spliced[cut + 1] != tokens[cut + 1]
    assert len(spliced) == len(tokens)
