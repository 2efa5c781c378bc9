"""How long programs take to begin on this machine, beside whatever else runs on it now."""

from __future__ import annotations

import subprocess
import sys
import time
from math import ceil


def time_to_begin(imports: str = "os, signal, sys, time", *, times: float = 10.0) -> float:
    """A time in which a program that imports this surely begins: so many times what one takes now, in whole seconds."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", f"import {imports}"], check=True)
    return float(ceil(times * (time.monotonic() - began)))
