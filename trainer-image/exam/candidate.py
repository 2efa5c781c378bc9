"""Phase `candidate` of the language exam: `python -m exam.candidate` (language/candidate.py)."""

from __future__ import annotations

import os
import sys

from exam.language.candidate import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
