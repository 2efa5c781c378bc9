"""Every alert, fed with series by promtool: when it fires, with which words, and when it must not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "helm" / "rules" / "autoresearch.yaml"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]
}
HERE = 'namespace="research",campaign="mar8"'
WHOSE = {"namespace": "research", "campaign": "mar8"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Series of one value a minute, and what is told at `minute`: labels and the summary; None where nothing is."""

    alert: str
    story: str
    series: Mapping[str, str]
    minute: int
    labels: Mapping[str, str] = field(default_factory=dict)
    summary: str | None = None


def ours(name: str, *labels: str) -> str:
    return f"autoresearch_{name}{{{','.join((HERE, *labels))}}}"


BUILD = 'autoresearch_build_info{namespace="research",job="autoresearch",instance="%s",version="1"}'
GONE = "The controller is gone; nothing is launched or judged."
BUSY = {
    ours("slots_busy"): "2x200",
    ours("slots"): "2x200",
    ours("train_budget_seconds"): "300x200",
    ours("try_limit_seconds"): "1050x200",
    ours("budget_used_ratio", 'limit="dollars"'): "0.5x200",
    ours("proposals_in_flight"): "0x200",
    ours("loop_last_turn_timestamp_seconds"): "0+60x200",
}
"""A campaign of 300 s trainings whose two slots are busy all the time."""

LOST = ours("tries_lost_total", 'reason="infrastructure"')
ENDED = ours("attempts_total", 'outcome="scored"')
ADMITTED = ours("proposals_total", 'result="admitted"')
FREE = 'kubelet_volume_stats_available_bytes{namespace="%s",persistentvolumeclaim="%s"}'
SIZE = 'kubelet_volume_stats_capacity_bytes{namespace="%s",persistentvolumeclaim="%s"}'

PROPOSING = ours("proposals_in_flight")
LIMITED = ours("proposals_waiting", 'reason="rate_limit"')
RESTING = ours("proposals_waiting", 'reason="rest"')
TOKENS = ours("agent_tokens_total", 'kind="output"')
SILENT = "Proposals of campaign mar8 wait for the model API, which has answered nothing for half an hour."

OVER = {
    **BUSY,
    ours("slots_busy"): "2x20 0x200",
    PROPOSING: "1x20 0x200",
    ours("oldest_launch_timestamp_seconds"): "1000x20 stale",
    ours("last_attempt_end_timestamp_seconds"): "0+60x20 1200x200",
    ours("watch_last_event_timestamp_seconds", 'resource="pods"'): "0+60x20 stale",
    ours("paused"): "0x200",
    ours("ended", 'reason="budget"'): "0x20 1x200",
    ours("budget_used_ratio", 'limit="dollars"'): "0.5x20 0.8x200",
}
"""A campaign that has used what it was given at minute 20, a rest too little for a run left, and is looked at since."""

