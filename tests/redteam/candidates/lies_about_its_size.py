"""Announces 2**60 bytes to make the examiner allocate. Stopped by: protocol.check_reply, before any allocation."""

from raw_connection import header, speak

load_model = speak(lambda peer, id_, _: peer.sendall(header(id_, 2**60)))
