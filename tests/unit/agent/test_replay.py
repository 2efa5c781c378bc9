"""A folder of patches as an agent: in order, each once, and never in silence when one does not apply."""

from __future__ import annotations

import difflib
import errno
import os
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.agent.replay import ReplayAgent
from controller.domain import Experiment, Proposal
from controller.edits.novelty import find_refusal
from controller.errors import AgentError
from controller.ports import Abandoned, ProposalRequest
from controller.settings import AgentSettings, search_path
from tests.support.requests import proposal_request
from tests.support.waiting import PATIENCE_S

TRAIN = "".join(f"K{n} = {n}\n" for n in range(30))
CHARSETS = ("utf-8", "utf-7", "utf-16", "idna", "punycode", "unicode_escape", "base64", "hex", "nosuch", "")
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


def request_after(*done: Proposal, train: str = TRAIN) -> ProposalRequest:
    """The request that follows these proposals."""
    experiments = tuple(
        Experiment(number=n, commit=f"c{n}", base="c0", title=proposal.title, strategy=proposal.strategy)
        for n, proposal in enumerate(done, start=1)
    )
    return proposal_request(
        {"train.py": train, "model/width.py": "WIDTH = 1\n"},
        number=len(experiments) + 1,
        base="abcdef0123456789",
        readable={"prepare.py": "SECRET = 1\n"},
        experiments=experiments,
    )


def patch_of(before: str, after: str, *, path: str = "train.py") -> str:
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{path}", f"b/{path}")
    return "".join(lines)


def write_patches(folder: Path, **patches: str) -> ReplayAgent:
    for name, text in patches.items():
        (folder / f"{name.replace('_', '-')}.patch").write_bytes(text.encode(errors="surrogateescape"))
    return replay_of(folder)


def replay_of(folder: Path) -> ReplayAgent:
    return ReplayAgent(AgentSettings(kind="replay", patches=folder))


def proposed(answer: Proposal | Abandoned) -> Proposal:
    assert isinstance(answer, Proposal), answer
    return answer


def abandoned(answer: Proposal | Abandoned) -> Abandoned:
    assert isinstance(answer, Abandoned), answer
    return answer


def test_patches_are_proposed_in_the_order_of_their_names_each_once(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, p2_deeper=patch_of(TRAIN, DEEPER), p1_wider=patch_of(TRAIN, WIDER))

    first, second = proposed(agent.propose(request_after())), proposed(agent.propose(request_after()))
    end = abandoned(agent.propose(request_after()))

    assert [first.strategy, second.strategy] == ["replay:p1-wider.patch", "replay:p2-deeper.patch"]
    assert [first.files, second.files] == [{"train.py": WIDER}, {"train.py": DEEPER}]
    assert (first.base, first.agent) == ("abcdef0123456789", "replay")
    assert end.exhausted


def test_title_and_hypothesis_come_from_the_mail(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, p1=MAIL + patch_of(TRAIN, WIDER))

    proposal = proposed(agent.propose(request_after()))

    assert proposal.title == "Widen the third constant, because it is narrow"
    assert proposal.hypothesis == "Narrow constants hold too little, wide ones hold more."
    assert proposal.files == {"train.py": WIDER}


def test_a_bare_diff_is_titled_by_its_file(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, **{"0001-wider-is-better": patch_of(TRAIN, WIDER)})

    assert proposed(agent.propose(request_after())).title == "wider is better"


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

    proposal = proposed(replay_of(patches).propose(request_after()))

    assert proposal.files == {"train.py": WIDER}
    assert (proposal.title, proposal.hypothesis) == ("Größer ist besser: σ und mehr", "Die Hypothese.")


def test_a_patch_applies_where_its_lines_have_moved_to(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, p1=patch_of(TRAIN, DEEPER))
    moved = "# two lines\n# more\n" + TRAIN

    proposal = proposed(agent.propose(request_after(train=moved)))

    assert proposal.files == {"train.py": "# two lines\n# more\n" + DEEPER}


def test_a_patch_that_does_not_apply_is_named_with_its_reason_and_the_next_one_follows(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, p1=patch_of(TRAIN, WIDER), p2=patch_of(TRAIN, DEEPER))
    other = TRAIN.replace("K3 = 3\n", "K3 = 4\n")

    skipped = abandoned(agent.propose(request_after(train=other)))
    following = proposed(agent.propose(request_after(train=other)))

    assert not skipped.exhausted
    assert skipped.reason.startswith(
        "skipped p1.patch: it does not apply to abcdef0 (what it replaces in train.py, from line 1 on"
    )
    assert following.strategy == "replay:p2.patch"


