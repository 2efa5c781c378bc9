"""Prometheus and promtool as fixtures, built before any test's clock starts."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.cluster.harness.binaries import binary
from tests.observability.programs import need


@pytest.fixture
def promtool() -> Path:
    return need("promtool")


@pytest.fixture
def prometheus() -> Path:
    return need("prometheus")


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = any({"prometheus", "promtool"} & set(getattr(item, "fixturenames", ())) for item in session.items)
    if not wanted or session.config.option.collectonly or shutil.which("go") is None:
        return
    capturing = session.config.pluginmanager.getplugin("capturemanager")
    with capturing.global_and_fixture_disabled() if capturing else nullcontext():
        binary("prometheus")
