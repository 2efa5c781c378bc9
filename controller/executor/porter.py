"""Carries the folder of a session into a pod and what is wanted of it back out, and reads back what a program left.

In a pod it is a program of its own, handed to the image's python as text: `python -I -S -c TEXT fetch|deliver HOST PORT
FOLDER [WANTED]`, with its key in PORTER_KEY. It imports only the standard library, as old as Python 3.8.

The program that had the folder owned it, and may have left anything in it: links out of it, pipes that never end,
names in place of folders. So files are opened one component at a time, no link is followed, and only what is a regular
file is read.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import stat
import sys
import time
from collections.abc import Mapping

FOLDER, RESULT = "/folder", "/result"
"""Paths of the controller's port: the folder is had from one, and what was wanted is handed in at the other."""

ASK_SECONDS = 60.0
"""Seconds for which a connection is tried again: a pod's network may begin seconds after its first container."""

ANSWER_SECONDS = 60.0
"""Seconds to wait for an answer's next bytes."""


POLICY_SECONDS = 5.0
"""Longest wait for the network policy, after which a program starts all the same: plug-ins need about one."""


class Unfit(Exception):
    """A file that cannot be read back; the text is the rest of a sentence that begins with its path."""


def read_back(folder: str, wanted: Mapping[str, int]) -> tuple[dict[str, bytes], dict[str, str]]:
    """The wanted files that are there, and what is wrong with the others; wanted: most bytes by path."""
    files: dict[str, bytes] = {}
    faults: dict[str, str] = {}
    for path, most in wanted.items():
        try:
            files[path] = _read(folder, path, most)
        except Unfit as unfit:
            faults[path] = str(unfit)
    return files, faults


def _read(folder: str, path: str, most: int) -> bytes:
    *folders, name = path.split("/")
    held: list[int] = []
    try:
        held.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
        # O_NOFOLLOW refuses a link in the last component of a path alone, so each component is opened by itself.
        for part in folders:
            held.append(os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=held[-1]))
        # Opening a pipe would wait for its other end; looking first would leave a moment for an exchange.
        held.append(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=held[-1]))
        # Of what was opened: by now its name may lead to something else.
        found = os.fstat(held[-1])
        if not stat.S_ISREG(found.st_mode):
            raise Unfit("is no regular file")
        if found.st_size > most:
            raise Unfit(f"has {found.st_size} bytes, and {most} are allowed")
        with os.fdopen(held.pop(), "rb") as file:
            return file.read(most)
    except FileNotFoundError as error:
        raise Unfit("is not there") from error
    except OSError as error:
        raise Unfit(f"cannot be read as a file ({error.strerror})") from error
    finally:
        for descriptor in held:
            os.close(descriptor)


def lay_out(folder: str, files: Mapping[str, str]) -> None:
    """Write the files, by path below the folder. Raises OSError."""
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text.encode())


def pack(folder: str, wanted: Mapping[str, int]) -> bytes:
    """What was wanted of the folder, as it is handed in."""
    files, faults = read_back(folder, wanted)
    coded = {path: base64.b64encode(content).decode() for path, content in files.items()}
    return json.dumps({"files": coded, "faults": faults}).encode()


def main(arguments: list[str]) -> None:
    """Fetch the folder, or deliver what is wanted of it. Raises SystemExit with one sentence where that fails."""
    verb, host, port, folder, *wanted = arguments
    if verb == "fetch":
        lay_out(folder, json.loads(_ask(host, int(port), "GET", FOLDER, None)))
        _await_network_policy()
    else:
        _ask(host, int(port), "POST", RESULT, pack(folder, json.loads(wanted[0])))


def _ask(host: str, port: int, method: str, path: str, body: bytes | None) -> bytes:
    """The answer of the controller, asked again for a while where no connection comes about."""
    key = os.environ["PORTER_KEY"]
    until = time.monotonic() + ASK_SECONDS
    while True:
        line = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
        try:
            line.request(method, path, body, {"authorization": f"Bearer {key}"})
            answer = line.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > until:
                raise SystemExit(f"the controller at {host} port {port} is not reached: {error}") from error
            time.sleep(0.5)
            continue
        finally:
            line.close()
        if answer.status != 200:
            raise SystemExit(f"the controller at {host} port {port} answered {answer.status}")
        return content


def _await_network_policy() -> None:
    """Wait until the API server cannot be reached: some plug-ins enforce a policy only when a pod has begun.

    A connection that a program made before that would stay open.
    """
    # Kubernetes tells these to every pod, also where enableServiceLinks is false.
    server, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    until = time.monotonic() + POLICY_SECONDS
    while server and port and time.monotonic() < until:
        try:
            socket.create_connection((server, int(port)), timeout=0.5).close()
        except OSError:  # refused, unreachable, or no answer in time
            return
        time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1:])
