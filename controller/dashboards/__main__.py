"""Write the dashboards into the folder that is named: `python -m controller.dashboards helm/dashboards`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from controller.dashboards import dashboards

if __name__ == "__main__":
    for name, content in dashboards().items():
        Path(sys.argv[1], name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
