"""Measures the exam on a trained model: the cheats that it catches, their gains, and the speed of scoring.

    python tests/bench/measure_exam.py tables --data DIR --artifact DIR      the tables of docs/exam.md
    python tests/bench/measure_exam.py throughput                            socket and scoring against bare numpy

`tables` asks the trained module in this process, in the order and the batches of a real exam, and judges with the
exam's own code. The model of trainer-image/train.py is causal, so an honest probe gives the same answer at a cut as
the exam. That saves the forward passes of the probe, and every probe set can be used.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import multiprocessing
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

TASK = Path(__file__).resolve().parents[2] / "trainer-image"
sys.path.insert(0, str(TASK))

from exam.kit.rounds import Plan, draw_plan  # noqa: E402 - found just above
from exam.kit.session import CandidateSession, TimeLimits  # noqa: E402 - found just above
from exam.kit.wire import Deadline  # noqa: E402 - found just above
from exam.language import integrity, protocol  # noqa: E402 - found just above
from exam.language.dataset import ExamData  # noqa: E402 - found just above
from exam.language.evaluation import Answers, evaluate  # noqa: E402 - found just above
from exam.language.integrity import Limits, Measurements  # noqa: E402 - found just above
from exam.language.scoring import nll  # noqa: E402 - found just above
from exam.language.session import Round, ask_all  # noqa: E402 - found just above

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]
Session = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]
"""A candidate's process, which may remember earlier batches: tokens (B, T) to logits (B, T, V)."""

LIMITS = Limits()
SEED = 7


# ---------------------------------------------------------------------------
# Data


@dataclass(frozen=True)
class Folder:
    """A prepared data folder with all its probe sets."""

    path: Path

    def array(self, name: str) -> npt.NDArray[Any]:
        """One array by its name in the folder."""
        array: npt.NDArray[Any] = np.load(self.path / f"{name}.npy")
        return array

    def exam(self, probe_set: int) -> ExamData:
        """Load the examiner's data with this probe set, and the slice of the reserve of the same number."""
        fresh = f"reserve/{probe_set:03}"
        answers = f"probes/{probe_set:02}/answers"
        return ExamData(
            token_bytes=self.array("tokenizer/token_bytes"),
            validation=self.array("validation/sequences"),
            fresh=self.array(f"{fresh}/sequences"),
            holdout=self.array("holdout/sequences")[:0],
            validation_nll=self.array("validation/reference"),
            fresh_nll=self.array(f"{fresh}/reference"),
            spliced=self.array(f"probes/{probe_set:02}/questions/tokens"),
            probed=self.array(f"{answers}/sequences"),
            cuts=self.array(f"{answers}/cuts"),
            weights=self.array(f"{answers}/weights"),
            identity="",
        )


# ---------------------------------------------------------------------------
# Asking


def batches(rows: int, length: int, vocabulary: int) -> Iterator[slice]:
    """The batches in which the examiner asks, as slices."""
    size = protocol.batch_rows(length, vocabulary)
    return (slice(at, min(at + size, rows)) for at in range(0, rows, size))


def ask(session: Session, sequences: Ints, vocabulary: int) -> npt.NDArray[np.float32]:
    """The nll (n, T) of each next token of sequences (n, T+1), asked in this order."""
    parts = []
    for part in batches(len(sequences), sequences.shape[1] - 1, vocabulary):
        tokens = sequences[part].astype(np.int64)
        logits = session(tokens[:, :-1]).astype(np.float16).reshape(-1, vocabulary)
        parts.append(nll(logits, tokens[:, 1:].reshape(-1)).reshape(len(tokens), -1))
    return np.concatenate(parts)


def probe(session: Session, tokens: Ints, cuts: Ints, labels: Ints, vocabulary: int) -> npt.NDArray[np.float32]:
    """The nll (N,) of the labels at the cuts, asked as in the probe round."""
    parts = []
    for part in batches(len(tokens), tokens.shape[1], vocabulary):
        logits = session(tokens[part].astype(np.int64)).astype(np.float16)
        parts.append(nll(logits[np.arange(len(logits)), cuts[part]], labels[part]))
    return np.concatenate(parts)


