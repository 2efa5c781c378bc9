"""The phases as an executor starts them: exit codes, the result line, the restart, and what each may know."""

from __future__ import annotations

import ast
import json
import math
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from exam.kit.result import LIMIT_BYTES, PREFIX
from exam.kit.rounds import REPEATS, Plan, draw_plan
from exam.kit.session import CandidateSession, TimeLimits
from exam.kit.wire import Deadline
from exam.language import model, protocol
from exam.language.dataset import ExamData
from exam.language.evaluation import Answers, evaluate
from exam.language.integrity import Limits
from exam.language.rehearsal import Language, Rehearsal, Stage, make_data, run_exam, run_examine
from exam.language.result import Report
from exam.language.scoring import nll
from exam.language.selftest import HONEST
from exam.language.session import Round, ask_all
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.starting import time_to_begin
from tests.support.waiting import PATIENCE_S, wait_until
from tests.trainer.small_task import TASK

LANGUAGE = Language.draw(32, seed=3)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """An honest candidate before a small exam."""
    make_data(tmp_path / "data", LANGUAGE, length=16, sequences=64, probes=48)
    for name in ("task", "artifact"):
        (tmp_path / name).mkdir()
    np.save(tmp_path / "artifact/table.npy", LANGUAGE.logits)
    (tmp_path / "task/train.py").write_text(HONEST)
    return Stage(
        task=tmp_path / "task",
        data=tmp_path / "data",
        artifact=tmp_path / "artifact",
        work=tmp_path / "work",
        seconds=PATIENCE_S,
    )


@pytest.fixture
def short() -> float:
    """About two seconds; longer on a machine so busy that programs take long to begin."""
    return time_to_begin("numpy")


def own_score(stage: Stage, split: str) -> float:
    """The honest model's bits per byte, computed here in float64 and in another way."""
    sequences = np.load(stage.data / split / "sequences.npy").astype(int)
    table = LANGUAGE.logits - np.log(np.exp(LANGUAGE.logits).sum(-1, keepdims=True))
    before = np.concatenate([sequences[:, :1], sequences[:, :-2]], axis=1)
    nats = -table[before, sequences[:, :-1], sequences[:, 1:]].sum()
    size = np.load(stage.data / "tokenizer/token_bytes.npy").astype(int)[sequences[:, 1:]].sum()
    return float(nats / math.log(2) / size)


# The whole exam ----------------------------------------------------------------------------------


def test_an_honest_model_gets_the_score_it_deserves(stage: Stage) -> None:
    rehearsal = run_exam(replace(stage, holdout=True))
    result = rehearsal.result

    assert result is not None, rehearsal.log
    assert result["verdict"] == "scored"
    assert result["val_bpb"] == pytest.approx(own_score(stage, "validation"), abs=1e-3)
    assert result["holdout_bpb"] == pytest.approx(own_score(stage, "holdout"), abs=1e-3)
    assert (result["probes"], result["sequences"], result["tokens"]) == (48, 64, 64 * 16)
    assert (result["inflation"], result["hits"], result["spread"], result["restart"]) == (0, 0, 0, 0)
    assert result["fresh"] == 32
    assert abs(result["freshness"]) < 4 * math.hypot(result["asked_error"], result["freshness_error"])
    assert result["attempt"] == "rehearsal-e0001-a1-t1"
    assert rehearsal.starts >= 3, "each round is answered by a fresh process"


def test_an_exam_without_holdout_and_reserve_says_nothing_of_them(stage: Stage) -> None:
    result = run_exam(replace(stage, reserve=None)).result

    assert result is not None
    assert result["verdict"] == "scored"
    assert (result["holdout_bpb"], result["fresh"], result["freshness"]) == (None, 0, None)


