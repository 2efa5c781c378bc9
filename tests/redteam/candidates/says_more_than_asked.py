"""Sends the next answer before the next question. Stopped by: the examiner looking before it asks."""

from raw_connection import header, speak


def twice(peer, id_, tokens):
    for number in (id_, id_ + 1):
        peer.sendall(header(number, tokens.size * 128) + b"\0" * (tokens.size * 128))


load_model = speak(twice)
