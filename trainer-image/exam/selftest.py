"""Five small language exams with real processes: `python -m exam.selftest` (language/selftest.py)."""

from __future__ import annotations

import sys

from exam.language.selftest import main

if __name__ == "__main__":
    sys.exit(main())
