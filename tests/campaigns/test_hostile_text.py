"""Text of agents and trainings reaches readers as text and as nothing else, by whatever output there is.

It goes in where real text does: as answers of an agent, as results of an executor, as records of an old lab.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from typer.testing import CliRunner

from controller.agent.claude import prompt
from controller.agent.desk import history, tools
from controller.agent.desk.desk import Desk
from controller.agent.desk.draft import Draft
from controller.agent.desk.fencing import EXPLANATION, TAG
from controller.agent.desk.submissions import Submissions
from controller.cli.commands import app
from controller.domain import BASELINE, Experiment, Outcome, Proposal, Result, TryRequest, Verdict
from controller.lab import Lab
from controller.lab.records import experiment_from_json, experiment_to_json
from controller.lab.writer import LabWriter
from controller.notices import Activity, activity_from_json, activity_to_json
from controller.ports import Abandoned, ProposalRequest, Waiting, WaitReason
from controller.reports.terminal import Screen
from controller.settings.file import dump_settings
from controller.text.safe_text import LINE, PARAGRAPHS, SENTENCE
from tests.support.histories import every_view, experiment, failed, printed, result
from tests.support.hostile_text import HOSTILE, find_hostile
from tests.support.scripted import TRAIN, InstantExecutor, NumberAgent, campaign, scored
from tests.support.scripted import settings as campaign_settings

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""The one kind of escape sequence that is ours."""

LONG = "x" * 10_000_000
STORED = [text for text in HOSTILE if text.encode(errors="ignore").decode() == text]
"""The texts that can be written at all; a lone surrogate has no UTF-8."""

EXPERIMENTS = 24
CHOSEN = campaign_settings(f"budget.experiments={EXPERIMENTS}", "agent.max_in_flight=1")


class Tags(HTMLParser):
    """The tags of a page and the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}


def check_views(views: dict[str, str], *, plain: dict[str, str]) -> None:
    """No view holds anything unsafe, and none of a syntax what the same view of harmless text does not hold."""
    for name, shown in views.items():
        assert find_hostile(COLOURS.sub("", shown)) is None, f"{name}: {find_hostile(COLOURS.sub('', shown))}"
        if name.startswith(("page", "report.html", "/experiments")):
            assert Tags(shown).found <= Tags(plain[name]).found, name
        if name == "report.md":
            assert markdown_kinds(shown) <= markdown_kinds(plain[name]) | {"code_inline"}
            assert "@everyone" not in outside_of_code(shown)
        if name.endswith("json"):
            json.loads(shown)
        if name == "metrics":
            assert not re.search("^autoresearch_forged", shown, re.MULTILINE)
        if name.startswith("commit"):
            assert [*trailers(shown)] == ["Experiment", "Agent"], shown


def markdown_kinds(text: str) -> set[str]:
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return {t.type for token in tokens for t in (token, *(token.children or ()))}


def outside_of_code(text: str) -> str:
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return " ".join(t.content for token in tokens for t in token.children or () if t.type == "text")


def trailers(message: str) -> Iterator[str]:
    command = ["git", "interpret-trailers", "--parse"]
    done = subprocess.run(command, input=message.encode(), capture_output=True, check=True)
    for line in done.stdout.decode().splitlines():
        yield line.partition(":")[0]


def history_of(texts: Sequence[str]) -> list[Experiment]:
    """One experiment of each verdict in whose every text one of these stands, as an old lab gives them back."""
    words = itertools.cycle(texts)
    ended = {
        Verdict.KEEP: result(1.5, node=next(words), accelerator=next(words)),
        Verdict.CRASH: replace(failed(Outcome.CRASHED), reason=next(words), summary={next(words): 1.0}),
        Verdict.REJECT: replace(failed(Outcome.REJECTED), reason=next(words), phase_seconds={next(words): 1.0}),
    }
    found = [experiment(BASELINE, [result(2.0), result(2.01)], Verdict.KEEP, None)]
    for number, (verdict, end) in enumerate(ended.items(), start=1):
        made = experiment(number, [end], verdict, 1.0)
        assert made.judgement is not None
        made = replace(
            made,
            title=next(words),
            hypothesis=next(words),
            agent=next(words),
            strategy=next(words),
            expected_effect=next(words),
            judgement=replace(made.judgement, reason=next(words)),
        )
        found.append(made)
    return [experiment_from_json(experiment_to_json(each)) for each in found]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(STORED) | st.text(max_size=60), min_size=1, max_size=20))
def test_every_view_of_an_old_lab_shows_text_as_text(texts: list[str]) -> None:
    check_views(dict(every_view(history_of(texts), CHOSEN)), plain=dict(every_view(history_of(["harmless"]), CHOSEN)))


def test_every_hostile_text_by_itself_is_shown_as_text() -> None:
    plain = dict(every_view(history_of(["harmless"]), CHOSEN))
    for text in STORED:
        check_views(dict(every_view(history_of([text]), CHOSEN)), plain=plain)


@dataclass
class HostileAgent(NumberAgent):
    """Gives each text of its answers another hostile one, and gives up now and then in such words."""

    name: str = "hostile"
    texts: Iterator[str] = field(default_factory=lambda: itertools.cycle([LONG, *HOSTILE]))

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        return (Waiting(reason=WaitReason.RATE_LIMIT, text=next(self.texts)),)

    def propose(self, request: ProposalRequest) -> Proposal | Abandoned:
        answer = super().propose(request)
        if request.number % 5 == 0 or isinstance(answer, Abandoned):
            return Abandoned(reason=next(self.texts), transcript=next(self.texts))
        return replace(
            answer,
            title=next(self.texts),
            hypothesis=next(self.texts),
            agent=next(self.texts),
            strategy=next(self.texts),
            expected_effect=next(self.texts),
            transcript="\n".join(json.dumps({"text": next(self.texts)}, ensure_ascii=False) for _ in range(3)),
        )


def hostile_end(request: TryRequest, texts: Iterator[str]) -> Result:
    number = request.id.experiment
    end = scored(2.0 - number / 10 + request.id.attempt / 1000)
    if number and number % 2:
        end = Result(outcome=Outcome.CRASHED, reason=next(texts), seconds=1.0)
    return replace(end, node=next(texts), accelerator=next(texts), log_tail=next(texts))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, HostileAgent]:
    """A campaign of hostile answers and ends: its folder, what its terminal showed, and its agent."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "campaign.yaml").write_text(dump_settings(CHOSEN))
    texts = itertools.cycle([LONG, *HOSTILE])
    executor, agent = InstantExecutor(lambda request: hostile_end(request, texts)), HostileAgent()
    console = Console(file=io.StringIO(), width=80, force_terminal=False, emoji=False)
    screen = Screen(
        metric=CHOSEN.task.metric,
        train_seconds=CHOSEN.budget.train_seconds,
        out=console,
        err=console,
        executor=executor,
        activity=lambda: loop.activity(),
    )

    def turned() -> None:
        screen.tell(loop.activity())

    loop = campaign(folder, executor, agent=agent, chosen=CHOSEN, observe=screen.notice, turned=turned)
    loop.run()
    return folder, printed(console), agent


