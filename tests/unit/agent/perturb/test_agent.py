"""The control group: one sensible step at a time, never twice, spread over the constants, led by what was kept."""

from __future__ import annotations

import ast
import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.perturb import PerturbAgent
from controller.agent.perturb.constants import Constant, find_constants, replace_literals
from controller.agent.perturb.steps import find_alternatives
from controller.domain import Experiment, Judgement, Proposal, Verdict
from controller.edits.novelty import fingerprint
from controller.ports import Abandoned, ProposalRequest
from controller.settings import AgentSettings
from tests.support.requests import proposal_request

TRAIN = '''"""A small GPT, in the manner of the tasks that are brought to us."""

import os

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SEED = 42
DATA_DIR = "data"
TIME_BUDGET = 300  # seconds, 60 to 600
UNUSED = 3

if DEVICE == "cuda":
    DEPTH = 8  # layers, 4 to 16
    WIDTH = 512  # channels, 256 to 1024
    TOTAL_BATCH_SIZE = 2**18  # tokens, 2**16 to 2**20
else:
    DEPTH = 3  # layers, 1..6
    WIDTH = 128  # channels, 64 to 384
    TOTAL_BATCH_SIZE = 2_048  # tokens

# Grüße: bytes and characters differ on the next lines, σ included.
ACTIVATION = "relu2"  # relu2 | gelu | swiglu
QK_NORM = True  # σ-free
MATRIX_LR, EMBEDDING_LR = 0.04, 0.3  # Muon; AdamW
ADAM_BETAS = (0.8, 0.95)
LABELS = {"σ": 0.3, "decay": 1e-4}
WARMUP_RATIO = 0.0  # 0 to 0.1
WARMDOWN_RATIO = 0.5
GRADIENT_CLIP = 0.0  # largest norm, 0.1 to 10; 0 = off
GPU_DROPOUT = 0.1
CPU_DROPOUT = 0.2
COMPILE = DEVICE != "cpu"


def load_model(folder):
    return torch.load(folder)


def main():
    torch.manual_seed(SEED)
    print(DATA_DIR, TIME_BUDGET, DEPTH, WIDTH, TOTAL_BATCH_SIZE, ACTIVATION, QK_NORM, MATRIX_LR, EMBEDDING_LR)
    print(ADAM_BETAS, LABELS, WARMUP_RATIO, WARMDOWN_RATIO, GRADIENT_CLIP, GPU_DROPOUT, CPU_DROPOUT, COMPILE)
'''

LIVE_ON_CPU = {
    "DEPTH", "WIDTH", "TOTAL_BATCH_SIZE", "ACTIVATION", "QK_NORM", "MATRIX_LR", "EMBEDDING_LR", "ADAM_BETAS[0]",
    "ADAM_BETAS[1]", "LABELS[σ]", "LABELS[decay]", "WARMUP_RATIO", "WARMDOWN_RATIO", "GRADIENT_CLIP", "CPU_DROPOUT",
}  # fmt: skip

OUR_TASK = Path(__file__).parents[4] / "trainer-image" / "train.py"


@cache
def known_fingerprint(train: str) -> str:
    """A fingerprint, computed once: each request of a long campaign names all earlier programs."""
    return fingerprint({"train.py": train})


def request_after(
    train: str = TRAIN,
    *,
    number: int = 1,
    past: Sequence[tuple[str, Verdict | None]] = (),
    tried: Sequence[str] = (),
    refused: tuple[str, ...] = (),
    pending: tuple[str, ...] = (),
) -> ProposalRequest:
    experiments = tuple(
        Experiment(
            number=n,
            commit=f"c{n}",
            base="c0",
            title=title,
            judgement=None if verdict is None else Judgement(verdict=verdict, reason="", order=n),
        )
        for n, (title, verdict) in enumerate(past, start=1)
    )
    return proposal_request(
        {"train.py": train},
        number=number,
        experiments=experiments,
        fingerprints=frozenset(known_fingerprint(text) for text in (train, *tried)),
        refused=refused,
        pending=pending,
    )


