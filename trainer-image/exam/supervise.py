"""Phase `train` of every task: `python -m exam.supervise -- python train.py` (kit/supervise.py)."""

from __future__ import annotations

import os
import sys
import time

STARTED = time.monotonic()
"""The budget begins here, before anything else is imported."""

from exam.kit.supervise import main  # noqa: E402 - the clock starts first

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, STARTED))
