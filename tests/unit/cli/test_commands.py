"""A mistake on the command line is one sentence in plain words with exit code 2, and nothing is written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from controller.cli.commands import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(
            ["claim", "--seeds", "-1"], "'--seeds': must be at least 1: autoresearch claim --help", id="seeds"
        ),
        pytest.param(["doctor", "--seconds", "0"], "'--seconds': must be at least 1", id="no time to look"),
        pytest.param(
            ["new", "t", "--kind", "chess"], "'--kind': 'chess' is not one of 'language', ", id="no such kind"
        ),
        pytest.param(["run", "x" * 300], "longer than a name may be: give a shorter one", id="a name of 300 letters"),
        pytest.param(["doctor"], "no campaign here: name one", id="nothing to look at"),
        pytest.param(["claim", "nowhere"], "nowhere is no campaign: start one", id="a claim about nothing"),
        pytest.param(["portability", "--pool", "a"], "give --pool, --preset or --place twice", id="one place"),
        pytest.param(
            ["run", "c", "--set", "agent.kind=command"], "agent command needs agent.command.run", id="no program"
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["autoresearch", *arguments])

    with pytest.raises(SystemExit) as ended:
        main()

    [sentence] = capsys.readouterr().err.splitlines()
    assert said in sentence
    assert ended.value.code == 2
    assert list(tmp_path.iterdir()) == []
