"""An edit that would crash for a name or an argument is told so before it is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.edits.names import find_new_faults

BASE = """from __future__ import annotations

import math
from dataclasses import dataclass

import torch

WIDTH = 4
try:
    import flash
except ImportError:
    flash = None


@dataclass
class Config:
    width: int = WIDTH


class Block(torch.nn.Module):
    def __init__(self, config: Config, *, gain=1.0):
        super().__init__()
        self.gain = gain

    def forward(self, x):
        return math.sqrt(self.gain) * norm(x)


def norm(x, eps=1e-6):
    global CALLS
    CALLS = 1
    return [y for y in x if y > eps]


def main(argv=None):
    block = Block(Config(width=3), gain=2.0)
    print(norm(block(1), eps=2), __name__, __file__, CALLS, flash)
    with open("x") as file:
        lines = {line: n for n, line in enumerate(file)}
    return lambda value: (value, lines)
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("math.sqrt", "maths.sqrt", "maths is not defined"),
        ("norm(block(1), eps=2)", "norm(block(1), epsilon=2)", "norm() takes no argument epsilon"),
        ("norm(block(1), eps=2)", "norm(block(1), 2, 3)", "norm() takes at most 2 positional arguments, not 3"),
        ("gain=2.0", "gian=2.0", "Block() takes no argument gian"),
        ("WIDTH = 4", "WIDTH = DEPTH", "DEPTH is not defined"),
        ("self.gain = gain", "self.gain = gain * scale", "scale is not defined"),
        ("import math\n", "", "math is not defined"),
        ("return lambda value: (value, lines)", "return lambda value: (valeu, lines)", "valeu is not defined"),
    ],
)
def test_a_name_or_argument_that_does_not_exist_is_told_with_its_line(old: str, new: str, told: str) -> None:
    assert old in BASE

    faults = find_new_faults(BASE, BASE.replace(old, new))

    assert len(faults) == 1
    assert faults[0].startswith("line ")
    assert faults[0].endswith(f": {told}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WIDTH = 4", "WIDTH = 5"),
        ("WIDTH = 4", "WIDTH = 4\n\n\ndef top(one):\n    two = one\n    return two\n"),
        ("import torch\n", "import torch\nfrom torch.nn.functional import *\n"),
        ("gain=2.0", "**{'gain': 2.0}"),
        ("def norm(x, eps=1e-6):", "def norm(x, eps=1e-6, **more):"),
        ("def main(argv=None):", "def main(argv=None):\n    def inner():\n        return late\n    late = 3\n"),
        ("def main(argv=None):", "def main(argv=None, norm=print):"),
        ("class Block(torch.nn.Module):", "class Block(torch.nn.Module):\n    rate = 3\n    other = rate + 1\n"),
        ("WIDTH = 4", "WIDTH = 4\nif (n := 3) > 2:\n    print(n)\nfor i in range(3):\n    print(i)\n"),
        ("WIDTH = 4", "WIDTH = 4\ntype_of = lambda *a, **k: (a, k)\ntype_of(1, b=2)\n"),
        ("WIDTH = 4", "WIDTH = 4\nmatch WIDTH:\n    case int() as whole:\n        print(whole)\n"),
    ],
)
def test_a_program_that_runs_is_told_nothing(old: str, new: str) -> None:
    assert old in BASE
    assert find_new_faults(BASE, BASE.replace(old, new)) == []


def test_what_was_there_before_is_nobodys_fault() -> None:
    odd = BASE + "\nprint(magic)\n"

    assert find_new_faults(odd, odd.replace("WIDTH = 4", "WIDTH = 5")) == []


def test_our_own_programs_have_no_fault() -> None:
    for path in (Path(__file__).resolve().parents[3] / "controller").rglob("*.py"):
        assert find_new_faults("", path.read_text()) == [], path


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    find_new_faults("", text)
    find_new_faults(text, BASE)
