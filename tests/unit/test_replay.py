"""A folder of patches as an agent: in order, each once, and never in silence when one does not apply."""

from __future__ import annotations

import difflib
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from controller.agent.replay import ReplayAgent
from controller.domain import Experiment, Proposal
from controller.errors import AgentError, LabError
from controller.novelty import refusal
from controller.ports import Abandoned, ProposalRequest
from controller.settings import AgentSettings, search_path

TRAIN = "".join(f"K{n} = {n}\n" for n in range(30))
WIDER = TRAIN.replace("K3 = 3\n", "K3 = 30\n")
DEEPER = TRAIN.replace("K20 = 20\n", "K20 = 21\n")

MAIL = """\
From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: A Person <person@example.org>
Date: Mon, 9 Mar 2026 10:00:00 +0000
Subject: [PATCH 1/2] Widen the third constant,
 because it is narrow

Narrow constants hold too little,
wide ones hold more.
---
 train.py | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

"""


class NoNotebook:
    """An agent that follows a script needs no notebook."""

    def source(self, commit: str, path: str) -> str:
        raise LabError(f"nobody should read {path} at {commit}")

    def diff(self, experiment: Experiment) -> str:
        raise LabError(f"nobody should read the diff of {experiment.number}")

    def log_tail(self, experiment: Experiment) -> str:
        raise LabError(f"nobody should read the log of {experiment.number}")


def make_request(train: str = TRAIN, *, done: Sequence[Proposal] = ()) -> ProposalRequest:
    experiments = tuple(
        Experiment(number=n, commit=f"c{n}", base="c0", title=proposal.title, strategy=proposal.strategy)
        for n, proposal in enumerate(done, start=1)
    )
    return ProposalRequest(
        tag="t",
        number=len(experiments) + 1,
        brief="",
        base="abcdef0123456789",
        files={"train.py": train, "model/width.py": "WIDTH = 1\n"},
        readable={"prepare.py": "SECRET = 1\n"},
        experiments=experiments,
        fingerprints=frozenset(),
        notebook=NoNotebook(),
        metric="val_bpb",
        minimize=True,
    )


def patch_of(before: str, after: str, *, path: str = "train.py") -> str:
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{path}", f"b/{path}")
    return "".join(lines)


def write_patches(folder: Path, **patches: str) -> ReplayAgent:
    for name, text in patches.items():
        (folder / f"{name.replace('_', '-')}.patch").write_bytes(text.encode(errors="surrogateescape"))
    return make_agent(folder)


def make_agent(folder: Path) -> ReplayAgent:
    return ReplayAgent(AgentSettings(kind="replay", patches=folder))


def proposed(answer: Proposal | Abandoned) -> Proposal:
    assert isinstance(answer, Proposal), answer
    return answer


def abandoned(answer: Proposal | Abandoned) -> Abandoned:
    assert isinstance(answer, Abandoned), answer
    return answer


def test_patches_are_proposed_in_the_order_of_their_names_each_once(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, p2_deeper=patch_of(TRAIN, DEEPER), p1_wider=patch_of(TRAIN, WIDER))

    first, second = proposed(agent.propose(make_request())), proposed(agent.propose(make_request()))
    end = abandoned(agent.propose(make_request()))

    assert [first.strategy, second.strategy] == ["replay:p1-wider.patch", "replay:p2-deeper.patch"]
    assert [first.files, second.files] == [{"train.py": WIDER}, {"train.py": DEEPER}]
    assert (first.base, first.agent) == ("abcdef0123456789", "replay")
    assert end.exhausted


def test_title_and_hypothesis_come_from_the_mail(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, p1=MAIL + patch_of(TRAIN, WIDER))

    proposal = proposed(agent.propose(make_request()))

    assert proposal.title == "Widen the third constant, because it is narrow"
    assert proposal.hypothesis == "Narrow constants hold too little, wide ones hold more."
    assert proposal.files == {"train.py": WIDER}


