"""Phase `examine` of the language exam: `python -m exam.examine` (language/examine.py)."""

from __future__ import annotations

import os
import sys

from exam.language.examine import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
