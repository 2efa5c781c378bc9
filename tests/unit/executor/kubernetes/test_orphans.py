"""Orphans: Jobs of the campaign that no try claims."""

from __future__ import annotations

from typing import Any

from controller.executor.kubernetes.naming import RECORDED, SMOKE
from controller.executor.kubernetes.orphans import find_orphans


def a_found_job(name: str, *, created: str = "1", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": created, **metadata}}


def test_orphans_are_what_nobody_claims_and_nobody_recorded_oldest_first() -> None:
    jobs = [
        a_found_job("claimed"),
        a_found_job("recorded", annotations={RECORDED: "2026-11-24T07:30:00Z"}),
        a_found_job("going", deletionTimestamp="2"),
        a_found_job("a smoke test of ours", labels={SMOKE: "0badcafe"}),
        a_found_job("younger", created="2"),
        a_found_job("older", created="1"),
    ]

    assert [job["metadata"]["name"] for job in find_orphans(jobs, ours={"claimed"})] == ["older", "younger"]
