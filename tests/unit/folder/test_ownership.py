"""A file of another user is told with whose it is, and with what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.folder import denied_access, refused_to


def test_file_of_another_user_is_told_with_whose_it_is_and_two_ways_out() -> None:
    said = refused_to(Path("demo/lab.git"), owner="alice", user="root", all_of=Path("demo"))

    assert said == (
        "demo/lab.git belongs to alice, and this runs as root: run it as alice, or hand everything over with "
        "`sudo chown -R root demo`"
    )


def test_folder_without_rights_of_its_owner_is_told(tmp_path: Path) -> None:
    assert denied_access(tmp_path / "new").startswith(f"there is no permission for {tmp_path / 'new'}: ")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file to somebody else")
@pytest.mark.parametrize("foreign", ["lab.git", "lab.git/objects", "campaign.yaml"])
def test_foreign_part_of_a_campaign_is_found(foreign: str, tmp_path: Path) -> None:
    (tmp_path / "lab.git" / "objects").mkdir(parents=True)
    (tmp_path / "campaign.yaml").write_text("tag: t\n")
    os.chown(tmp_path / foreign, 65533, -1)

    said = denied_access(tmp_path)

    assert said.startswith(f"{tmp_path / foreign} belongs to user 65533, and this runs as root: run it as user 65533")
    assert said.endswith(f"`sudo chown -R root {tmp_path}`")
