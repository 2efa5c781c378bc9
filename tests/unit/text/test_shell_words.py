"""A path that is printed inside a command is one word of it, whatever characters its name has."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.folder import CampaignFolder
from controller.text.shell_words import shell_word


@pytest.mark.parametrize("name", ["demo", "a/b.c", "größe"])
def test_plain_path_is_written_as_it_is(name: str) -> None:
    assert shell_word(Path(name)) in (name, f"'{name}'")


@given(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1).filter(lambda name: "\0" not in name))
@settings(deadline=None)
def test_printable_paths_are_what_shlex_reads(name: str) -> None:
    word = shell_word(Path(name))

    if str(Path(name)).isprintable():
        assert shlex.split(word)[0].removeprefix("./") == str(Path(name)).removeprefix("./")
    assert word.isprintable()


def test_command_that_goes_on_names_the_lab_where_it_is_elsewhere() -> None:
    folder = CampaignFolder(Path("my campaign"), lab_override=Path("/labs/x y"))

    assert folder.run_command == "autoresearch run 'my campaign' --lab '/labs/x y'"
    assert CampaignFolder(Path("demo")).run_command == "autoresearch run demo"