def test_a_bare_diff_is_titled_by_its_file(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, **{"0001-wider-is-better": patch_of(TRAIN, WIDER)})

    assert proposed(agent.propose(make_request())).title == "wider is better"


def test_what_git_format_patch_writes_can_be_replayed(tmp_path: Path) -> None:
    repository, patches = tmp_path / "repository", tmp_path / "patches"
    repository.mkdir()
    identity = {
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@b",
    }

    def git(*arguments: str) -> None:
        environment = {"PATH": search_path(), "HOME": str(tmp_path), **identity}
        subprocess.run(["git", *arguments], cwd=repository, env=environment, check=True, capture_output=True)

    git("init")
    for text, message in ((TRAIN, "base"), (WIDER, "Größer ist besser: σ und mehr\n\nDie Hypothese.")):
        (repository / "train.py").write_text(text)
        git("add", "train.py")
        git("commit", "-m", message)
    git("format-patch", "-1", "-o", str(patches))

    proposal = proposed(make_agent(patches).propose(make_request()))

    assert proposal.files == {"train.py": WIDER}
    assert (proposal.title, proposal.hypothesis) == ("Größer ist besser: σ und mehr", "Die Hypothese.")


def test_a_patch_applies_where_its_lines_have_moved_to(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, p1=patch_of(TRAIN, DEEPER))
    moved = "# two lines\n# more\n" + TRAIN

    proposal = proposed(agent.propose(make_request(moved)))

    assert proposal.files == {"train.py": "# two lines\n# more\n" + DEEPER}


def test_a_patch_that_does_not_apply_is_named_with_its_reason_and_the_next_one_follows(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, p1=patch_of(TRAIN, WIDER), p2=patch_of(TRAIN, DEEPER))
    other = TRAIN.replace("K3 = 3\n", "K3 = 4\n")

    skipped = abandoned(agent.propose(make_request(other)))
    following = proposed(agent.propose(make_request(other)))

    assert not skipped.exhausted
    assert skipped.reason.startswith("skipped p1.patch: it does not apply to abcdef0 (error: patch failed: train.py:1")
    assert following.strategy == "replay:p2.patch"


def test_after_a_restart_it_goes_on_behind_what_the_lab_recorded(tmp_path: Path) -> None:
    unfit = patch_of(TRAIN.replace("K3 = 3\n", "K3 = 4\n"), WIDER)
    agent = write_patches(tmp_path, p1=patch_of(TRAIN, WIDER), p2=unfit, p3=patch_of(TRAIN, DEEPER))
    first = proposed(agent.propose(make_request()))
    before = abandoned(agent.propose(make_request(done=[first])))

    again = abandoned(make_agent(tmp_path).propose(make_request(done=[first])))
    restarted = make_agent(tmp_path)
    restarted.propose(make_request(done=[first]))
    third = proposed(restarted.propose(make_request(done=[first])))

    assert again == before
    assert third.strategy == "replay:p3.patch"
    assert abandoned(make_agent(tmp_path).propose(make_request(done=[first, third]))).reason == before.reason


def test_a_proposal_that_was_lost_before_its_commit_comes_again_after_a_restart(tmp_path: Path) -> None:
    lost = proposed(write_patches(tmp_path, p1=patch_of(TRAIN, WIDER)).propose(make_request()))

    assert proposed(make_agent(tmp_path).propose(make_request())) == lost


def test_patches_may_be_added_while_it_runs(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, p1=patch_of(TRAIN, WIDER))
    first = proposed(agent.propose(make_request()))
    assert abandoned(agent.propose(make_request(done=[first]))).exhausted

    write_patches(tmp_path, p2=patch_of(TRAIN, DEEPER))

    assert proposed(agent.propose(make_request(done=[first]))).files == {"train.py": DEEPER}


