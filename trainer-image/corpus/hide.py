"""Let one group alone read the folders that an exam's text is taken from: `python -m corpus.hide GROUP`.

Run as root while an image is built. Attempts then run as a user outside of the group, and the Job that prepares data in
it.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from corpus.pools import HIDEABLE


def hide(library: Path, group: int) -> list[Path]:
    """Take the folders from everybody else; returns those that are there."""
    folders = [library / name for name in HIDEABLE if (library / name).is_dir()]
    for folder in folders:
        os.chown(folder, 0, group)
        # Nobody gets past the folder itself, so that what lies in it may stay as it is.
        folder.chmod(0o750)
    return folders


if __name__ == "__main__":
    print(*hide(Path(sysconfig.get_path("stdlib")), int(sys.argv[1])))
