"""A stand-in for the Hugging Face hub with one data set: the three requests that huggingface_hub makes to fetch one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40


@contextmanager
def serving(repository: str, files: Mapping[str, bytes]) -> Iterator[str]:
    """The address of a hub whose data set has these files at COMMIT, which is main."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(repository, files))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(repository: str, files: Mapping[str, bytes]) -> type[BaseHTTPRequestHandler]:
    hashes = {name: hashlib.sha1(content, usedforsecurity=False).hexdigest() for name, content in files.items()}
    listing = [{"type": "file", "path": name, "size": len(files[name]), "oid": hashes[name]} for name in sorted(files)]
    answers = {
        f"/api/datasets/{repository}/revision/main": {"id": repository, "sha": COMMIT, "siblings": []},
        f"/api/datasets/{repository}/tree/{COMMIT}": listing,
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            name = path.removeprefix(f"/datasets/{repository}/resolve/{COMMIT}/")
            if path in answers:
                self._send(json.dumps(answers[path]).encode(), {"Content-Type": "application/json"})
            elif name in files:
                self._send(files[name], {"ETag": f'"{hashes[name]}"', "X-Repo-Commit": COMMIT})
            else:
                self.send_error(404)

        do_HEAD = do_GET  # noqa: N815  # the library's name

        def _send(self, content: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(200)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: the tests look at what the command says."""

    return Handler