def test_terminal_of_a_run_shows_text_as_text(ran: tuple[Path, str, HostileAgent]) -> None:
    _, shown, _ = ran

    assert find_hostile(COLOURS.sub("", shown)) is None
    assert len(shown) < 1_000_000


def test_texts_are_capped_once_and_the_lab_holds_no_other(ran: tuple[Path, str, HostileAgent]) -> None:
    folder, _, _ = ran
    lab = Lab.open(folder / "lab.git")
    experiments = lab.experiments("t")

    assert len(experiments) > EXPERIMENTS
    for each in experiments:
        assert 0 < len(each.title) <= LINE
        assert max(len(each.agent), len(each.strategy)) <= LINE
        assert max(len(each.hypothesis), len(each.expected_effect)) <= PARAGRAPHS
        for attempt in each.attempts:
            assert attempt.result is None or len(attempt.result.reason) <= SENTENCE
        for log in lab.logs("t", each.number):
            assert find_hostile(log.text) is None
        for line in (lab.transcript("t", each.number) or "").splitlines():
            assert set(json.loads(line)) == {"text"} or len(line) > 1_000_000


def test_git_reads_titles_and_trailers_whole(ran: tuple[Path, str, HostileAgent]) -> None:
    folder, _, _ = ran
    git = ["git", "-C", str(folder / "lab.git")]
    for ref in ("refs/heads/autoresearch/t", "--glob=refs/experiments/t/*"):
        done = subprocess.run([*git, "log", "-z", "--format=%B", ref], capture_output=True, check=True)
        told = done.stdout.decode().split("\0")
        messages = [message for message in told if message and not message.startswith("baseline of t")]

        assert len(messages) > 1
        for message in messages:
            assert find_hostile(message) is None
            assert [*trailers(message)] == ["Experiment", "Agent"]
    notes = subprocess.run([*git, "log", "-p", "refs/notes/autoresearch/t"], capture_output=True, check=True)
    assert find_hostile(notes.stdout.decode()) is None


COMMANDS = (
    *(["status"], ["status", "--json"], ["log"], ["log", "--wide"], ["log", "--json"], ["export"]),
    *(["export", "--wide"], ["report"], ["best"]),
)
OF_ONE = (["show"], ["show", "--json"], ["show", "--transcript"], ["diff"])


def test_every_command_shows_text_as_text(ran: tuple[Path, str, HostileAgent]) -> None:
    folder, _, _ = ran
    numbers = [str(each.number) for each in Lab.open(folder / "lab.git").experiments("t")]
    commands = [*COMMANDS, *([*words, number] for words in OF_ONE for number in numbers)]

    for words in commands:
        done = CliRunner().invoke(app, [*words, "-C", str(folder)], catch_exceptions=False)

        assert (done.exit_code, find_hostile(COLOURS.sub("", done.output))) == (0, None), words
        if "--json" in words:
            json.loads(done.output)
    for report in ("report.md", "report.html"):
        assert find_hostile((folder / report).read_text(encoding="utf-8")) is None


