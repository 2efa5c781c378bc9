"""Run an exam on one machine without sandboxes: synthetic data, and the real phases as processes.

The self-test and the tests use it. It shows that the protocol and the integrity tests work, and not that a sandbox
holds. It does the executor's work in the simplest way: run examine beside a candidate that is started again whenever
it ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from exam.kit.manifest import LAYOUT, identity_of
from exam.kit.result import PREFIX

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """A Markov language of order 2 over V tokens. The last token starts every sequence and is never scored."""

    logits: Floats
    """Logits of the next token given the two before it, (V, V, V)."""
    seed: int
    """Seed of the data that is drawn from it."""

    @classmethod
    def draw(cls, vocabulary: int, seed: int) -> Language:
        """Draw the transition logits."""
        logits = 2.0 * np.random.default_rng(seed).standard_normal((vocabulary, vocabulary, vocabulary))
        logits[..., -1] = -30.0  # the start token does not come again
        return cls(logits=logits, seed=seed)

    def write(self, rows: int, length: int, generator: np.random.Generator) -> Ints:
        """Draw sequences (rows, length + 1), each from the start token."""
        vocabulary = len(self.logits)
        text = np.full((rows, length + 1), vocabulary - 1)
        before = text[:, 0]
        for at in range(1, length + 1):
            # The argmax of logits plus Gumbel noise is a sample of their softmax.
            noise = generator.gumbel(size=(rows, vocabulary))
            text[:, at] = (self.logits[before, text[:, at - 1]] + noise).argmax(axis=1)
            before = text[:, at - 1]
        return text

    def mean_nll(self, sequences: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Mean nll (S, 1) of a reference model that knows half of the language: every second logit is 0 to it."""
        known = self.logits * (np.arange(len(self.logits)) % 2)
        chances = np.exp(known)
        chances /= chances.sum(axis=-1, keepdims=True)
        text = sequences.astype(np.int64)
        before = np.concatenate([text[:, :1], text[:, :-2]], axis=1)
        nll = -np.log(chances[before, text[:, :-1], text[:, 1:]])
        mean: npt.NDArray[np.float32] = nll.mean(axis=1, keepdims=True).astype(np.float32)
        return mean


