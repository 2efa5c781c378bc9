"""By how much a candidate is better than the reference models, sequence by sequence: the sixth test compares texts.

The same candidate is better on easy text than on hard text, and the often asked text need not be as easy as the fresh
one. So its nll is first explained by those of the reference models, and what they do not explain is compared. Pure.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def advantages(
    *, asked: Floats, fresh: Floats, asked_reference: Floats, fresh_reference: Floats
) -> tuple[Floats, Floats]:
    """Advantage of each sequence, (S_v,) and (S_f,), in nats per token: how far below what the reference explains.

    asked, fresh: the candidate's mean nll of each sequence; the other two: those of the reference models, (S, K). The
    slopes are fitted by least squares within the two texts, so that a difference between their means stays whole.
    """
    if not len(fresh):
        return -asked, -fresh
    rows = np.concatenate([asked_reference, fresh_reference]).astype(np.float64)
    in_asked = np.arange(len(rows)) < len(asked)
    design = np.column_stack([in_asked, ~in_asked, rows - rows.mean(axis=0)])
    slopes = np.linalg.lstsq(design, np.concatenate([asked, fresh]), rcond=None)[0][2:]
    explained = (rows - rows.mean(axis=0)) @ slopes
    return explained[in_asked] - asked, explained[~in_asked] - fresh