CASES = [
    *(
        Case(alert=alert, story=f"three hours after the end: {alert}", series=OVER, minute=200)
        for alert in RULES
        if alert not in ("AutoresearchDown", "AutoresearchLabFilling", "AutoresearchScoreRejected")
    ),
    *(
        Case(alert=alert, story=f"soon after the end: {alert}", series=OVER, minute=27)
        for alert in RULES
        if alert not in ("AutoresearchDown", "AutoresearchLabFilling", "AutoresearchScoreRejected")
    ),
    Case(
        alert="AutoresearchDown",
        story="gone after it was there",
        series={BUILD % "10.0.0.1:8080": "1x20 stale"},
        minute=30,
        labels={"namespace": "research", "job": "autoresearch"},
        summary=GONE,
    ),
    Case(
        alert="AutoresearchDown",
        story="never there",
        series={'up{job="prometheus"}': "1x20"},
        minute=10,
        summary=GONE,
    ),
    Case(
        alert="AutoresearchDown",
        story="a restart of three minutes, under another address",
        series={BUILD % "10.0.0.1:8080": "1x20 stale", BUILD % "10.0.0.2:8080": "_x23 1x30"},
        minute=27,
    ),
    Case(
        alert="AutoresearchDown",
        story="an hour after a restart",
        series={BUILD % "10.0.0.1:8080": "1x20 stale", BUILD % "10.0.0.2:8080": "_x23 1x90"},
        minute=90,
    ),
    Case(
        alert="AutoresearchDown",
        story="one of two releases",
        series={
            BUILD % "10.0.0.1:8080": "1x20 stale",
            'autoresearch_build_info{namespace="other",job="autoresearch",version="1"}': "1x40",
        },
        minute=30,
        labels={"namespace": "research", "job": "autoresearch"},
        summary=GONE,
    ),
    Case(
        alert="AutoresearchLoopStalled",
        story="turned for the last time at minute 10",
        series={ours("loop_last_turn_timestamp_seconds"): "0+60x10 600x10"},
        minute=15,
        labels=WHOSE,
        summary="The loop of campaign mar8 has not turned for 5m 0s.",
    ),
    Case(
        alert="AutoresearchLoopStalled",
        story="stood still for two minutes",
        series={ours("loop_last_turn_timestamp_seconds"): "0+60x10 600x1 720+60x10"},
        minute=12,
    ),
    Case(
        alert="AutoresearchLoopStalled",
        story="an old controller's last word beside a new one's",
        series={
            ours("loop_last_turn_timestamp_seconds", 'instance="old"'): "0+60x10 600x20",
            ours("loop_last_turn_timestamp_seconds", 'instance="new"'): "_x11 660+60x20",
        },
        minute=20,
    ),
    Case(
        alert="AutoresearchWatchStale",
        story="pods are silent, Jobs are not",
        series={
            **BUSY,
            ours("watch_last_event_timestamp_seconds", 'resource="pods"'): "0+60x10 600x10",
            ours("watch_last_event_timestamp_seconds", 'resource="jobs"'): "0+60x20",
        },
        minute=17,
        labels={**WHOSE, "resource": "pods"},
        summary="Campaign mar8 has heard nothing of pods for 7m 0s.",
    ),
    Case(
        alert="AutoresearchWatchStale",
        story="a dead connection, noticed after 90 s and mended with the longest pause",
        series={**BUSY, ours("watch_last_event_timestamp_seconds", 'resource="pods"'): "0+60x10 600x3 840+60x10"},
        minute=13,
    ),
    Case(
        alert="AutoresearchWatchStale",
        story="the campaign has ended, and with it the watches",
        series={
            **BUSY,
            ours("slots_busy"): "2x10 0x60",
            ours("watch_last_event_timestamp_seconds", 'resource="pods"'): "0+60x10 600x60",
        },
        minute=40,
    ),
    Case(
        alert="AutoresearchNothingFinishes",
        story="busy slots, and the last end 30 minutes ago",
        series={**BUSY, ours("last_attempt_end_timestamp_seconds"): "0+60x10 600x60"},
        minute=40,
        labels=WHOSE,
        summary="Campaign mar8 is busy, and nothing has finished for 30m 0s.",
    ),
    Case(
        alert="AutoresearchNothingFinishes",
        story="an end every eight minutes",
        series={**BUSY, ours("last_attempt_end_timestamp_seconds"): "0x8 480x8 960x8 1440x8 1920x8 2400x8"},
        minute=40,
    ),
    Case(
        alert="AutoresearchNothingFinishes",
        story="nothing has ended because nothing runs",
        series={**BUSY, ours("slots_busy"): "0x200", ours("last_attempt_end_timestamp_seconds"): "0x60"},
        minute=40,
    ),
    Case(
        alert="AutoresearchInfrastructureFailures",
        story="every third try is lost",
        series={**BUSY, LOST: "0+1x100", ENDED: "0+2x100"},
        minute=80,
        labels=WHOSE,
        summary="The infrastructure took away 33.33% of the last hour's tries of mar8.",
    ),
    Case(
        alert="AutoresearchInfrastructureFailures",
        story="one node was drained: two tries of four are lost, and that is all",
        series={**BUSY, LOST: "0x30 2x100", ENDED: "0x40 2x100"},
        minute=50,
    ),
    Case(
        alert="AutoresearchInfrastructureFailures",
        story="a restart interrupted many",
        series={**BUSY, LOST: "0x100", ours("tries_lost_total", 'reason="interrupted"'): "0+1x100", ENDED: "0+1x100"},
        minute=80,
    ),
    Case(
        alert="AutoresearchPendingTooLong",
        story="launched at the start, and the phases may take 17 minutes",
        series={**BUSY, ours("oldest_launch_timestamp_seconds"): "0x60"},
        minute=50,
        labels=WHOSE,
        summary="A try of mar8 was launched 50m 0s ago and is not over.",
    ),
    Case(
        alert="AutoresearchPendingTooLong",
        story="a slow exam within its limits",
        series={**BUSY, ours("oldest_launch_timestamp_seconds"): "0x60"},
        minute=20,
    ),
    Case(
        alert="AutoresearchScoreRejected",
        story="one rejection, not the first of this campaign",
        series={ours("attempts_total", 'outcome="rejected"'): "3x20 4x40"},
        minute=25,
        labels=WHOSE,
        summary="The exam rejected a score of campaign mar8: possibly forged.",
    ),
    Case(
        alert="AutoresearchScoreRejected",
        story="two hits over two scored attempts reject the experiment only",
        series={
            ours("attempts_total", 'outcome="rejected"'): "0x60",
            ours("experiments_total", 'verdict="reject"'): "0x20 1x40",
        },
        minute=25,
        labels=WHOSE,
        summary="The exam rejected a score of campaign mar8: possibly forged.",
    ),
    Case(
        alert="AutoresearchScoreRejected",
        story="half an hour later it is over, and crashes are no reason",
        series={
            ours("attempts_total", 'outcome="rejected"'): "0x20 1x60",
            ours("attempts_total", 'outcome="crashed"'): "0+1x90",
        },
        minute=55,
    ),
    Case(
        alert="AutoresearchLabFilling",
        story="a tenth is left",
        series={
            BUILD % "10.0.0.1:8080": "1x60",
            FREE % ("research", "autoresearch-lab"): "1e9x60",
            SIZE % ("research", "autoresearch-lab"): "10e9x60",
        },
        minute=20,
        labels={"namespace": "research", "persistentvolumeclaim": "autoresearch-lab"},
        summary="Only 10% of the volume autoresearch-lab is free.",
    ),
    Case(
        alert="AutoresearchLabFilling",
        story="volumes of others are full",
        series={
            BUILD % "10.0.0.1:8080": "1x60",
            FREE % ("research", "autoresearch-lab"): "5e9x60",
            SIZE % ("research", "autoresearch-lab"): "10e9x60",
            FREE % ("research", "postgres"): "0x60",
            SIZE % ("research", "postgres"): "10e9x60",
            FREE % ("elsewhere", "lab"): "0x60",
            SIZE % ("elsewhere", "lab"): "10e9x60",
        },
        minute=20,
    ),
    Case(
        alert="AutoresearchBudgetNearlySpent",
        story="dollars run out while it works",
        series={
            **BUSY,
            ours("budget_used_ratio", 'limit="dollars"'): "0.8x20 0.93x40",
            ours("budget_used_ratio", 'limit="hours"'): "0.2x60",
        },
        minute=30,
        labels={**WHOSE, "limit": "dollars"},
        summary="Campaign mar8 has used 93% of its dollars.",
    ),
    Case(
        alert="AutoresearchBudgetNearlySpent",
        story="it has ended",
        series={
            **BUSY,
            ours("slots_busy"): "0x60",
            ours("budget_used_ratio", 'limit="dollars"'): "1x60",
        },
        minute=30,
    ),
    Case(
        alert="AutoresearchBudgetNearlySpent",
        story="the last experiments of a campaign that was given a number of them",
        series={**BUSY, ours("budget_used_ratio", 'limit="experiments"'): "0.95x60"},
        minute=30,
    ),
    Case(
        alert="AutoresearchModelFailing",
        story="rate limits for forty minutes",
        series={**BUSY, PROPOSING: "2x200", LIMITED: "0x20 2x200", TOKENS: "0+900x20 18000x200"},
        minute=61,
        labels=WHOSE,
        summary=SILENT,
    ),
    Case(
        alert="AutoresearchModelFailing",
        story="perturb stands in, and slots are busy",
        series={**BUSY, RESTING: "0x20 1x200", TOKENS: "0+900x20 18000x200", ADMITTED: "0+1x200"},
        minute=61,
        labels=WHOSE,
        summary=SILENT,
    ),
    Case(
        alert="AutoresearchModelFailing",
        story="a network that swallows everything: calls of two minutes, waits of one",
        series={
            **BUSY,
            PROPOSING: "1x200",
            ours("proposals_waiting", 'reason="unreachable"'): "0 0 1 " * 60,
            TOKENS: "0x200",
        },
        minute=61,
        labels=WHOSE,
        summary=SILENT,
    ),
    Case(
        alert="AutoresearchModelFailing",
        story="rate limits between replies",
        series={**BUSY, PROPOSING: "2x200", LIMITED: "1x200", TOKENS: "0 " * 20 + "800+800x8 " * 15},
        minute=61,
    ),
    Case(
        alert="AutoresearchModelFailing",
        story="a wait of five minutes, as the API had said",
        series={**BUSY, PROPOSING: "1x200", LIMITED: "0x20 1x5 0x200", TOKENS: "0+900x20 18000x5 18000+900x200"},
        minute=28,
    ),
    Case(
        alert="AutoresearchModelFailing",
        story="a model whose own dollars are used up, while another agent stands in",
        series={**BUSY, PROPOSING: "1x200", ours("proposals_waiting", 'reason="money"'): "1x200", TOKENS: "0x200"},
        minute=61,
    ),
    Case(
        alert="AutoresearchModelRefuses",
        story="one refusal in half an hour, each answered by the second model",
        series={**BUSY, ours("refusals_total", 'category="frontier_llm"'): "0x29 1x29 2x29 3x29 4x80"},
        minute=130,
        labels={**WHOSE, "category": "frontier_llm"},
        summary="Models have refused several calls of campaign mar8 within two hours (frontier_llm).",
    ),
    Case(
        alert="AutoresearchModelRefuses",
        story="a single refusal",
        series={**BUSY, ours("refusals_total", 'category="cyber"'): "0x60 1x140"},
        minute=100,
    ),
    Case(
        alert="AutoresearchModelFailing",
        story="a refused key, which pauses the campaign and is told as that",
        series={
            **BUSY,
            ours("proposals_waiting", 'reason="operator"'): "1x200",
            TOKENS: "0x200",
            ours("paused"): "1x200",
        },
        minute=61,
    ),
    Case(
        alert="AutoresearchModelFailing",
        story="an agent that calls no model",
        series={**BUSY, PROPOSING: "0x200", LIMITED: "0x200", TOKENS: "0x200"},
        minute=61,
    ),
    Case(
        alert="AutoresearchModelFailing",
        story="a controller that started ten minutes ago",
        series={
            PROPOSING: "_x50 1x60",
            LIMITED: "_x50 1x60",
            TOKENS: "_x50 0x60",
            ours("loop_last_turn_timestamp_seconds"): "_x50 3000+60x60",
        },
        minute=61,
    ),
    Case(
        alert="AutoresearchModelFailing",
        story="the campaign has ended while the API was away",
        series={**OVER, LIMITED: "1x20 0x200", TOKENS: "0x200"},
        minute=61,
    ),
    Case(
        alert="AutoresearchNoProposals",
        story="the API does not answer, which another alert tells",
        series={
            **BUSY,
            ours("slots_busy"): "1x200",
            PROPOSING: "1x200",
            LIMITED: "1x200",
            TOKENS: "0x200",
            ADMITTED: "7x200",
        },
        minute=90,
    ),
    Case(
        alert="AutoresearchNoProposals",
        story="asked all the time, no proposal, an idle slot",
        series={**BUSY, ours("slots_busy"): "1x200", ours("proposals_in_flight"): "1x200", ADMITTED: "7x200"},
        minute=60,
        labels=WHOSE,
        summary="The agent of campaign mar8 has proposed nothing for 45 minutes, and GPUs are idle.",
    ),
    Case(
        alert="AutoresearchNoProposals",
        story="slow thinking behind busy slots",
        series={**BUSY, ours("proposals_in_flight"): "1x200", ADMITTED: "7x200"},
        minute=60,
    ),
    Case(
        alert="AutoresearchNoProposals",
        story="a proposal half an hour ago",
        series={**BUSY, ours("slots_busy"): "1x200", ours("proposals_in_flight"): "1x200", ADMITTED: "7x30 8x170"},
        minute=60,
    ),
    Case(
        alert="AutoresearchNoProposals",
        story="a controller that started ten minutes ago",
        series={
            ours("slots_busy"): "_x50 0x60",
            ours("slots"): "_x50 2x60",
            ours("proposals_in_flight"): "_x50 1x60",
            ours("loop_last_turn_timestamp_seconds"): "_x50 3000+60x60",
            ADMITTED: "_x50 0x60",
        },
        minute=61,
    ),
    Case(
        alert="AutoresearchPaused",
        story="for a quarter of an hour",
        series={**BUSY, ours("paused"): "0x20 1x40"},
        minute=36,
        labels=WHOSE,
        summary="Campaign mar8 waits for an operator; at most a stand-in proposes meanwhile.",
    ),
    Case(
        alert="AutoresearchPaused",
        story="stopped for a refused key, and tried again every five minutes",
        series={**BUSY, ours("slots_busy"): "0x80", ours("paused"): "0x20 1x4 0 1x4 0 1x4 0 1x4 0 1x4"},
        minute=42,
        labels=WHOSE,
        summary="Campaign mar8 waits for an operator; at most a stand-in proposes meanwhile.",
    ),
    Case(
        alert="AutoresearchPaused",
        story="for five minutes",
        series={**BUSY, ours("paused"): "0x20 1x5 0x40"},
        minute=27,
    ),
    Case(
        alert="AutoresearchIdle",
        story="stopped at half the budget",
        series={**BUSY, ours("slots_busy"): "2x20 0x60"},
        minute=60,
        labels=WHOSE,
        summary="Campaign mar8 does nothing although its budget has room.",
    ),
    Case(
        alert="AutoresearchIdle",
        story="nothing left to propose",
        series={**OVER, ours("ended", 'reason="budget"'): "0x200", ours("ended", 'reason="agent"'): "0x20 1x200"},
        minute=60,
        labels=WHOSE,
        summary="Campaign mar8 does nothing although its budget has room.",
    ),
    Case(
        alert="AutoresearchIdle",
        story="paused, which another alert tells",
        series={**BUSY, ours("slots_busy"): "2x20 0x60", ours("paused"): "0x20 1x60"},
        minute=60,
    ),
    Case(
        alert="AutoresearchIdle",
        story="thinking between two trainings",
        series={**BUSY, ours("slots_busy"): "2x20 0x60", ours("proposals_in_flight"): "0x20 1x60"},
        minute=60,
    ),
    Case(
        alert="AutoresearchIdle",
        story="the budget ended it",
        series={**BUSY, ours("slots_busy"): "0x60", ours("budget_used_ratio", 'limit="experiments"'): "1x60"},
        minute=60,
    ),
]


