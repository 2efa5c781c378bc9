"""The stock cheats are programs, and each manner of asking has some of them."""

from __future__ import annotations

import ast

import pytest

from controller.cli.doctor.cheats import Manner, cheats_for, manner_of, with_cheat
from controller.folder.new_task import TEMPLATES


@pytest.mark.parametrize(
    ("kind", "manner"),
    [
        ("search", Manner.QUESTIONS),
        ("speed", Manner.QUESTIONS),
        ("control", Manner.EPISODES),
        ("protocol", Manner.STREAMS),
    ],
)
def test_the_manner_is_the_class_that_the_author_derives_from(kind: str, manner: Manner) -> None:
    assert manner_of((TEMPLATES / kind / "examiner.py").read_text()) is manner


@pytest.mark.parametrize("manner", Manner)
def test_each_cheat_is_a_program_that_puts_itself_in_place_of_the_honest_function(manner: Manner) -> None:
    name = "load_model" if manner is Manner.LANGUAGE else "load"
    assert cheats_for(manner)
    for cheat in cheats_for(manner):
        tree = ast.parse(with_cheat(f"def {name}(artifact):\n    return 1\n", cheat, manner))
        texts = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "LOAD" not in texts
        assert any(isinstance(node, ast.FunctionDef) for node in tree.body[1:])
