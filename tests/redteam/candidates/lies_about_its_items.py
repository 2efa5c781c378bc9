"""Sends items of eight bytes. Stopped by: protocol.check_reply."""

from raw_connection import header, speak

load_model = speak(lambda peer, id_, tokens: peer.sendall(header(id_, tokens.size * 64 * 8, item=8)))
