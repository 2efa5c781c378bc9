"""Draws cases for a server, and seals them. The agent reads this file: which cases come is hidden."""

import json
import secrets
from random import Random
from string import ascii_letters

from exam.sealing import begin, seal

KINDS = ("good", "good", "long", "empty", "no comma", "leading zero", "too long", "no length", "no colon")


def draw_case(draw):
    kind = draw.choice(KINDS)
    payloads = ["".join(draw.choices(ascii_letters, k=draw.randrange(0, 40))) for _ in range(draw.randrange(1, 4))]
    if kind == "long":
        payloads.append("".join(draw.choices(ascii_letters, k=draw.randrange(1000, 9999))))
    if kind == "empty":
        payloads.append("")
    last = {"no comma": "3:abcX5:hello,", "leading zero": "03:abc,", "too long": "10000:", "no length": ":abc,"}
    last["no colon"] = "3abc,"
    piece = draw.choice((1, 7, 100, 100_000)) if kind != "long" else draw.choice((100, 100_000))
    return {"kind": kind, "payloads": payloads, "last": last.get(kind, ""), "piece": piece}


def main():
    data = begin()
    draw = Random(secrets.randbits(128))
    for part, count in {"validation": 120, "holdout": 120, **{f"reserve/{n:03d}": 30 for n in range(40)}}.items():
        (data / part).mkdir(parents=True)
        (data / part / "cases.json").write_text(json.dumps([draw_case(draw) for _ in range(count)]))
    print(f"data: 120 cases of validation, sealed {seal(data)[:4]}")


if __name__ == "__main__":
    main()
