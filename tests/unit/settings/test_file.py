"""The file of settings: a mistake is one sentence that names file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.errors import SettingsError
from controller.settings.file import dump_settings, load_settings


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(
            "tag: x\nbudget:\n  train_seconds: 0\n",
            "line 3: budget.train_seconds must be at least 5 (got 0)",
            id="a zero budget",
        ),
        pytest.param("tag: x\nbugdet: {}\n", "line 2: bugdet is not a setting", id="an unknown group"),
        pytest.param("budget:\n  experimnts: 3\n", "line 2: budget.experimnts is not a setting", id="an unknown key"),
        pytest.param("tag: feat..x\n", "line 1: tag must be 1 to 30 lower-case letters", id="a tag no ref may have"),
        pytest.param("executor:\n  slots: many\n", "line 2: executor.slots", id="a wrong type"),
        pytest.param("agent: {kind: replay}\n", "line 1: agent replay needs agent.patches", id="replay of nothing"),
        pytest.param("budget: {experiments: null}\n", "budget needs at least one limit", id="no limit at all"),
        pytest.param("judge: {baseline_runs: 1}\n", "baseline_runs must be at least 2", id="no way to know sigma"),
        pytest.param("- a\n", "must be a mapping of settings, found list", id="a list"),
        pytest.param("a: [\n", "not valid YAML", id="no YAML"),
    ],
)
def test_mistake_is_one_sentence_with_line_and_field(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(text)

    with pytest.raises(SettingsError) as caught:
        load_settings(file)

    assert complaint in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text("budget: {experiments: 3, train_seconds: 30}\n")

    settings = load_settings(file, ["budget.experiments=9", "agent.kind=replay", "agent.patches=/p"])

    assert settings.budget.experiments == 9
    assert settings.budget.train_seconds == 30
    assert settings.agent.kind == "replay"


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        pytest.param("budget.train_seconds=0", "budget.train_seconds must be at least 5 (got 0)", id="too little"),
        pytest.param("budget.dollars=x", "budget.dollars must be a valid number (got 'x')", id="no number"),
        pytest.param(
            "agent.command.run=true",
            "agent.command.run must be a list, or a text in quotation marks (got True)",
            id="a program whose name YAML reads as a truth value",
        ),
    ],
)
def test_a_wrong_value_is_blamed_on_the_flag_that_gave_it(tmp_path: Path, flag: str, complaint: str) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text("budget: {train_seconds: 30, dollars: 3}\nagent: {kind: perturb}\n")

    with pytest.raises(SettingsError) as caught:
        load_settings(file, [flag])

    assert str(caught.value) == f"--set {flag}: {complaint}"


@pytest.mark.parametrize("flag", ["budget.experiments", "=3", "tag.x=3", "tag=[", "nothing=1"])
def test_bad_flag_is_named(flag: str) -> None:
    with pytest.raises(SettingsError):
        load_settings(None, [flag] if flag != "tag.x=3" else ["tag=a", flag])


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: cannot be read"):
        load_settings(tmp_path / "nowhere.yaml")


def test_written_settings_read_back_the_same(tmp_path: Path) -> None:
    settings = load_settings(
        None, ["tag=mar8", "executor.slots=4", "agent.claude.effort=high", "budget.dollars=40", "task.score=log"]
    )
    file = tmp_path / "campaign.yaml"
    file.write_text(dump_settings(settings))

    assert load_settings(file) == settings


def test_paths_in_a_file_start_at_the_file_and_in_a_flag_at_the_current_folder(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text("task: {folder: ../fork}\n")

    settings = load_settings(file, ["brief=brief.md"])

    assert settings.task.folder == tmp_path / "../fork"
    assert settings.brief == Path.cwd() / "brief.md"
