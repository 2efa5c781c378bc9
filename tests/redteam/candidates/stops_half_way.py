"""Closes in the middle of an answer. Stopped by: the end of the connection."""

from raw_connection import header, speak


def half(peer, id_, tokens):
    peer.sendall(header(id_, tokens.size * 128) + b"\0" * 1000)
    peer.close()


load_model = speak(half)
