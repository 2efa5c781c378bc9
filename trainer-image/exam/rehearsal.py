"""An exam rehearsed on one machine: synthetic data, the real phases as processes, no sandbox around them.

For the self-test and for tests: it shows that protocol and tests work, not that a sandbox holds. Plays the
executor's part as simply as can be: probe first, then examine beside a candidate that is started again
whenever it ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from exam.dataset import identity_of
from exam.result import PREFIX

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """A Markov language of order 2 over V tokens; the last token starts every sequence and is never scored."""

    logits: Floats  # (V, V, V): next token given the two before
    seed: int

    @classmethod
    def draw(cls, vocabulary: int, seed: int) -> Language:
        """Draw the transition logits."""
        logits = 2.0 * np.random.default_rng(seed).standard_normal((vocabulary, vocabulary, vocabulary))
        logits[..., -1] = -30.0  # the start token never comes again
        return cls(logits=logits, seed=seed)

    def write(self, rows: int, length: int, generator: np.random.Generator) -> Ints:
        """Draw sequences (rows, length + 1), each from its start token."""
        vocabulary = len(self.logits)
        text = np.full((rows, length + 1), vocabulary - 1)
        before = text[:, 0]
        for at in range(1, length + 1):
            noise = generator.gumbel(size=(rows, vocabulary))
            text[:, at] = (self.logits[before, text[:, at - 1]] + noise).argmax(axis=1)
            before = text[:, at - 1]
        return text


def make_data(
    folder: Path, language: Language, *, length: int = 32, sequences: int = 256, probes: int = 256, probe_sets: int = 2
) -> None:
    """Write validation, holdout and probe sets by the contract of a data folder; no training text."""
    generator = np.random.default_rng(language.seed)
    vocabulary = len(language.logits)
    kind = np.uint16 if vocabulary <= 65_536 else np.uint32
    token_bytes = generator.integers(1, 8, vocabulary).astype(np.uint16)
    token_bytes[-1] = 0
    splits = {name: language.write(sequences, length, generator).astype(kind) for name in ("validation", "holdout")}
    arrays: dict[str, npt.NDArray[Any]] = {"tokenizer/token_bytes": token_bytes}
    arrays |= {f"{name}/sequences": split for name, split in splits.items()}
    for number in range(probe_sets):
        tails = language.write(probes, length, generator).astype(kind)
        for name, array in _splice(splits["validation"], tails, generator).items():
            arrays[f"probes/{number:02}/{name}"] = array
    for name, array in arrays.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, array)
    files = {f"{name}.npy": _entry(folder / f"{name}.npy") for name in arrays}
    manifest = {"version": 1, "vocabulary_size": vocabulary, "files": files, "identity": identity_of(files)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _splice(
    sequences: npt.NDArray[Any], tails: npt.NDArray[Any], generator: np.random.Generator
) -> dict[str, npt.NDArray[Any]]:
    chosen = generator.permutation(len(sequences))[: len(tails)]
    cuts = generator.integers(0, sequences.shape[1] - 1, len(chosen))
    after = np.arange(sequences.shape[1] - 1) > cuts[:, None]
    questions = np.where(after, tails[:, 1:], sequences[chosen, :-1])
    for row, cut in enumerate(cuts):  # the label must not stand where a model that looks ahead would find it
        label = sequences[chosen[row], cut + 1]
        if cut + 1 < questions.shape[1] and questions[row, cut + 1] == label:
            questions[row, cut + 1] = 0 if label else 1
    return {
        "questions/tokens": questions.astype(sequences.dtype),
        "questions/cuts": cuts.astype(np.int32),
        "answers/sequences": chosen.astype(np.int32),
        "answers/cuts": cuts.astype(np.int32),
    }


def _entry(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One exam's outcome: the result line's fields or None, exit codes, candidate starts, all other output."""

    result: dict[str, Any] | None
    probe_code: int
    examine_code: int
    starts: int
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One attempt after its training. task: holds the agent's file; work: a new folder for what phases share.

    batch: sequences in one question, small so that a memory between questions has something to remember.
    inside: a command that runs the candidate in a sandbox, put before its own.
    """

    task: Path
    data: Path
    artifact: Path
    work: Path
    probe_set: int = 0
    seconds: float = 120.0
    module: str = "train"
    batch: int = 8
    inside: tuple[str, ...] = ()

    def lay_out(self) -> None:
        """Make the folders that a sandbox would mount for probe and examine."""
        for name in ("probe", "examine", "answers", "socket"):
            (self.work / name).mkdir(parents=True)
        chosen = self.data / f"probes/{self.probe_set:02}"
        (self.work / "probe/questions").symlink_to(chosen / "questions")
        (self.work / "examine/probe").symlink_to(chosen)
        for name in ("tokenizer", "validation", "holdout", "manifest.json"):
            (self.work / "examine" / name).symlink_to(self.data / name)

    def start(self, phase: str, *flags: str, output: IO[str]) -> subprocess.Popen[bytes]:
        """Start one phase with the task folder as its working directory and all output in a file."""
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
            "ANSWERS": self.work / "answers",
            "SOCKET": self.work / "socket",
            "RESULT": self.work / "result",
        }
        told = {
            "probe": ("DATA", "ARTIFACT", "ANSWERS"),
            "candidate": ("ARTIFACT", "SOCKET"),
            "examine": ("DATA", "ANSWERS", "SOCKET", "RESULT"),
        }
        return (
            kept
            | {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
            | {f"AUTORESEARCH_{name}": str(paths[name]) for name in told[phase]}
            | ({"AUTORESEARCH_ATTEMPT": "rehearsal-e0001-a1-t1"} if phase == "examine" else {})
        )


def probe(stage: Stage) -> tuple[int, str]:
    """Run the probe phase to its end; returns exit code and output."""
    with (stage.work / "probe.log").open("w") as log:
        process = stage.start("probe", "--module", stage.module, "--batch-sequences", str(stage.batch), output=log)
        try:
            process.wait(stage.seconds)
        finally:
            _stop(process)
    return process.returncode, (stage.work / "probe.log").read_text(errors="replace")


def examine(stage: Stage, *flags: str) -> Rehearsal:
    """Run examine beside a candidate that is started again whenever it ends; nothing of either is left."""
    end, starts, candidate = time.monotonic() + stage.seconds, 0, None
    with (stage.work / "examine.log").open("w") as log, (stage.work / "candidate.log").open("w") as other:
        examiner = stage.start("examine", "--batch-sequences", str(stage.batch), *flags, output=log)
        try:
            while examiner.poll() is None and time.monotonic() < end:
                if candidate is None or candidate.poll() is not None:
                    candidate, starts = stage.start("candidate", "--module", stage.module, output=other), starts + 1
                time.sleep(0.01)  # plays the kubelet, which looks only now and then
        finally:
            _stop(examiner)
            _stop(candidate)
    said = (stage.work / "examine.log").read_text(errors="replace")
    lines = [line.removeprefix(PREFIX) for line in said.splitlines() if line.startswith(PREFIX)]
    log_text = said + (stage.work / "candidate.log").read_text(errors="replace")
    return Rehearsal(json.loads(lines[-1]) if lines else None, 0, examiner.returncode, starts, log_text)


def _stop(process: subprocess.Popen[bytes] | None) -> None:
    """TERM what still runs: it makes a candidate's supervisor kill everything below it before it goes."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def hold(stage: Stage, *flags: str) -> Rehearsal:
    """Lay out, probe and examine; a probe that fails ends it. flags: for examine."""
    stage.lay_out()
    code, log = probe(stage)
    return examine(stage, *flags) if code == 0 else Rehearsal(None, code, -1, 0, log)
