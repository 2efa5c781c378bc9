"""Answer the examiner's questions with the trained language model: the phase `candidate`, `python -m exam.candidate`.

kit/supervisor.py starts this in a child of its own, and kills the child when the examiner has asked enough.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from exam.kit import supervisor, wire
from exam.language import model, protocol


def serve(data: socket.socket, module: str, environment: Mapping[str, str]) -> int:
    """Load the model, greet the examiner, and answer its questions until it closes the connection."""
    ask = model.load(module, Path(environment["AUTORESEARCH_ARTIFACT"]))
    data.sendall(wire.READY.pack(wire.READY_MAGIC, wire.VERSION))
    while request := protocol.read_request(data):
        protocol.write_reply(data, request.id, request.choose(ask(request.tokens)))
    return 0


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the supervisor, or its child; returns the exit code."""
    return supervisor.run(arguments, environment, program="exam.candidate", serve=serve)
