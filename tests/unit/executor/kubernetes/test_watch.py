"""A cache that is what the API server said last, on its good days and on its bad ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from controller.executor.kubernetes.client import PODS
from controller.executor.kubernetes.watch import Reflector
from tests.support.kubernetes_api import Reply, ScriptedApi, client_of
from tests.support.waiting import PATIENCE_S, wait_until

SILENT = Reply(stream=(), silent=True)


def pod(name: str, *, version: int = 1, uid: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}}


def listed(*items: dict[str, Any], version: int = 10, following: str = "") -> Reply:
    metadata = {"resourceVersion": str(version)} | ({"continue": following} if following else {})
    return Reply(body={"items": list(items), "metadata": metadata})


def event(kind: str, found: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": found}


class Watched:
    """A reflector and what it reported."""

    def __init__(self, reflector: Reflector, api: ScriptedApi) -> None:
        self.reflector = reflector
        self.api = api
        self.reports: list[tuple[str, bool]] = []

    def changed(self, found: dict[str, Any], gone: bool) -> None:
        self.reports.append((found["metadata"]["name"], gone))

    @property
    def names(self) -> list[str]:
        return sorted(found["metadata"]["name"] for found in self.reflector.all())

    @property
    def lists(self) -> list[Any]:
        return [r for r in self.api.seen("GET", "/pods") if "watch" not in r.query]

    @property
    def watches(self) -> list[Any]:
        return [r for r in self.api.seen("GET", "/pods") if "watch" in r.query]


@contextmanager
def watching(*replies: Reply, read_seconds: float = 30) -> Iterator[Watched]:
    """A started reflector on an API server that answers so, lists and watches in the order in which they come."""
    api = ScriptedApi()
    api.answer("GET", "pods", *replies)
    with client_of(api) as client:
        found: list[Watched] = []
        reflector = Reflector(
            client,
            PODS,
            key=lambda one: str(one["metadata"]["name"]),
            changed=lambda one, gone: found[0].changed(one, gone),
            read_seconds=read_seconds,
            labelSelector="a=b",
        )
        found.append(Watched(reflector, api))
        reflector.start()
        try:
            yield found[0]
        finally:
            reflector.stop()


def test_all_pages_are_listed_before_it_counts_as_synced() -> None:
    with watching(listed(pod("a"), following="next"), listed(pod("b"), version=11), SILENT) as it:
        assert it.reflector.wait_synced(PATIENCE_S)
        assert it.names == ["a", "b"]
        assert [r.query.get("continue") for r in it.lists] == [None, "next"]


def test_watch_goes_on_from_the_list_with_bookmarks_and_the_selector() -> None:
    with watching(listed(version=42), SILENT) as it:
        wait_until(lambda: len(it.watches) == 1, what="the watch")

        query = it.watches[0].query
        assert (query["resourceVersion"], query["allowWatchBookmarks"], query["labelSelector"]) == ("42", "true", "a=b")
        assert 240 <= int(query["timeoutSeconds"]) <= 360


def test_events_change_the_cache_and_are_reported() -> None:
    stream = [event("ADDED", pod("a")), event("MODIFIED", pod("a", version=2)), event("DELETED", pod("a", version=3))]
    with watching(listed(), Reply(stream=stream, silent=True)) as it:
        wait_until(lambda: len(it.reports) == 3, what="three reports")

        assert it.reports == [("a", False), ("a", False), ("a", True)]
        assert it.names == []


def test_bookmark_moves_the_version_and_reports_nothing() -> None:
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "99"}})
    # A watch that ends at once is paused for a moment; then it goes on from the bookmark, without a list.
    with watching(listed(pod("a")), Reply(stream=[bookmark]), SILENT) as it:
        wait_until(lambda: len(it.watches) == 2, what="the second watch")

        assert it.watches[1].query["resourceVersion"] == "99"
        assert len(it.lists) == 1
        assert it.reports == [("a", False)]


@pytest.mark.parametrize(
    "expired",
    [
        Reply(status=410, body={"kind": "Status", "code": 410, "reason": "Expired"}),
        Reply(stream=[event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})]),
    ],
    ids=["as HTTP status", "as event"],
)
def test_expired_version_lists_again_and_reports_what_vanished(expired: Reply) -> None:
    with watching(listed(pod("a"), pod("b")), expired, listed(pod("b"), pod("c")), SILENT) as it:
        wait_until(lambda: len(it.reports) == 4, what="the new list")

        assert it.names == ["b", "c"]
        assert it.reports == [("a", False), ("b", False), ("a", True), ("c", False)]


def test_silent_connection_is_given_up_after_the_read_timeout() -> None:
    with watching(
        listed(pod("a")), SILENT, Reply(stream=[event("ADDED", pod("b"))], silent=True), read_seconds=0.3
    ) as it:
        wait_until(lambda: it.names == ["a", "b"], what="both pods")

        assert it.reflector.failures >= 1


def test_cut_in_the_middle_of_an_event_loses_nothing() -> None:
    cut = Reply(stream=[event("ADDED", pod("a", version=11)), b'{"type": "ADDED", "obj'], cut=True)
    with watching(listed(), cut, Reply(stream=[event("ADDED", pod("b", version=12))], silent=True)) as it:
        wait_until(lambda: it.names == ["a", "b"], what="both pods")

        assert it.watches[1].query["resourceVersion"] == "11"


def test_refusals_are_met_with_growing_pauses() -> None:
    refusal = Reply(status=403, body={"reason": "Forbidden", "message": "cannot list resource pods"})
    began = time.monotonic()
    with watching(refusal) as it:
        wait_until(lambda: len(it.lists) >= 3, what="the third list")

        assert time.monotonic() - began > 1.1
        assert not it.reflector.wait_synced(0)
        assert "cannot list resource pods" in it.reflector.error


def test_same_name_with_another_uid_is_another_object() -> None:
    with watching(listed(pod("a", uid="one"), pod("a", uid="two")), SILENT) as it:
        wait_until(lambda: len(it.watches) == 1, what="the watch")

        assert {found["metadata"]["uid"] for found in it.reflector.find("a")} == {"one", "two"}


def test_stopping_does_not_wait_for_bytes() -> None:
    with watching(listed(), SILENT) as it:
        wait_until(lambda: len(it.watches) == 1, what="the watch")
        began = time.monotonic()
        it.reflector.stop()

        assert time.monotonic() - began < 20, "the read that it ends would take 30 s"


def test_age_grows_while_nothing_is_heard() -> None:
    with watching(listed(), SILENT) as it:
        wait_until(lambda: len(it.watches) == 1, what="the watch")

        wait_until(lambda: it.reflector.age > 0.05, what="silence")
        assert it.reflector.age < PATIENCE_S
