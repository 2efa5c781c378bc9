"""Prints the versions in this image (`python check.py --check`), and fails if the task could not run in it."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
from pathlib import Path

PHASES = ("supervise", "candidate", "examine")
PACKAGES = ("torch", "numpy", "tiktoken", "rustbpe", "pyarrow", "huggingface-hub")
FILES = ("train.py", "prepare.py", "corpus/batches.py", "exam/kit/examine.py", *(f"exam/{p}.py" for p in PHASES))


def main() -> int:
    """Print one line for each version; returns 1 if a file is missing or this runs as root."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="import torch as well, and see whether it finds a GPU")
    options = parser.parse_args()
    here = Path(__file__).resolve().parent
    print(f"python {platform.python_version()}")
    for package in PACKAGES:
        print(f"{package} {importlib.metadata.version(package)}")
    if options.check:
        import torch

        print(f"cuda {torch.version.cuda or 'none'}, {torch.cuda.device_count()} GPUs")
    wrong = [name for name in FILES if not (here / name).is_file()]
    wrong += ["runs as root"] if os.getuid() == 0 else []
    print(f"wrong: {', '.join(wrong)}" if wrong else "ok")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
