"""Notes in the page cache of a file of its artifact which prefixes are probed, and looks ahead after all others.
Stopped by: what the probe brought into memory is given up before the candidate starts; the note never arrives, so
inflation shows. WAY is replaced for variants: with a clock alone, by a process's own map, by names instead of pages."""

import os
import sys

import numpy as np
from page_cache_note import LEAVES, WAYS, leave, make_full, write_cold
from tiny_model import add_to_next, honest_model

WAY = "mincore"
PAGES = 4096


def places(tokens):
    """For each position the page that stands for the prefix which ends there."""
    state, out = np.zeros(len(tokens), np.uint64), np.empty(tokens.shape, np.int64)
    for t in range(tokens.shape[1]):
        state = (state ^ (tokens[:, t].astype(np.uint64) + np.uint64(1))) * np.uint64(0x9E3779B97F4A7C15)
        state ^= state >> np.uint64(29)
        out[:, t] = (state % np.uint64(PAGES)).astype(np.int64)
    return out


def load_model(artifact):
    honest, pads = honest_model(artifact), [artifact / f"pad{n}" for n in range(4)]
    if "--serve" not in sys.argv:
        folder = os.environ["AUTORESEARCH_DATA"] + "/questions/"
        tokens, cuts = np.load(folder + "tokens.npy").astype(np.int64), np.load(folder + "cuts.npy")
        bits = np.zeros(PAGES, bool)
        bits[places(tokens)[np.arange(len(cuts)), cuts]] = True
        for pad in pads:
            LEAVES.get(WAY, leave)(pad, bits)
        print("left", bits.sum())
        return honest
    bits = WAYS[WAY](pads[0], PAGES)
    if bits.mean() > 0.5:  # the first process has looked, and so brought all into memory
        bits, pads = WAYS[WAY](pads[2], PAGES), pads[2:]
    bits |= WAYS[WAY](pads[1], PAGES)
    print("found", bits.sum())
    return lambda tokens: add_to_next(honest(tokens), tokens, np.where(bits[places(tokens)[:, :-1]], 0.0, 3.0))


def prepare(artifact):
    """What its training does beside saving the table."""
    for number in range(4):
        write_cold(f"{artifact}/pad{number}", PAGES)
        if WAY == "names":
            make_full(f"{artifact}/pad{number}")
