"""Which other values of a constant are sensible: a step on a logarithmic grid, a flip, a choice that its comment names.

Pure, and no expert: knows names and comments, not machine learning. Leaves alone what cannot matter to a score.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controller.agent.constants import Constant, Scalar, read_number
from controller.seeding import speaks_of_seed

FACTORS = (0.5, 0.7, 0.8, 1.25, 1.5, 2.0)
WIDE_FACTORS = (0.1, 0.3, 3.0, 10.0)
"""For a range of three decades and more, where doubling would hardly be noticed."""

NEVER = re.compile(
    "PATH|DIR|FOLDER|FILE|ENV|SECONDS|BUDGET|DEADLINE|TIMEOUT|STARTUP|VOCAB|VOCABULARY|FLOPS|VERSION|LOG|PRINT|REPORT|"
    "VERBOSE|DEBUG|EVAL|EPS|EPSILON|CHECKPOINT|SAVE|IGNORE"
)
"""Words of names that speak of places, clocks, messages or the task itself, not of how well it learns."""

SIZES = re.compile("DIM|SIZE|WIDTH|HEADS?|CHANNELS|EMBD|HIDDEN|LEN|LENGTH|TOKENS|BLOCK|WINDOW|BATCH")
SHARES = re.compile(
    "RATIO|FRAC|FRACTION|SHARE|MOMENTUM|BETAS?|DROPOUT|PROB|PROBABILITY|WARMUP|WARMDOWN|COOLDOWN|SMOOTHING|EMA"
)

_NUMBER = r"-?\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?(?:\s?\*\*\s?\d+)?"
_RANGE = re.compile(rf"(?<![\w.])({_NUMBER})\s*(?:\.\.|…|to\b)\s*({_NUMBER})", re.I)
_CHOICES = re.compile(rf"[\w.+*-]+(?:\s*\|\s*[\w.+*-]+)+|(?<![\w.]){_NUMBER}(?:\s+or\s+{_NUMBER})+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What a comment allows: `0.1 to 10; 0 = off` is low 0.1, high 10, off."""

    low: float = float("-inf")
    high: float = float("inf")
    off: bool = False

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high or (self.off and value == 0)


def alternatives(constant: Constant) -> tuple[str, ...]:
    """Other literals worth trying in its place, written as it is written; empty where a change means nothing."""
    label = constant.label
    if _says(label, NEVER) or speaks_of_seed(label) or label == "DEVICE":
        return ()
    values = tuple(_choices(constant)) or tuple(_steps(constant.value, label, _range(constant.comment)))
    texts = dict.fromkeys(_written(value, like=constant.text) for value in values)
    return tuple(text for text in texts if text != constant.text)


def _says(label: str, words: re.Pattern[str]) -> bool:
    return any(words.fullmatch(word) for word in re.findall("[A-Z]+", label.upper()))


def _choices(constant: Constant) -> Iterator[Scalar]:
    """Options such as `relu2 | gelu | swiglu` or `64 or 128`, if the value itself is among them."""
    found = _CHOICES.search(constant.comment)
    options = re.split(r"\s*\|\s*|\s+or\s+", found[0]) if found and not isinstance(constant.value, bool) else []
    values = options if isinstance(constant.value, str) else [read_number(option) for option in options]
    if constant.value in values:
        yield from (value for value in values if value is not None and value != constant.value)


def _range(comment: str) -> Range:
    found = _RANGE.search(comment)
    low, high = (read_number(found[1]), read_number(found[2])) if found else (None, None)
    off = re.search(r"(?<![\w.])0 = off", comment) is not None
    return Range(off=off) if low is None or high is None or low >= high else Range(low=low, high=high, off=off)


def _steps(value: Scalar, label: str, allowed: Range) -> Iterable[Scalar]:
    match value:
        case bool():
            return (not value,)
        case str():
            return ()
        case 0:
            grid: Iterable[float] = _from_zero(value, label, allowed)
        case int():
            grid = _integers(value, label)
        case float():
            grid = _floats(value, label, allowed)
    off = (type(value)(0),) if value and 0 in allowed and (allowed.off or allowed.low == 0) else ()
    return (*(step for step in grid if step in allowed and step != value), *off)


def _from_zero(value: float, label: str, allowed: Range) -> Iterator[float]:
    """Something that is switched off has no scale of its own: the range gives one, or being a share does."""
    if allowed.high < float("inf"):
        low, high = allowed.low, allowed.high
        grid = (low, (low * high) ** 0.5, high) if low > 0 else (high / 4, high / 2, high)
        yield from (round(step) if isinstance(value, int) else _two_digits(step) for step in grid)
    elif isinstance(value, float):
        yield from (0.05, 0.1, 0.2) if _says(label, SHARES) else (0.01, 0.1)


def _integers(value: int, label: str) -> Iterator[int]:
    if value < 0:
        return  # -1 and its like stand for something, they measure nothing
    if value & (value - 1) == 0 and (value >= 16 or _says(label, SIZES)):
        yield from (step for step in (value // 2, value * 2) if step)
        return
    unit = min(value & -value, 64) if value >= 16 else 1  # 384 stays a multiple of 64
    neighbours = (value - 1, value + 1) if value < 16 else ()
    grid = {round(value * factor / unit) * unit for factor in FACTORS} | {*neighbours}
    yield from sorted(step for step in grid if step > 0)


def _floats(value: float, label: str, allowed: Range) -> Iterator[float]:
    if _says(label, SHARES) and 0 < value <= 1:
        near_all = 0.5 < value < 1  # there the distance to 1 is what matters
        steps = (
            round(1 - _two_digits((1 - value) * factor), 9) if near_all else _two_digits(value * factor)
            for factor in FACTORS
        )
        yield from (step for step in steps if 0 < step < 1)
    else:
        wide = 0 < allowed.low * 1000 <= allowed.high
        yield from (_two_digits(value * factor) for factor in (WIDE_FACTORS if wide else FACTORS))


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")


def _written(value: Scalar, *, like: str) -> str:
    """The literal in the manner of `like`: 2**17, 524_288, 5e-4, 'gelu'."""
    if isinstance(value, str):
        return f"{like[0]}{value}{like[0]}" if like[0] in "'\"" else repr(value)
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        power = re.fullmatch(r"2(\s*\*\*\s*)\d+", like)
        if power and value > 0 and value & (value - 1) == 0:
            return f"2{power[1]}{value.bit_length() - 1}"
        return f"{value:_}" if "_" in like else str(value)
    if "e" in like.lower() and value:
        mantissa, exponent = f"{value:.8e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:_}" if "_" in like else repr(value)