def test_after_a_restart_it_goes_on_behind_what_the_lab_recorded(tmp_path: Path) -> None:
    unfit = patch_of(TRAIN.replace("K3 = 3\n", "K3 = 4\n"), WIDER)
    agent = write_patches(tmp_path, p1=patch_of(TRAIN, WIDER), p2=unfit, p3=patch_of(TRAIN, DEEPER))
    first = proposed(agent.propose(request_after()))
    before = abandoned(agent.propose(request_after(first)))

    again = abandoned(replay_of(tmp_path).propose(request_after(first)))
    restarted = replay_of(tmp_path)
    restarted.propose(request_after(first))
    third = proposed(restarted.propose(request_after(first)))

    assert again == before
    assert third.strategy == "replay:p3.patch"
    assert abandoned(replay_of(tmp_path).propose(request_after(first, third))).reason == before.reason


def test_a_proposal_that_was_lost_before_its_commit_comes_again_after_a_restart(tmp_path: Path) -> None:
    lost = proposed(write_patches(tmp_path, p1=patch_of(TRAIN, WIDER)).propose(request_after()))

    assert proposed(replay_of(tmp_path).propose(request_after())) == lost


def test_patches_may_be_added_while_it_runs(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, p1=patch_of(TRAIN, WIDER))
    first = proposed(agent.propose(request_after()))
    assert abandoned(agent.propose(request_after(first))).exhausted

    write_patches(tmp_path, p2=patch_of(TRAIN, DEEPER))

    assert proposed(agent.propose(request_after(first))).files == {"train.py": DEEPER}


def test_slots_that_ask_at_once_get_different_patches(tmp_path: Path) -> None:
    edits = {f"p{n}": patch_of(TRAIN, TRAIN.replace(f"K{n} = {n}\n", f"K{n} = 99\n")) for n in range(8)}
    agent = write_patches(tmp_path, **edits)
    together = Barrier(len(edits), timeout=PATIENCE_S)

    def ask(_: int) -> Proposal | Abandoned:
        together.wait()
        return agent.propose(request_after())

    with ThreadPoolExecutor(len(edits)) as slots:
        answers = [proposed(answer) for answer in slots.map(ask, range(len(edits)))]

    assert len({answer.strategy for answer in answers}) == len(edits)


def test_patches_reach_files_in_folders(tmp_path: Path) -> None:
    agent = write_patches(tmp_path, p1=patch_of("WIDTH = 1\n", "WIDTH = 2\n", path="model/width.py"))

    assert proposed(agent.propose(request_after())).files == {"model/width.py": "WIDTH = 2\n"}


def without_prefix(patch: str) -> str:
    return patch.replace("a/train.py", "train.py").replace("b/train.py", "train.py")


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(lambda patch: f"diff --git a/train.py b/train.py\n{patch}", id="by git"),
        pytest.param(
            lambda patch: f"diff --git train.py train.py\n{without_prefix(patch)}", id="by git, without prefixes"
        ),
        pytest.param(without_prefix, id="by diff -u"),
        pytest.param(lambda patch: patch.replace("a/train.py", "train.py.orig").replace("b/", ""), id="from a copy"),
        pytest.param(lambda patch: patch.replace("a/", "old/").replace("b/", "new/"), id="between two folders"),
        pytest.param(
            lambda patch: without_prefix(patch).replace("train.py\n", "train.py\t(revision 1)\n", 1), id="by svn"
        ),
        pytest.param(lambda patch: f"# HG changeset patch\n# User a\n\ndiff -r 12 -r 34 train.py\n{patch}", id="by hg"),
        pytest.param(lambda patch: f"```diff\n{patch}```\n", id="as in a chat"),
        pytest.param(lambda patch: patch.rstrip("\n"), id="without a line end"),
        pytest.param(lambda patch: f"\ufeff{patch}", id="with a byte order mark"),
        pytest.param(lambda patch: patch.encode("utf-16"), id="by PowerShell"),
        pytest.param(
            lambda patch: patch.replace("\n", "\r\n").encode("utf-16"), id="by PowerShell, with its line ends"
        ),
    ],
)
def test_patch_applies_however_it_was_written(tmp_path: Path, written: Callable[[str], str | bytes]) -> None:
    agent = write_patches(tmp_path, p1=patch_of(TRAIN, WIDER))
    patch = written(patch_of(TRAIN, WIDER))
    [file] = tmp_path.rglob("p1.patch")
    file.write_bytes(patch if isinstance(patch, bytes) else patch.encode())

    assert agent.check() == []
    assert proposed(agent.propose(request_after())).files == {"train.py": WIDER}


