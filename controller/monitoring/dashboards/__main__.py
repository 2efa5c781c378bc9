"""Writes the dashboards into a folder: `python -m controller.monitoring.dashboards helm/dashboards`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from controller.monitoring.dashboards import dashboards

if __name__ == "__main__":
    for name, content in dashboards().items():
        Path(sys.argv[1], name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