def perturb_agent(*, seed: int = 0, accelerator: bool = False) -> PerturbAgent:
    return PerturbAgent(AgentSettings(seed=seed), accelerator=accelerator)


def proposed(request: ProposalRequest, *, seed: int = 0, accelerator: bool = False) -> Proposal:
    answer = perturb_agent(seed=seed, accelerator=accelerator).propose(request)
    assert isinstance(answer, Proposal), answer
    return answer


def play(train: str, *, count: int, keep: Mapping[int, Verdict] | None = None) -> list[tuple[str, Proposal]]:
    """Ask `count` times, discarding every proposal but those in `keep`; each with the text it was made on."""
    past: list[tuple[str, Verdict | None]] = []
    tried: list[str] = []
    played = []
    for number in range(1, count + 1):
        proposal = proposed(request_after(train, number=number, past=past, tried=tried))
        verdict = (keep or {}).get(number, Verdict.DISCARD)
        played.append((train, proposal))
        past.append((proposal.title, verdict))
        tried.append(proposal.files["train.py"])
        train = proposal.files["train.py"] if verdict is Verdict.KEEP else train
    return played


def changed_lines(before: str, after: str) -> list[str]:
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line.startswith(("- ", "+ "))]


def constants(train: str, *, accelerator: bool = False) -> dict[str, str]:
    return {c.label: c.text for c in find_constants("train.py", train, accelerator=accelerator)}


def changeable(train: str, *, accelerator: bool = False) -> dict[str, tuple[str, ...]]:
    found = find_constants("train.py", train, accelerator=accelerator)
    return {constant.label: texts for constant in found if (texts := find_alternatives(constant))}


def make_constant(value: float | str, *, label: str = "RATE", text: str = "", comment: str = "") -> Constant:
    text = text or repr(value)
    return Constant(path="t.py", label=label, value=value, text=text, comment=comment, line=1, start=0, end=len(text))


# A hundred proposals in a row


def test_a_hundred_proposals_parse_are_new_and_say_what_they_changed() -> None:
    kept = dict.fromkeys(range(7, 100, 9), Verdict.KEEP)

    played = play(TRAIN, count=100, keep=kept)

    assert len({fingerprint(dict(proposal.files)) for _, proposal in played}) == 100
    for before, proposal in played:
        after = proposal.files["train.py"]
        ast.parse(after)
        title, steps = proposal.title, proposal.title.split(", ")
        assert proposal.base == "c0"
        assert proposal.agent == "perturb"
        assert proposal.hypothesis.endswith(".")
        assert len(changed_lines(before, after)) in ({2} if len(steps) == 1 else {2, 4}), title
        for step in steps:
            label, old, _, new = step.split(" ")
            assert old == constants(before)[label].strip('"')
            assert new == constants(after)[label].strip('"')


def test_single_steps_come_before_pairs() -> None:
    singles = sum(len(texts) for texts in changeable(TRAIN).values())

    strategies = [proposal.strategy for _, proposal in play(TRAIN, count=singles + 3)]

    assert ["perturb:single"] * singles + ["perturb:pair"] * 3 == strategies


def test_every_constant_has_its_turn_before_one_has_a_second() -> None:
    live = set(changeable(TRAIN))

    turns = [proposal.title.split(" ")[0] for _, proposal in play(TRAIN, count=2 * len(live))]

    assert live == LIVE_ON_CPU == set(turns[: len(live)])
    assert max(Counter(turns).values()) <= 3  # those with one alternative leave their second turn to others


def test_first_turns_fall_on_all_constants_alike() -> None:
    firsts = Counter(proposed(request_after(number=n)).title.split(" ")[0] for n in range(150))

    assert set(firsts) == LIVE_ON_CPU
    assert max(firsts.values()) < 30