def noisy_stage(tmp_path: Path, noise: float) -> Stage:
    """A candidate whose logits tremble, as those of a GPU may, before an exam of many probes."""
    make_data(tmp_path / "data", LANGUAGE, length=16, sequences=1024, probes=1024)
    for name in ("task", "artifact"):
        (tmp_path / name).mkdir()
    np.save(tmp_path / "artifact/table.npy", LANGUAGE.logits)
    trembling = f"return lambda t: model(t) + np.random.default_rng().normal(0, {noise}, (*t.shape, len(table)))"
    (tmp_path / "task/train.py").write_text(HONEST.replace("return model", trembling))
    return Stage(
        task=tmp_path / "task",
        data=tmp_path / "data",
        artifact=tmp_path / "artifact",
        work=tmp_path / "work",
        seconds=PATIENCE_S,
        batch=64,
    )


@pytest.mark.timeout(900)
def test_noise_that_the_baseline_shows_too_passes_and_more_does_not(tmp_path: Path) -> None:
    stage = noisy_stage(tmp_path, 0.01)

    strict = run_exam(stage).result
    baseline = run_exam(replace(stage, work=tmp_path / "w2", noise={"AUTORESEARCH_BASELINE_ITSELF": "1"})).result
    assert strict is not None
    assert baseline is not None
    # By chance the differences have a mean beyond its limit, too, once in some 300 exams: then that is named first.
    assert strict["test"] in ("spread", "restart")
    assert baseline["verdict"] == "scored", baseline["explanation"]
    told = {
        f"AUTORESEARCH_BASELINE_{name.upper()}": str(baseline[name])
        for name in ("spread", "inflation_error", "restart_error")
    }
    for number in range(3):
        again = run_exam(replace(stage, work=tmp_path / f"again{number}", noise=told)).result
        assert again is not None
        assert again["verdict"] == "scored", again["explanation"]
    louder = (stage.task / "train.py").read_text().replace("normal(0, 0.01", "normal(0, 0.1")
    (stage.task / "train.py").write_text(louder)
    for which, noise in (("loud", told), ("loud baseline", {"AUTORESEARCH_BASELINE_ITSELF": "1"})):
        loud = run_exam(replace(stage, work=tmp_path / which, noise=noise)).result
        assert loud is not None
        assert loud["verdict"] == "rejected"


def test_result_is_the_last_line_and_the_termination_message(stage: Stage) -> None:
    run_exam(stage)
    message = (stage.work / "result").read_text()
    assert message.startswith(PREFIX)
    assert (stage.work / "examine.log").read_text().splitlines()[-1] == message.rstrip("\n")


def test_a_torch_module_goes_through_the_whole_chain(data_folder: Path, artifact: Path, tmp_path: Path) -> None:
    stage = Stage(task=TASK, data=data_folder, artifact=artifact, work=tmp_path / "work", seconds=PATIENCE_S)

    result = run_exam(stage).result

    assert result is not None
    assert result["verdict"] == "scored", result
    assert 1 < result["val_bpb"] < 8
    assert result["hits"] == 0


# What an answer costs -----------------------------------------------------------------------------


NOTES_ITS_CALLS = """
    import time
    calls = open(f"calls-{time.monotonic():020.9f}", "w")

    def noted(tokens):
        began = time.monotonic()
        time.sleep(0.02 if calls.tell() else 2)  # the first call compiles
        logits = model(tokens)
        print(began, time.monotonic(), tokens.size, file=calls, flush=True)
        return logits

    return noted
"""


def test_the_time_of_an_answer_is_measured_without_the_first_call_which_may_compile(stage: Stage) -> None:
    """Examiner and model read one clock: between what they saw lies only the way from the one to the other."""
    (stage.task / "train.py").write_text(HONEST.replace("\n    return model\n", NOTES_ITS_CALLS))

    result = run_exam(stage).result
    ended = time.monotonic()

    assert result is not None
    assert result["verdict"] == "scored", result["explanation"]
    processes = sorted(stage.task.glob("calls-*"))[:2]  # those of the whole sequences; the third answers the probes
    ends = [*(float(path.name.removeprefix("calls-")) for path in processes[1:]), ended]
    least = most = tokens = 0.0
    for path, end in zip(processes, ends, strict=True):
        calls = [list(map(float, line.split())) for line in path.read_text().splitlines()]
        least += calls[-1][1] - calls[1][0]
        most += end - calls[0][1]
        tokens += sum(size for _, _, size in calls[1:])
    assert least > 0.02
    assert 0.99 * least <= tokens * result["seconds_per_answer"] <= 1.01 * most


