"""The projects that an environment imports from where they lie, as `pip install -e` and `uv sync` link them."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.executor.local.linked_packages import linked_folders

PACKAGES = "lib/python3.12/site-packages"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    place = tmp_path / "venv" / PACKAGES
    place.mkdir(parents=True)
    (tmp_path / "project/src/tool").mkdir(parents=True)
    return place


def test_folder_that_a_path_file_names_is_linked(packages: Path, tmp_path: Path) -> None:
    (packages / "_editable_impl_tool.pth").write_text(f"{tmp_path}/project/src\n")

    assert linked_folders(tmp_path / "venv") == (tmp_path / "project/src",)


def test_package_that_setuptools_maps_is_linked_by_its_folder(packages: Path, tmp_path: Path) -> None:
    (packages / "__editable___tool_0_1_finder.py").write_text(
        "from __future__ import annotations\n"
        f"MAPPING: dict[str, str] = {{'tool': '{tmp_path}/project/src/tool'}}\nNAMESPACES: dict = {{}}\n"
    )

    assert linked_folders(tmp_path / "venv") == (tmp_path / "project/src",)


@pytest.mark.parametrize(
    "line",
    [
        "import os; os.environ",
        "# a note",
        "",
        "nowhere",
        "../../../lib",
    ],
)
def test_other_lines_of_a_path_file_link_nothing(packages: Path, tmp_path: Path, line: str) -> None:
    (packages / "x.pth").write_text(f"{line}\n")

    assert linked_folders(tmp_path / "venv") == ()


@pytest.mark.parametrize("text", ["MAPPING = {'tool': oops()}\n", "MAPPING: dict = {'t\n", "\xff"])
def test_finder_that_cannot_be_read_links_nothing(packages: Path, tmp_path: Path, text: str) -> None:
    (packages / "__editable___tool_finder.py").write_text(text, encoding="latin-1")

    assert linked_folders(tmp_path / "venv") == ()
