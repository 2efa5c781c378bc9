"""The page of settings is the one that the schema makes."""

from __future__ import annotations

from pathlib import Path

from controller.settings.reference import reference


def test_settings_page_is_the_schema() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "settings.md"

    assert page.read_text(encoding="utf-8") == reference(), (
        "run: python -m controller.settings.reference > docs/settings.md"
    )


def test_every_setting_and_value_says_what_it_means() -> None:
    docs = Path(__file__).resolve().parents[3] / "docs"
    rows = [
        row
        for page in ("settings.md", "values.md")
        for row in (docs / page).read_text(encoding="utf-8").splitlines()
        if row.startswith("| `")
    ]

    assert len(rows) > 150
    assert [row for row in rows if not row.rstrip("| ").split(" | ")[-1] or row.endswith("|  |")] == []
