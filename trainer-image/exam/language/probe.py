"""Answer one probe set: `python -m exam.probe`, with agent code, in a sandbox of its own.

A probe is a validation sequence that is kept up to a cut and continued with other text. For each probe this phase
writes the logits at the cut to `logits.f16`. It is told the cuts: the true next token is in none of its inputs, so
the position alone is worth nothing, and its sandbox ends before the candidate's begins. The file is the only output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from exam.kit import artifact, isolation
from exam.kit.errors import EXIT_ARTIFACT, EXIT_DATA, DataError, setting
from exam.kit.wire import REPLY_LIMIT
from exam.language import model
from exam.language.probe_answers import write_logits
from exam.language.protocol import ITEM_BYTES, Half, batch_rows


def load_questions(folder: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Read the probes' tokens (N, T) and cuts (N,); raises DataError if they are missing or cannot be read."""
    try:
        tokens, cuts = (np.load(folder / f"questions/{name}.npy", allow_pickle=False) for name in ("tokens", "cuts"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / 'questions'} holds no probe set ({error}): prepare the data again") from error
    return tokens.astype(np.int64), cuts.astype(np.int64)


def answer(ask: model.Answer, tokens: npt.NDArray[np.int64], cuts: npt.NDArray[np.int64], most: int | None) -> Half:
    """Return the logits at the cuts, (N, V). The first batch is one sequence: its answer tells V.

    most: most sequences in one batch; None for as many as about 16 MiB of logits hold.
    """
    first = _ask_at_cuts(ask, tokens[:1], cuts[:1])
    rows = batch_rows(tokens.shape[1], first.shape[1], most)
    parts = [slice(at, at + rows) for at in range(1, len(tokens), rows)]
    return np.concatenate([first, *(_ask_at_cuts(ask, tokens[part], cuts[part]) for part in parts)])


def _ask_at_cuts(ask: model.Answer, tokens: npt.NDArray[np.int64], cuts: npt.NDArray[np.int64]) -> Half:
    logits = ask(tokens)
    if logits.ndim != 3 or logits.shape[2] * ITEM_BYTES > REPLY_LIMIT:
        raise DataError(f"the model answers with shape {logits.shape} where (B, T, V) belongs")
    return logits[np.arange(len(cuts)), cuts]


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Answer the probe set; returns 0, 2 for missing questions, 3 for an unusable artifact."""
    options = argparse.ArgumentParser(prog="exam.probe")
    options.add_argument("--module", default="train", help="the agent's module that offers load_model")
    options.add_argument("--batch-sequences", type=int, help="1 for models whose answers depend on the batch")
    chosen = options.parse_args(arguments)
    try:
        trained = Path(setting(environment, "AUTORESEARCH_ARTIFACT"))
        target = Path(setting(environment, "AUTORESEARCH_ANSWERS"))
        tokens, cuts = load_questions(Path(setting(environment, "AUTORESEARCH_DATA")))
        fault = artifact.find_fault(trained, artifact.read_limits(environment))
    except DataError as error:
        print(f"probe: {error}", file=sys.stderr)
        return EXIT_DATA
    if fault:
        print(f"probe: {fault}", file=sys.stderr)
        return EXIT_ARTIFACT
    if not isolation.install_filter():
        print("probe: no system-call filter on this machine; only the sandbox separates phases", file=sys.stderr)
    ask = model.load(chosen.module, trained)
    write_logits(target, answer(ask, tokens, cuts, chosen.batch_sequences))
    return 0
