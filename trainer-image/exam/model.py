"""Loading the agent's model and asking it: the only module here that imports agent code.

Runs in the probe and candidate phases, in processes that hold no secret. Everything it does can be
overridden by what it imports; nobody trusts what comes out.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exam.protocol import Half

Answer = Callable[[npt.NDArray[np.int64]], Half]


def load(module: str, artifact: Path) -> Answer:
    """Import the agent's file and have it load its model; returns tokens (B, T) -> logits (B, T, V) in float16."""
    _keep_freed_memory()
    sys.path.insert(0, os.getcwd())
    model = importlib.import_module(module).load_model(artifact)
    return lambda tokens: ask(model, tokens)


def _keep_freed_memory() -> None:
    """Stop glibc from giving big buffers back after each batch: the page faults cost a fifth of an exam on a CPU."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent in other C libraries
    if mallopt is not None:
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD, bytes
        mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD, bytes


def ask(model: Any, tokens: npt.NDArray[np.int64]) -> Half:
    """One call of the model as it came from load_model: no mode is switched, nothing is moved but the tokens.

    A task that never imports torch is asked with a numpy array and may answer with one.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return np.asarray(model(tokens)).astype(np.float16)
    with torch.inference_mode():
        logits = model(torch.from_numpy(tokens).to(_device(torch, model)))
        if isinstance(logits, np.ndarray):
            return logits.astype(np.float16)
        half: Half = logits.to(torch.float16).cpu().numpy()
        return half


def _device(torch: Any, model: Any) -> Any:
    if isinstance(model, torch.nn.Module):
        for tensor in (*model.parameters(), *model.buffers()):
            return tensor.device
    return "cpu"
