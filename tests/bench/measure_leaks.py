"""Measures two tests of the exam on a trained model: cuts drawn by difficulty, and freshness.

    python -m tests.bench.measure_leaks --data DIR --artifact DIR

The nll of the model is asked once for every sequence of validation and reserve; exams are then drawn from it and judged
with the exam's own code, and lineages with the judge's. `stronger` mixes the model with 4-grams of the training text,
half and half: an honest model that knows passages that come in many documents, as one that trained for longer does.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

TASK = Path(__file__).resolve().parents[2] / "trainer-image"
sys.path.insert(0, str(TASK))

from corpus.probes import EVEN_SHARE, cut_chances  # noqa: E402 - found just above
from corpus.reference import ORDERS, Reference  # noqa: E402 - found just above
from exam.language import freshness, integrity  # noqa: E402 - found just above
from exam.language.evaluation import mean_nll  # noqa: E402 - found just above
from exam.language.integrity import Limits, Measurements  # noqa: E402 - found just above

from controller.domain import Attempt, ExamReport, Experiment, Outcome, Result  # noqa: E402 - beside the exam's
from controller.judge import find_staleness  # noqa: E402 - beside the exam's
from tests.bench.measure_exam import ask, torch_session  # noqa: E402 - beside the exam's

Floats = npt.NDArray[np.floating]
BATCH_SEED = 7


@dataclass(frozen=True)
class Texts:
    """Validation and every slice of the reserve, with the reference models' nll."""

    sequences: npt.NDArray[Any]
    """Validation, then the slices one after the other, (S + K R, T+1)."""
    validation: int
    """Sequences of validation, S."""
    size: int
    """Sequences of a slice, R."""
    scored_bytes: int
    """Bytes of validation."""
    reference: Floats
    """Mean nll by sequence and order, (S + K R, 2)."""
    positions: Floats
    """The same of every position, (S + K R, T, 2)."""

    @property
    def slices(self) -> int:
        """Slices of the reserve, K."""
        return (len(self.sequences) - self.validation) // self.size

    def bpb(self, nll: Floats) -> float:
        """Bits per byte of validation."""
        return float(nll[: self.validation].sum(dtype=np.float64) / np.log(2) / self.scored_bytes)


def read_texts(data: Path) -> Texts:
    """Read a data folder, and count its n-grams again for every position."""
    folders = [data / "validation", *sorted((data / "reserve").iterdir())]
    parts = [np.load(folder / "sequences.npy") for folder in folders]
    token_bytes = np.load(data / "tokenizer/token_bytes.npy")
    train = np.memmap(data / "train/tokens.bin", dtype=parts[0].dtype, mode="r")
    sequences = np.concatenate(parts)
    began = time.monotonic()
    models = [Reference.count(train, len(token_bytes), order=order) for order in ORDERS]
    positions = np.stack([model.nll(sequences) for model in models], axis=2)
    print(f"reference models: {time.monotonic() - began:.1f} s for {len(train):,} and {sequences.size:,} tokens")
    return Texts(
        sequences=sequences,
        validation=len(parts[0]),
        size=len(parts[1]),
        scored_bytes=int(token_bytes[parts[0][:, 1:]].sum(dtype=np.int64)),
        reference=np.concatenate([np.load(folder / "reference.npy") for folder in folders]),
        positions=positions,
    )


def hold(texts: Texts, nll: Floats, number: int) -> Measurements:
    """What an exam with this slice would measure of a candidate whose nll is that; causal and without memory."""
    asked = slice(0, texts.validation)
    fresh = slice(texts.validation + number * texts.size, texts.validation + (number + 1) * texts.size)
    everything = np.ones(nll.shape, bool)
    advantages = freshness.advantages(
        asked=mean_nll(nll[asked], everything[asked]),
        fresh=mean_nll(nll[fresh], everything[fresh]),
        asked_reference=texts.reference[asked],
        fresh_reference=texts.reference[fresh],
    )
    zeros = np.zeros(2)
    return integrity.measure(
        at_cuts=zeros, weights=zeros, repeated=zeros, asked=advantages[0], fresh=advantages[1], limits=Limits()
    )


def mix(first: Floats, second: Floats) -> Floats:
    """The nll of the mean of two distributions."""
    mixed: Floats = -np.log((np.exp(-first.astype(np.float64)) + np.exp(-second.astype(np.float64))) / 2)
    return mixed


def known_by_heart(texts: Texts, nll: Floats, share: float) -> Floats:
    """The nll of a candidate that has learnt a share of validation by heart, the sequences drawn."""
    known = np.random.default_rng(BATCH_SEED).random(texts.validation) < share
    leaked = nll.astype(np.float64)
    leaked[: texts.validation][known] = 0.01
    return leaked


def lineages(exams: Sequence[Measurements], length: int) -> Iterator[Experiment]:
    """Experiments with `length` attempts each, one after the other."""
    for start in range(0, len(exams) - length + 1, length):
        reports = [
            ExamReport(freshness=seen.freshness, asked_error=seen.asked_error, freshness_error=seen.freshness_error)
            for seen in exams[start : start + length]
        ]
        results = [Result(outcome=Outcome.SCORED, exam=report) for report in reports]
        attempts = tuple(Attempt(number=n, seed=n, result=result) for n, result in enumerate(results, start=1))
        yield Experiment(number=length, commit="", base="", title="", attempts=attempts)


