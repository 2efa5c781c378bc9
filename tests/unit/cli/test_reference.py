"""docs/cli.md tells what the commands really take, end with and read from the environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.cli.reference import EXIT_CODES, reference
from controller.errors import AutoresearchError

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = REPOSITORY / "docs" / "cli.md"


def test_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: python -m controller.cli.reference > docs/cli.md"


def test_no_argument_flag_or_variable_is_without_a_sentence() -> None:
    empty = [line for line in reference().splitlines() if re.search(r"\|\s*\|", line)]

    assert empty == []


def test_every_exit_code_of_an_error_is_explained() -> None:
    def codes(error: type[AutoresearchError]) -> set[int]:
        return {error.exit_code}.union(*map(codes, error.__subclasses__()))

    assert codes(AutoresearchError) <= set(EXIT_CODES)


@pytest.mark.parametrize("folder", ["controller", "trainer-image", "helm"])
def test_every_variable_of_ours_that_a_file_names_is_on_the_page(folder: str) -> None:
    files = [path for path in (REPOSITORY / folder).rglob("*") if path.suffix in (".py", ".yaml", ".tpl", ".md")]
    named = {name for file in files for name in re.findall(r"AUTORESEARCH_[A-Z_]+", file.read_text(encoding="utf-8"))}

    assert named, f"no file below {folder} names a variable"
    assert {name for name in named if f"`{name}`" not in reference()} == set()
