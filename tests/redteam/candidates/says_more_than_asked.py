"""Begins the next answer before the next question. Stopped by: the examiner looking before it asks."""

from raw_connection import header, speak


def hasty(peer, id_, tokens):
    size = tokens.size * 128
    peer.sendall(header(id_, size) + b"\0" * (size - 100))
    peer.sendall(b"\0" * 100 + header(id_ + 1, size))  # in one small message, so that both parts arrive together


load_model = speak(hasty)
