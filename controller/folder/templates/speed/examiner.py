"""Times a function from outside. Inputs are hidden, a wrong answer rejects, and all CPU time counts."""

import numpy as np
from exam.examiner import Array, Questions, reject


class Inversions(Questions):
    metric = "milliseconds"
    direction = "minimize"
    asks = Array("int64", (None,))
    answers = Array("int64", ())
    answer_seconds = 5.0
    measure_cpu = True

    def items(self, folder):
        return [np.load(path) for path in sorted(folder.glob("*.npy"))]

    def question(self, item):
        return item

    def mark(self, item, answer, spent):
        if int(answer) != inversions(item.tolist())[0]:
            raise reject("an answer is not the number of inversions")
        return 1000 * spent.cpu_seconds


def inversions(numbers):
    """Number of inversions, and the numbers sorted, by merging."""
    if len(numbers) < 2:
        return 0, numbers
    (left, low), (right, high) = inversions(numbers[: len(numbers) // 2]), inversions(numbers[len(numbers) // 2 :])
    total, merged, at = left + right, [], 0
    for number in high:
        while at < len(low) and low[at] <= number:
            merged.append(low[at])
            at += 1
        merged.append(number)
        total += len(low) - at
    return total, merged + low[at:]
