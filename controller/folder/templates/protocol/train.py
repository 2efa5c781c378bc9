"""Serves netstrings. `load` returns the function that serves one connection; there is nothing to train."""

import json
import os
from pathlib import Path

LARGEST = 999  # longest payload that is taken, 99 to 9999
STRICT_COMMA = 0  # refuse a netstring without its comma, 0 to 1
STRICT_ZERO = 0  # refuse lengths with a leading zero, 0 to 1


def main():
    artifact = Path(os.environ["AUTORESEARCH_ARTIFACT"])
    (artifact / "limits.json").write_text(json.dumps({"largest": LARGEST}))
    print("---")
    print(f"largest:          {LARGEST}")


def load(artifact):
    largest = json.loads((artifact / "limits.json").read_text())["largest"]

    def serve(connection):
        stream = connection.makefile("rwb")
        while True:
            digits = b""
            while (byte := stream.read(1)).isdigit() and len(digits) < 5:
                digits += byte
            if byte != b":" or not digits or int(digits) > largest:
                return
            if STRICT_ZERO and len(digits) > 1 and digits.startswith(b"0"):
                return
            payload = stream.read(int(digits))
            if stream.read(1) != b"," and STRICT_COMMA:
                return
            stream.write(b"%d:%b," % (len(payload), payload[::-1]))
            stream.flush()

    return serve


if __name__ == "__main__":
    main()
