"""Is the client of a netstring server: sends hidden cases in pieces, and judges answers by the rules of netstrings."""

import json

from exam.examiner import Streams

FATAL = {"no comma", "leading zero", "too long", "no length", "no colon"}


class Netstrings(Streams):
    metric = "handled"
    direction = "maximize"
    answer_seconds = 5.0

    def items(self, folder):
        return json.loads((folder / "cases.json").read_text())

    def talk(self, item, connect):
        connection = connect()
        payloads = [text.encode() for text in item["payloads"]]
        sent = b"".join(b"%d:%b," % (len(payload), payload) for payload in payloads) + item["last"].encode()
        wanted = b"".join(b"%d:%b," % (len(payload), payload[::-1]) for payload in payloads)
        try:
            for at in range(0, len(sent), item["piece"]):
                connection.send(sent[at : at + item["piece"]])
        except ConnectionError:  # a broken pipe, or a reset where the server closed with bytes unread
            pass  # a server may end the connection at the first wrong byte
        if item["kind"] not in FATAL:
            connection.shut()
        try:
            got = connection.receive_exactly(len(wanted))
            if connection.waits(1.0):
                return 0.0  # it waits for more where it should have ended the connection
            return float(got == wanted and connection.receive(1) == b"")
        except TimeoutError:
            return 0.0
