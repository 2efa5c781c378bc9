"""Times a function from outside: hidden inputs, CPU of all of its processes, and a wrong answer rejects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
from exam.examiner import Array, Json, Questions, Spent, reject


class EditDistance(Questions):
    """Pairs of texts go out, their edit distances come back."""

    metric, direction = "cpu_milliseconds", "minimize"
    asks, answers = Json(100_000), Array("int32", (None,), most=10_000)
    measure_cpu = True
    answer_seconds = 10.0

    def items(self, folder: Path) -> Sequence[Any]:
        """The questions, each with the right distances."""
        questions: Sequence[Any] = json.loads((folder / "questions.json").read_text())
        return questions

    def question(self, item: Any) -> Any:
        """The pairs alone."""
        return item["pairs"]

    def mark(self, item: Any, answer: npt.NDArray[Any], spent: Spent) -> Mapping[str, float]:
        """CPU time since the answer before, of every process and thread of the candidate."""
        if answer.tolist() != item["distances"]:
            raise reject("an answer has a wrong distance")
        if spent.cpu_seconds is None:
            raise reject("the CPU time of an answer could not be measured")
        return {"cpu_milliseconds": 1000.0 * spent.cpu_seconds, "wall_milliseconds": 1000.0 * spent.wall_seconds}
