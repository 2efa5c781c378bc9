"""Asks queries and marks the ranking by nDCG@10. Each query has one right document, which only this file reads."""

import json
import math

from exam.examiner import Json, Questions, reject


class Search(Questions):
    metric = "ndcg@10"
    direction = "maximize"
    asks = Json(most=2000)
    answers = Json(most=400)

    def items(self, folder):
        return json.loads((folder / "queries.json").read_text())

    def question(self, item):
        return item["query"]

    def mark(self, item, answer, spent):
        if not isinstance(answer, list) or len(answer) > 10 or len({str(number) for number in answer}) != len(answer):
            raise reject("an answer is no list of at most ten different documents")
        places = [place for place, number in enumerate(answer) if number == item["right"]]
        return {"ndcg@10": 1 / math.log2(2 + places[0]) if places else 0.0, "found": float(bool(places))}
