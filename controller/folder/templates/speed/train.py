"""Counts the inversions of an array. There is nothing to train: `load` returns the function that is timed."""

import os
from pathlib import Path

BLOCK = 1  # numbers that are compared with all later ones at once, 1 to 256


def main():
    (Path(os.environ["AUTORESEARCH_ARTIFACT"]) / "method").write_text("blocks")
    print("---")
    print(f"block:            {BLOCK}")


def load(artifact):
    def count(numbers):
        total = 0
        for at in range(0, len(numbers), BLOCK):
            block = numbers[at : at + BLOCK]
            total += int((block[:, None] > numbers[None, at + BLOCK :]).sum())
            total += sum(int((block[place] > block[place + 1 :]).sum()) for place in range(len(block) - 1))
        return total

    return count


if __name__ == "__main__":
    main()