def test_prompt_holds_text_as_text(ran: tuple[Path, str, HostileAgent]) -> None:
    _, _, agent = ran
    request = agent.asked[-1]
    tried = history.Diffs().tried(request.experiments, request.notebook.diff)
    built = prompt.build_prompt(request, tried, tools=prompt.list_definitions(), way="open", ttl="5m")
    blocks = [block["text"] for block in (*built.system, *built.opening)]
    desk = Desk(request=request, tried=tried, needs_load_model=False, submissions=Submissions())
    draft = Draft.of(request.files)
    for each in request.experiments:
        shown = tools.run_tool("show_experiment", {"number": each.number}, draft=draft, desk=desk)
        blocks.append(shown.text)

    for block in blocks:
        assert find_hostile(block) is None
        outside = re.sub(f"<{TAG} .*?</{TAG}>", "", block, flags=re.DOTALL)
        assert "evil" not in outside, "text of an experiment stands where ours does"
        assert TAG not in outside.replace(EXPLANATION, "")


def test_activity_of_another_process_is_text() -> None:
    for text in STORED:
        waits = (Waiting(reason=WaitReason.REST, text=text),)
        read = activity_from_json(activity_to_json(Activity(tag="t", trouble=text, waiting=waits)))

        assert read is not None
        assert find_hostile(read.trouble + read.waiting[0].text) is None


def old_lab(folder: Path) -> None:
    """A lab whose commit, records, log and transcript hold raw text, as earlier versions wrote them."""
    raw = "".join(STORED)
    with LabWriter.open(folder / "lab.git", create=True).lock(now=0.0):
        lab = LabWriter.open(folder / "lab.git")
        lab.begin("t", {"train.py": TRAIN}, fingerprint="b", settings="", at=0.0)
        hostile = f"{TRAIN}# {raw.replace(chr(0), '')}\n# \x1b]52;c;cm0=\x07\r\u202eevil\n"
        proposal = Proposal(
            base=lab.incumbent("t"), files={"train.py": hostile}, title="x", hypothesis="y", agent="z", transcript=raw
        )
        first = lab.admit("t", 1, proposal, fingerprint="f", at=1.0)
        judged = history_of(["x"])[1]
        kept_as = lab.kept_commit(first, onto=first.base, message=f"{raw.replace(chr(0), '')}\n", at=2.0)
        assert judged.judgement is not None
        ended = replace(
            judged,
            commit=first.commit,
            base=first.base,
            title=raw,
            hypothesis=raw,
            judgement=replace(judged.judgement, kept_as=kept_as),
        )
        lab.record("t", ended, at=3.0)
        lab.attach("t", "000001/a1-t1.log", b"\xff" + raw.encode(), at=4.0)
        lab.advance("t", ended)
    (folder / "campaign.yaml").write_text(dump_settings(CHOSEN))


def on_a_terminal(words: Sequence[str]) -> str:
    """Run a command on a terminal, and return what it prints."""
    outside, inside = pty.openpty()
    command = [sys.executable, "-m", "controller.cli", *words]
    process = subprocess.Popen(command, stdout=inside, stderr=inside, stdin=inside, cwd=Path(__file__).parents[2])
    os.close(inside)
    shown = b""
    while True:
        try:
            shown += (chunk := os.read(outside, 65_536))
        except OSError:  # Linux ends a terminal whose last writer has gone with EIO
            break
        if not chunk:
            break
    os.close(outside)
    assert process.wait() == 0, shown
    return shown.decode().replace("\r\n", "\n")


SHOWN = (["log"], ["show", "1"], ["diff", "1"], ["best"], ["show", "1", "--transcript"])


@pytest.mark.parametrize("words", SHOWN, ids=" ".join)
def test_terminal_obeys_nothing_of_an_old_lab(tmp_path: Path, words: list[str]) -> None:
    old_lab(tmp_path)

    shown = on_a_terminal([*words, "-C", str(tmp_path)])

    assert find_hostile(COLOURS.sub("", shown)) is None
    if words[0] in ("diff", "best", "show") and "--transcript" not in words:
        assert "\\x1b]52" in COLOURS.sub("", shown), "a reader must see what hides in a program"


def test_diff_in_a_pipe_is_the_patch_itself(tmp_path: Path) -> None:
    old_lab(tmp_path)
    command = [sys.executable, "-m", "controller.cli", "diff", "1", "-C", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[2])
    (tmp_path / "train.py").write_text(TRAIN)
    subprocess.run(["git", "apply", "--whitespace=nowarn", "-"], input=done.stdout, cwd=tmp_path, check=True)

    lab = Lab.open(tmp_path / "lab.git")
    assert (tmp_path / "train.py").read_bytes().decode() == lab.source(lab.experiments("t")[1].commit, "train.py")
