"""Cold starts of the test cluster's image store by many processes at once: `image_store_starts.py FOLDER STARTS SEED`.

Eight processes begin with the same empty store at the same moment, and each makes the same images in it. In two
starts of three one of them is killed on the way. Whoever lives must succeed, and so must one more process afterwards;
then every blob must be what its name says, and nothing else may lie there. Prints what broke, or "ok".
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.cluster.harness.cache import make_once
from tests.cluster.harness.oci import CONFIG, LAYER, Image, image_of_files, with_plain_layers

PROCESSES = 8
PROGRAMS = 3
LAYER_BYTES = 64 * 1024


def main() -> int:
    """Run the starts; the exit code is 1 after the first that left something broken."""
    folder, starts, random_numbers = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    executable = folder / "program"
    executable.write_bytes(bytes(random_numbers.randrange(256) for _ in range(1024)) * 16)
    usual_s = _seconds(lambda: _start(folder / "undisturbed", executable, _pushed(folder / "undisturbed")))
    for number in range(starts):
        store = folder / str(number)
        killed_after = random_numbers.uniform(0, 3 * usual_s) if number % 3 else None
        broken = _one_start(store, executable, killed_after=killed_after)
        if broken:
            print(f"start {number}, killed after {killed_after} s: {broken}")
            return 1
        shutil.rmtree(store)
    print("ok")
    return 0


def _one_start(store: Path, executable: Path, *, killed_after: float | None) -> str | None:
    """The fault that is left after all processes have ended; None if there is none."""
    pushed = _pushed(store)
    gate, opener = os.pipe()
    children = [_fork(lambda: _start(store, executable, pushed), behind=gate, closing=opener) for _ in range(PROCESSES)]
    os.close(gate)
    os.close(opener)
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(children[0], signal.SIGKILL)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    survivors = codes if killed_after is None else codes[1:]
    if any(survivors) or codes[0] not in (0, -signal.SIGKILL):
        return f"exit codes {codes}"
    return _faults_of(store, _start(store, executable, pushed))


def _start(store: Path, executable: Path, pushed: Image) -> list[Image]:
    """Do as a worker before its cluster starts: a folder of programs, two small images, one from a builder."""
    make_once(store / "programs", lambda folder: _write_programs(folder, executable))
    small = [
        image_of_files(
            store, tag=f"localhost/{name}:1", executables={f"bin/{name}": executable}, links={}, entrypoint=[]
        )
        for name in ("pause", "task")
    ]
    return [*small, with_plain_layers(pushed)]


def _write_programs(folder: Path, executable: Path) -> None:
    folder.mkdir()
    for number in range(PROGRAMS):
        shutil.copy(executable, folder / str(number))


def _pushed(store: Path) -> Image:
    """An image as a builder pushes it, with compressed layers."""
    plain = [bytes([number]) * LAYER_BYTES for number in range(3)]
    packed = [gzip.compress(layer, compresslevel=0, mtime=0) for layer in plain]
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in plain]}}).encode()
    manifest = {
        "schemaVersion": 2,
        "config": {"mediaType": CONFIG, "digest": _digest(config), "size": len(config)},
        "layers": [{"mediaType": f"{LAYER}+gzip", "digest": _digest(layer), "size": len(layer)} for layer in packed],
    }
    image = Image(tag="localhost/pushed:1", digest=_digest(json.dumps(manifest).encode()), layout=store)
    for blob in (*packed, config, json.dumps(manifest).encode()):
        path = image.blob(_digest(blob))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob)
    return image


def _faults_of(store: Path, images: list[Image]) -> str | None:
    for image in images:
        image.write_archive(io.BytesIO())
    if len(list((store / "programs").iterdir())) != PROGRAMS:
        return "half a folder of programs"
    wanted = {image.blob(digest) for image in images for digest in image.blobs()}
    found = {path for path in (store / "blobs" / "sha256").iterdir() if not _is_manifest_as_pushed(path)}
    wrong = [path.name for path in wanted if hashlib.sha256(path.read_bytes()).hexdigest() != path.name]
    if wrong:
        return f"blobs that are not what their names say: {wrong}"
    left = sorted(path.name for path in {*(found - wanted), *store.glob(".*")})
    return f"left behind: {left}" if left else None


def _is_manifest_as_pushed(path: Path) -> bool:
    content = path.read_bytes()
    return content.startswith(b"{") and b"+gzip" in content


def _fork(work: Callable[[], object], *, behind: int, closing: int) -> int:
    """A child that begins when the other end of the pipe is closed by all; its exit code tells how it went."""
    child = os.fork()
    if child:
        return child
    os.close(closing)
    code = 1
    try:
        os.read(behind, 1)
        work()
        code = 0
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
