"""Finds values that are worth trying in place of a constant's. Pure.

They are steps on a logarithmic grid, the other truth value, or choices that the constant's comment names. The rules
know names and comments, not machine learning. Constants that cannot matter to a score are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controller.agent.perturb.constants import Constant, Scalar, read_number
from controller.edits.seeds import speaks_of_seed

FACTORS = (0.5, 0.7, 0.8, 1.25, 1.5, 2.0)
"""Steps from a value, roughly even on a logarithmic scale."""

WIDE_FACTORS = (0.1, 0.3, 3.0, 10.0)
"""Steps in a range of three decades or more, where doubling would hardly be noticed."""

WIDE_RANGE = 1000
"""High over low from which a range is wide."""

LARGE = 16
"""Integers below it count things such as layers, and step by one as well; from it on they are sizes."""

MOST_UNIT = 64
"""Largest power of two that a stepped size stays a multiple of: 384 stays a multiple of 64."""

NEVER = re.compile(
    "PATH|DIR|FOLDER|FILE|ENV|SECONDS|BUDGET|DEADLINE|TIMEOUT|STARTUP|VOCAB|VOCABULARY|FLOPS|VERSION|LOG|PRINT|REPORT|"
    "VERBOSE|DEBUG|EVAL|EPS|EPSILON|CHECKPOINT|SAVE|IGNORE"
)
"""Words in names of places, clocks, messages and of the task itself. Changing these does not improve learning."""

SIZES = re.compile("DIM|SIZE|WIDTH|HEADS?|CHANNELS|EMBD|HIDDEN|LEN|LENGTH|TOKENS|BLOCK|WINDOW|BATCH")
"""Words in names of tensor sizes: a power of two among them stays one."""

SHARES = re.compile(
    "RATIO|FRAC|FRACTION|SHARE|MOMENTUM|BETAS?|DROPOUT|PROB|PROBABILITY|WARMUP|WARMDOWN|COOLDOWN|SMOOTHING|EMA"
)
"""Words in names of shares: a fraction among them stays between 0 and 1."""

_NUMBER = r"-?\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?(?:\s?\*\*\s?\d+)?"
_RANGE = re.compile(rf"(?<![\w.])({_NUMBER})\s*(?:\.\.|…|to\b)\s*({_NUMBER})", re.I)
_CHOICES = re.compile(rf"[\w.+*-]+(?:\s*\|\s*[\w.+*-]+)+|(?<![\w.]){_NUMBER}(?:\s+or\s+{_NUMBER})+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The values that a comment allows: `0.1 to 10; 0 = off` is low 0.1, high 10, off."""

    low: float = float("-inf")
    high: float = float("inf")

    off: bool = False
    """True if 0 is allowed outside of the range, to switch something off."""

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high or (self.off and value == 0)


def find_alternatives(constant: Constant) -> tuple[str, ...]:
    """Other literals that are worth trying in its place, in its own notation; empty if a change means nothing."""
    label = constant.label
    if _has_word(label, NEVER) or speaks_of_seed(label) or label == "DEVICE":
        return ()
    values = _find_choices(constant) or _find_steps(constant.value, label, _read_range(constant.comment))
    # A dict instead of a set, because it keeps the order.
    texts = dict.fromkeys(_write_literal(value, like=constant.text) for value in values)
    texts.pop(constant.text, None)
    return tuple(texts)


def _has_word(label: str, words: re.Pattern[str]) -> bool:
    return any(words.fullmatch(word) for word in re.findall("[A-Z]+", label.upper()))


def _find_choices(constant: Constant) -> list[Scalar]:
    """Options such as `relu2 | gelu | swiglu` or `64 or 128`; empty if the value itself is not among them."""
    found = _CHOICES.search(constant.comment)
    if found is None or isinstance(constant.value, bool):
        return []
    words = re.split(r"\s*\|\s*|\s+or\s+", found[0])
    options: list[Scalar | None] = [*words] if isinstance(constant.value, str) else [*map(read_number, words)]
    if constant.value not in options:
        return []
    return [option for option in options if option is not None and option != constant.value]


def _read_range(comment: str) -> Range:
    off = re.search(r"(?<![\w.])0 = off", comment) is not None
    found = _RANGE.search(comment)
    if found is None:
        return Range(off=off)
    low, high = read_number(found[1]), read_number(found[2])
    if low is None or high is None or low >= high:
        return Range(off=off)
    return Range(low=low, high=high, off=off)


def _find_steps(value: Scalar, label: str, allowed: Range) -> list[Scalar]:
    """Neighbouring values that the range allows; 0 comes last, if the comment allows to switch something off."""
    match value:
        case bool():
            return [not value]
        case str():
            return []
        case 0:
            grid: Iterable[float] = _step_from_zero(value, label, allowed)
        case int():
            grid = _step_integer(value, label)
        case float():
            grid = _step_float(value, label, allowed)
    steps: list[Scalar] = [step for step in grid if step in allowed and step != value]
    if value and 0 in allowed and (allowed.off or allowed.low == 0):
        steps.append(type(value)(0))
    return steps


def _step_from_zero(value: float, label: str, allowed: Range) -> Iterator[float]:
    """Values for something that is switched off: zero has no scale, so the range or the name must give one."""
    if allowed.high < float("inf"):
        low, high = allowed.low, allowed.high
        grid = (low, (low * high) ** 0.5, high) if low > 0 else (high / 4, high / 2, high)
        for step in grid:
            yield round(step) if isinstance(value, int) else _round_to_two_digits(step)
    elif isinstance(value, float):
        yield from (0.05, 0.1, 0.2) if _has_word(label, SHARES) else (0.01, 0.1)


def _step_integer(value: int, label: str) -> Iterator[int]:
    if value < 0:
        # -1 and its like are markers, not quantities.
        return
    # Clearing the lowest set bit of a power of two leaves 0.
    is_power_of_two = value & (value - 1) == 0
    if is_power_of_two and (value >= LARGE or _has_word(label, SIZES)):
        yield from (step for step in (value // 2, value * 2) if step)
        return
    grid = set()
    # `value & -value` is the largest power of two that divides the value.
    unit = min(value & -value, MOST_UNIT) if value >= LARGE else 1
    for factor in FACTORS:
        grid.add(round(value * factor / unit) * unit)
    if value < LARGE:
        grid |= {value - 1, value + 1}
    yield from sorted(step for step in grid if step > 0)


def _step_float(value: float, label: str, allowed: Range) -> Iterator[float]:
    if _has_word(label, SHARES) and 0 < value <= 1:
        yield from _step_share(value)
        return
    is_wide = 0 < allowed.low * WIDE_RANGE <= allowed.high
    for factor in WIDE_FACTORS if is_wide else FACTORS:
        yield _round_to_two_digits(value * factor)


def _step_share(value: float) -> Iterator[float]:
    """Shares near a given one. Between 0.5 and 1 the distance to 1 is stepped: 0.9 and 0.95 differ by a factor of 2."""
    for factor in FACTORS:
        if 0.5 < value < 1:
            step = round(1 - _round_to_two_digits((1 - value) * factor), 9)
        else:
            step = _round_to_two_digits(value * factor)
        if 0 < step < 1:
            yield step


def _round_to_two_digits(value: float) -> float:
    return float(f"{value:.2g}")


def _write_literal(value: Scalar, *, like: str) -> str:
    """The value in the notation of `like`: 2**17, 524_288, 5e-4, 'gelu'."""
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