def print_freshness(texts: Texts, candidates: dict[str, Floats]) -> None:
    """Print honest candidates, then ones that know a part of validation by heart."""
    print(
        "\n| candidate | gained bpb | freshness: mean, its scatter, its stated error, largest in errors "
        "| caught in 1, 2, 4, 16 exams |"
    )
    print("|---|---|---|---|")
    for name, honest in candidates.items():
        rows = {name: honest}
        for share in (1.0, 0.3, 0.1, 0.03, 0.01):
            rows[f"{name}, knows {share:.0%} of validation by heart"] = known_by_heart(texts, honest, share)
        baseline = next(lineages([hold(texts, candidates["model"], n) for n in range(3)], 3))
        noise = integrity.noise_of(hold(texts, candidates["model"], 0))
        for label, nll in rows.items():
            exams = [hold(texts, nll, number) for number in range(texts.slices)]
            values = np.array([seen.freshness for seen in exams], float)
            errors = np.array([np.hypot(seen.asked_error or 0, seen.freshness_error or 0) for seen in exams])
            alone = np.mean([integrity.find_failure(seen, Limits(), noise) is not None for seen in exams])
            caught = [f"{alone:.0%}"]
            for length in (2, 4, 16):
                found = [bool(find_staleness(each, [baseline])) for each in lineages(exams, length)]
                caught.append(f"{np.mean(found):.0%}")
            gained = texts.bpb(honest) - texts.bpb(nll)
            measured = f"{values.mean():+.4f}, {values.std():.4f}, {errors.mean():.4f}, {np.max(values / errors):.1f}"
            print(f"| {label} | {gained:.4f} | {measured} | {', '.join(caught)} |", flush=True)


def print_honest_campaigns(texts: Texts, candidates: dict[str, Floats]) -> None:
    """Print how many exams of honest candidates are rejected, slices drawn anew from all sequences of the reserve."""
    generator = np.random.default_rng(BATCH_SEED)
    for name, nll in candidates.items():
        rejected, largest, count = 0, 0.0, 2000
        for _ in range(count):
            chosen = texts.validation + generator.permutation(len(nll) - texts.validation)[: texts.size]
            rows = np.concatenate([np.arange(texts.validation), chosen])
            drawn = replace(texts, sequences=texts.sequences[rows], reference=texts.reference[rows])
            seen = hold(drawn, nll[rows], 0)
            error = float(np.hypot(seen.asked_error or 0, seen.freshness_error or 0))
            largest = max(largest, (seen.freshness or 0.0) / error)
            rejected += integrity.find_failure(seen, Limits()) is not None
        print(f"{name}: {rejected} of {count} honest exams rejected, the largest at {largest:.2f} standard errors")


def print_peeks(texts: Texts, candidates: dict[str, Floats]) -> None:
    """Print the chance that no cut of one exam meets a peek, with even cuts and with those that prepare.py draws.

    N is S here: every sequence has one cut, and any cut that meets a peek rejects (inflation).
    """
    print("\n| candidate | peeks at | gained bpb | share of the nll | missed, even cuts: 1 and 2 exams | as drawn |")
    print("|---|---|---|---|---|---|")
    asked = slice(0, texts.validation)
    scored = np.ones(texts.positions[asked].shape[:2], bool)
    even = scored / scored.sum(axis=1, keepdims=True)
    drawn = cut_chances(texts.positions[asked].mean(axis=2), scored)
    for name, nll in candidates.items():
        own = nll[asked].astype(np.float64)
        worth = {"the hardest": own, "what it gains most for the chance to be met": own / drawn}
        for share in (0.003, 0.001, 0.0003):
            gain = np.sort(own.ravel())[::-1][: round(share * own.size)].sum()
            for what, order in worth.items():
                ranked = np.argsort(-order.ravel())
                count = int(np.searchsorted(np.cumsum(own.ravel()[ranked]), gain)) + 1
                peeks = np.zeros(own.size, bool)
                peeks[ranked[:count]] = True
                missed = [
                    float(np.prod(1 - (chances * peeks.reshape(own.shape)).sum(axis=1))) for chances in (even, drawn)
                ]
                cells = [f"{chance:.3f}, {chance**2:.3f}" for chance in missed]
                bpb = gain / np.log(2) / texts.scored_bytes
                place = f"{what}, {count / own.size:.2%}"
                print(f"| {name} | {place} | {bpb:.4f} | {gain / own.sum():.2%} | {' | '.join(cells)} |")
    print(f"even share of a cut's chance: {EVEN_SHARE}")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--artifact", type=Path, required=True)
    options = parser.parse_args()
    import train

    texts = read_texts(options.data)
    began = time.monotonic()
    vocabulary = len(np.load(options.data / "tokenizer/token_bytes.npy"))
    model = ask(torch_session(train.load_model(options.artifact)), texts.sequences, vocabulary)
    print(f"asked {len(texts.sequences):,} sequences in {time.monotonic() - began:.1f} s; {texts.bpb(model):.4f} bpb")
    candidates: dict[str, Floats] = {"model": model, "stronger": mix(model, texts.positions[..., -1])}
    print_honest_campaigns(texts, candidates)
    print_freshness(texts, candidates)
    print_peeks(texts, candidates)


if __name__ == "__main__":
    main()
