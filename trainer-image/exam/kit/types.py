"""The types of questions and answers, and the bytes of their bodies.

An author states them. What comes is compared with them: kind, dtype and size by the header alone (messages.py), so that
nothing is allocated for an answer that cannot be right, then dimensions and numbers.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from exam.kit.errors import DataError

DTYPES = (
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "float32", "float64"),
)
"""The dtypes of arrays. The place in this list, from 1, is the code of a dtype in a header."""

DEFAULT_BYTES = 16 << 20
"""Most bytes of a body where the author states none (16 MiB)."""

LARGEST_BYTES = 256 << 20
"""Most bytes that an author may state (256 MiB): the examiner allocates a buffer of this size at most."""

LARGEST_DEPTH = 100
"""Most lists and objects inside each other in an answer: Python's own reader fails by a RecursionError beyond 900."""

_DIMENSION = struct.Struct("<Q")


class Kind(IntEnum):
    """The content of a body."""

    NOTHING = 0
    JSON = 1
    BYTES = 2
    ARRAY = 3


@dataclass(frozen=True, slots=True)
class Json:
    """Anything that JSON can say: numbers, texts, lists, objects, null. NaN and infinity are refused."""

    most: int = 1 << 20
    """Most bytes as UTF-8."""

    @property
    def wanted(self) -> int:
        """Its code in the header of a question."""
        return Kind.JSON

    def fault_of_header(self, kind: int, size: int) -> str:
        """The fault of a body of this kind and size, before it is read; empty without one."""
        return _fault_of_size(kind, size, Kind.JSON, self.most)

    def decode(self, body: bytes | memoryview) -> Any:
        """The value. Raises ValueError, with the rest of a sentence, if this is none."""
        try:
            # Python's reader takes NaN and Infinity, which JSON does not know, and makes infinity of 1e999.
            value = json.loads(str(body, "utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
            _check_depth(value)
            return value
        except RecursionError:
            raise ValueError("holds lists inside each other without end") from None
        except UnicodeDecodeError:
            raise ValueError("is no text in UTF-8") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"is not valid JSON ({error})") from None

    def encode(self, value: Any) -> tuple[Kind, bytes]:
        """Kind and body. Raises ValueError if JSON cannot say it."""
        try:
            return Kind.JSON, json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except TypeError as error:
            raise ValueError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes as they are."""

    most: int = 1 << 20
    """Most of them."""

    @property
    def wanted(self) -> int:
        """Its code in the header of a question."""
        return Kind.BYTES

    def fault_of_header(self, kind: int, size: int) -> str:
        """The fault of a body of this kind and size, before it is read; empty without one."""
        return _fault_of_size(kind, size, Kind.BYTES, self.most)

    def decode(self, body: bytes | memoryview) -> bytes:
        """The bytes."""
        return bytes(body)

    def encode(self, value: Any) -> tuple[Kind, bytes]:
        """Kind and body. Raises ValueError if these are no bytes."""
        if not isinstance(value, bytes | bytearray | memoryview):
            raise ValueError(f"is {type(value).__name__} where bytes belong")
        return Kind.BYTES, bytes(value)


@dataclass(frozen=True, slots=True)
class Array:
    """A numpy array of one dtype. A dimension of None may be of any length; fractions must be finite."""

    dtype: str
    """One of DTYPES."""
    shape: tuple[int | None, ...] = ()
    most: int = DEFAULT_BYTES
    """Most bytes, which bounds the dimensions that are None."""
    finite: bool = True
    """Refuse NaN and infinity."""

    @property
    def wanted(self) -> int:
        """Its code in the header of a question: the kind, and the code of the dtype above it."""
        return Kind.ARRAY | (DTYPES.index(self.dtype) + 1) << 8

    @property
    def head(self) -> int:
        """Bytes before the numbers: how many dimensions there are, and each of them, as 64-bit integers."""
        return _DIMENSION.size * (1 + len(self.shape))

    def fault_of_header(self, kind: int, size: int) -> str:
        """The fault of a body of this kind and size, before it is read; empty without one."""
        if kind & 0xFF != Kind.ARRAY:
            return f"is {_name(kind)} where an array belongs"
        if kind != self.wanted:
            code = (kind >> 8) - 1
            given = DTYPES[code] if 0 <= code < len(DTYPES) else f"of unknown dtype {kind >> 8}"
            return f"is {given} where {self.dtype} belongs"
        smallest, largest = self._bounds()
        if not smallest <= size <= largest:
            bytes_ = str(smallest) if smallest == largest else f"at most {largest}"
            return f"announces {size} bytes, but an array of shape {_show(self.shape)} of {self.dtype} takes {bytes_}"
        return ""

    def decode(self, body: bytes | memoryview) -> npt.NDArray[Any]:
        """The array. Raises ValueError, with the rest of a sentence, if dimensions or numbers are wrong."""
        if len(body) < self.head:
            raise ValueError(f"has {len(body)} bytes where its dimensions alone take {self.head}")
        count = int(_DIMENSION.unpack_from(body)[0])
        if count != len(self.shape):
            raise ValueError(f"has {count} dimensions where {len(self.shape)} belong")
        shape = tuple(_DIMENSION.unpack_from(body, _DIMENSION.size * (1 + axis))[0] for axis in range(count))
        wrong = any(want is not None and have != want for have, want in zip(shape, self.shape, strict=True))
        dtype = np.dtype(self.dtype).newbyteorder("<")
        if wrong or math.prod(shape) * dtype.itemsize != len(body) - self.head:
            raise ValueError(f"has shape {_show(shape)} where {_show(self.shape)} belongs")
        array: npt.NDArray[Any] = np.frombuffer(body, dtype, offset=self.head).reshape(shape).astype(self.dtype)
        # numpy takes any byte above 0 for True and keeps it, so that equal truths could differ in their bytes.
        if self.dtype == "bool" and (np.frombuffer(body, np.uint8, offset=self.head) > 1).any():
            raise ValueError("holds truth values that are neither 0 nor 1")
        if self.finite and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"holds {'NaN' if np.isnan(array).any() else 'infinity'}")
        return array

    def encode(self, value: Any) -> tuple[Kind, bytes]:
        """Kind and body; the dtype's code is in `wanted`. Raises ValueError if the value is no such array."""
        array = np.ascontiguousarray(value, np.dtype(self.dtype).newbyteorder("<"))
        shape = np.shape(value)
        if len(shape) != len(self.shape):
            raise ValueError(f"has shape {_show(shape)} where {_show(self.shape)} belongs")
        return Kind.ARRAY, b"".join(map(_DIMENSION.pack, (len(shape), *shape))) + array.tobytes()

    def _bounds(self) -> tuple[int, int]:
        item = np.dtype(self.dtype).itemsize
        if None in self.shape:
            return self.head, max(self.head, self.most)
        exact = self.head + item * math.prod(size or 0 for size in self.shape)
        return exact, exact


Type = Json | Bytes | Array


def check_type(type_: Type, *, whose: str) -> None:
    """Raise DataError if an author's type cannot be: an unknown dtype, a size beyond all bounds."""
    if not isinstance(type_, Json | Bytes | Array):
        raise DataError(f"examiner: {whose} must be Array(...), Json(...) or Bytes(...), not {type_!r}")
    largest = type_.most
    if isinstance(type_, Array):
        if type_.dtype not in DTYPES:
            raise DataError(f"examiner: {whose} has dtype {type_.dtype!r}; possible are {', '.join(DTYPES)}")
        largest = type_._bounds()[1]
    if not 0 < largest <= LARGEST_BYTES:
        raise DataError(f"examiner: {whose} may take {largest} bytes; possible are 1 to {LARGEST_BYTES}")


def decode_any_array(code: int, body: bytes) -> npt.NDArray[Any]:
    """An array of the examiner's, whatever its shape. For the candidate, which trusts it."""
    dimensions = int(_DIMENSION.unpack_from(body)[0])
    return Array(DTYPES[(code >> 8) - 1], (None,) * dimensions, finite=False).decode(body)


def _fault_of_size(kind: int, size: int, wanted: Kind, most: int) -> str:
    if kind != wanted:
        return f"is {_name(kind)} where {_name(wanted)} belongs"
    return f"announces {size} bytes, and at most {most} may come" if size > most else ""


def _name(kind: int) -> str:
    names = {Kind.NOTHING: "nothing", Kind.JSON: "JSON", Kind.BYTES: "bytes", Kind.ARRAY: "an array"}
    return next((name for each, name in names.items() if each == kind & 0xFF), f"of unknown kind {kind}")


def _show(shape: tuple[int | None, ...]) -> str:
    inner = ", ".join("any" if size is None else str(size) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def _check_depth(value: Any) -> None:
    """Raise ValueError where lists and objects lie too deep in each other for code that follows them down."""
    pending = [(value, 1)]
    while pending:
        one, depth = pending.pop()
        if not isinstance(one, list | dict):
            continue
        if depth > LARGEST_DEPTH:
            raise ValueError(f"holds more than {LARGEST_DEPTH} lists or objects inside each other")
        pending += ((inner, depth + 1) for inner in (one.values() if isinstance(one, dict) else one))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("holds a number too large for a double")
    return value