def test_the_same_request_gets_the_same_proposal_and_another_number_or_seed_another() -> None:
    first = proposed(request_after(number=5))

    assert first == proposed(request_after(number=5))
    assert len({proposed(request_after(number=n)).title for n in range(10)}) > 5
    assert len({proposed(request_after(number=5), seed=seed).title for seed in range(10)}) > 5


def test_a_refused_proposal_is_followed_by_another() -> None:
    titles = {proposed(request_after(number=5, refused=("no",) * times)).title for times in range(5)}

    assert len(titles) > 2


def test_waiting_proposals_are_not_repeated() -> None:
    request = request_after("A = True\nB = True\nprint(A, B)\n", pending=("A True → False",))

    assert proposed(request).title == "B True → False"


def test_our_own_task_has_plenty_to_change_on_both_devices() -> None:
    train = OUR_TASK.read_text()

    for accelerator in (False, True):
        steps = changeable(train, accelerator=accelerator)
        assert sum(len(texts) for texts in steps.values()) > 60
        assert not {"DEVICE", "SAVE_SECONDS", "PEAK_FLOPS"} & set(steps)
        proposal = proposed(request_after(train), accelerator=accelerator)
        assert len(changed_lines(train, proposal.files["train.py"])) == 2


# Learning from verdicts


def test_a_kept_step_is_often_followed_the_same_way() -> None:
    train = TRAIN.replace("0.04, 0.3", "0.04, 0.6")
    past = [("EMBEDDING_LR 0.3 → 0.6", Verdict.KEEP)]

    answers = [proposed(request_after(train, number=n, past=past)) for n in range(120)]

    further = [a for a in answers if a.strategy == "perturb:continue"]
    assert 0.2 < len(further) / len(answers) < 0.5
    assert {a.title for a in further} == {f"EMBEDDING_LR 0.6 → {new}" for new in ("0.75", "0.9", "1.2")}
    assert all("was kept" in a.hypothesis for a in further)


def test_a_kept_step_is_rarely_taken_back() -> None:
    past = [("RATE 0.2 → 0.4", Verdict.KEEP)]

    titles = [proposed(request_after("RATE = 0.4\nprint(RATE)\n", number=n, past=past)).title for n in range(100)]

    back = [title for title in titles if float(title.split(" ")[-1]) < 0.4]
    assert len(back) < 15


def test_a_constant_is_not_continued_from_a_value_it_no_longer_has() -> None:
    past = [("EMBEDDING_LR 0.6 → 0.9", Verdict.KEEP)]

    assert all(proposed(request_after(number=n, past=past)).strategy == "perturb:single" for n in range(20))


def test_the_way_that_failed_is_tried_less() -> None:
    train = "RATE = 0.2\nprint(RATE)\n"
    past = [("RATE 0.2 → 0.4", Verdict.DISCARD), ("RATE 0.2 → 0.3", Verdict.CRASH)]

    answers = Counter(proposed(request_after(train, number=n, past=past)).title for n in range(100))

    assert answers["RATE 0.2 → 0.25"] < 20
    assert set(answers) == {f"RATE 0.2 → {new}" for new in ("0.1", "0.14", "0.16", "0.25")}


def test_steps_that_crashed_are_left_out_of_pairs() -> None:
    train = "A = True\nB = True\nC = True\nprint(A, B, C)\n"
    past = [(f"{name} True → False", Verdict.CRASH if name == "A" else Verdict.DISCARD) for name in "ABC"]

    answer = proposed(request_after(train, past=past))

    assert answer.title == "B True → False, C True → False"
    assert answer.files["train.py"] == "A = True\nB = False\nC = False\nprint(A, B, C)\n"


