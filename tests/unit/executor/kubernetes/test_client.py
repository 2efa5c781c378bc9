"""Every answer of the API server means one of three things, and every request is counted and guarded once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3

from controller.errors import ClusterError, SettingsError
from controller.executor.kubernetes.client import CONFIG_MAPS, PODS, Client, shut_down_stream
from controller.executor.kubernetes.connection import connect
from controller.executor.kubernetes.errors import MESSAGE_LIMIT, Refused, Unavailable
from controller.executor.kubernetes.logs import fetch_log_end
from controller.settings import KubernetesSettings
from tests.support.kubernetes_api import Reply, ScriptedApi, client_of

BODY = {"metadata": {"name": "one"}}


def status(reason: str, message: str = "") -> dict[str, str]:
    return {"kind": "Status", "reason": reason, "message": message}


def create(reply: Reply) -> dict[str, Any]:
    api = ScriptedApi()
    api.answer("POST", "configmaps", reply)
    with client_of(api) as client:
        return client.create(CONFIG_MAPS, BODY)


@pytest.mark.parametrize(
    ("code", "reason", "message", "over_quota"),
    [
        (409, "AlreadyExists", 'configmaps "one" already exists', False),
        (403, "Forbidden", 'pods "x" is forbidden: exceeded quota: q, requested: pods=1', True),
        (403, "Forbidden", "User cannot create resource", False),
        (422, "Invalid", "spec: Invalid value", False),
        (404, "NotFound", "namespace not found", False),
    ],
)
def test_refusal_keeps_the_servers_reason(code: int, reason: str, message: str, over_quota: bool) -> None:
    with pytest.raises(Refused) as caught:
        create(Reply(status=code, body=status(reason, message)))

    refused = caught.value
    assert (refused.status, refused.reason, refused.message, refused.over_quota) == (code, reason, message, over_quota)


def test_close_ends_idle_connections_whoever_else_still_knows_of_them() -> None:
    api = ScriptedApi()
    api.answer("GET", "configmaps/one", Reply(body=BODY))
    with client_of(api) as client:
        client.find(CONFIG_MAPS, "one")
        connections = client.pool.connection_from_url(client.host)
        idle = [connection for connection in connections.pool.queue if connection]

        client.close()

    assert len(idle) == 1
    assert idle[0].sock is None


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda response: response.close(), id="closed"),
        pytest.param(lambda response: response.read(), id="read to its end"),
        pytest.param(lambda response: os.close(response.connection.sock.detach()), id="its socket gone"),
    ],
)
def test_stream_that_just_ended_can_be_let_go(end: Callable[[urllib3.HTTPResponse], None]) -> None:
    api = ScriptedApi()
    api.answer("GET", "/stream", Reply(stream=[{"n": 1}]))
    with client_of(api) as client:
        response = client.pool.request("GET", f"{client.host}/stream", preload_content=False)
        end(response)

        shut_down_stream(response)


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_nobody_knows_whether_a_failing_server_did_it(code: int) -> None:
    with pytest.raises(Unavailable) as caught:
        create(Reply(status=code, body=b"<html>bad gateway</html>", headers={"Retry-After": "7"}))

    assert (caught.value.retry_after, caught.value.answered) == (7.0, True)


def test_two_writers_in_a_quota_ask_again() -> None:
    message = 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified'

    with pytest.raises(Unavailable):
        create(Reply(status=409, body=status("Conflict", message)))


def test_lost_reply_is_unavailable() -> None:
    with pytest.raises(Unavailable) as caught:
        create(Reply(body=BODY, cut=True))

    assert not caught.value.answered


def test_nobody_listens_is_unavailable_and_says_where() -> None:
    with urllib3.PoolManager() as pool:
        client = Client(host="http://127.0.0.1:1", namespace="runs", pool=pool, credentials=dict)

        with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:1 does not answer"):
            client.get(PODS, "x")


def test_servers_words_are_cut() -> None:
    with pytest.raises(Refused) as caught:
        create(Reply(status=422, body=status("Invalid", "x" * 100_000)))

    assert len(str(caught.value)) < 2 * MESSAGE_LIMIT


def test_deletion_takes_the_pods_along_and_names_the_object() -> None:
    api = ScriptedApi()
    api.answer("DELETE", "configmaps/one", Reply(body={}))
    with client_of(api) as client:
        client.delete(CONFIG_MAPS, "one", uid="u-1")

    assert api.requests[0].body == {"propagationPolicy": "Background", "preconditions": {"uid": "u-1"}}


@pytest.mark.parametrize("code", [404, 409], ids=["gone", "replaced"])
def test_what_is_gone_or_replaced_counts_as_deleted(code: int) -> None:
    api = ScriptedApi()
    api.answer("DELETE", "configmaps/one", Reply(status=code, body=status("NotFound")))
    with client_of(api) as client:
        client.delete(CONFIG_MAPS, "one", uid="u-1")

    assert len(api.requests) == 1


def test_guard_stops_every_write_and_no_read() -> None:
    def stop() -> None:
        raise ClusterError("not any more")

    api = ScriptedApi()
    api.answer("GET", "configmaps/one", Reply(body=BODY))
    with client_of(api) as plain:
        client = plain.guarded(stop)
        for write in (
            lambda: client.create(CONFIG_MAPS, BODY),
            lambda: client.patch(CONFIG_MAPS, "one", BODY),
            lambda: client.replace(CONFIG_MAPS, "one", BODY),
            lambda: client.delete(CONFIG_MAPS, "one", uid="u"),
        ):
            with pytest.raises(ClusterError, match="not any more"):
                write()

        assert client.get(CONFIG_MAPS, "one") == BODY
    assert [request.method for request in api.requests] == ["GET"]


def test_every_request_is_counted_with_its_code_and_carries_credentials() -> None:
    seen: list[tuple[str, str, str]] = []
    api = ScriptedApi()
    api.answer("GET", "configmaps/one", Reply(body=BODY))
    with client_of(api, observe=lambda *what: seen.append(what[:3])) as client:
        client.get(CONFIG_MAPS, "one")
        with pytest.raises(Refused):
            client.get(CONFIG_MAPS, "two")

    assert seen == [("get", "configmaps", "200"), ("get", "configmaps", "404")]
    assert {request.headers["authorization"] for request in api.requests} == {"Bearer t"}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(body=b"loss 1.5\n"), b"loss 1.5\n"),
        (Reply(body=b"unable to retrieve container logs for containerd://123"), None),
        (Reply(status=400, body=status("BadRequest", "container is waiting to start")), None),
        (Reply(status=404, body=status("NotFound")), None),
    ],
    ids=["log", "file gone", "never started", "pod gone"],
)
def test_log_that_is_gone_is_none_and_no_text(reply: Reply, expected: bytes | None) -> None:
    api = ScriptedApi()
    api.answer("GET", "pods/p/log", reply)
    with client_of(api) as client:
        assert fetch_log_end(client, "p", "train") == expected


CLUSTER = "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: a, user: {}}]\n"
CONTEXT = "contexts: [{name: a, context: {cluster: a, user: a}}]\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "file is empty", id="empty"),
        pytest.param(b"a: [", "while parsing", id="no YAML"),
        pytest.param(b"\xff\xfe", "can't decode", id="no text"),
        pytest.param(b"- a", "list indices", id="a list"),
        pytest.param(b"words", "", id="words"),
        pytest.param(b"clusters: 1\nusers: 2\ncontexts: 3\ncurrent-context: 4", "", id="numbers"),
        pytest.param(f"{CLUSTER}{CONTEXT}current-context: b".encode(), "name b", id="no such context"),
        pytest.param(f"clusters: [{{name: a}}]\n{CONTEXT}current-context: a".encode(), "", id="no cluster"),
    ],
)
def test_a_kubeconfig_that_leads_nowhere_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(content)

    with pytest.raises(SettingsError) as told:
        connect(KubernetesSettings(kubeconfig=path))

    assert f"no way into a cluster (executor.kubernetes.kubeconfig {path}): " in str(told.value)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"executor\.kubernetes\.kubeconfig .*/nowhere is no file"):
        connect(KubernetesSettings(kubeconfig=tmp_path / "nowhere"))
