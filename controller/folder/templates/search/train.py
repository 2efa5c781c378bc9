"""Ranks documents for a query by the words that they share. `main` builds the index, `load` answers with it."""

import json
import math
import os
from collections import Counter
from pathlib import Path

IDF_POWER = 0.0  # weight of rare words, 0 to 2
LENGTH_POWER = 0.0  # how much long documents are held back, 0 to 1
SATURATION = 8.0  # how often a word may count, 0.5 to 16


def main():
    data, artifact = Path(os.environ["AUTORESEARCH_DATA"]), Path(os.environ["AUTORESEARCH_ARTIFACT"])
    documents = json.loads((data / "train/documents.json").read_text())
    counts = [Counter(words) for words in documents]
    seen_in = Counter(word for words in counts for word in words)
    index = {
        "counts": counts,
        "lengths": [len(words) for words in documents],
        "weights": {word: math.log(1 + len(documents) / n) ** IDF_POWER for word, n in seen_in.items()},
    }
    (artifact / "index.json").write_text(json.dumps(index))
    print("---")
    print(f"words:            {len(seen_in)}")


def load(artifact):
    index = json.loads((artifact / "index.json").read_text())
    postings = {}
    for number, words in enumerate(index["counts"]):
        for word, n in words.items():
            gain = index["weights"][word] * n * (SATURATION + 1) / (n + SATURATION)
            postings.setdefault(word, []).append((number, gain / index["lengths"][number] ** LENGTH_POWER))

    def answer(query):
        scores = Counter()
        for word in query:
            for number, gain in postings.get(word, ()):
                scores[number] += gain
        # Equal scores in the order of the documents, so that an answer is a function of the query alone.
        return sorted(scores, key=lambda number: (-scores[number], number))[:10]

    return answer


if __name__ == "__main__":
    main()
