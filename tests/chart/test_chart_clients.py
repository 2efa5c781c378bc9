"""Clients from outside: how they come in, what they must show, and which mistakes are told before an install."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from controller.settings.file import load_settings
from tests.chart.rendering import HelmError, Manifest, campaign, notes, of_kind, one, render

MCP: dict[str, Any] = {"campaign": {"agent": {"kind": "mcp"}}}


def container(manifests: list[Manifest]) -> Manifest:
    [found] = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def token_volume(manifests: list[Manifest]) -> Manifest:
    volumes = one(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]
    return dict(next(volume for volume in volumes if volume["name"] == "mcp")["secret"])


def test_clients_come_in_at_a_port_of_their_own_and_probes_stay_where_they_were() -> None:
    manifests = render({**MCP, "service": {"type": "LoadBalancer"}})

    service = one(manifests, "Service", "autoresearch-mcp")["spec"]
    assert (service["type"], service["ports"]) == (
        "ClusterIP",
        [{"name": "mcp", "port": 8765, "targetPort": "mcp"}],
    ), "the token is never sent to a balancer of the page"
    made = container(manifests)
    assert made["ports"][1:] == [{"name": "mcp", "containerPort": 8765}]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert made[probe] == container(render())[probe]


def test_controller_listens_where_the_service_leads_and_knows_its_names(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    given = {"campaign": {"agent": {"kind": "mcp", "mcp": {"port": 9000, "hosts": ["lab.example:443"], "name": "lab"}}}}
    path.write_text(campaign(render(given, namespace="research")), encoding="utf-8")

    mcp = load_settings(path).agent.mcp
    assert (mcp.host, mcp.port, mcp.name) == ("0.0.0.0", 9000, "lab")
    assert mcp.hosts == (
        "autoresearch-mcp:9000",
        "autoresearch-mcp.research:9000",
        "autoresearch-mcp.research.svc:9000",
        "autoresearch-mcp.research.svc.cluster.local:9000",
        "lab.example:443",
    )


def test_token_is_drawn_by_the_chart_and_read_from_a_file() -> None:
    manifests, again = render(MCP), render(MCP)

    drawn = [base64.b64decode(one(each, "Secret")["data"]["token"]).decode() for each in (manifests, again)]
    assert len(drawn[0]) == 43
    assert drawn[0] != drawn[1]
    assert token_volume(manifests) == {"secretName": "autoresearch-mcp", "items": [{"key": "token", "path": "token"}]}
    environment = {each["name"]: each.get("value") for each in container(manifests)["env"]}
    assert environment["AUTORESEARCH_MCP_TOKEN_FILE"] == "/run/mcp/token"
    assert drawn[0] not in campaign(manifests)


def test_token_of_an_existing_secret_is_used_and_none_is_made() -> None:
    manifests = render({**MCP, "mcp": {"existingSecret": "clients", "secretKey": "bearer"}})

    assert not of_kind(manifests, "Secret")
    assert token_volume(manifests) == {"secretName": "clients", "items": [{"key": "bearer", "path": "token"}]}


def test_nobody_in_the_cluster_reaches_the_port_but_who_is_named() -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"team": "agents"}}}]

    assert [m["metadata"]["name"] for m in of_kind(render(MCP), "NetworkPolicy")] == [
        m["metadata"]["name"] for m in of_kind(render(), "NetworkPolicy")
    ]
    policy = one(render({**MCP, "mcp": {"ingressFrom": peers}}), "NetworkPolicy", "autoresearch-mcp")["spec"]
    assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "controller"
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["ingress"] == [{"from": peers, "ports": [{"protocol": "TCP", "port": "mcp"}]}]


def test_notes_say_how_to_reach_it_and_where_the_token_is() -> None:
    said = notes("--set", "campaign.agent.kind=mcp")

    assert "kubectl -n research port-forward svc/autoresearch-mcp 8765" in said
    assert "http://localhost:8765/mcp" in said
    read = "kubectl -n research get secret autoresearch-mcp -o go-template='{{ index .data \"token\" | base64decode }}'"
    assert read in said
    assert "svc/autoresearch-mcp" not in notes()


@pytest.mark.parametrize("kind", ["perturb", "replay"])
def test_other_agents_have_neither_port_nor_token(kind: str) -> None:
    manifests = render({"campaign": {"agent": {"kind": kind, "patches": "/patches"}}})

    assert [m["metadata"]["name"] for m in of_kind(manifests, "Service")] == ["autoresearch"]
    assert not of_kind(manifests, "Secret")
    assert len(container(manifests)["ports"]) == 1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        pytest.param({"port": 0}, "the Service needs one that stays", id="another port at each start"),
        pytest.param({"port": 8080}, "where page and metrics are served", id="the port of the page"),
        pytest.param({"host": "127.0.0.1"}, "which the Service does not reach", id="an address for this pod alone"),
    ],
)
def test_mistake_is_refused_in_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HelmError, match=sentence):
        render({"campaign": {"agent": {"kind": "mcp", "mcp": values}}})


def test_token_is_never_a_value() -> None:
    with pytest.raises(HelmError, match=r"mcp\.existingSecret"):
        render({**MCP, "controller": {"extraEnv": [{"name": "AUTORESEARCH_MCP_TOKEN", "value": "x"}]}})
