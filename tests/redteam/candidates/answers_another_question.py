"""Answers a question that was not asked. Stopped by: protocol.check_reply."""

from raw_connection import header, speak

load_model = speak(lambda peer, id_, tokens: peer.sendall(header(id_ + 1, tokens.size * 128)))