def test_memory_that_a_model_held_is_told_though_it_was_given_back(stage: Stage) -> None:
    result = run_exam(replace(stage, work=stage.work / "plain")).result
    holds = "    held = np.ones(1 << 25)\n    del held\n    return model"
    (stage.task / "train.py").write_text(HONEST.replace("    return model", holds))
    more = run_exam(replace(stage, work=stage.work / "more")).result

    assert result is not None
    assert more is not None
    assert 0.2 < more["answer_memory_gb"] - result["answer_memory_gb"] < 0.3, "2^25 numbers of 8 bytes are .25 GiB"


# Examine -----------------------------------------------------------------------------------------


def test_the_examiner_imports_nothing_that_could_run_agent_code() -> None:
    program = "import sys, exam.examine; print(*sorted(sys.modules))"
    names = subprocess.run([sys.executable, "-c", program], cwd=TASK, capture_output=True, text=True, check=True).stdout
    running = ("model", "candidate")
    assert not {*(f"exam.language.{name}" for name in running), "torch", "train", "prepare"} & set(names.split())


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        pytest.param(lambda stage: (stage.work / "examine/validation").unlink(), "cannot be read", id="missing"),
        pytest.param(lambda stage: (stage.data / "manifest.json").write_text("{}"), "manifest.json", id="manifest"),
    ],
)
def test_a_bad_data_folder_is_the_operators_to_mend(
    stage: Stage, harm: Callable[[Stage], object], sentence: str
) -> None:
    stage.lay_out()
    harm(stage)

    rehearsal = run_examine(stage)

    assert rehearsal.examine_code == 2
    assert rehearsal.result is None
    said = (stage.work / "examine.log").read_text()
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_missing_environment_is_one_sentence_and_exit_2() -> None:
    for phase in ("examine", "candidate"):
        command = [sys.executable, "-m", f"exam.{phase}"]
        ended = subprocess.run(command, cwd=TASK, env={}, capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert "is not set" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_an_exam_without_a_candidate_ends_in_time_and_blames_nobody(stage: Stage) -> None:
    stage.lay_out()
    alone = replace(stage, inside=("sh", "-c", "exec sleep 60"))

    rehearsal = run_examine(alone, "--startup-seconds", "0.5")

    assert (rehearsal.result, rehearsal.examine_code) == (None, 75)
    assert "no candidate connected within 0.5 s; the machine may be busy" in rehearsal.log


def test_a_model_that_loads_too_slowly_costs_a_try_and_is_not_rejected(stage: Stage, short: float) -> None:
    slow = HONEST.replace(
        "def load_model(artifact):", "def load_model(artifact):\n    import time\n    time.sleep(600)"
    )
    (stage.task / "train.py").write_text(slow)
    stage.lay_out()

    rehearsal = run_examine(stage, "--startup-seconds", str(short))

    assert (rehearsal.result, rehearsal.examine_code) == (None, 75)
    assert f"the model was not loaded within {short:g} s" in rehearsal.log
    assert not (stage.work / "result").exists()


def test_the_whole_exam_has_a_limit(stage: Stage, short: float) -> None:
    pauses = f"    import time\n    return lambda t: (time.sleep({short / 10}), model(t))[1]"
    (stage.task / "train.py").write_text(HONEST.replace("    return model", pauses))
    stage.lay_out()
    quick = replace(stage, batch=1)

    result = run_examine(quick, "--total-seconds", str(short)).result

    assert result is not None
    assert result["test"] == "protocol"
    assert result["explanation"].endswith("before the exam's time was up")


@given(
    st.text(max_size=3000),
    st.floats(allow_nan=False, allow_infinity=False) | st.none(),
)
def test_the_result_line_fits_a_termination_message(explanation: str, value: float | None) -> None:
    report = Report(
        attempt="demo-e0001-a1-t1",
        verdict="rejected",
        data="0" * 64,
        probes=512,
        sequences=1024,
        fresh=48,
        seconds={"startup": 1.0, "exam": None, "restart": None, "probe": None},
        test="protocol",
        explanation=explanation,
        val_bpb=value,
    )
    line = report.line()

    assert len(line.encode()) <= LIMIT_BYTES
    assert "\n" not in line
    fields = json.loads(line.removeprefix(PREFIX))
    assert fields["verdict"] == "rejected"
    assert explanation.startswith(fields["explanation"] or "")


@given(st.integers(8, 5000), st.integers(0, 2**32 - 1))
def test_a_plan_asks_everything_once_and_a_part_again(total: int, seed: int) -> None:
    plan = draw_plan(total, np.random.default_rng(seed))

    assert sorted(plan.order) == list(range(total))
    assert len(set(plan.repeats)) == len(plan.repeats)
    assert 2 <= len(plan.repeats) <= min(REPEATS, max(2, total // 4))
    assert set(plan.repeats) <= set(plan.order)


def test_the_short_round_comes_first_as_often_as_last() -> None:
    first = sum(draw_plan(100, np.random.default_rng(seed)).short_first for seed in range(400))
    assert 150 < first < 250


@st.composite
def exams(draw: st.DrawFn) -> tuple[ExamData, Plan, Answers]:
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, length, vocabulary, probes = draw(st.integers(2, 6)), draw(st.integers(1, 5)), 7, 2
    token_bytes = np.array([1, 2, 3, 1, 4, 1, 0])
    sequences = generator.integers(0, vocabulary, (3 * rows, length + 1))
    sequences[:, 1] = generator.integers(0, vocabulary - 1, 3 * rows)  # something to score in every sequence
    reference = generator.exponential(3, (2 * rows, 2))
    data = ExamData(
        token_bytes=token_bytes,
        validation=sequences[:rows],
        fresh=sequences[rows : 2 * rows],
        holdout=sequences[2 * rows :],
        validation_nll=reference[:rows],
        fresh_nll=reference[rows:],
        spliced=sequences[:probes, :-1],
        probed=generator.permutation(rows)[:probes],
        cuts=np.zeros(probes, int),
        weights=np.ones(probes),
        identity="",
    )
    plan = draw_plan(3 * rows, generator)
    whole = generator.exponential(3, (3 * rows, length)).astype(np.float32)
    fresh = generator.exponential(3, (len(plan.repeats), length)).astype(np.float32)
    return data, plan, Answers(generator.exponential(3, probes).astype(np.float32), whole, fresh)


@given(exams())
def test_scores_leave_out_unscored_tokens_and_are_corrected_upwards(exam: tuple[ExamData, Plan, Answers]) -> None:
    data, plan, answers = exam
    seen, score = evaluate(data, plan, answers, Limits())

    size = nats = tokens = 0.0
    for sequence, losses in zip(data.validation, answers.whole, strict=False):
        for target, loss in zip(sequence[1:], losses, strict=True):
            size += data.token_bytes[target]
            nats += loss * bool(data.token_bytes[target])
            tokens += bool(data.token_bytes[target])
    added = max(0.0, seen.inflation + 2 * seen.inflation_error)
    assert score.raw == pytest.approx(nats / math.log(2) / size)
    assert score.val == pytest.approx((nats + added * tokens) / math.log(2) / size)
    assert (score.tokens, score.bytes) == (tokens, size)
    assert score.val >= score.raw


@given(exams())
def test_differences_are_taken_at_the_cuts_and_over_the_repeats(exam: tuple[ExamData, Plan, Answers]) -> None:
    data, plan, answers = exam
    same = Answers(answers.whole[data.probed, data.cuts], answers.whole, answers.whole[plan.repeats])

    seen, _ = evaluate(data, plan, same, Limits())
    assert (seen.inflation, seen.spread, seen.restart) == (0, 0, 0)

    withheld, _ = evaluate(data, plan, replace(same, probed=same.probed + 1), Limits())
    assert withheld.inflation == pytest.approx(1)
    assert withheld.hits == len(data.cuts)

    remembered, _ = evaluate(data, plan, replace(same, fresh=same.fresh + 1), Limits())
    assert remembered.restart == pytest.approx(1)


@given(exams(), st.floats(0.01, 2))
def test_freshness_is_what_is_known_of_often_asked_text_and_of_no_other(
    exam: tuple[ExamData, Plan, Answers], known: float
) -> None:
    data, plan, answers = exam
    honest, _ = evaluate(data, plan, answers, Limits())
    asked, _, _ = data.parts
    whole = answers.whole.copy()
    whole[asked] -= np.float32(known)

    leaked, _ = evaluate(data, plan, replace(answers, whole=whole), Limits())

    assert honest.freshness is not None
    assert leaked.freshness is not None
    assert leaked.freshness - honest.freshness == pytest.approx(known, abs=1e-4)


# Candidate ---------------------------------------------------------------------------------------


def test_a_bad_artifact_is_named_as_such(stage: Stage) -> None:
    stage.lay_out()
    (stage.artifact / "more").symlink_to("/etc/passwd")

    result = run_examine(stage).result

    assert result is not None
    assert result["test"] == "artifact"
    assert result["explanation"] == (
        "the artifact holds a symlink ('more') that is absolute or leads outside; "
        "links must be relative and stay inside"
    )


def test_term_ends_a_candidate_that_waits_for_its_examiner(stage: Stage) -> None:
    stage.lay_out()
    with (stage.work / "log").open("w") as log:
        process = stage.start("candidate", output=log)
        wait_until(lambda: handles_term(process.pid), what="its handler of SIGTERM")
        process.terminate()
        assert process.wait(PATIENCE_S) == 4
    assert "no examiner listened" in (stage.work / "log").read_text()


def handles_term(pid: int) -> bool:
    caught = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_a_candidate_ends_with_its_examiner(stage: Stage) -> None:
    (stage.task / "train.py").write_text(
        "import os, time\n"
        "def load_model(artifact):\n"
        "    open('child', 'w').write(str(os.getpid()))\n"
        "    while True: time.sleep(60)\n"
    )
    stage.lay_out()
    with (stage.work / "log").open("w") as log:
        examiner, candidate = stage.start("examine", output=log), stage.start("candidate", output=log)
        wait_until(
            lambda: (stage.task / "child").exists() and bool((stage.task / "child").read_text()), what="its process id"
        )
        examiner.kill()
        examiner.wait()
        assert candidate.wait(PATIENCE_S) == 4
    assert not Path("/proc", (stage.task / "child").read_text()).exists()


# Probe -------------------------------------------------------------------------------------------


NOTES_ITS_QUESTIONS = """
    import os, time
    from exam.language import protocol
    read = protocol.read_request

    def noted(peer):
        request = read(peer)
        if request is not None:
            with open(f"round-{os.getpid()}", "a") as file:
                cuts = None if request.cuts is None else request.cuts.tolist()
                print([time.monotonic(), request.tokens.tolist(), cuts], file=file)
        return request

    protocol.read_request = noted
    return model
"""


def test_probes_are_asked_last_by_a_process_of_their_own_and_hold_no_label(stage: Stage) -> None:
    (stage.task / "train.py").write_text(HONEST.replace("\n    return model\n", NOTES_ITS_QUESTIONS))

    result = run_exam(stage).result

    assert result is not None
    assert result["verdict"] == "scored", result["explanation"]
    rounds = [[ast.literal_eval(line) for line in path.read_text().splitlines()] for path in stage.task.glob("round-*")]
    *whole, probes = sorted(rounds)
    assert len(whole) == 2
    assert all(cuts is None for asked in whole for _, _, cuts in asked)
    tokens = [row for _, batch, _ in probes for row in batch]
    cuts = [cut for _, _, batch in probes for cut in batch]
    assert len(tokens) == len(cuts) == 48
    sequences = np.load(stage.data / "validation/sequences.npy").tolist()
    for row, cut in zip(tokens, cuts, strict=True):
        [original] = [sequence for sequence in sequences if sequence[: cut + 1] == row[: cut + 1]][:1]
        assert cut + 1 == len(row) or row[cut + 1] != original[cut + 1]


@settings(max_examples=30)
@given(st.integers(2, 40), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_batches_change_no_answer_at_the_cuts(count: int, rows: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    tokens, cuts = generator.integers(0, 32, (count, 6)), generator.integers(0, 6, count)
    labels = generator.integers(0, 32, (count, 1))
    ours, theirs = socket.socketpair()

    def serve() -> None:
        while request := protocol.read_request(theirs):
            whole = LANGUAGE.logits[request.tokens, request.tokens].astype(np.float16)
            protocol.write_reply(theirs, request.id, request.choose(whole))

    with theirs, ThreadPoolExecutor(1) as threads:
        served = threads.submit(serve)
        with ours:
            candidate = CandidateSession(ours, ours, TimeLimits(), Deadline.after(600), time.monotonic() + 600)
            answered = ask_all(candidate, Round(tokens, labels, cuts), vocabulary=32, rows=rows)
        served.result(PATIENCE_S)

    at_cuts = LANGUAGE.logits[tokens, tokens].astype(np.float16)[np.arange(count), cuts]
    np.testing.assert_allclose(answered[:, 0], nll(at_cuts, labels[:, 0]), rtol=1e-6)


# The agent's model -------------------------------------------------------------------------------


class Doubler(torch.nn.Module):
    """Answers with the token id as every logit, in a precision of its own."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.full((), 2.0, dtype=dtype))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        assert tokens.dtype == torch.int64
        assert torch.is_inference_mode_enabled()
        return (tokens.to(self.scale.dtype) * self.scale)[..., None].expand(-1, -1, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_a_module_answers_in_float16_whatever_its_precision(dtype: torch.dtype) -> None:
    logits = model.ask(Doubler(dtype), np.array([[1, 2], [3, 4]]))
    assert logits.dtype == np.float16
    np.testing.assert_array_equal(logits[..., 0], [[2, 4], [6, 8]])


def test_asking_switches_no_mode_of_the_model() -> None:
    asked = Doubler(torch.float32)
    model.ask(asked, np.array([[1]]))
    assert asked.training, "a model left in training mode must be examined as it is"


# The self-test -----------------------------------------------------------------------------------


@pytest.mark.timeout(900)
def test_the_selftest_passes_and_says_what_it_did() -> None:
    command = [sys.executable, "-m", "exam.selftest"]
    ended = subprocess.run(command, cwd=TASK, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines() == [
        "pass  an honest model passes",
        "pass  looking ahead is caught",
        "pass  memory between questions is caught",
        "pass  knowing the exam's text by heart is caught",
        "pass  an answer of NaN is caught",
    ]


def test_the_selftest_fails_when_a_cheat_passes() -> None:
    from exam.language.selftest import CASES, find_difference

    scored = Rehearsal({"verdict": "scored", "test": None, "explanation": None}, 0, 3, "")
    assert find_difference(scored, CASES["an honest model passes"]) is None
    assert find_difference(scored, CASES["looking ahead is caught"]) is not None
    assert find_difference(replace(scored, result=None), CASES["an honest model passes"]) is not None