def test_patch_without_prefixes_reaches_a_file_in_a_folder(tmp_path: Path) -> None:
    patch = patch_of("WIDTH = 1\n", "WIDTH = 2\n", path="model/width.py").replace("a/", "").replace("b/", "")
    agent = write_patches(tmp_path, p1=patch)

    assert proposed(agent.propose(request_after())).files == {"model/width.py": "WIDTH = 2\n"}


@pytest.mark.parametrize(
    ("patch", "fault"),
    [
        pytest.param(patch_of(WIDER, TRAIN), "its change is there already, or the patch is reversed", id="reversed"),
        pytest.param(
            patch_of(TRAIN, WIDER, path="lab/train.py"),
            "the task folder has no lab/train.py; make patches in the task folder, as by `git diff --relative`",
            id="made further up",
        ),
        pytest.param(
            patch_of(TRAIN, WIDER, path="package-lock.json"),
            "package-lock.json is not an editable file: change only",
            id="of a file that is there and may not change",
        ),
        pytest.param(
            patch_of("A = 1\n", "A = 2\n"),
            "what it replaces in train.py, from line 1 on, reads otherwise",
            id="of another",
        ),
        pytest.param("1c1\n< a\n---\n> b\n", "it holds no patch as `git diff` and `diff -u` write them", id="by diff"),
        pytest.param(
            "diff --git a/train.py b/train.py\nold mode 100644\nnew mode 100755\n", "it changes no line", id="a mode"
        ),
    ],
)
def test_patch_that_cannot_be_tried_says_what_is_the_matter(tmp_path: Path, patch: str, fault: str) -> None:
    agent = write_patches(tmp_path, p1=patch)

    assert fault in abandoned(agent.propose(request_after())).reason


def test_a_new_file_is_left_to_the_check_of_editable_files(tmp_path: Path) -> None:
    new = "--- /dev/null\n+++ b/extra.py\n@@ -0,0 +1 @@\n+x = 1\n"
    agent = write_patches(tmp_path, p1=new)
    request = request_after()

    proposal = proposed(agent.propose(request))

    refused = find_refusal(base=request.files, proposed=proposal.files, tried=frozenset(), needs_load_model=False)
    assert "'extra.py' is not an editable file" in (refused or "")


