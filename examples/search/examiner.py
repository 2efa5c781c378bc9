"""Asks for documents that somebody half remembers, and marks the ten that come back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
from exam.examiner import Array, Json, Questions, Spent, reject


class Search(Questions):
    """A query goes out, the numbers of ten different documents come back, the likeliest first."""

    metric, direction = "ndcg@10", "maximize"
    asks, answers = Json(2000), Array("int32", (10,))
    answer_seconds = 5.0

    def items(self, folder: Path) -> Sequence[Any]:
        """The queries, each with the number of the document that was remembered."""
        queries: Sequence[Any] = json.loads((folder / "queries.json").read_text())
        return queries

    def question(self, item: Any) -> str:
        """The query alone."""
        return str(item["query"])

    def mark(self, item: Any, answer: npt.NDArray[Any], spent: Spent) -> Mapping[str, float]:
        """nDCG of one relevant document: 1 / log2(rank + 1), or 0 where it is not among the ten."""
        ranked = answer.tolist()
        if len(set(ranked)) < len(ranked):
            raise reject("an answer names a document twice")
        found = item["document"] in ranked
        gain = 1.0 / math.log2(ranked.index(item["document"]) + 2) if found else 0.0
        return {"ndcg@10": gain, "found@10": float(found), "first": float(ranked[0] == item["document"])}