def test_what_failed_on_an_earlier_incumbent_has_a_second_chance_when_all_else_was_tried() -> None:
    now = "A = True\nB = 1  # 1 or 2\nprint(A, B)\n"
    past: list[tuple[str, Verdict | None]] = [
        ("A True → False", Verdict.DISCARD),
        ("B 1 → 2", Verdict.DISCARD),
        ("A True → False, B 1 → 2", Verdict.DISCARD),
    ]

    assert proposed(request_after(now, past=past)).strategy == "perturb:second-chance"


def test_it_is_exhausted_only_when_every_step_and_pair_was_tried() -> None:
    texts = [f"A = {a}\nB = {b}\nprint(A, B)\n" for a in (True, False) for b in (True, False)]
    titles = [(title, Verdict.DISCARD) for title in ("A True → False", "B True → False")]

    assert isinstance(perturb_agent().propose(request_after(texts[0], past=titles, tried=texts[:3])), Proposal)
    answer = perturb_agent().propose(request_after(texts[0], past=titles, tried=texts))

    assert isinstance(answer, Abandoned)
    assert answer.exhausted


def test_it_waits_for_verdicts_that_may_open_new_steps() -> None:
    texts = [f"A = {a}\nprint(A)\n" for a in (True, False)]

    answer = perturb_agent().propose(request_after(texts[0], tried=texts, pending=("A True → False",)))

    assert isinstance(answer, Abandoned)
    assert not answer.exhausted
    assert answer.retry_after > 0


@pytest.mark.parametrize("train", ["rate = 0.1\nprint(rate)\n", "RATE = (\n", ""])
def test_a_program_without_constants_is_told_from_one_that_is_used_up(train: str) -> None:
    answer = perturb_agent().propose(request_after(train))

    assert isinstance(answer, Abandoned)
    assert answer.exhausted
    assert answer.reason.startswith("train.py: no upper-case constant")


# Which constants


def test_only_the_branch_of_the_device_in_use_is_changed() -> None:
    on_cpu, on_gpu = changeable(TRAIN), changeable(TRAIN, accelerator=True)

    assert (on_cpu["DEPTH"], on_gpu["DEPTH"]) == (("2", "4", "6"), ("4", "6", "7", "9", "10", "12", "16"))
    assert (on_cpu["WIDTH"], on_gpu["WIDTH"]) == (("64", "256"), ("256", "1024"))
    assert ("CPU_DROPOUT" in on_cpu, "GPU_DROPOUT" in on_cpu) == (True, False)
    assert ("CPU_DROPOUT" in on_gpu, "GPU_DROPOUT" in on_gpu) == (False, True)


@pytest.mark.parametrize(
    "train",
    [
        pytest.param("if torch.cuda.is_available():\n    X = 8\nelse:\n    X = 3", id="availability"),
        pytest.param("if not torch.cuda.is_available():\n    X = 3\nelse:\n    X = 8", id="not available"),
        pytest.param("if DEVICE.type != 'cpu':\n    X = 8\nelse:\n    X = 3", id="unequal"),
        pytest.param("if DEVICE == 'cpu':\n    X = 3\nelif BIG:\n    X = 8\nelse:\n    X = 8", id="elif"),
        pytest.param("X = 8 if ON_GPU else 3", id="a conditional expression"),
        pytest.param("X = 3\nif ON_GPU:\n    X = 8", id="a default that the branch replaces"),
    ],
)
def test_the_live_branch_is_known_however_the_device_is_asked(train: str) -> None:
    assert constants(train + "\nprint(X)") == {"X": "3"}
    assert constants(train + "\nprint(X)", accelerator=True) == {"X": "8"}