@pytest.mark.parametrize(
    ("patch", "because"),
    [
        pytest.param("", "does not apply", id="an empty file"),
        pytest.param("hello\n", "does not apply", id="no patch at all"),
        pytest.param("\udcff\udcff", "cannot be read as text", id="binary"),
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
    skipped = abandoned(write_patches(tmp_path, p1=patch).propose(request_after()))

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
    proposal = proposed(write_patches(patches, p1=patch).propose(request_after()))

    assert proposal.files == {"train.py": WIDER}
    assert list(scratch.iterdir()) == []


def test_line_ends_are_kept(tmp_path: Path) -> None:
    windows = TRAIN.replace("\n", "\r\n")
    agent = write_patches(tmp_path, p1=patch_of(windows, WIDER.replace("\n", "\r\n")))

    assert proposed(agent.propose(request_after(train=windows))).files == {"train.py": WIDER.replace("\n", "\r\n")}


@pytest.mark.parametrize("patch_has_returns", [True, False])
@pytest.mark.parametrize("file_has_returns", [True, False])
def test_ends_of_lines_of_a_patch_do_not_matter(
    tmp_path: Path, patch_has_returns: bool, file_has_returns: bool
) -> None:
    def ends(text: str, returns: bool) -> str:
        return text.replace("\n", "\r\n") if returns else text

    agent = write_patches(tmp_path, p1=ends(patch_of(TRAIN, WIDER), patch_has_returns))
    answer = agent.propose(request_after(train=ends(TRAIN, file_has_returns)))

    assert proposed(answer).files == {"train.py": ends(WIDER, file_has_returns)}


@pytest.mark.parametrize(
    "subject",
    [
        "=?utf-7?q?+2AA-?=",
        "=?nosuch?q?x?=",
        "=?utf-8?b?x?=",
        "=?utf-8?q?=ff?=",
        "=?idna?q?xn--?=",
        "=?base64?q?x?=",
        "=?unicode_escape?q?=5Cq?=",
    ],
)
def test_a_subject_that_no_mail_program_reads_skips_its_patch_and_no_other(tmp_path: Path, subject: str) -> None:
    agent = write_patches(
        tmp_path, p1=f"Subject: {subject}\n\nwhy\n---\n{patch_of(TRAIN, WIDER)}", p2=patch_of(TRAIN, DEEPER)
    )

    [warning] = agent.check()
    skipped, following = abandoned(agent.propose(request_after())), proposed(agent.propose(request_after()))

    assert warning.startswith("agent replay will skip p1.patch: its subject cannot be decoded")
    assert skipped.reason.startswith("skipped p1.patch: its subject cannot be decoded")
    assert not skipped.exhausted
    assert following.strategy == "replay:p2.patch"


@settings(deadline=None, max_examples=40)
@given(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=80), st.sampled_from(["q", "b"]), st.sampled_from(CHARSETS)
)
def test_any_header_gives_a_title_of_one_printable_line_or_a_reason(text: str, encoding: str, charset: str) -> None:
    for header in (f"Subject: {text}", f"Subject: =?{charset}?{encoding}?{text}?= tail", text):
        with tempfile.TemporaryDirectory() as folder:
            agent = write_patches(Path(folder), p1=f"{header}\n\nwhy\n---\n{patch_of(TRAIN, WIDER)}")
            answer = agent.propose(request_after())

        if isinstance(answer, Proposal):
            assert answer.title.isprintable()
            assert f"{answer.title} {answer.hypothesis}".encode()
        else:
            assert answer.reason.startswith("skipped p1.patch: ")


def test_what_can_be_known_of_patches_is_told_before_the_first(tmp_path: Path) -> None:
    corrupt = patch_of(TRAIN, WIDER).replace("@@ -1,7", "@@ -1,9")
    agent = write_patches(tmp_path, p1=patch_of(TRAIN, WIDER), p2=corrupt, p3="hello\n")

    told = agent.check()

    assert [line.split(":")[0] for line in told] == [f"agent replay will skip {name}.patch" for name in ("p2", "p3")]
    assert "is damaged at its line" in told[0]
    with pytest.raises(AgentError, match=r"none of its \*\.patch files can be read as a patch; the first, p1\.patch: "):
        write_patches(tmp_path, p1="", p2="hello").check()


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_folder_without_patches_is_the_operators_error(tmp_path: Path, name: str) -> None:
    for ask in (replay_of(tmp_path / name).check, lambda: replay_of(tmp_path / name).propose(request_after())):
        with pytest.raises(AgentError, match=r"no \*\.patch file is there"):
            ask()


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to nothing", "closed"])
def test_what_is_no_patch_file_is_skipped_and_the_next_one_follows(tmp_path: Path, kind: str) -> None:
    agent = write_patches(tmp_path, p2_wider=patch_of(TRAIN, WIDER))
    place = tmp_path / "p1.patch"
    match kind:
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case _:
            place.symlink_to(tmp_path / "nowhere" if kind == "link to nothing" else "/proc/self/mem")

    told = agent.check()

    assert [line.partition(":")[0] for line in told] == ["agent replay will skip p1.patch"]
    assert abandoned(agent.propose(request_after())).reason.startswith("skipped p1.patch: it ")
    assert proposed(agent.propose(request_after())).files == {"train.py": WIDER}


def test_full_disk_is_the_operators_and_the_patch_has_its_turn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = write_patches(tmp_path, p1=patch_of(TRAIN, WIDER))

    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "mkdtemp", full)
        with pytest.raises(AgentError, match="No space left on device"):
            agent.propose(request_after())

    assert proposed(agent.propose(request_after())).files == {"train.py": WIDER}


def test_settings_without_a_folder_are_the_operators_error() -> None:
    with pytest.raises(AgentError, match=r"agent\.patches"):
        ReplayAgent(AgentSettings())


def test_a_machine_without_git_is_the_operators_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = write_patches(tmp_path, p1=patch_of(TRAIN, WIDER))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(AgentError, match="needs git"):
        agent.propose(request_after())
