"""`autoresearch tell`: what an operator says reaches the next proposals, and log, page and report show it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from controller.domain import BASELINE, Result, TryRequest
from controller.lab import Lab
from controller.notices import Notice, Told
from controller.settings.file import dump_settings
from tests.support.scripted import InstantExecutor, NumberAgent, campaign, scored, settings

SAID = "try smaller vocabularies & <b>fewer</b> layers"


def autoresearch(*arguments: str, here: Path, code: int = 0) -> str:
    """Output of a command that ends with this code."""
    command = [sys.executable, "-m", "controller.cli", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=here)
    assert ended.returncode == code, ended.stderr
    return ended.stderr if code else ended.stdout


def score(request: TryRequest) -> Result:
    return scored(2.0 + (request.seed % 1000) / 1e5)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one campaign c, to whom something was said while it ran, by the command, and its agent."""
    home = tmp_path_factory.mktemp("home")
    folder, agent, heard = home / "c", NumberAgent(), list[Notice]()
    folder.mkdir()
    chosen = settings("agent.kind=claude")
    (folder / "campaign.yaml").write_text(dump_settings(chosen))

    def say_once() -> None:
        if len(agent.asked) >= 2 and not any(path.is_dir() for path in (folder / "lab.git").glob("inbox")):
            answer = autoresearch("tell", "c", SAID, here=home)
            assert "told" in answer
            assert SAID in autoresearch("status", "c", here=home), "it waits to be read"

    campaign(folder, InstantExecutor(score), agent=agent, chosen=chosen, observe=heard.append, turned=say_once).run()
    assert [each.remark.text for each in heard if isinstance(each, Told)] == [SAID]
    assert [[remark.text for remark in request.remarks] for request in agent.asked[:2]] == [[], []]
    assert [remark.text for remark in agent.asked[-1].remarks] == [SAID], "the agent was not told"
    return home


def test_what_was_said_is_in_the_lab_with_its_time(home: Path) -> None:
    lab = Lab.open(home / "c" / "lab.git")

    [remark] = lab.remarks("t")

    assert remark.text == SAID
    assert remark.at > lab.experiments("t")[BASELINE].proposed_at
    assert lab.waiting_remarks("t") == []


def test_log_status_page_and_report_show_it_with_its_time(home: Path) -> None:
    [remark] = Lab.open(home / "c" / "lab.git").remarks("t")
    autoresearch("report", "c", here=home)

    [row] = [line for line in autoresearch("log", "c", "--wide", here=home).splitlines() if SAID in line]
    [told] = json.loads(autoresearch("status", "c", "--json", here=home))["remarks"]
    markdown, page = ((home / "c" / name).read_text() for name in ("report.md", "report.html"))

    assert " told " in row
    assert told == {"at": remark.at, "text": SAID}
    assert f"`{SAID}`" in markdown
    assert "try smaller vocabularies &amp; &lt;b&gt;fewer&lt;/b&gt; layers" in page


def test_one_campaign_needs_no_name_and_words_without_quotation_marks_are_explained(home: Path) -> None:
    assert "told: read when the campaign goes on" in autoresearch("tell", "more data", here=home)

    assert "quotation marks" in autoresearch("tell", "try", "smaller", "steps", here=home, code=2)
    assert "'try' is no campaign's folder" in autoresearch("tell", "try", "smaller", here=home, code=2)
    assert "say something to it" in autoresearch("tell", "c", here=home, code=2)
    assert "nothing to tell" in autoresearch("tell", " ", here=home, code=2)
    assert "60,000 characters, 2,000 at most" in autoresearch("tell", "x" * 60_000, here=home, code=2)
