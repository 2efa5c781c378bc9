"""What a phase sees of the task folder: nothing of a hidden file, in whatever form it lies there."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.executor.local.try_folder import task_entries


@pytest.mark.parametrize("examiner", ["examiner.py", "judge/examiner.py"])
def test_a_hidden_examiner_is_not_shown_as_python_compiled_it_either(tmp_path: Path, examiner: str) -> None:
    folder = (tmp_path / examiner).parent
    (folder / "__pycache__").mkdir(parents=True)
    for name in ("examiner.py", "__pycache__/examiner.cpython-311.pyc", "helper.py"):
        (folder / name).touch()

    entries = task_entries(tmp_path, hidden=[(tmp_path / examiner).resolve()], edited=None, names=())

    assert [path for path, _ in entries] == [folder / "helper.py"]