def test_slots_that_ask_at_once_get_different_patches(tmp_path: Path) -> None:
    edits = {f"p{n}": patch_of(TRAIN, TRAIN.replace(f"K{n} = {n}\n", f"K{n} = 99\n")) for n in range(8)}
    agent = write_patches(tmp_path, **edits)
    together = Barrier(len(edits), timeout=30)

    def ask(_: int) -> Proposal | Abandoned:
        together.wait()
        return agent.propose(make_request())

    with ThreadPoolExecutor(len(edits)) as slots:
        answers = [proposed(answer) for answer in slots.map(ask, range(len(edits)))]

    assert len({answer.strategy for answer in answers}) == len(edits)


def test_patches_reach_files_in_folders(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, p1=patch_of("WIDTH = 1\n", "WIDTH = 2\n", path="model/width.py"))

    assert proposed(agent.propose(make_request())).files == {"model/width.py": "WIDTH = 2\n"}


def test_a_new_file_is_left_to_the_check_of_editable_files(tmp_path: Path) -> None:
    new = "--- /dev/null\n+++ b/extra.py\n@@ -0,0 +1 @@\n+x = 1\n"
    agent = write_patches(tmp_path, p1=new)
    request = make_request()

    proposal = proposed(agent.propose(request))

    refused = refusal(base=request.files, proposed=proposal.files, tried=frozenset(), needs_load_model=False)
    assert "'extra.py' is not an editable file" in (refused or "")


@pytest.mark.parametrize(
    ("patch", "because"),
    [
        pytest.param("", "does not apply", id="an empty file"),
        pytest.param("hello\n", "does not apply", id="no patch at all"),
        pytest.param("\udcff\udcfe", "cannot be read as text", id="binary"),
        pytest.param(
            patch_of("SECRET = 1\n", "SECRET = 2\n", path="prepare.py"), "does not apply", id="a read-only file"
        ),
        pytest.param(patch_of(TRAIN, WIDER, path="../train.py"), "does not apply", id="a path that escapes"),
        pytest.param(
            "diff --git a/train.py b/train.py\ndeleted file mode 100644\n"
            + patch_of(TRAIN, "").replace("+++ b/train.py", "+++ /dev/null"),
            "removes train.py",
            id="a deletion",
        ),
        pytest.param(
            "diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n@@ -0,0 +1 @@\n+/etc/passwd\n"
            "\\ No newline at end of file\n",
            "something other than a file",
            id="a symlink",
        ),
    ],
)
def test_patches_that_cannot_be_tried_are_skipped_with_a_reason(tmp_path: Path, patch: str, because: str) -> None:
    skipped = abandoned(write_patches(tmp_path, p1=patch).propose(make_request()))

    assert skipped.reason.startswith("skipped p1.patch: ")
    assert because in skipped.reason
    assert "\n" not in skipped.reason
    assert not skipped.exhausted


def test_a_repository_around_the_temporary_folder_does_not_hide_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", str(tmp_path)], check=True, capture_output=True)
    scratch, patches = tmp_path / "scratch", tmp_path / "patches"
    scratch.mkdir()
    patches.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    patch = "diff --git a/train.py b/train.py\n" + patch_of(TRAIN, WIDER)
    proposal = proposed(write_patches(patches, p1=patch).propose(make_request()))

    assert proposal.files == {"train.py": WIDER}
    assert list(scratch.iterdir()) == []


def test_line_ends_are_kept(tmp_path: Path) -> None:
    windows = TRAIN.replace("\n", "\r\n")
    agent = write_patches(tmp_path, p1=patch_of(windows, WIDER.replace("\n", "\r\n")))

    assert proposed(agent.propose(make_request(windows))).files == {"train.py": WIDER.replace("\n", "\r\n")}


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_folder_without_patches_is_the_operators_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(AgentError, match=r"no \*\.patch file is there"):
        make_agent(tmp_path / name).propose(make_request())


def test_settings_without_a_folder_are_the_operators_error() -> None:
    with pytest.raises(AgentError, match=r"agent\.patches"):
        ReplayAgent(AgentSettings())


def test_a_machine_without_git_is_the_operators_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = write_patches(tmp_path, p1=patch_of(TRAIN, WIDER))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(AgentError, match="needs git"):
        agent.propose(make_request())
