"""The tools: what they do to a draft, what they refuse, and that there is nothing besides them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.claude import history, tools, toolset
from controller.agent.claude.board import Board
from controller.agent.claude.draft import Draft, Misfit, read, replace_once
from controller.domain import Proposal
from tests.standin.laboratory import TASK, Laboratory

SUBMISSION = {"category": "optimizer", "title": "raise it", "hypothesis": "because", "expected_effect": "better"}
EDIT = {"path": "train.py", "old": "EMBEDDING_LR = 0.3 ", "new": "EMBEDDING_LR = 0.5 "}


class Table:
    """A draft and a desk, with calls carried out one after the other."""

    def __init__(self, laboratory: Laboratory | None = None) -> None:
        self.laboratory = laboratory or Laboratory({"train.py": TASK})
        request = self.laboratory.request()
        tried = history.Diffs().tried(request.experiments, request.notebook.diff)
        self.desk = tools.Desk(request=request, tried=tried, needs_load_model=True, board=Board())
        self.draft = Draft.of(request.files)

    def run(self, name: str, arguments: object) -> tools.Step:
        step = tools.run(name, arguments, draft=self.draft, desk=self.desk)
        self.draft = step.draft
        return step


def laboratory_with(*edits: tuple[str, str]) -> Laboratory:
    """A laboratory in which each (old, new) was tried and discarded."""
    laboratory = Laboratory({"train.py": TASK})
    for place, (old, new) in enumerate(edits, start=1):
        proposal = Proposal(
            base=laboratory.base,
            files={"train.py": TASK.replace(old, new)},
            title=f"optimizer: idea {place}",
            hypothesis="h",
            agent="a",
        )
        laboratory.judge(laboratory.admit(proposal, at=0.0), keep=False)
    return laboratory


@given(
    text=st.text(alphabet="ab\n ", max_size=60),
    old=st.text(alphabet="ab\n ", max_size=6),
    new=st.text("abc", max_size=6),
)
def test_a_replacement_happens_exactly_once_or_not_at_all(text: str, old: str, new: str) -> None:
    draft = Draft.of({"f.py": text})
    count = sum(text.startswith(old, place) for place in range(len(text))) if old else 0

    if count == 1 and old != new and text.replace(old, new).strip():
        assert replace_once(draft, path="f.py", old=old, new=new).files["f.py"] == text.replace(old, new)
    else:
        with pytest.raises(Misfit):
            replace_once(draft, path="f.py", old=old, new=new)


@given(old=st.text(max_size=200), new=st.text(max_size=200))
def test_a_draft_differs_exactly_where_its_diff_says(old: str, new: str) -> None:
    draft = replace(Draft.of({"f": old}), files={"f": new})

    assert bool(draft.changed) == (old != new)
    assert bool(draft.diff) == (old.splitlines(True) != new.splitlines(True))


def test_an_ambiguous_text_is_told_with_its_places() -> None:
    with pytest.raises(Misfit, match=r"occurs 2 times \(lines 1, 3\)"):
        replace_once(Draft.of({"f": "x = 1\ny\nx = 1\n"}), path="f", old="x = 1", new="x = 2")


def test_a_text_that_does_not_occur_is_told_with_what_is_close() -> None:
    with pytest.raises(Misfit, match=r"does not occur(.|\n)*    1 learning_rate = 0.1"):
        replace_once(Draft.of({"f": "learning_rate = 0.1\nsteps = 3\n"}), path="f", old="learning_rate = 0.2", new="")


def test_lines_are_read_with_their_numbers() -> None:
    assert read("a\nb\nc\n", first=2, last=3) == "    2 b\n    3 c"
    assert read("a\nb\nc\n", first=3, last=None) == "    3 c"
    with pytest.raises(Misfit, match="which has 3 lines"):
        read("a\nb\nc\n", first=4, last=9)


def test_a_long_file_is_read_in_parts_that_fit_together() -> None:
    text = "\n".join(f"line {number} of a file that is far too long to show at once" for number in range(1, 2000))

    shown, first = [], 1
    while True:
        listing, cut, rest = read(text, first=first, last=None).partition("\n(cut: ask for the rest from line ")
        shown += [line[6:] for line in listing.splitlines()]
        if not cut:
            break
        first = int(rest.split()[0])

    assert "\n".join(shown) == text


def test_every_tool_has_a_strict_schema_that_names_all_it_takes() -> None:
    for definition in toolset.definitions():
        schema = definition["input_schema"]
        assert definition["strict"] is True
        assert definition["description"]
        assert schema["additionalProperties"] is False
        assert sorted(schema["required"]) == sorted(schema["properties"])


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(["path", "old", "new", "text", "number", "words", "code", "first_line", "last_line", "title"])


@given(name=st.sampled_from([*toolset.TOOLS, "bash", ""]), arguments=JUNK | st.dictionaries(FIELDS, JUNK, max_size=7))
def test_nothing_a_model_may_send_breaks_the_tools(name: str, arguments: object) -> None:
    table = Table()

    step = table.run(name, arguments)

    assert step.text
    assert step.submitted is None


@pytest.mark.parametrize("path", ["/etc/passwd", "../secrets", "train.py/../../x", "prepare.py", ""])
def test_only_editable_files_can_be_changed(path: str) -> None:
    table = Table()

    step = table.run("write", {"path": path, "text": "x = 1"})

    assert step.failed
    assert "you may change train.py" in step.text
    assert table.draft.changed == {}


def test_a_file_that_is_only_readable_can_be_read_and_no_other_can() -> None:
    table = Table()

    whole = {"first_line": None, "last_line": None}
    assert "SEQUENCES" in table.run("read", {"path": "prepare.py", **whole}).text
    assert table.run("read", {"path": "/proc/self/environ", **whole}).failed


def test_there_is_no_other_tool() -> None:
    step = Table().run("bash", {"command": "id"})

    assert step.failed
    assert "there is no tool 'bash'; the tools are read, replace, write" in step.text


def test_an_edit_that_is_new_is_submitted() -> None:
    table = Table()
    table.run("replace", EDIT)

    step = table.run("submit", SUBMISSION)

    assert step.submitted is not None
    assert step.submitted.title == "raise it"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("def broken(:\n", "train.py", id="does not parse"),
        pytest.param("x = 1\n", "load_model", id="lost load_model"),
        pytest.param(TASK + "# a comment\n", "nothing changes", id="only a comment"),
    ],
)
def test_a_draft_that_must_not_be_trained_is_refused_and_told_why(text: str, reason: str) -> None:
    table = Table()
    table.run("write", {"path": "train.py", "text": text})

    check, submit = table.run("check", {}), table.run("submit", SUBMISSION)

    assert reason in check.text
    assert submit.refused
    assert reason in submit.text


def test_a_program_that_was_tried_is_refused() -> None:
    table = Table(laboratory_with(("EMBEDDING_LR = 0.3 ", "EMBEDDING_LR = 0.5 ")))
    table.run("replace", EDIT)

    step = table.run("submit", SUBMISSION)

    assert step.refused
    assert "already tried" in step.text


def test_a_near_duplicate_is_submitted_only_knowingly() -> None:
    laboratory = laboratory_with(("EMBEDDING_LR = 0.3 ", "EMBEDDING_LR = 0.5 "))
    laboratory.commits["moved"] = {"train.py": TASK + "moved = 1\n"}
    laboratory.incumbent = "moved"
    table = Table(laboratory)
    table.run("replace", EDIT)

    first, second = table.run("submit", SUBMISSION), table.run("submit", SUBMISSION)

    assert first.submitted is None
    assert not first.refused
    assert "100% the same lines as #1 discard" in first.text
    assert second.submitted is not None


def test_a_check_that_showed_the_likeness_is_enough_to_submit() -> None:
    laboratory = laboratory_with(("EMBEDDING_LR = 0.3 ", "EMBEDDING_LR = 0.5 "))
    laboratory.commits["moved"] = {"train.py": TASK + "moved = 1\n"}
    laboratory.incumbent = "moved"
    table = Table(laboratory)
    table.run("replace", EDIT)

    assert "#1 discard" in table.run("check", {}).text
    assert table.run("submit", SUBMISSION).submitted is not None


def test_an_experiment_is_shown_with_its_diff_and_the_log_of_its_failure() -> None:
    laboratory = laboratory_with(("EMBEDDING_LR = 0.3 ", "EMBEDDING_LR = 0.5 "))
    experiment = laboratory.experiments[1]
    laboratory.judge(experiment, keep=False, log="Traceback\nValueError: nan")
    table = Table(laboratory)

    text = table.run("show_experiment", {"number": 1}).text

    assert "#1 crash" in text
    assert "+EMBEDDING_LR = 0.5" in text
    assert "| ValueError: nan" in text
    assert table.run("show_experiment", {"number": 7}).failed
    assert table.run("show_experiment", {"number": 0}).failed


def test_a_search_needs_something_to_look_for() -> None:
    table = Table(laboratory_with(("EMBEDDING_LR = 0.3 ", "EMBEDDING_LR = 0.5 ")))

    assert table.run("search_history", {"words": "", "code": " "}).failed
    assert "#1" in table.run("search_history", {"words": "idea", "code": ""}).text
    assert "#1" in table.run("search_history", {"words": "", "code": "EMBEDDING_LR = 0.5"}).text
    assert table.run("search_history", {"words": "idea dropout", "code": ""}).text == "no experiment matches"


def beside(table: Table) -> Table:
    """Another conversation that began at the same moment, with the same board."""
    other = Table(table.laboratory)
    other.desk = replace(other.desk, request=table.desk.request, board=table.desk.board)
    return other


def test_what_another_submits_meanwhile_cannot_be_submitted_again_and_that_is_no_fault() -> None:
    first = Table()
    second = beside(first)
    for table in (first, second):
        table.run("replace", EDIT)
    assert first.run("submit", SUBMISSION).submitted is not None

    checked, refused = second.run("check", {}), second.run("submit", SUBMISSION)
    second.run("replace", {"path": "train.py", "old": "WARMDOWN_RATIO = 0.6 ", "new": "WARMDOWN_RATIO = 0.7 "})

    assert "cannot be submitted: another researcher has submitted this very edit" in checked.text
    assert refused.submitted is None
    assert refused.failed
    assert not refused.refused, "three refusals end a proposal"
    assert "Submitted so far: raise it" in refused.text
    assert second.run("submit", SUBMISSION).submitted is not None


def test_likeness_to_what_another_submits_meanwhile_is_shown_before_it_counts() -> None:
    first = Table()
    second = beside(first)
    edits = [EDIT, {"path": "train.py", "old": "WARMDOWN_RATIO = 0.6 ", "new": "WARMDOWN_RATIO = 0.7 "}]
    for table in (first, second):
        for edit in edits:
            table.run("replace", edit)
    second.run("replace", {"path": "train.py", "old": "MUON_MOMENTUM = 0.9 ", "new": "MUON_MOMENTUM = 0.95 "})
    first.run("submit", SUBMISSION)

    shown = second.run("submit", SUBMISSION)

    assert shown.submitted is None
    assert "67% the same lines as one submitted meanwhile: raise it" in shown.text
    assert second.run("submit", SUBMISSION).submitted is not None


def test_an_edit_that_runs_is_not_submitted_again_on_another_incumbent_before_its_verdict() -> None:
    laboratory = laboratory_with(("EMBEDDING_LR = 0.3 ", "EMBEDDING_LR = 0.5 "))
    laboratory.experiments[1] = replace(laboratory.experiments[1], judgement=None)
    laboratory.commits["moved"] = {"train.py": TASK + "moved = 1\n"}
    laboratory.incumbent = "moved"
    table = Table(laboratory)
    table.run("replace", EDIT)

    refused = [table.run("submit", SUBMISSION) for _ in range(2)]
    laboratory.judge(laboratory.experiments[1], keep=False)
    table.desk = replace(table.desk, tried=Table(laboratory).desk.tried)

    assert all("#1 is this very edit and has no verdict yet" in step.text for step in refused)
    assert not any(step.submitted or step.refused for step in refused)
    assert "100% the same lines as #1 discard" in table.run("submit", SUBMISSION).text
    assert table.run("submit", SUBMISSION).submitted is not None
