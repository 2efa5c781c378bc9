"""The controller's port as Prometheus, a kubelet, a browser and git meet it: real HTTP, a real lab."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.campaign import Campaign
from controller.costs.slots import SlotPrices
from controller.domain import ExamReport, Experiment, Outcome, Progress, Result, TryId, TryRequest
from controller.errors import SettingsError
from controller.monitoring.metrics import Metrics
from controller.monitoring.server import Server, Sources
from controller.notices import Activity, RunningTry
from controller.ports import Waiting, WaitReason
from controller.reports.snapshot import Snapshot, Tally, take_snapshot
from controller.text.figures import clock_text
from tests.support.scripted import InstantExecutor, campaign, scored, settings
from tests.support.waiting import PATIENCE_S

CHOSEN = settings("server.enabled=true", "server.port=0", "budget.dollars=10", "budget.gpu_dollars_per_hour=2")


@dataclass
class Site:
    """A served campaign."""

    server: Server
    metrics: Metrics
    lab: Path
    campaign: Campaign | None
    said: list[str]

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.server.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def value(self, name: str, **labels: str) -> float | None:
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return None


def outcome(request: TryRequest) -> Result:
    """Experiment 2 crashes with a hostile message, the others improve."""
    if request.id.experiment == 2:
        return Result(outcome=Outcome.CRASHED, reason="<script>alert(1)</script>", seconds=5.0, log_tail="<b>log</b>")
    exam = ExamReport(raw=1.9, inflation=0.0001, inflation_error=0.0001, hits=0, probes=512, spread=0.0)
    exam = replace(exam, freshness=0.004, asked_error=0.003, freshness_error=0.004)
    value = 2.0 - request.id.experiment / 10 + request.seed % 100 / 1e4
    return scored(value, exam=exam, phase_seconds={"train": 20.0, "examine": 3.0})


@dataclass
class Ended:
    """A campaign that has ended, with its lab and what was counted meanwhile."""

    campaign: Campaign
    metrics: Metrics
    lab: Path


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    folder = tmp_path_factory.mktemp("served")
    metrics = Metrics(CHOSEN)
    ran = campaign(folder, InstantExecutor(outcome), chosen=CHOSEN, observe=metrics.notice)
    ran.run()
    return Ended(ran, metrics, folder / "lab.git")


@pytest.fixture
def site(ended: Ended) -> Iterator[Site]:
    """The campaign that has ended, served as if its seventh experiment were in training."""
    ran, metrics, said = ended.campaign, ended.metrics, list[str]()
    tally = Tally(ran.campaign_state.experiments.values(), SlotPrices.of(CHOSEN))
    training = Activity(tag="t", turned=True, tries=(RunningTry(7, 1, "train"),))
    metrics.publish(replace(take_snapshot(ran.campaign_state, tally, CHOSEN, training), turned_at=time.time()))
    progress = Progress(
        id=TryId("t", 7, 1, 1), phase="train", started_at=time.time() - 5, phase_seconds=50, line="step 3"
    )
    sources = Sources(
        settings=CHOSEN,
        metrics=metrics,
        lab=ended.lab,
        experiments=lambda: tuple(ran.campaign_state.experiments.values()),
        progress=lambda: [progress],
        ready=lambda: True,
        clock=time.time,
        say=lambda line: said.append(line),
    )
    server = Server(sources)
    yield Site(server, metrics, ended.lab, ran, said)
    server.close()


def test_counts_of_the_lab_are_exported(site: Site) -> None:
    assert site.value("autoresearch_experiments_total", verdict="crash") == 1
    assert site.value("autoresearch_experiments_total", verdict="reject") == 0
    assert site.value("autoresearch_attempts_total", outcome="crashed") == 1
    assert site.value("autoresearch_slots_busy") == 1
    assert (site.value("autoresearch_budget_used_ratio", limit="experiments") or 0) == 1.0
    assert (site.value("autoresearch_spent_dollars", kind="gpu") or 0) > 0
    assert (site.value("autoresearch_phase_duration_seconds_count", phase="train") or 0) > 5


def test_incumbent_is_exported_with_its_noise_and_freshness(site: Site) -> None:
    assert (site.value("autoresearch_incumbent_score", metric="val_bpb") or 9) < 2.0
    assert (site.value("autoresearch_score_sigma") or 0) > 0
    assert site.value("autoresearch_incumbent_freshness_nats") == pytest.approx(0.004)
    assert 0.003 < (site.value("autoresearch_incumbent_freshness_error_nats") or 0) < 0.005
    assert site.value("autoresearch_reserve_slices_left") is None, "a task without an exam has no reserve"


def test_no_score_series_exist_before_the_first_score() -> None:
    metrics = Metrics(CHOSEN)
    metrics.publish(Snapshot(settings=CHOSEN, activity=Activity(tag="t")))

    assert metrics.registry.get_sample_value("autoresearch_incumbent_score") is None
    assert metrics.registry.get_sample_value("autoresearch_slots", {"campaign": "t"}) == 1


def test_no_series_is_labelled_by_experiment_or_commit(site: Site) -> None:
    labels = {
        name
        for family in text_string_to_metric_families(site.get("/metrics")[1])
        for sample in family.samples
        for name in sample.labels
    }

    counted = {
        "category",
        "verdict",
        "outcome",
        "reason",
        "kind",
        "limit",
        "phase",
        "result",
        "strategy",
        "cause",
        "proposer",
        "share",
    }
    assert labels <= {"campaign", "metric", "le", "version", "doing"} | counted


def test_health_follows_the_loop(site: Site) -> None:
    assert site.get("/healthz")[0] == 200

    site.metrics.publish(replace(site.metrics.snapshot, turned_at=time.time() - 300))

    status, text = site.get("/healthz")
    assert status == 503
    assert "has not turned for 300 s" in text


def test_page_says_what_matters_and_needs_no_outside_address(site: Site) -> None:
    status, page = site.get("/")

    assert status == 200
    assert "kept of 6" in page
    assert '<a href="#e7">7</a><span>train</span>' in page
    assert "http://" not in page
    assert "https://" not in page


def test_page_says_what_strategies_brought_and_what_the_agent_waits_for(site: Site) -> None:
    waiting = Waiting(reason=WaitReason.RATE_LIMIT, text="rate_limit_error: <b>slow down</b>", until=1_900_000_000.0)
    activity = replace(site.metrics.snapshot.activity, waiting=(waiting,), proposing=1)
    site.metrics.publish(replace(site.metrics.snapshot, activity=activity))

    _, page = site.get("/")
    facts = json.loads(site.get("/status.json")[1])

    assert page.count("<th scope=row>numbers</th><td>6</td>") == 2, "by strategy, and by proposer"
    assert facts["proposers"][0]["proposer"] == "numbers"
    kept = site.value("autoresearch_proposer_experiments_total", proposer="numbers", verdict="keep")
    assert kept is not None
    assert kept > 0
    assert site.value("autoresearch_proposer_spent_dollars", proposer="numbers") == pytest.approx(
        site.value("autoresearch_strategy_spent_dollars", strategy="numbers")
    )
    assert f"${facts['dollars_per_experiment']:.2f} for each experiment" in page
    until = clock_text(1_900_000_000.0)
    assert f"the agent waits for the API until {until}: rate_limit_error: &lt;b&gt;slow down" in page
    assert f"Experiment 7 of t is training; the agent waits for the API until {until}; best" in page
    assert facts["doing"] == "runs"
    assert facts["waiting"] == [{"reason": "rate_limit", "text": waiting.text, "until": waiting.until}]
    assert site.value("autoresearch_proposals_waiting", reason="rate_limit") == 1
    assert site.value("autoresearch_proposals_waiting", reason="overloaded") == 0


def test_status_and_metrics_tell_the_same_dollars_for_each_experiment_and_each_keep(site: Site) -> None:
    facts = json.loads(site.get("/status.json")[1])

    assert facts["dollars_per_keep"] == pytest.approx(facts["dollars"] / facts["verdicts"]["keep"])
    assert facts["gpu_hours_per_keep"] == pytest.approx(facts["slot_hours"] / facts["verdicts"]["keep"])
    assert site.value("autoresearch_dollars_per_keep") == pytest.approx(facts["dollars_per_keep"])
    assert site.value("autoresearch_dollars_per_experiment") == pytest.approx(facts["dollars_per_experiment"])
    spent = site.value("autoresearch_strategy_spent_dollars", strategy="numbers")
    assert [each["dollars"] for each in facts["strategies"]] == [pytest.approx(spent)]
    assert facts["dollars"] > facts["strategies"][0]["dollars"] > 0, "the baseline is no strategy's"


def test_row_tells_who_proposed_how_and_what_it_cost(site: Site) -> None:
    _, row = site.get("/experiments/1")

    assert "proposed by numbers" in row
    runs = row.count("seed ")
    assert f"cost ${runs * 20 / 1800:.2f}: ${runs * 20 / 1800:.2f} for {runs * 20 / 3600:.3f} slot-hours" in row
    assert "at $2.00 an hour" in row


def test_untrusted_text_is_escaped_on_the_page_and_in_its_rows(site: Site) -> None:
    _, row = site.get("/experiments/2")

    assert "<script>alert" not in site.get("/")[1]
    assert "&lt;script&gt;alert" in row
    assert "&lt;b&gt;log" in row
    assert "<b>log" not in row


def test_status_is_machine_readable(site: Site) -> None:
    assert json.loads(site.get("/status.json")[1])["experiments"] == 6


def test_lab_can_be_cloned_and_not_written(site: Site, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{site.server.port}/lab.git"
    clone = tmp_path / "clone"

    subprocess.run(["git", "clone", "-q", "-b", "autoresearch/t", address, str(clone)], check=True, capture_output=True)
    subprocess.run(
        ["git", "-C", str(clone), "fetch", "-q", "origin", "refs/*:refs/all/*"], check=True, capture_output=True
    )

    assert (clone / "train.py").exists()
    assert (clone / ".git/refs/all/experiments/t/2").exists() or "experiments/t/2" in (
        clone / ".git/packed-refs"
    ).read_text()
    pushed = subprocess.run(
        ["git", "-C", str(clone), "push", "origin", "HEAD:refs/heads/x"], check=False, capture_output=True
    )
    assert pushed.returncode != 0


@pytest.mark.parametrize(
    "path", ["/lab.git/config", "/lab.git/objects/../config", "/lab.git/%2e%2e/campaign.yaml", "/etc"]
)
def test_nothing_beside_the_lab_is_served(site: Site, path: str) -> None:
    assert site.get(path)[0] == 404


def test_other_methods_are_refused(site: Site) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{site.server.port}/", data=b"x", method="POST")

    with pytest.raises(urllib.error.HTTPError, match="501"):
        urllib.request.urlopen(request, timeout=PATIENCE_S)


def test_port_in_use_is_one_sentence(site: Site) -> None:
    taken = settings("server.enabled=true", f"server.port={site.server.port}")

    with pytest.raises(SettingsError, match=r"cannot listen on 127\.0\.0\.1"):
        Server(
            Sources(
                settings=taken,
                metrics=site.metrics,
                lab=site.lab,
                experiments=tuple,
                progress=tuple,
                ready=bool,
                clock=time.time,
                say=print,
            )
        )


def raw(site: Site, request: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to bytes as they are."""
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=PATIENCE_S) as client:
        client.sendall(request)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(b"/lab.git/%00", id="NUL"),
        pytest.param(b"/lab.git/objects/%00", id="NUL below objects"),
        pytest.param(b"/lab.git/%ff%fe", id="not UTF-8"),
        pytest.param(b"/\xff\xfe", id="raw bytes"),
        pytest.param(b"/lab.git/objects/" + b"a" * 300, id="a name that is too long"),
        pytest.param(b"/lab.git/objects/" + b"a/" * 3000, id="a path that is too long"),
        pytest.param(b"/" + b"a" * 60_000, id="a long line"),
        pytest.param(b"/" + b"a" * 70_000, id="a line that is too long"),
        pytest.param(b"/lab.git/objects", id="a folder"),
        pytest.param(b"/lab.git/objects/pack", id="a folder below objects"),
        pytest.param(b"/lab.git/", id="the lab's folder"),
        pytest.param(b"/lab.git/activity.json", id="the loop's word"),
        pytest.param(b"http://[", id="no address"),
        pytest.param(b"/%", id="half a percent sign"),
        pytest.param(b"/experiments/%0d%0aX-Evil:%201", id="a header in a name"),
        pytest.param(b"/experiments/-1", id="minus one"),
        pytest.param(b"/experiments/1e3", id="no whole number"),
        pytest.param("/experiments/٣".encode(), id="another alphabet's digit"),
    ],
)
def test_odd_addresses_are_refused_in_silence(site: Site, path: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    status, body = raw(site, b"GET " + path + b" HTTP/1.0\r\n\r\n")

    assert status in (400, 404, 414)
    assert len(body) < 1000
    assert "".join(capfd.readouterr()) == ""
    assert site.said == []


def test_clients_that_hang_up_leave_no_word(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    for request in [b"GET / HTTP/1.1\r\n\r\n", b"GET / HT", b"", b"\xff\xff\xff\r\n\r\n"] * 10:
        with socket.create_connection(("127.0.0.1", site.server.port), timeout=PATIENCE_S) as client:
            # Lingering for no time makes the kernel send a reset instead of a farewell.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(request)
    assert site.get("/")[0] == 200

    site.server.close()
    assert "".join(capfd.readouterr()) == ""
    assert site.said == []


def test_a_fault_in_a_view_is_one_sentence_for_the_client_and_one_line_for_the_operator(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Sequence[Experiment]:
        raise ValueError("min() arg is\nan empty sequence")

    metrics, said = Metrics(CHOSEN), list[str]()
    sources = Sources(
        settings=CHOSEN,
        metrics=metrics,
        lab=tmp_path,
        experiments=broken,
        progress=tuple,
        ready=lambda: True,
        clock=time.time,
        say=said.append,
    )
    server = Server(sources)
    site = Site(server, metrics, tmp_path, None, said)

    answers = [site.get(path) for path in ("/", "/experiments/1", "/")]
    missing = site.get("/lab.git/info/refs")
    server.close()

    assert answers == [(500, "this page cannot be shown, and the log says why\n")] * 3
    assert missing[0] == 503
    [line] = said
    assert line.startswith("cannot show /: ValueError: min() arg is an empty sequence (test_server.py:")
    assert line.endswith("; the campaign goes on")
    assert "".join(capfd.readouterr()) == ""
