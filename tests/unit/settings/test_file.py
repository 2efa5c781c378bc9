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
        pytest.param("- a\n", "must be lines such as `tag: mine`, found a list", id="a list"),
        pytest.param("a: [\n", "line 2: not valid YAML", id="no YAML"),
        pytest.param("[" * 5000, "not valid YAML: it is nested too deeply", id="too deep"),
        pytest.param("tag: 2026-02-31\n", "not valid YAML: day is out of range", id="a date that is none"),
        pytest.param("tag: a\nlab: {}\ntag: b\n", "line 3: tag stands in line 1 already", id="a group twice"),
        pytest.param("budget: {hours: 1, hours: 2}\n", "line 1: hours stands in line 1 already", id="a key twice"),
        pytest.param("budget: {hours: .inf}\n", "line 1: budget.hours must be a finite number", id="no end"),
        pytest.param(
            "budget: {train_seconds: .nan}\n", "budget.train_seconds must be a finite number", id="not a number"
        ),
        pytest.param("budget: {train_seconds: 1.0e+300}\n", "budget.train_seconds must be at most 31536000", id="ages"),
        pytest.param("deadlines: {train_grace: .inf}\n", "deadlines.train_grace must be a finite", id="endless grace"),
        pytest.param("executor: {limits: {memory_gb: .inf}}\n", "memory_gb must be a finite number", id="all memory"),
        pytest.param("executor: {limits: {memory_gb: 1.0e-9}}\n", "memory_gb must be at least 0.03125", id="a byte"),
        pytest.param("budget: {experiments: yes}\n", "budget.experiments must be a number", id="yes for a number"),
        pytest.param("tag: 12\n", "tag must be a text: put it into quotation marks (got 12)", id="a number for a text"),
        pytest.param(
            "task: {metric: [a, b]}\n", "task.metric must be one text, and here is a list", id="a list for a text"
        ),
        pytest.param("task: {metric: a: b}\n", "line 1: not valid YAML", id="a colon in a text"),
        pytest.param("judge: yes\n", "judge must be a group of settings", id="a value for a group"),
        pytest.param("task: {folder: 5}\n", "task.folder must be a path", id="a number for a path"),
        pytest.param("task: {command: []}\n", "task.command must not be empty", id="no command"),
        pytest.param("budgte: {}\n", "budgte is not a setting (did you mean budget?", id="letters swapped"),
        pytest.param("budget: {experiment: 3}\n", "did you mean budget.experiments?", id="a letter missing"),
        pytest.param("tag:\n", "tag must be a text: put it into quotation marks (got nothing)", id="no value"),
        pytest.param(
            "tag: a\ntask:\n\tfolder: t\n",
            "line 3: not valid YAML: while scanning for the next token, found",
            id="a tab",
        ),
        pytest.param(
            "tag: a\ntask:\n\tfolder: t\n", "; indent with blanks, not with tabs", id="what to do about a tab"
        ),
        pytest.param("task: {metric: %a}\n", "; put the text into quotation marks", id="a sign of YAML"),
        pytest.param(
            'task: {score_line: "(\\d)"}\n', "; put a text with backslashes into single quotation", id="a backslash"
        ),
        pytest.param("task: {score_file: m.json: a}\n", "; put a text with a colon into quotation marks", id="a colon"),
        pytest.param(
            "task:\n  score_file: m.json: a\n", "; put a text with a colon into quotation marks", id="another"
        ),
        pytest.param("tag: 'a\n", "; close the quotation mark", id="an open quotation mark"),
        pytest.param(
            "tag: a\nbrief: \x07.md\n", "line 2: the character U+0007 cannot be used: take it out", id="a bell"
        ),
        pytest.param("tag: a\n\0", "line 2: the character U+0000 cannot be used: take it out", id="a zero byte"),
        pytest.param(
            'tag: a\nbrief: "a\\0"\n', "line 2: the character U+0000 cannot be used", id="a zero byte in a text"
        ),
        pytest.param(
            'task: {command: [python, "\\0"]}\n', "line 1: the character U+0000 cannot be used", id="in a list"
        ),
        pytest.param('task: {"fol\\0der": t}\n', "line 1: the character U+0000 cannot be used", id="in a name"),
        pytest.param(
            'task: {folder: "\\uD800"}\n', "line 1: the character U+D800 cannot be used", id="half a character"
        ),
        pytest.param(
            'task: {command: "python \'a"}\n', "task.command has a quotation mark that is not", id="half a word"
        ),
        pytest.param("train_seconds: 5\n", "did you mean budget.train_seconds?", id="in no group"),
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


def test_group_whose_settings_are_all_commented_out_has_its_defaults(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text("tag: x\njudge:\n  # policy: greedy\nexecutor:\n  limits:\n    # memory_gb: 1\nbudget:\n")

    settings = load_settings(file, ["judge.max_runs=2"])

    assert settings.judge.policy == "ledger"
    assert settings.judge.max_runs == 2
    assert settings.executor.limits.memory_gb == load_settings(None).executor.limits.memory_gb


def test_one_name_may_stand_in_two_groups_and_a_merged_group_may_be_overridden(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text("agent: {command: &sh {run: [sh], seconds: 5}}\nbudget: {experiments: 1}\n")
    merged = tmp_path / "merged.yaml"
    merged.write_text("task: {guards: {a: &a {max: 1}, b: {<<: *a, max: 2}}}\n")

    assert load_settings(file).agent.command.seconds == 5
    assert load_settings(merged).task.guards["b"].max == 2


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
            "agent.command.run must be a list, or a text in quotation marks (got true)",
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


@pytest.mark.parametrize(
    "flag", ["budget.experiments", "=3", "tag.x=3", "tag=[", "nothing=1", ".=3", "budget..hours=3"]
)
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
