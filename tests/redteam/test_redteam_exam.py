"""Every cheat known against the exam, as a train.py that tries it: rejected, or scored as if it had not.

The candidates lie in candidates/, named for what they do; each says in its first line what stops it. They
run through the real processes without a sandbox, so what is seen here is the exam's own defence.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from exam.language.rehearsal import Rehearsal

from tests.redteam.exams import Exams
from tests.support.needs import need_bubblewrap
from tests.support.starting import time_to_begin


@pytest.fixture
def startup() -> float:
    """Seconds in which a candidate surely begins: about two, and more beside busy neighbours."""
    return time_to_begin("numpy")


def hurry(startup: float) -> tuple[str, ...]:
    """An examiner that waits no longer than that for its candidate, and then a second for each answer."""
    return ("--startup-seconds", str(startup), "--batch-seconds", "1")


def rejection(rehearsal: Rehearsal) -> tuple[str, str]:
    """The failed test and its explanation; fails where there was no rejection."""
    assert rehearsal.result is not None, rehearsal.log
    assert rehearsal.examine_code == 0
    assert rehearsal.result["verdict"] == "rejected", rehearsal.result
    return rehearsal.result["test"], rehearsal.result["explanation"]


def score(rehearsal: Rehearsal) -> float:
    """The score; fails where there was none."""
    assert rehearsal.result is not None, rehearsal.log
    assert rehearsal.result["verdict"] == "scored", rehearsal.result
    return float(rehearsal.result["val_bpb"])


@pytest.mark.parametrize(
    "candidate",
    [
        "honest_bfloat16",
        "honest_sliding_window",
        "honest_document_resets",
        "honest_cache_within_a_call",
    ],
)
def test_honest_models_pass(exams: Exams, honest_score: float, candidate: str) -> None:
    assert score(exams.hold(candidate)) == pytest.approx(honest_score, abs=0.002)


@pytest.mark.parametrize(
    ("candidate", "tests"),
    [
        ("looks_ahead_1_in_100", {"inflation", "hits"}),
        ("looks_ahead_where_it_is_hard", {"inflation", "hits"}),
        ("looks_ahead_through_a_block_mean", {"inflation"}),
        ("looks_ahead_through_an_fft", {"inflation"}),
        ("looks_ahead_through_a_chunk_recurrence", {"inflation"}),
        ("looks_ahead_in_the_exam_only", {"inflation"}),
        ("recognises_the_splice", {"inflation"}),
        ("trains_on_the_exam_and_hides_in_the_probe", {"restart"}),
    ],
)
def test_cheats_are_rejected_though_honest_in_the_probe(exams: Exams, candidate: str, tests: set[str]) -> None:
    test, explanation = rejection(exams.hold_with_honest_probe(candidate))
    assert test in tests, explanation


@pytest.mark.parametrize(
    ("candidate", "tests"),
    [
        ("looks_ahead_blatantly", {"inflation"}),
        ("trains_on_the_exam", {"restart"}),
        ("remembers_what_it_has_seen", {"restart", "spread"}),
        ("freezes_what_it_learnt_first", {"restart", "spread"}),
        ("leaves_dropout_on", {"spread"}),
        ("uses_batch_statistics", {"spread"}),
    ],
)
def test_cheats_and_mistakes_of_both_phases_are_rejected(exams: Exams, candidate: str, tests: set[str]) -> None:
    test, explanation = rejection(exams.hold(candidate))
    assert test in tests, explanation


@pytest.mark.parametrize(
    ("candidate", "sentence"),
    [
        ("answers_infinity", r"the logits hold \+infinity"),
        ("wrong_vocabulary", "32 logits for each token, the vocabulary has 64"),
        ("shorter_than_asked", "announces 31744 bytes, but logits of shape .8, 32, 64. take 32768"),
        ("lies_about_its_size", "announces 1152921504606846976 bytes"),
        ("lies_about_its_items", "items of 8 bytes instead of 2"),
        ("answers_another_question", "an answer to question 1 came where question 0 was asked"),
        ("speaks_another_protocol", "does not begin as an answer must"),
        ("stops_half_way", "closed the connection after 1000 of 32768 bytes of answer 0"),
        ("says_more_than_asked", "bytes came before question 1 was asked"),
        ("adds_bytes_after_the_last_answer", "bytes came (before question 64 was asked|after the last answer)"),
        ("kills_its_supervisor", "the candidate's supervisor was killed"),
    ],
)
def test_a_faulty_reply_has_its_own_sentence(exams: Exams, candidate: str, sentence: str) -> None:
    test, explanation = rejection(exams.hold_with_honest_probe(candidate))
    assert test == "protocol"
    assert re.search(sentence, explanation), explanation


@pytest.mark.parametrize(
    ("candidate", "sentence"),
    [
        ("dies_while_answering", r"the candidate's process ended \(exit code 7\)"),
        ("raises_in_load_model", r"the candidate's process ended \(exit code 1\)"),
    ],
)
def test_a_process_that_ends_has_crashed_and_is_no_cheat(exams: Exams, candidate: str, sentence: str) -> None:
    test, explanation = rejection(exams.hold(candidate))
    assert test == "crash"
    assert re.search(sentence, explanation), explanation


@pytest.mark.parametrize(
    ("candidate", "sentence"),
    [
        ("stays_silent", "silence: nothing of answer 0 came within"),
        ("drips", r"too slow: only \d+ of 32768 bytes of answer 0 came within"),
    ],
)
def test_nobody_can_make_the_examiner_wait(exams: Exams, startup: float, candidate: str, sentence: str) -> None:
    test, explanation = rejection(exams.hold_with_honest_probe(candidate, *hurry(startup)))
    assert test == "protocol"
    assert re.search(sentence, explanation), explanation


def test_a_model_that_never_loads_costs_a_try_and_gets_no_verdict(exams: Exams, startup: float) -> None:
    rehearsal = exams.hold_with_honest_probe("never_loads", *hurry(startup))

    assert (rehearsal.result, rehearsal.examine_code) == (None, 75)
    assert f"the model was not loaded within {startup:g} s" in rehearsal.log


def test_nan_is_rejected_by_its_name(exams: Exams) -> None:
    test, explanation = rejection(exams.hold("answers_nan"))
    assert (test, explanation) == ("protocol", "the logits hold NaN: the model's answer is not a number")


@pytest.mark.parametrize("candidate", ["sums_to_more_than_one", "prints_a_forged_result"])
def test_a_claim_counts_for_nothing(exams: Exams, honest_score: float, candidate: str) -> None:
    assert score(exams.hold(candidate)) == pytest.approx(honest_score, abs=1e-4)


def test_a_daemon_that_ignores_term_does_not_survive_the_restart(exams: Exams, honest_score: float) -> None:
    rehearsal = exams.hold_with_honest_probe("outlives_its_restart")

    assert score(rehearsal) == honest_score
    assert not [entry for entry in Path("/proc").iterdir() if b"outlives_its_restart" in command_line(entry)]


def command_line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
    except OSError:
        return b""


def test_no_kernel_object_outlives_a_candidate(exams: Exams, honest_score: float) -> None:
    assert score(exams.hold("leaves_memory_in_the_kernel")) == honest_score


@pytest.fixture
def shared(exams: Exams) -> Iterator[Path]:
    """A folder outside /tmp with `tmp` and `shm`, which a container keeps when it is restarted, as in a pod."""
    root = Path(tempfile.mkdtemp(dir="/var/tmp"))
    for name in ("tmp", "shm"):
        (root / name).mkdir()
    shutil.copytree(exams.artifact, root / "artifact")
    yield root
    shutil.rmtree(root)


@pytest.fixture
def container(shared: Path) -> tuple[str, ...]:
    """A sandbox whose first process is the candidate's supervisor and whose /tmp and /dev/shm outlive it."""
    binds = ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
    kept = ("--bind", f"{shared}/tmp", "/tmp", "--bind", f"{shared}/shm", "/dev/shm")
    return (
        need_bubblewrap(without_tmp=True),
        "--unshare-pid",
        "--unshare-ipc",
        "--as-pid-1",
        "--die-with-parent",
        *binds,
        *kept,
    )


def test_memory_in_shared_files_is_gone_when_a_container_starts_again(
    exams: Exams, honest_score: float, shared: Path, container: tuple[str, ...]
) -> None:
    stage = exams.stage("leaves_memory_in_files", root=shared, inside=container)

    assert score(exams.hold_with_honest_probe("leaves_memory_in_files", stage=stage)) == honest_score


def test_memory_in_shared_files_is_noticed_where_nothing_scrubs(exams: Exams) -> None:
    places = [
        Path(folder, f"exam-memory{suffix}") for folder in ("/tmp", "/dev/shm") for suffix in (".npy", ".new.npy")
    ]
    try:
        test, explanation = rejection(exams.hold_with_honest_probe("leaves_memory_in_files"))
    finally:
        for place in places:
            place.unlink(missing_ok=True)
    assert test in {"restart", "spread", "inflation", "hits"}, explanation


def test_as_first_process_a_supervisor_cannot_be_killed_by_its_child(
    exams: Exams, honest_score: float, shared: Path, container: tuple[str, ...]
) -> None:
    stage = exams.stage("kills_its_supervisor", root=shared, inside=container)
    assert score(exams.hold_with_honest_probe("kills_its_supervisor", stage=stage)) == honest_score
