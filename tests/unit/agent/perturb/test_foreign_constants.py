"""The named numbers of other languages than Python: found where they are constants, and stepped in their own form."""

from __future__ import annotations

import re

import pytest

from controller.agent.perturb import PerturbAgent
from controller.agent.perturb.constants import replace_literals
from controller.agent.perturb.foreign_constants import find_foreign_constants
from controller.domain import Proposal
from controller.settings import AgentSettings
from tests.support.requests import proposal_request


@pytest.mark.parametrize(
    ("path", "line", "name", "number", "comment"),
    [
        ("a.c", "#define TAPS    32  /* 8 to 64 */", "TAPS", "32", "8 to 64"),
        ("a.c", "static const float GAIN = 0.5f; // share", "GAIN", "0.5", "share"),
        ("a.cpp", "constexpr double LR = 1e-3;", "LR", "1e-3", ""),
        ("a.rs", "pub const LR: f64 = 0.1;  // 0.01 to 1", "LR", "0.1", "0.01 to 1"),
        ("a.rs", "const BLOCK: usize = 1_024;", "BLOCK", "1_024", ""),
        ("a.go", "\tLearningRate float64 = 0.5 // 0.1 to 1", "LearningRate", "0.5", "0.1 to 1"),
        ("a.go", "const Depth = 4", "Depth", "4", ""),
        ("a.js", "export const WIDTH = 64;", "WIDTH", "64", ""),
        ("A.java", "    private static final int DEPTH = 4;", "DEPTH", "4", ""),
        ("c.toml", "lr = 0.5 # 0.1 to 1", "lr", "0.5", "0.1 to 1"),
        ("c.yaml", "  hidden-size: 128", "hidden-size", "128", ""),
        ("c.json", '  "dropout": 0.1,', "dropout", "0.1", ""),
        ("run.sh", "export DEPTH=4  # layers", "DEPTH", "4", "layers"),
        ("Makefile", "UNROLL ?= 8", "UNROLL", "8", ""),
    ],
)
def test_constant_is_found_with_its_number_and_comment(
    path: str, line: str, name: str, number: str, comment: str
) -> None:
    source = f"é\n{line}\nend\n"

    (found,) = find_foreign_constants(path, source)

    assert (found.label, found.text, found.comment) == (name, number, comment)
    assert replace_literals(source, {found: "7"}) == f"é\n{line.replace(number, '7')}\nend\n"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a.c", "int depth = 4;"),
        ("a.c", "    x = DEPTH + 4;"),
        ("a.c", "#define NAME (4 + X)"),
        ("a.c", "#define MASK 0xff"),
        ("a.c", "// const int DEPTH = 4;"),
        ("a.rs", 'const NAME: &str = "4";'),
        ("a.go", "x := 4"),
        ("c.toml", 'version = "0.5"'),
        ("c.toml", "# lr = 0.5"),
        ("c.yaml", "date: 2024-01-01"),
        ("run.sh", "depth=4"),
        ("w.red", "step equ 4"),
    ],
)
def test_what_is_no_constant_with_a_number_is_left_alone(path: str, line: str) -> None:
    assert find_foreign_constants(path, f"{line}\n") == ()


def test_one_key_in_two_sections_is_two_constants() -> None:
    found = find_foreign_constants("c.toml", "[a]\nlr = 0.5\n[b]\nlr = 0.1\n")

    assert [(constant.label, constant.text) for constant in found] == [("lr", "0.5"), ("lr[2]", "0.1")]


def test_agent_steps_the_numbers_of_a_settings_file_and_no_seed() -> None:
    agent = PerturbAgent(AgentSettings(), accelerator=False)
    request = proposal_request(files={"c.toml": "seed = 3\nlr = 0.5 # 0.1 to 1\n"})

    proposal = agent.propose(request)

    assert isinstance(proposal, Proposal)
    assert re.fullmatch(r"seed = 3\nlr = 0\.\d+ # 0\.1 to 1\n", proposal.files["c.toml"])
    assert proposal.files["c.toml"] != request.files["c.toml"]
