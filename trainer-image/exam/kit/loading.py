"""Load the author's examiner, and its items from the parts of the data folder that this exam asks."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exam.examiner import Episodes, Questions, Streams
from exam.kit import manifest
from exam.kit.asking import Examiner, withholds
from exam.kit.errors import DataError
from exam.kit.types import check_type

RESERVED = frozenset({"attempt", "verdict", "test", "explanation", "data", "seconds", "numbers", "holdout"})
"""Names of fields of the result line that are no numbers of the author's."""


def load_examiner(path: Path) -> Examiner:
    """The examiner that a task's file defines; raises DataError with one sentence if there is not exactly one."""
    spec = importlib.util.spec_from_file_location("examiner", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise DataError(f"{path} is no Python file: set task.examiner to the task's examiner.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["examiner"] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    bases = (Questions, Episodes, Streams)
    found = [
        each
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, bases) and each.__module__ == "examiner"
    ]
    ready = [each for each in found if not inspect.isabstract(each)]
    if len(ready) != 1:
        missing = sorted(getattr(found[0], "__abstractmethods__", ())) if found and not ready else []
        why = f"its class {found[0].__name__} lacks {', '.join(missing)}" if missing else f"it has {len(ready)}"
        raise DataError(
            f"{path.name} must have one class that derives from Questions, Episodes or Streams and has all methods: "
            f"{why}"
        )
    examiner: Examiner = ready[0]()
    _check(examiner, path.name)
    return examiner


def _check(examiner: Examiner, name: str) -> None:
    kind = type(examiner)
    needed = ("metric", "direction") if isinstance(examiner, Streams) else ("metric", "direction", "asks", "answers")
    for field in needed:
        if not hasattr(kind, field):
            raise DataError(f"{name}: class {kind.__name__} must state `{field}`")
    if examiner.direction not in ("minimize", "maximize"):
        raise DataError(f"{name}: direction must be minimize or maximize, not {examiner.direction!r}")
    if examiner.metric in RESERVED or not examiner.metric:
        raise DataError(f"{name}: the metric cannot be named {examiner.metric!r}")
    if examiner.repeats is not None and not hasattr(examiner.repeats, "holds"):
        raise DataError(f"{name}: repeats must be Equal(), Close(...) or None, not {examiner.repeats!r}")
    if withholds(examiner) and examiner.repeats is None:
        raise DataError(f"{name}: withheld is asked of a fresh process, so repeats must be Equal() or Close(...)")
    if not isinstance(examiner, Streams):
        check_type(examiner.asks, whose="asks")
        check_type(examiner.answers, whose="answers")


@dataclass(frozen=True, slots=True)
class Pool:
    """All items of an exam, those of each kind of data beside each other."""

    items: Sequence[Any]
    validation: int
    """Number of items of validation, which come first."""
    fresh: int
    """Number of items that no candidate was asked before; the holdout's come after them."""
    identity: str
    """Hash of the data folder's table of files."""

    @property
    def parts(self) -> tuple[slice, slice, slice]:
        """Places of validation, fresh items and the holdout."""
        asked = self.validation + self.fresh
        return slice(0, self.validation), slice(self.validation, asked), slice(asked, None)


def load_pool(examiner: Examiner, folder: Path, *, reserve: str | None, holdout: bool) -> Pool:
    """Verify the parts of the data that this exam asks, and have the author's code read them. Raises DataError.

    reserve: name of the slice of the reserve that lies in `reserve`; None to ask none.
    """
    files, identity = manifest.read_manifest(folder / "manifest.json")
    names = {"validation": "validation"} | ({} if reserve is None else {"reserve": f"reserve/{reserve}"})
    names |= {"holdout": "holdout"} if holdout else {}
    found: dict[str, Sequence[Any]] = {}
    for place, name in names.items():
        _verify(folder / place, name, files)
        found[place] = examiner.items(folder / place)
        if not len(found[place]):
            raise DataError(f"the examiner finds no item in {name} of the data: prepare the data again")
    fresh, kept = found.get("reserve", ()), found.get("holdout", ())
    return Pool([*found["validation"], *fresh, *kept], len(found["validation"]), len(fresh), identity)


def _verify(folder: Path, name: str, files: Mapping[str, Any]) -> None:
    """Compare all files of a part with the manifest; raises DataError if one is missing, changed or unknown."""
    if not folder.is_dir():
        raise DataError(f"the data folder has no {name}: prepare the data again")
    listed = {file for file in files if file.startswith(f"{name}/")}
    there = {f"{name}/{path.relative_to(folder)}" for path in folder.rglob("*") if path.is_file()}
    if listed != there:
        odd = min(listed ^ there)
        raise DataError(f"{odd} is {'missing' if odd in listed else 'not in the manifest'}: prepare the data again")
    for file in sorted(listed):
        manifest.read_verified(folder / file.removeprefix(f"{name}/"), files, file)
