"""Answer one probe set: `python -m exam.probe`, with agent code, in a sandbox of its own.

For each spliced sequence it writes the logits at its cut to `logits.f16`, raw little-endian float16 of
shape (N, V). The cuts are given to it: the true next token is in no input, so to know the position is
worth nothing here, and the sandbox ends before the candidate's begins. The file is all that comes out,
and the examiner trusts no more of it than its size.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from exam import artifact, isolation, model
from exam.answers import LOGITS
from exam.errors import EXIT_ARTIFACT, EXIT_DATA, DataError, setting
from exam.protocol import ITEM_BYTES, REPLY_LIMIT, Half, batch_rows


def load_questions(folder: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Spliced tokens (N, T) and cuts (N,). Raises DataError when they are missing or no integer arrays."""
    try:
        tokens, cuts = (np.load(folder / f"questions/{name}.npy", allow_pickle=False) for name in ("tokens", "cuts"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / 'questions'} holds no probe set ({error}): prepare the data again") from error
    return tokens.astype(np.int64), cuts.astype(np.int64)


def answer(ask: model.Answer, tokens: npt.NDArray[np.int64], cuts: npt.NDArray[np.int64], most: int | None) -> Half:
    """Logits at the cuts, (N, V); the first batch is a single sequence, which tells V."""
    first = _at_cuts(ask, tokens[:1], cuts[:1])
    rows = batch_rows(tokens.shape[1], first.shape[1], most)
    parts = [slice(at, at + rows) for at in range(1, len(tokens), rows)]
    return np.concatenate([first, *(_at_cuts(ask, tokens[part], cuts[part]) for part in parts)])


def _at_cuts(ask: model.Answer, tokens: npt.NDArray[np.int64], cuts: npt.NDArray[np.int64]) -> Half:
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
        target = Path(setting(environment, "AUTORESEARCH_ANSWERS")) / LOGITS
        tokens, cuts = load_questions(Path(setting(environment, "AUTORESEARCH_DATA")))
        fault = artifact.find_fault(trained, artifact.limit_bytes(environment))
    except DataError as error:
        print(f"probe: {error}", file=sys.stderr)
        return EXIT_DATA
    if fault:
        print(f"probe: {fault}", file=sys.stderr)
        return EXIT_ARTIFACT
    if not isolation.confine():
        print("probe: no system-call filter on this machine; only the sandbox separates phases", file=sys.stderr)
    ask = model.load(chosen.module, trained)
    target.write_bytes(answer(ask, tokens, cuts, chosen.batch_sequences).astype("<f2").tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
