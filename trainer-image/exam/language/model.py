"""Load the agent's model and call it. Only this module imports agent code.

It runs in the candidate phase, in processes that hold no secret. The imported code can replace everything
in its process, so the examiner checks whatever comes out of it.
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

from exam.language.protocol import Half

Answer = Callable[[npt.NDArray[np.int64]], Half]


def load(module: str, artifact: Path) -> Answer:
    """Import the agent's file and call its load_model; returns a function of tokens (B, T) to logits (B, T, V)."""
    _keep_freed_memory()
    sys.path.insert(0, os.getcwd())
    model = importlib.import_module(module).load_model(artifact)
    return lambda tokens: ask(model, tokens)


def _keep_freed_memory() -> None:
    """Keep glibc from returning big buffers to the kernel after each batch.

    The page faults of allocating them again cost a fifth of an exam's time on a CPU.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent in other C libraries
    if mallopt is not None:
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD, bytes
        mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD, bytes


def ask(model: Any, tokens: npt.NDArray[np.int64]) -> Half:
    """Call the model once, in the mode in which load_model left it, with the tokens on the model's device.

    A task that does not import torch gets a numpy array and may answer with one.
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