@pytest.mark.parametrize(
    ("line", "labels"),
    [
        pytest.param("RATES: tuple = (0.1, 0.2)", ["RATES[0]", "RATES[1]"], id="a tuple with a type"),
        pytest.param("PRESET = dict(depth=3, width=64)", ["PRESET.depth", "PRESET.width"], id="keywords"),
        pytest.param("PRESETS = {'cpu': {'depth': 3}, 'gpu': {'depth': 8}}", ["PRESETS[cpu][depth]"], id="dicts"),
        pytest.param("SIZE = 64 * 1024", ["SIZE"], id="a product"),
        pytest.param("RATE = 1.0 - RATIO", [], id="an expression of names"),
        pytest.param("rate = 0.1", [], id="lower case"),
        pytest.param("RATE = (\n    0.1\n)", ["RATE"], id="in brackets"),
        pytest.param("TEXT = 'a' \\\n  'b'", [], id="over two lines"),
        pytest.param("MASK = 10**30", ["MASK"], id="a large power"),
        pytest.param("MASK = 1e300", [], id="a number too large to be a setting"),
    ],
)
def test_constants_are_found_where_people_write_them(line: str, labels: list[str]) -> None:
    read = "\nprint(RATES, PRESET, PRESETS, SIZE, RATE, rate, TEXT, MASK)"

    assert list(constants(line + read)) == labels


@pytest.mark.parametrize(
    "label",
    ["SEED", "DATA_SEED", "DEVICE", "TIME_BUDGET", "TRAIN_SECONDS", "DATA_DIR", "LOG_EVERY", "VOCAB_SIZE", "ADAM_EPS"],
)
def test_constants_that_cannot_matter_are_left_alone(label: str) -> None:
    assert find_alternatives(make_constant(2, label=label)) == ()
    assert find_alternatives(make_constant(0.5, label=label)) == ()


def test_constants_that_nothing_reads_are_left_alone() -> None:
    assert "UNUSED" not in constants(TRAIN)
    assert "UNUSED" in constants(TRAIN + "print(UNUSED)\n")


# Which values


@pytest.mark.parametrize(
    ("constant", "expected"),
    [
        pytest.param(make_constant(True), ["False"], id="a switch flips"),
        pytest.param(make_constant(0.2), ["0.1", "0.14", "0.16", "0.25", "0.3", "0.4"], id="a number steps by ratios"),
        pytest.param(
            make_constant(3e-4, text="3e-4"), ["1.5e-4", "2.1e-4", "2.4e-4", "3.7e-4", "4.5e-4", "6e-4"], id="e"
        ),
        pytest.param(make_constant(4), ["2", "3", "5", "6", "8"], id="a small integer has neighbours"),
        pytest.param(make_constant(1, label="DEPTH"), ["2"], id="never zero layers"),
        pytest.param(make_constant(64), ["32", "128"], id="a power of two stays one"),
        pytest.param(make_constant(4, label="N_HEAD"), ["2", "8"], id="a small size stays a power of two"),
        pytest.param(make_constant(384), ["192", "256", "320", "512", "576", "768"], id="a multiple of 64 stays one"),
        pytest.param(make_constant(2**18, text="2**18"), ["2**17", "2**19"], id="written as a power"),
        pytest.param(make_constant(524_288, text="524_288"), ["262_144", "1_048_576"], id="written in groups"),
        pytest.param(
            make_constant(0.95, label="BETA2"), ["0.975", "0.965", "0.96", "0.937", "0.925", "0.9"], id="share"
        ),
        pytest.param(make_constant(0.0, label="DROPOUT"), ["0.05", "0.1", "0.2"], id="a share switched on"),
        pytest.param(make_constant(0.0), ["0.01", "0.1"], id="a number switched on"),
        pytest.param(make_constant(0.0, comment="norm, 0.1 to 10; 0 = off"), ["0.1", "1.0", "10.0"], id="its range"),
        pytest.param(make_constant(0.2, comment="0 to 0.25"), ["0.1", "0.14", "0.16", "0.25", "0.0"], id="down to off"),
        pytest.param(make_constant(15.0, comment="10 to 20; 0 = off"), ["10.0", "12.0", "19.0", "0.0"], id="off"),
        pytest.param(make_constant(1e4, comment="1e2..1e6"), ["1000.0", "3000.0", "30000.0", "100000.0"], id="wide"),
        pytest.param(make_constant(-1), [], id="a sentinel"),
        pytest.param(make_constant("relu2", comment="relu2 | gelu: how"), ["'gelu'"], id="a choice"),
        pytest.param(make_constant("SSSL", comment="L is full, S is half"), [], id="text without choices"),
        pytest.param(make_constant("x", comment="a | b"), [], id="choices of something else"),
        pytest.param(make_constant(64, comment="64 or 128"), ["128"], id="numbers to choose from"),
        pytest.param(make_constant(0, comment="0 to 8"), ["2", "4", "8"], id="an integer switched on"),
    ],
)
def test_steps_are_sensible(constant: Constant, expected: list[str]) -> None:
    assert expected == list(find_alternatives(constant))


