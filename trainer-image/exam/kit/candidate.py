"""Answer the examiner's questions with what was trained: the phase `candidate`, `python -m exam.kit.candidate`.

supervisor.py starts this in a child of its own, and kills it when the examiner has asked enough. The child imports the
agent's file and calls `load(artifact)`. What that returns answers: `answer(question)`, for an episode also with a
method `reset()`; of a server it is `serve(connection)`, called in a thread of its own for each connection.

With `--program` the words after it are run instead, for other languages. Descriptor 3 is then the connection to the
examiner; for a server it is a listening socket, as of systemd's socket activation.
"""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from exam.kit import messages, supervisor, types, wire
from exam.kit.errors import EXIT_DATA, DataError
from exam.kit.pump import join
from exam.kit.types import Array, Bytes, Json, Kind

QUESTIONS, EPISODES, STREAMS = 1, 2, 3
"""Manners of an exam, as in asking.py."""

GIVEN = 3
"""The descriptor that a program in another language finds: the first after input, output and errors."""


def serve(data: socket.socket, module: str, program: Sequence[str], environment: Mapping[str, str]) -> int:
    """Be told the manner, load, greet the examiner, and answer until it closes the connection."""
    first = wire.read_exactly(data, messages.HEADER.size)
    manner = messages.HEADER.unpack(first)[1] if first else 0
    if program:
        return _serve_program(data, program, manner, environment)
    answer = _load(module, Path(environment["AUTORESEARCH_ARTIFACT"]))
    _greet(data)
    return _accept(data, lambda peer: _in_thread(answer, peer)) if manner == STREAMS else _answer_all(data, answer)


def _load(module: str, artifact: Path) -> Any:
    sys.path.insert(0, os.getcwd())
    loaded = importlib.import_module(module)
    load = getattr(loaded, "load", None)
    if load is None:
        raise SystemExit(f"candidate: {module}.py has no function load(artifact)")
    return load(artifact)


def _greet(data: socket.socket) -> None:
    data.sendall(wire.READY.pack(wire.READY_MAGIC, wire.VERSION))


def _answer_all(data: socket.socket, answer: Any) -> int:
    while header := wire.read_exactly(data, messages.HEADER.size):
        magic, number, kind, wanted, size = messages.HEADER.unpack(header)
        body = wire.read_exactly(data, size)
        if body is None:
            break
        if magic == messages.RESET:
            reset: Callable[[], object] | None = getattr(answer, "reset", None)
            if reset is not None:
                reset()
            data.sendall(messages.HEADER.pack(messages.ANSWER, number, 0, 0, 0))
            continue
        code, reply = _encode(answer(_decode(kind, body)), wanted)
        data.sendall(messages.HEADER.pack(messages.ANSWER, number, code, 0, len(reply)) + reply)
    return 0


def _decode(code: int, body: bytes) -> Any:
    if code & 0xFF == Kind.JSON:
        return Json().decode(body)
    if code & 0xFF == Kind.BYTES:
        return body
    return types.decode_any_array(code, body)


def _encode(value: Any, wanted: int) -> tuple[int, bytes]:
    """Kind with dtype, and body, of what the agent's function returned, in the type that the question asked for."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if wanted & 0xFF == Kind.JSON:
        return Json().encode(value)
    if wanted & 0xFF == Kind.BYTES:
        return Bytes().encode(value)
    import numpy as np

    array = Array(types.DTYPES[(wanted >> 8) - 1], (None,) * np.ndim(value))
    return wanted, array.encode(value)[1]


def _accept(data: socket.socket, take: Callable[[socket.socket], None]) -> int:
    """Take connections that the examiner hands over, until it closes its own."""
    while True:
        # A stream may give less than was asked for. The descriptor comes with the first byte.
        header, handles, _, _ = socket.recv_fds(data, messages.HEADER.size, 1)
        if not header:
            return 0
        if len(header) < messages.HEADER.size:
            wire.read_exactly(data, messages.HEADER.size - len(header))
        for handle in handles:
            take(socket.socket(fileno=handle))


def _in_thread(serve_one: Callable[[socket.socket], object], peer: socket.socket) -> None:
    def run() -> None:
        with peer:
            serve_one(peer)

    threading.Thread(target=run, daemon=True).start()


def _serve_program(data: socket.socket, program: Sequence[str], manner: int, environment: Mapping[str, str]) -> int:
    if manner != STREAMS:
        # Python's descriptors are closed by exec; what os.dup2 makes stays open.
        os.dup2(data.fileno(), GIVEN)
        os.execvpe(program[0], list(program), dict(environment))
    # Below /tmp, which every sandbox has to itself: an abstract name could be seen by others.
    address = f"/tmp/candidate-{os.getpid()}.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen(128)
        # sd_listen_fds(3) wants its own process id in LISTEN_PID, and exec keeps that of the shell.
        enter = f'exec {GIVEN}<&{listener.fileno()}; export LISTEN_PID=$$; exec "$@"'
        command = ["/bin/sh", "-c", enter, "sh", *program]
        told = {**environment, "LISTEN_FDS": "1"}
        # The program has a copy of the listener, which goes on listening when ours is closed.
        running = subprocess.Popen(command, env=told, pass_fds=(listener.fileno(),), stdin=subprocess.DEVNULL)
    # SystemExit would end this thread alone.
    threading.Thread(target=lambda: os._exit(running.wait() or 0), daemon=True).start()
    _greet(data)
    return _accept(data, lambda peer: _in_thread(lambda ours: join(ours, address), peer))


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the supervisor, or its child; returns the exit code."""
    words = list(arguments)
    at = words.index("--program") if "--program" in words else len(words)
    program = words[at + 1 :]
    try:
        return supervisor.run(
            words[:at],
            environment,
            program="exam.kit.candidate",
            serve=lambda data, module, told: serve(data, module, program, told),
            passed_on=words[at:],
        )
    except DataError as error:
        print(f"candidate: {error}", file=sys.stderr)
        return EXIT_DATA


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
