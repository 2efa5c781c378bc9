"""Ends with bytes that nobody asked for. Stopped by: the examiner draining the connection to its end."""

from raw_connection import READY, connection, header, read_question


def load_model(artifact):
    peer = connection()
    peer.sendall(READY)
    while True:
        id_, tokens = read_question(peer)
        last = len(tokens) < 8 or id_ == LAST_OF_THE_SHORT_ROUND
        peer.sendall(header(id_, tokens.size * 128) + b"\0" * (tokens.size * 128) + b"more" * last)


LAST_OF_THE_SHORT_ROUND = 63
