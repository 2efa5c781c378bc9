"""Images that several processes want are built by one of them, and a build that is killed spoils no later one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.harness.packages import packages_step
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PREPARATIONS = [packages_step()]
ROOT = Path(__file__).resolve().parents[2]
BUILDER = """
import hashlib, json, sys
from pathlib import Path
from tests.cluster.harness.builder import build_image
folder = Path(sys.argv[1])
print("begins", flush=True)
image = build_image(folder / "Dockerfile", folder, "localhost/tiny:test")
for digest in image.blobs():
    assert "sha256:" + hashlib.sha256(image.blob(digest).read_bytes()).hexdigest() == digest, digest
print(image.digest)
"""
BUILDERS = 4
ROUNDS = 6


class Store:
    """An image store of its own. folder: what is built, and the cache below it."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.images = folder / "cache" / "autoresearch-tests" / "images"
        self._environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
        self.begun: list[subprocess.Popen[str]] = []
        self.source.mkdir()
        (self.source / "Dockerfile").write_text("FROM scratch\nCOPY one two /\n")

    def change(self, text: str) -> None:
        """Make the next build another one."""
        (self.source / "one").write_text(text)
        (self.source / "two").write_bytes(text.encode() * 100_000)

    def begin(self) -> subprocess.Popen[str]:
        """A process that builds the image."""
        self.begun.append(
            subprocess.Popen(
                [sys.executable, "-c", BUILDER, str(self.source)],
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return self.begun[-1]

    def build(self) -> str:
        """The digest of the image, built by one process that nothing disturbs."""
        return answer(self.begin())


def answer(builder: subprocess.Popen[str]) -> str:
    out, err = builder.communicate(timeout=900)
    assert builder.returncode == 0, err
    return out.split()[-1]


@pytest.fixture
def store(buildable: None, tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    for builder in store.begun:
        if builder.poll() is None:
            builder.kill()
        builder.communicate()


def test_image_is_built_by_one_of_those_that_want_it_whoever_is_killed_meanwhile(store: Store) -> None:
    numbers = random.Random(7)
    store.change("warm")
    began = time.monotonic()
    store.build()
    usual = time.monotonic() - began
    for turn in range(ROUNDS):
        store.change(f"turn {turn} ")
        builders = [store.begin() for _ in range(BUILDERS)]
        victim = builders.pop()
        assert victim.stdout
        victim.stdout.readline()
        time.sleep(numbers.uniform(0, usual))  # the moment of the kill is what this test draws by chance
        victim.send_signal(signal.SIGKILL)
        victim.communicate()

        digests = {answer(builder) for builder in builders}

        assert len(digests) == 1
        assert store.build() == digests.pop()


def test_what_a_killed_builder_started_ends_with_it_and_its_leftovers_go(store: Store) -> None:
    store.change("killed ")
    builder = store.begin()
    wait_until(lambda: builds_in(store.images), what="buildah to begin", interval=0.005)
    builder.send_signal(signal.SIGKILL)
    builder.communicate()
    wait_until(lambda: not builds_in(store.images), what="buildah to end with it")

    store.change("whole ")
    digest = store.build()

    records = [json.loads(path.read_text()) for path in (store.images / "built").iterdir()]
    assert [record["digest"] for record in records] == [digest]
    assert list((store.images / "scratch").iterdir()) == []
    assert [path.name for path in store.images.rglob("*.unfinished")] == []


def builds_in(images: Path) -> list[str]:
    """The command lines of builds that run with this store."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_text(errors="replace")
        except OSError:
            continue
        if str(images) in line and "buildah" in line and "\0build\0" in line:
            found.append(line)
    return found


def test_an_input_that_lies_elsewhere_is_not_built_again(store: Store) -> None:
    store.change("same")
    built = store.build()
    store.source = store.source.rename(store.source.with_name("elsewhere"))

    assert store.build() == built
    assert len(list((store.images / "built").glob("*.json"))) == 1
