"""A bigram model by counting, with numpy: a real task for real campaigns where torch would only cost time.

It keeps the contract of a task file: it trains under `main`, and offers `load_model`.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

TOTAL_BATCH_SIZE = 409_600  # training tokens that are counted; which ones depends on the seed
SMOOTHING = 0.3  # added to every count
UNIGRAM_SHARE = 0.1  # probability taken from the bigram and given to the unigram
SHARPNESS = 1.0  # exponent on the counts


def main() -> None:
    data = Path(os.environ["AUTORESEARCH_DATA"])
    vocabulary = len(np.load(data / "tokenizer" / "token_bytes.npy"))
    tokens = np.fromfile(data / "train" / "tokens.bin", dtype="<u2").astype(np.int64)
    generator = np.random.default_rng(int(os.environ["AUTORESEARCH_SEED"]))
    start = int(generator.integers(0, max(1, len(tokens) - TOTAL_BATCH_SIZE)))
    tokens = tokens[start : start + TOTAL_BATCH_SIZE]
    counts = np.zeros((vocabulary, vocabulary))
    np.add.at(counts, (tokens[:-1], tokens[1:]), 1.0)
    bigram = (counts + SMOOTHING) ** SHARPNESS
    bigram /= bigram.sum(axis=1, keepdims=True)
    unigram = np.bincount(tokens, minlength=vocabulary) + SMOOTHING
    probabilities = (1 - UNIGRAM_SHARE) * bigram + UNIGRAM_SHARE * unigram / unigram.sum()
    np.save(Path(os.environ["AUTORESEARCH_ARTIFACT"]) / "logits.npy", np.log(probabilities).astype(np.float32))
    print("---")
    print(f"num_steps:        {len(tokens)}")


def load_model(artifact: str) -> Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]:
    table: npt.NDArray[np.float32] = np.load(Path(artifact) / "logits.npy")
    return lambda tokens: table[tokens]


if __name__ == "__main__":
    main()