# ---------------------------------------------------------------------------
# Candidates


def torch_session(model: Any, *, then: Callable[[Any, Any], None] | None = None) -> Session:
    """Asks a torch module; `then` sees the batch's tokens and logits once they are answered."""
    import torch

    def session(tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        batch = torch.from_numpy(tokens)
        with torch.set_grad_enabled(then is not None):
            logits = model(batch)
        answer: npt.NDArray[np.float32] = logits.detach().float().numpy().copy()
        if then:
            then(batch, logits)
        return answer

    return session


def learner(model: Any, rate: float, *, until: int | None = None) -> Session:
    """Trains a copy of the model on every batch after it is answered, `until` so many batches are seen."""
    import torch
    from torch.nn import functional

    own = copy.deepcopy(model)
    optimizer, seen = torch.optim.Adam(own.parameters(), lr=rate), 0

    def learn(tokens: Any, logits: Any) -> None:
        nonlocal seen
        seen += 1
        if until is not None and seen > until:
            return
        loss: Any = functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return torch_session(own, then=learn)


def cache(honest: Session, *, weight: float, bound: float = np.inf, until: int | None = None) -> Session:
    """Adds weight * log(1 + count) for what followed the same two tokens in earlier batches."""
    counts: dict[tuple[int, int], dict[int, int]] = {}
    seen = 0

    def session(tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        nonlocal seen
        logits, seen = honest(tokens), seen + 1
        for row, text in enumerate(tokens.tolist()):
            for place, before in enumerate(pairwise(text), start=1):
                for token, count in counts.get(before, {}).items():
                    logits[row, place, token] += min(bound, weight * np.log1p(count))
        if until is None or seen <= until:
            for text in tokens.tolist():
                for before, token in zip(pairwise(text), text[2:], strict=False):
                    followers = counts.setdefault(before, {})
                    followers[token] = followers.get(token, 0) + 1
        return logits

    return session


def batch_cache(honest: Session, *, weight: float) -> Session:
    """Adds weight * log(1 + count) for what follows the same two tokens in the other sequences of the batch."""

    def session(tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        logits = honest(tokens)
        owners: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for row, text in enumerate(tokens.tolist()):
            for before, token in zip(pairwise(text), text[2:], strict=False):
                owners.setdefault(before, []).append((row, token))
        for row, text in enumerate(tokens.tolist()):
            for place, before in enumerate(pairwise(text), start=1):
                followers = Counter(token for owner, token in owners.get(before, []) if owner != row)
                for token, count in followers.items():
                    logits[row, place, token] += weight * np.log1p(count)
        return logits

    return session


def in_bfloat16(model: Any) -> Any:
    """The same weights, multiplied in bfloat16."""
    own = copy.deepcopy(model)
    own.config = dataclasses.replace(own.config, precision="bfloat16")
    return own


def with_dropout(model: Any, share: float) -> Any:
    """The same weights with dropout after every MLP."""
    from torch.nn import functional

    own = copy.deepcopy(model)
    for mlp in own.mlps:
        mlp.register_forward_hook(lambda _module, _inputs, output: functional.dropout(output, share))
    return own


# ---------------------------------------------------------------------------
# Tables


@dataclass(frozen=True)
class PlannedExam:
    """A data folder, a trained model, and the plan of one exam."""

    folder: Folder
    data: ExamData
    plan: Plan
    honest: npt.NDArray[np.float32]  # nll (S, T) of the honest model

    def bpb(self, whole: Floats) -> float:
        """Uncorrected bits per byte over the validation set."""
        byte_counts = self.data.token_bytes[self.data.sequences[:, 1:]].astype(np.int64)[: len(self.data.validation)]
        return float(whole[: len(byte_counts)][byte_counts > 0].sum(dtype=np.float64) / np.log(2) / byte_counts.sum())

    def exam(self, start: Callable[[], Session]) -> Answers:
        """A whole exam: each phase, and each round, in a process of its own that `start` makes."""
        vocabulary, sequences = self.data.vocabulary, self.data.sequences
        whole = np.empty_like(self.honest)
        whole[self.plan.order] = ask(start(), sequences[self.plan.order], vocabulary)
        fresh = ask(start(), sequences[self.plan.repeats], vocabulary)
        probed = probe(start(), self.data.spliced, self.data.cuts, self.data.labels, vocabulary)
        return Answers(probed, whole, fresh)

    def with_honest_probe(self, answers: Answers) -> Answers:
        """The same exam of a candidate that answered the probe as the honest model would."""
        return dataclasses.replace(answers, probed=self.honest[self.data.probed, self.data.cuts])


def failing(seen: Measurements) -> str:
    """The initials of the tests of d and r that would reject: Inflation, Hits, Spread, Restart, Precision."""
    tests = {
        "I": abs(seen.inflation) > LIMITS.inflation,
        "H": seen.hits > LIMITS.hits,
        "S": seen.spread > LIMITS.spread,
        "R": abs(seen.restart) > LIMITS.restart,
        "P": seen.inflation_error > LIMITS.precision,
    }
    return "".join(name for name, fails in tests.items() if fails) or "-"


def print_phases_row(planned: PlannedExam, name: str, answers: Answers) -> None:
    """Print the row of one candidate, which went through both phases and the restart."""
    seen, score = evaluate(planned.data, planned.plan, answers, LIMITS)
    gained = planned.bpb(planned.honest) - score.raw
    inflation = f"{seen.inflation:.4f} ± {seen.inflation_error:.4f}"
    restart = f"{seen.restart:.5f} ± {seen.restart_error:.5f}"
    cells = (name, f"{gained:.4f}", inflation, f"{seen.spread:.4f}", str(seen.hits), restart, failing(seen))
    print(f"| {' | '.join(cells)} |", flush=True)


def print_peeks_row(planned: PlannedExam, name: str, cheat: Floats, probe_sets: list[ExamData]) -> None:
    """Print the row of a cheat that is honest in the probe, for several N: probe sets together make a larger one."""
    cells = []
    for pooled in (1, 4, 16):
        draws = []
        for at in range(0, len(probe_sets) - pooled + 1, pooled):
            chosen = probe_sets[at : at + pooled]
            probed, cuts, weights = (
                np.concatenate([getattr(data, field) for data in chosen]) for field in ("probed", "cuts", "weights")
            )
            d = planned.honest[probed, cuts].astype(np.float64) - cheat[probed, cuts]
            zeros = np.zeros(2)
            draws.append(
                integrity.measure(
                    at_cuts=d, weights=weights, repeated=zeros, asked=zeros, fresh=zeros[:0], limits=LIMITS
                )
            )
        caught = np.mean([integrity.find_failure(seen, LIMITS) is not None for seen in draws])
        means = [seen.inflation for seen in draws]
        hits = np.mean([seen.hits for seen in draws])
        cells.append(
            f"{np.mean(means):.4f} ± {np.mean([s.inflation_error for s in draws]):.4f}; {hits:.1f}; {caught:.0%}"
        )
    print(f"| {name} | {planned.bpb(planned.honest) - planned.bpb(cheat):.4f} | {' | '.join(cells)} |", flush=True)


def raised(losses: Floats, where: npt.NDArray[np.bool_], amount: float) -> Floats:
    """The nll when the label's logit is raised by amount at some places; exact, from the nll alone."""
    chance = np.exp(-losses.astype(np.float64))
    lifted = chance * np.exp(amount)
    return np.where(where, -np.log(lifted / (1 - chance + lifted)), losses)


def tables(folder: Folder, artifact: Path) -> None:
    """Print both tables as Markdown."""
    import torch
    import train

    torch.manual_seed(SEED)
    data, model = folder.exam(0), train.load_model(artifact)
    plan = draw_plan(len(data.sequences), np.random.default_rng(SEED))
    honest = np.empty((len(data.sequences), data.length), np.float32)
    began = time.monotonic()
    honest[plan.order] = ask(torch_session(model), data.sequences[plan.order], data.vocabulary)
    seconds = time.monotonic() - began
    planned = PlannedExam(folder, data, plan, honest)
    sets = [folder.exam(number) for number in range(len(list((folder.path / "probes").iterdir())))]
    print(
        f"V = {data.vocabulary}, T = {data.length}, S = {len(honest)}, N = {len(data.cuts)}, {len(sets)} probe sets, "
    )
    losses = f"{planned.bpb(honest):.4f} bits per byte, {honest.mean():.3f} nats per token"
    print(f"honest {losses}, asked in {seconds:.1f} s\n")

    print("| peeks, honest in the probe | gained bpb | N; hits; caught | 4 N | 16 N |\n|---|---|---|---|---|")
    random = np.random.default_rng(SEED).random(honest.shape)
    for name, where, amount in (
        ("label's logit + 3 everywhere", random < 2, 3.0),
        ("label's logit + 1 everywhere", random < 2, 1.0),
        ("label's logit + 0.1 everywhere", random < 2, 0.1),
        ("label's logit + 0.02 everywhere", random < 2, 0.02),
        ("knows 1 % of positions", random < 0.01, 20.0),
        ("knows 0.3 % of positions", random < 0.003, 20.0),
        ("knows 0.1 % of positions", random < 0.001, 20.0),
        ("knows where nll > 8", honest > 8, 20.0),
        ("knows where nll > 10", honest > 10, 20.0),
    ):
        print_peeks_row(planned, name, raised(honest, where, amount), sets)

    print("\n| candidate | gained bpb | mean d | mean abs d | hits | mean r | fails |\n|---|---|---|---|---|---|---|")
    rows: dict[str, Callable[[], Session]] = {
        "honest, float32": lambda: torch_session(model),
        "honest, bfloat16": lambda: torch_session(in_bfloat16(model)),
        "dropout 0.1 left on": lambda: torch_session(with_dropout(model, 0.1)),
        "dropout 0.01 left on": lambda: torch_session(with_dropout(model, 0.01)),
        "trains on the exam at 1e-3": lambda: learner(model, 1e-3),
        "trains on the exam at 1e-4": lambda: learner(model, 1e-4),
        "trains on the exam at 1e-5": lambda: learner(model, 1e-5),
        "trains at 1e-3 on the first batch only": lambda: learner(model, 1e-3, until=1),
        "n-gram cache": lambda: cache(torch_session(model), weight=1.0),
        "n-gram bonus of 0.3, frozen after 4 batches": lambda: cache(
            torch_session(model), weight=0.3, bound=0.3, until=4
        ),
        "n-gram bonus from the rest of the batch": lambda: batch_cache(torch_session(model), weight=0.5),
    }
    for name, start in rows.items():
        answers = planned.exam(start)
        print_phases_row(planned, name, answers)
        if name.startswith(("trains", "n-gram")):
            print_phases_row(planned, f"{name}, honest in the probe", planned.with_honest_probe(answers))


# ---------------------------------------------------------------------------
# Throughput


def answer_from_memory(peer: socket.socket, other_end: socket.socket, logits: npt.NDArray[np.float16]) -> None:
    """Be a candidate that computes nothing, so that only the connection and the scoring take time."""
    other_end.close()
    while request := protocol.read_request(peer):
        protocol.write_reply(peer, request.id, logits[: request.tokens.shape[0]])


def throughput(vocabulary: int, length: int, sequences: int) -> None:
    """Print G logits/s of the exam's streaming and scoring, and of a bare log-softmax on the same cores.

    The best of three rounds each, in turns: on a shared machine a neighbour must not decide the ratio.
    """
    rows = protocol.batch_rows(length, vocabulary)
    generator = np.random.default_rng(SEED)
    logits = (3 * generator.standard_normal((rows, length, vocabulary))).astype(np.float16)
    questions = generator.integers(0, vocabulary, (sequences, length + 1))
    total = sequences * length * vocabulary / 1e9
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        ways: dict[str, Callable[[], object]] = {
            "stream and score": lambda: stream_and_score(logits, questions, vocabulary, pool),
            "score only": lambda: score_only(logits, questions, vocabulary, pool),
            "bare numpy": lambda: bare_numpy(logits, questions, vocabulary),
            "bare torch": lambda: bare_torch(logits, questions, vocabulary),
        }
        rounds = [{name: seconds_of(way) for name, way in ways.items()} for _ in range(3)]
    best = {name: min(seconds[name] for seconds in rounds) for name in ways}
    print(f"{sequences} sequences of {length} over {vocabulary} logits, {rows} a batch, {total:.2f} G logits")
    for name, seconds in best.items():
        ratio = seconds / best["stream and score"]
        print(f"{name:<18}{total / seconds:.2f} G logits/s; the exam reaches {ratio:.2f} of it")


def seconds_of(work: Callable[[], object]) -> float:
    """Wall seconds of a call."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def stream_and_score(logits: npt.NDArray[np.float16], questions: Ints, vocabulary: int, pool: Executor) -> None:
    """Question a candidate that answers at once, with the code of the examine phase."""
    ours, theirs = socket.socketpair()
    answering = multiprocessing.get_context("fork").Process(target=answer_from_memory, args=(theirs, ours, logits))
    answering.start()
    theirs.close()
    with ours:
        session = CandidateSession(ours, ours, TimeLimits(), Deadline.after(600), time.monotonic() + 600)
        ask_all(session, Round.of_sequences(questions), vocabulary=vocabulary, rows=len(logits), pool=pool)
    answering.join()


def score_only(logits: npt.NDArray[np.float16], questions: Ints, vocabulary: int, pool: Executor) -> None:
    """Score as the examiner does, without a connection."""
    for part in batches(len(questions), questions.shape[1] - 1, vocabulary):
        nll(logits[: part.stop - part.start].reshape(-1, vocabulary), questions[part, 1:].reshape(-1), pool)


def bare_numpy(logits: npt.NDArray[np.float16], questions: Ints, vocabulary: int) -> None:
    """The plain log-softmax over the same logits in numpy, float32, in pieces that fit a cache."""
    for held, targets in pieces(logits, questions, vocabulary, rows=128):
        values = held.astype(np.float32)
        values -= values.max(axis=1, keepdims=True)
        values -= np.log(np.exp(values).sum(axis=1, keepdims=True))
        values[np.arange(len(values)), targets].sum()


def bare_torch(logits: npt.NDArray[np.float16], questions: Ints, vocabulary: int) -> None:
    """Torch's cross entropy over the same logits, float32, in pieces of the size that suits it best."""
    import torch

    for held, targets in pieces(logits, questions, vocabulary, rows=2048):
        torch.nn.functional.cross_entropy(torch.from_numpy(held).float(), torch.from_numpy(targets), reduction="sum")


def pieces(
    logits: npt.NDArray[np.float16], questions: Ints, vocabulary: int, rows: int
) -> Iterator[tuple[npt.NDArray[np.float16], Ints]]:
    """The logits (n, V) and targets (n,) of the exam's batches, n at most rows."""
    for part in batches(len(questions), questions.shape[1] - 1, vocabulary):
        held = logits[: part.stop - part.start].reshape(-1, vocabulary)
        targets = questions[part, 1:].reshape(-1)
        for at in range(0, len(held), rows):
            yield held[at : at + rows], targets[at : at + rows]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for_tables = commands.add_parser("tables")
    for_tables.add_argument("--data", type=Path, required=True)
    for_tables.add_argument("--artifact", type=Path, required=True)
    for_tables.add_argument("--task", type=Path, default=TASK, help="the folder of the train.py that left the artifact")
    for_throughput = commands.add_parser("throughput")
    for_throughput.add_argument("--vocabulary", type=int, default=2048)
    for_throughput.add_argument("--length", type=int, default=128)
    for_throughput.add_argument("--sequences", type=int, default=2048)
    options = parser.parse_args()
    if options.command == "tables":
        sys.path.insert(0, str(options.task))
        tables(Folder(options.data), options.artifact)
    else:
        throughput(options.vocabulary, options.length, options.sequences)


if __name__ == "__main__":
    main()
