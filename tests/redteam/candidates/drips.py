"""A byte at a time, each well before any timeout for a single read. Stopped by: the deadline being absolute."""

import time

from raw_connection import header, speak


def drip(peer, id_, tokens):
    peer.sendall(header(id_, tokens.size * 128))
    while True:
        peer.sendall(b"\0")
        time.sleep(0.05)


load_model = speak(drip)
