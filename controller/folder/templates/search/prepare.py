"""Draws documents and queries, and seals them. The agent reads this file, so nothing hidden follows from it."""

import json
import secrets
from random import Random

from exam.sealing import begin, seal

DOCUMENTS, WORDS, TOPICS = 400, 3000, 40


def main():
    data = begin()
    draw = Random(secrets.randbits(128))
    topics = [[f"w{int(draw.paretovariate(0.35)) % WORDS}" for _ in range(60)] for _ in range(TOPICS)]
    documents = []
    for _ in range(DOCUMENTS):
        own = [f"w{draw.randrange(WORDS)}" for _ in range(6)]
        sources = (own, draw.choice(topics), draw.choice(topics))
        documents.append([draw.choice(draw.choice(sources)) for _ in range(draw.randrange(20, 200))])
    (data / "train").mkdir(parents=True)
    (data / "train/documents.json").write_text(json.dumps(documents))
    for part, count in {"validation": 300, "holdout": 300, **{f"reserve/{n:03d}": 60 for n in range(40)}}.items():
        (data / part).mkdir(parents=True)
        queries = []
        for _ in range(count):
            right = draw.randrange(DOCUMENTS)
            noise = [f"w{int(draw.paretovariate(0.35)) % WORDS}" for _ in range(2)]
            queries.append({"query": draw.sample(documents[right], 3) + noise, "right": right})
        (data / part / "queries.json").write_text(json.dumps(queries))
    print(f"data: {DOCUMENTS} documents, 300 queries of validation, sealed {seal(data)[:4]}")


if __name__ == "__main__":
    main()