@given(
    value=st.one_of(st.integers(1, 10**9), st.floats(1e-9, 1e9)),
    low=st.integers(0, 10**6),
    span=st.integers(1, 10**6),
    label=st.sampled_from(["RATE", "WIDTH", "DEPTH"]),
)
def test_steps_keep_the_type_and_the_range_and_change_the_value(value: float, low: int, span: int, label: str) -> None:
    constant = make_constant(value, label=label, comment=f"unit, {low} to {low + span}")

    steps = [ast.literal_eval(text) for text in find_alternatives(constant)]

    assert all(type(step) is type(value) and step != value for step in steps)
    assert all(low <= step <= low + span for step in steps)
    assert len(set(steps)) == len(steps)


@given(value=st.floats(0, 1), label=st.sampled_from(["WARMUP_RATIO", "ADAM_BETA1", "DROPOUT", "MOMENTUM"]))
def test_shares_stay_between_none_and_all(value: float, label: str) -> None:
    steps = [float(text) for text in find_alternatives(make_constant(value, label=label))]

    assert all(0 < step < 1 for step in steps)


@given(value=st.integers(4, 40).map(lambda power: 2**power))
def test_powers_of_two_stay_powers_of_two(value: int) -> None:
    steps = [int(text) for text in find_alternatives(make_constant(value, label="BATCH_SIZE"))]

    assert steps == [value // 2, value * 2]


# The edit itself


@given(data=st.data())
def test_replacing_literals_changes_nothing_else(data: st.DataObject) -> None:
    found = find_constants("train.py", TRAIN, accelerator=data.draw(st.booleans()))
    chosen = data.draw(st.lists(st.sampled_from(found), unique=True))

    edited = replace_literals(TRAIN, {constant: f"{constant.text}{constant.text}" for constant in chosen})

    assert len(edited) == len(TRAIN) + sum(len(constant.text) for constant in chosen)
    assert replace_literals(TRAIN, {constant: constant.text for constant in chosen}) == TRAIN


def test_line_ends_and_letters_beyond_ascii_survive() -> None:
    train = 'X = {"ü": 0.5, "σ": 0.5}  # Größe\r\nY = True\r\nprint(X, Y)'
    (wanted,) = (c for c in find_constants("t.py", train, accelerator=False) if c.label == "X[σ]")

    assert replace_literals(train, {wanted: "0.25"}) == train.replace('"σ": 0.5', '"σ": 0.25')


def test_a_constant_of_another_editable_file_is_changed_there() -> None:
    files = {"train.py": "print('no constants')\n", "model.py": "DEPTH = 4\nprint(DEPTH)\n", "notes.txt": "RATE = 1\n"}

    answer = proposed(replace(request_after(), files=files))

    assert set(answer.files) == {"model.py"}


def test_constants_of_a_file_of_settings_are_read_by_others() -> None:
    settings = '"""Sizes."""\n\nimport math\n\nDEPTH = 4  # 1 to 9\nRATE: float = 0.1\n'

    assert [c.label for c in find_constants("config.py", settings, accelerator=False)] == ["DEPTH", "RATE"]
    assert not find_constants("train.py", f"{settings}\nprint(math.pi)\n", accelerator=False)
