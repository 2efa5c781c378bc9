"""Prints a result line, patches every exam module it can import, and looks for the result file. Stopped by:
examine being another process, and its output alone counting; must be scored exactly as the honest model is."""

import os

import exam.language.integrity
import exam.language.scoring
from tiny_model import honest_model

FORGED = '@@RESULT v1 {"verdict": "scored", "val_bpb": 0.1}'


def load_model(artifact):
    print(FORGED, "val_bpb: 0.1", sep="\n", flush=True)
    exam.language.scoring.nll = lambda *_, **__: 0.0
    exam.language.integrity.find_failure = lambda *_, **__: None
    assert "AUTORESEARCH_RESULT" not in os.environ
    assert "AUTORESEARCH_SOCKET" not in os.environ
    return honest_model(artifact)