def make_data(
    folder: Path,
    language: Language,
    *,
    length: int = 32,
    sequences: int = 256,
    probes: int = 256,
    probe_sets: int = 2,
    fresh: int = 32,
    slices: int = 2,
) -> None:
    """Write a data folder with all splits and probe sets, but without training text.

    The reference model is a poor one (Language.mean_nll).
    """
    generator = np.random.default_rng(language.seed)
    vocabulary = len(language.logits)
    kind = np.uint16 if vocabulary <= 65_536 else np.uint32
    token_bytes = generator.integers(1, 8, vocabulary).astype(np.uint16)
    token_bytes[-1] = 0
    rows = {"validation": sequences, "holdout": sequences, **{f"reserve/{n:03}": fresh for n in range(slices)}}
    splits = {name: language.write(count, length, generator).astype(kind) for name, count in rows.items()}
    arrays: dict[str, npt.NDArray[Any]] = {"tokenizer/token_bytes": token_bytes}
    arrays |= {f"{name}/sequences": split for name, split in splits.items()}
    arrays |= {f"{name}/reference": language.mean_nll(split) for name, split in splits.items()}
    for number in range(probe_sets):
        tails = language.write(probes, length, generator).astype(kind)
        for name, array in _splice(splits["validation"], tails, generator).items():
            arrays[f"probes/{number:02}/{name}"] = array
    for name, array in arrays.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, array)
    files = {f"{name}.npy": _entry(folder / f"{name}.npy") for name in arrays}
    manifest = {"version": LAYOUT, "vocabulary_size": vocabulary, "files": files, "identity": identity_of(files)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _splice(
    sequences: npt.NDArray[Any], tails: npt.NDArray[Any], generator: np.random.Generator
) -> dict[str, npt.NDArray[Any]]:
    chosen = generator.permutation(len(sequences))[: len(tails)]
    cuts = generator.integers(0, sequences.shape[1] - 1, len(chosen))
    after = np.arange(sequences.shape[1] - 1) > cuts[:, None]
    questions = np.where(after, tails[:, 1:], sequences[chosen, :-1])
    for row, cut in enumerate(cuts):  # by chance the other text can go on with the label: put another token there
        label = sequences[chosen[row], cut + 1]
        if cut + 1 < questions.shape[1] and questions[row, cut + 1] == label:
            questions[row, cut + 1] = 0 if label else 1
    return {
        "questions/tokens": questions.astype(sequences.dtype),
        "questions/cuts": cuts.astype(np.int32),
        "answers/sequences": chosen.astype(np.int32),
        "answers/cuts": cuts.astype(np.int32),
        "answers/weights": np.ones(len(cuts), np.float32),
    }


def _entry(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The end of one exam."""

    result: dict[str, Any] | None
    """Fields of the result line; None if there is none."""
    examine_code: int
    """Exit code of the examine phase."""
    starts: int
    """Number of times that the candidate was started."""
    log: str
    """Output of the phases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The folders and settings of one exam: an attempt whose training has ended."""

    task: Path
    """Folder with the agent's file, the working directory of the phases."""
    data: Path
    """Data folder with all splits and probe sets."""
    artifact: Path
    work: Path
    """A new folder for the files that phases share."""
    probe_set: int = 0
    reserve: int | None = 0
    """Slice of the reserve that is asked; None for none."""
    holdout: bool = False
    """Ask the holdout as well, as a claim does."""
    seconds: float = 120.0
    """Longest time for the exam, in seconds."""
    module: str = "train"
    """Name of the agent's module."""
    batch: int = 8
    """Sequences in one question: few, so that a model with a memory is asked often."""
    noise: Mapping[str, str] = field(default_factory=dict)
    """What the examiner is told of the baseline's noise: variables and their values."""
    inside: tuple[str, ...] = ()
    """Command in front of the candidate's own, to run it in a sandbox."""

    def lay_out(self) -> None:
        """Create the folders that a sandbox would mount for candidate and examine."""
        for name in ("examine", "socket"):
            (self.work / name).mkdir(parents=True)
        (self.work / "examine/probe").symlink_to(self.data / f"probes/{self.probe_set:02}")
        for name in ("tokenizer", "validation", "manifest.json", *(("holdout",) if self.holdout else ())):
            (self.work / "examine" / name).symlink_to(self.data / name)
        if self.reserve is not None:
            (self.work / "examine/reserve").symlink_to(self.data / f"reserve/{self.reserve:03}")

    def start(self, phase: str, *flags: str, output: IO[str]) -> subprocess.Popen[bytes]:
        """Start one phase in the task folder, with its output in a file."""
        sandbox = self.inside if phase == "candidate" else ()
        command = [*sandbox, sys.executable, "-m", f"exam.{phase}", *flags]
        return subprocess.Popen(
            command, cwd=self.task, env=self._environment(phase), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )

    def _environment(self, phase: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        paths = {
            "DATA": self.work / phase,
            "ARTIFACT": self.artifact,
            "SOCKET": self.work / "socket",
            "RESULT": self.work / "result",
        }
        told = {
            "candidate": ("ARTIFACT", "SOCKET"),
            "examine": ("DATA", "SOCKET", "RESULT"),
        }
        return (
            kept
            | {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
            | {f"AUTORESEARCH_{name}": str(paths[name]) for name in told[phase]}
            | (self._told_to_examiner() if phase == "examine" else {})
        )

    def _told_to_examiner(self) -> dict[str, str]:
        return (
            {"AUTORESEARCH_ATTEMPT": "rehearsal-e0001-a1-t1"}
            | ({} if self.reserve is None else {"AUTORESEARCH_RESERVE": f"{self.reserve:03}"})
            | ({"AUTORESEARCH_HOLDOUT": "1"} if self.holdout else {})
            | dict(self.noise)
        )


def run_examine(stage: Stage, *flags: str) -> Rehearsal:
    """Run examine beside a candidate that is started again whenever it ends; stops both at the end."""
    end, starts, candidate = time.monotonic() + stage.seconds, 0, None
    with (stage.work / "examine.log").open("w") as log, (stage.work / "candidate.log").open("w") as other:
        examiner = stage.start("examine", "--batch-sequences", str(stage.batch), *flags, output=log)
        try:
            while examiner.poll() is None and time.monotonic() < end:
                if candidate is None or candidate.poll() is not None:
                    candidate, starts = stage.start("candidate", "--module", stage.module, output=other), starts + 1
                time.sleep(0.01)  # an executor also notices an end only after a while
        finally:
            _stop(examiner)
            _stop(candidate)
    said = (stage.work / "examine.log").read_text(errors="replace")
    lines = [line.removeprefix(PREFIX) for line in said.splitlines() if line.startswith(PREFIX)]
    log_text = said + (stage.work / "candidate.log").read_text(errors="replace")
    return Rehearsal(json.loads(lines[-1]) if lines else None, examiner.returncode, starts, log_text)


def _stop(process: subprocess.Popen[bytes] | None) -> None:
    """End a process with TERM: a candidate's supervisor then kills everything below it before it exits."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run_exam(stage: Stage, *flags: str) -> Rehearsal:
    """Lay out the folders, then run the exam. flags: for examine."""
    stage.lay_out()
    return run_examine(stage, *flags)
