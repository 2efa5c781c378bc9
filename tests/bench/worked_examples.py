"""Computes the worked experiments of docs/exam.md and docs/judging.md with the code of the exam and the judge.

    python -m tests.bench.worked_examples judging
    python -m tests.bench.worked_examples exam       a few seconds: holds two small exams with real processes

A test compares the output with the pages, so that they stay equal.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.domain import Verdict
from controller.judge import Candidate, Decision, State, make_judge
from controller.settings import JudgeSettings

REPOSITORY = Path(__file__).resolve().parents[2]

BASELINE = (1.7435, 1.7485, 1.7529)
"""Three scores of the unchanged code, in bits per byte: level and sigma near those of the demo."""

FIRST = 1.7389
"""The first score of the edit: two sigma better than the level."""

SECOND = {"confirms it": 1.7412, "does not": 1.7545}
"""The second score of the same edit, in two stories."""


def judging_example() -> str:
    """One edit with a good first score, and two ways in which its second run may end."""
    judge = make_judge(JudgeSettings(), minimize=True)
    state = judge.begin(BASELINE)
    lines = [
        f"baseline          {'  '.join(f'{score:.4f}' for score in BASELINE)}",
        f"                  level {state.level:.4f}   sigma {state.sigma:.4f}",
        "",
        *_judged("run 1", state, (FIRST,)),
    ]
    for story, second in SECOND.items():
        lines += ["", *_judged(f"run 2 {story}", state, (FIRST, second))]
    return "\n".join(lines) + "\n"


def _judged(story: str, state: State, scores: tuple[float, ...]) -> list[str]:
    """The scores, their lead, the judge's sentence, and the incumbent's level after a verdict."""
    judge = make_judge(JudgeSettings(), minimize=True)
    candidate = Candidate(scores=scores, line_change=1)
    assessment = judge.assess(state, candidate)
    lead = (state.level - fmean(scores)) / state.sigma
    lines = [
        f"{story:<18}{'  '.join(f'{score:.4f}' for score in scores)}   mean lead {lead:+.1f} σ",
        f"  {assessment.decision.value.upper():<16}{assessment.reason}",
    ]
    if assessment.decision is not Decision.RERUN:
        after = judge.conclude(state, candidate, Verdict(assessment.decision.value))
        lines.append(f"                  level {after.level:.4f} ± {after.level_error:.4f}   sigma {after.sigma:.4f}")
    return lines


def exam_example() -> str:
    """One honest model and the same model looking ahead, each through a real exam with real processes."""
    sys.path.insert(0, str(REPOSITORY / "trainer-image"))
    from exam.language.rehearsal import Language, Stage, make_data, run_exam
    from exam.language.selftest import HONEST, LOOKS_AHEAD, VOCABULARY

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        language = Language.draw(VOCABULARY, seed=1)
        make_data(folder / "data", language)
        (folder / "artifact").mkdir()
        np.save(folder / "artifact/table.npy", language.logits)
        results, probes = [], []
        for number, source in enumerate((HONEST, LOOKS_AHEAD)):
            task = folder / f"task{number}"
            task.mkdir()
            (task / "train.py").write_text(source)
            stage = Stage(task=task, data=folder / "data", artifact=folder / "artifact", work=folder / f"work{number}")
            results.append(run_exam(stage).result or {})
            probes.append(_one_probe(stage, source))
    return _exam_table(results, probes)


def _one_probe(stage: Any, source: str) -> dict[str, Any]:
    """A probe cut near the middle, answered with its next token withheld and with it present, in nats."""
    from exam.language.scoring import nll

    known: dict[str, Any] = {}
    exec(compile(source, "train.py", "exec"), known)
    model = known["load_model"](stage.artifact)
    probes = stage.data / f"probes/{stage.probe_set:02}"
    cuts, sequences = np.load(probes / "answers/cuts.npy"), np.load(stage.data / "validation/sequences.npy")
    chosen = int(np.abs(cuts - sequences.shape[1] // 2).argmin())
    cut, row = int(cuts[chosen]), sequences[np.load(probes / "answers/sequences.npy")[chosen]]
    question = np.load(probes / "questions/tokens.npy")[chosen]

    def answer(tokens: npt.NDArray[Any]) -> float:
        logits = np.asarray(model(tokens[None].astype(np.int64)))[0, cut].astype(np.float16)
        return float(nll(logits[None], row[cut + 1 : cut + 2])[0])

    return {
        "asked": " ".join(map(str, question[cut - 2 : cut + 4])),
        "exam": " ".join(map(str, row[cut - 2 : cut + 4])),
        "withheld": answer(question),
        "present": answer(row[:-1]),
    }


def _exam_table(results: list[dict[str, Any]], probes: list[dict[str, Any]]) -> str:
    """Both models side by side."""
    first = probes[0]
    lines = [
        f"tokens around one cut, in the probe round   ... {first['asked']} ...",
        f"the same place in the exam                  ... {first['exam']} ...",
        "",
        f"{'':<44}{'honest':>12}{'looks ahead':>16}",
        _row("nll of the next token, withheld (nats)", [f"{probe['withheld']:.3f}" for probe in probes]),
        _row("nll of the next token, present (nats)", [f"{probe['present']:.3f}" for probe in probes]),
        _row("inflation over all probes (nats)", [f"{result['inflation']:.4f}" for result in results]),
        _row("its standard error", [f"{result['inflation_error']:.4f}" for result in results]),
        _row("raw_bpb: as answered", [f"{result['raw_bpb']:.4f}" for result in results]),
        _row("val_bpb: after the correction", [_score(result) for result in results]),
        _row("verdict", [result["verdict"] for result in results]),
    ]
    lines += ["", *(f"{result['test']}: {result['explanation']}" for result in results if result["test"])]
    return "\n".join(lines) + "\n"


def _row(name: str, values: list[str]) -> str:
    return f"{name:<44}{values[0]:>12}{values[1]:>16}"


def _score(result: dict[str, Any]) -> str:
    return "-" if result["val_bpb"] is None else f"{result['val_bpb']:.4f}"


EXAMPLES = {"judging": judging_example, "exam": exam_example}

if __name__ == "__main__":
    sys.stdout.write(EXAMPLES[sys.argv[1]]())
