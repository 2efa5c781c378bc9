"""The images that live releases run: the controller as it ships, and the sealed exam around a model without torch."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.cluster.harness import Image, base_image, build_image
from tests.cluster.harness.images import image_step

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parents[2]
BIGRAM = Path(__file__).parent / "bigram"


def controller_image() -> Image:
    """The project's Dockerfile, unchanged. Rebuilt in its last layers whenever the controller changes."""
    return _controller(build_image)


def trainer_image() -> Image:
    """prepare.py, corpus/ and exam/ of the task that ships, with a train.py that counts bigrams in a second."""
    return _trainer(build_image)


def _controller(by: Callable[..., T]) -> T:
    return by(REPOSITORY / "Dockerfile", REPOSITORY, "localhost/autoresearch-controller:test", base=base_image())


def _trainer(by: Callable[..., T]) -> T:
    shipped = REPOSITORY / "trainer-image"
    with tempfile.TemporaryDirectory(prefix="autoresearch-bigram-") as folder:
        context = Path(folder)
        for package in ("corpus", "exam"):
            shutil.copytree(shipped / package, context / package, ignore=shutil.ignore_patterns("__pycache__"))
        for source in (shipped / "prepare.py", shipped / "requirements.txt", BIGRAM / "train.py"):
            shutil.copy(source, context)
        shutil.copy(BIGRAM / "Dockerfile", context)
        return by(context / "Dockerfile", context, "localhost/autoresearch-bigram:test", base=base_image())


CONTROLLER = image_step("of the controller", 2, _controller)
TRAINER = image_step("of the bigram task", 2, _trainer)