def as_promtool_has_it(case: Case) -> dict[str, Any]:
    rule = RULES[case.alert]
    told = {
        "exp_labels": {"severity": rule["labels"]["severity"], **case.labels},
        "exp_annotations": {"summary": case.summary, "runbook": _rendered(rule["annotations"]["runbook"], case)},
    }
    return {
        "name": case.story,
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{case.minute}m",
                "alertname": case.alert,
                "exp_alerts": [told] if case.summary is not None else [],
            }
        ],
    }


def _rendered(runbook: str, case: Case) -> str:
    return runbook.replace("{{ $labels.limit }}", case.labels.get("limit", ""))


@pytest.mark.parametrize("alert", sorted(RULES))
def test_alert_fires_when_it_should_and_only_then(alert: str, promtool: Path, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.alert == alert]
    document = {
        "rule_files": [str(FILE)],
        "evaluation_interval": "1m",
        "tests": [as_promtool_has_it(case) for case in cases],
    }
    (tmp_path / "test.yaml").write_text(json.dumps(document))

    done = subprocess.run(
        [promtool, "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert any(case.summary for case in cases), "no case shows when it fires"
    assert any(case.summary is None for case in cases), "no case shows when it does not"
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_well_formed(promtool: Path) -> None:
    command = [str(promtool), "check", "rules", "--lint=all", "--lint-fatal", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", sorted(RULES))
def test_whoever_is_paged_is_told_what_to_do(alert: str) -> None:
    rule = RULES[alert]
    page = (ROOT / "docs" / "observability.md").read_text()

    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert len(rule["annotations"]["runbook"]) > 40
    assert f"`{alert}`" in page
