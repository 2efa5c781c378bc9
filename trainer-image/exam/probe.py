"""Phase `probe` of the language exam: `python -m exam.probe` (language/probe.py)."""

from __future__ import annotations

import os
import sys

from exam.language.probe import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
