"""Answers in HTTP. Stopped by: protocol.check_reply."""

from raw_connection import speak

load_model = speak(lambda peer, *_: peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
