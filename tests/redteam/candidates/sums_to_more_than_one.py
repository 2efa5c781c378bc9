"""Claims 277 times the probability for everything (parameter-golf #886). Stopped by: our own normalisation; it
must be scored exactly as the honest model is."""

import numpy as np
from tiny_model import honest_model


def load_model(artifact):
    honest = honest_model(artifact)
    # 8 stands for log 277 and survives float16 next to these logits without rounding.
    return lambda tokens: np.round(honest(tokens), 2).astype(np.float16).astype(np.float32) + 8
