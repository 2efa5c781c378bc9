"""Rank documents for a query: weighs the words that both have, and adds up.

Running it builds an index of the documents in AUTORESEARCH_ARTIFACT; `load` gives what answers the examiner.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

ANSWERS = 10
LENGTH_POWER = 0.5  # 0 to 1: how much a long document pays for its length


def terms_of(text: str) -> list[str]:
    """The terms by which a text is found."""
    terms = []
    for word in text.lower().split():
        terms.append(word)
    return terms


def weigh(count: int, length: int, mean_length: float) -> float:
    """Weight of a term that occurs so often in a document of this length."""
    return count / (length / mean_length) ** LENGTH_POWER


def rarity(documents: int, having: int) -> float:
    """Weight of a term that so many of the documents have."""
    return float(np.log(documents / having))


def build_index(documents: list[dict[str, str]]) -> dict[str, list[tuple[int, float]]]:
    """For each term the documents that have it, with its weight there."""
    counts = [Counter(terms_of(each["text"])) for each in documents]
    lengths = [max(1, sum(each.values())) for each in counts]
    mean_length = sum(lengths) / len(lengths)
    found = defaultdict(list)
    for number, count in enumerate(counts):
        for term, times in count.items():
            found[term].append((number, weigh(times, lengths[number], mean_length)))
    return {
        term: [(number, weight * rarity(len(documents), len(places))) for number, weight in places]
        for term, places in found.items()
    }


def rank(scores: np.ndarray) -> np.ndarray:
    """The numbers of the best documents, the best first."""
    best = np.argpartition(-scores, ANSWERS)[:ANSWERS]
    return best[np.lexsort((best, -scores[best]))]


def load(artifact: Path) -> Callable[[str], np.ndarray]:
    """Read the index; returns the function that answers a query."""
    index = json.loads((artifact / "index.json").read_text())
    postings = {}
    for term, places in index["terms"].items():
        numbers, weights = zip(*places, strict=True)
        postings[term] = (np.array(numbers), np.array(weights))

    def answer(query: str) -> np.ndarray:
        scores = np.zeros(index["documents"])
        for term in terms_of(query):
            if term in postings:
                numbers, weights = postings[term]
                scores[numbers] += weights
        return rank(scores).astype(np.int32)

    return answer


def main() -> None:
    """Build the index of all documents."""
    documents = json.loads(Path(os.environ["AUTORESEARCH_DATA"], "train", "documents.json").read_text())
    terms = build_index(documents)
    index = json.dumps({"documents": len(documents), "terms": terms})
    Path(os.environ["AUTORESEARCH_ARTIFACT"], "index.json").write_text(index)
    print(f"documents: {len(documents)}")
    print(f"terms:     {len(terms)}")


if __name__ == "__main__":
    main()
