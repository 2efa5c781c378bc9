"""Studies on a real cluster, by the command line: their Jobs, their labels, their places, and what a kill leaves."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.domain import Outcome, TryId
from controller.lab import Lab
from controller.settings.file import dump_settings
from controller.studies.study import StudyRecord
from tests.cluster.executor_task import SCORES, TaskNamespace, running
from tests.cluster.harness import Manifest
from tests.support.ended_campaign import make_ended_campaign
from tests.support.waiting import PATIENCE_S, wait_until

PROGRAM = """\
# A program for the shell, whose score is 1.ABxx, with the seed behind it as noise.
PAUSE=0

A=9

# They stand apart, so that leaving out an edit of one leaves that of the other.
B=5

echo begun
sleep "$PAUSE"
echo "1.$A${B}00$AUTORESEARCH_SEED" > "$AUTORESEARCH_ARTIFACT/score"
"""
SLOTS = 2
RECORDED = "autoresearch.dev/recorded"


@dataclass(frozen=True, slots=True)
class Studied:
    """A campaign of the cluster that has ended, and its folder on this machine."""

    namespace: TaskNamespace
    tag: str
    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """The command line of a study of this campaign."""
        study, *rest = arguments
        return [sys.executable, "-m", "controller.cli", study, str(self.folder), *rest]

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Ask a study and wait for its end."""
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, timeout=PATIENCE_S, cwd=ROOT
        )

    def answer(self, *arguments: str) -> list[Any]:
        """The answers of a study, as facts."""
        done = self.ask(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        decoder, text, found = json.JSONDecoder(), done.stdout.strip(), []
        while text:
            fact, end = decoder.raw_decode(text)
            found.append(fact)
            text = text[end:].strip()
        return found

    def records(self) -> list[StudyRecord]:
        """The studies in the lab."""
        return Lab.open(self.folder / "lab.git").studies(self.tag)

    def jobs(self, study: str) -> list[Manifest]:
        """Jobs of one study, as they are now."""
        found = self.namespace.cluster.get(
            "jobs", f"--namespace={self.namespace.name}", f"-lcampaign={self.tag},study={study}"
        )
        items: list[Manifest] = found["items"]
        return items

    def require_one_job_a_run(self, study: str) -> None:
        """Each try of the record has its Job, which is marked and will go away by itself; there is no other."""
        record = next(each for each in self.records() if each.study.name == study)
        tries = [
            f"ar-{TryId(self.tag, run.number, attempt.number, tried.number, study=study)}"
            for run in record.runs
            for attempt in run.attempts
            for tried in attempt.tries
        ]
        jobs = self.jobs(study)
        assert sorted(job["metadata"]["name"] for job in jobs) == sorted(tries)
        for job in jobs:
            assert job["metadata"]["labels"]["outcome"] == "scored"
            assert RECORDED in job["metadata"]["annotations"]
            assert job["spec"]["ttlSecondsAfterFinished"] > 0


ROOT = Path(__file__).parents[2]


def studied(
    namespace: TaskNamespace, folder: Path, edits: Sequence[dict[str, str]], *, program: str = PROGRAM, **settings: Any
) -> Studied:
    """A campaign whose edits were kept, of which nothing has run on the cluster."""
    tag = f"s{secrets.token_hex(3)}"
    chosen = namespace.settings(tag, **settings)
    chosen = chosen.model_copy(update={"executor": chosen.executor.model_copy(update={"slots": SLOTS})})
    campaign = folder / "campaign"
    campaign.mkdir()
    (campaign / "campaign.yaml").write_text(dump_settings(chosen))
    levels = [2.0 - number / 10 for number in range(len(edits) + 1)]
    make_ended_campaign(campaign / "lab.git", tag, program, edits, levels=levels)
    return Studied(namespace, tag, campaign)


def test_claim_asks_the_holdout_in_jobs_of_its_own_that_are_marked_and_go_away(
    namespace: TaskNamespace, tmp_path: Path
) -> None:
    campaign = studied(namespace, tmp_path, [{"A=9": "A=1"}])

    [answer] = campaign.answer("claim", "--seeds", "2")

    assert answer["holdout"] is True
    campaign.require_one_job_a_run("claim-1")
    jobs = campaign.jobs("claim-1")
    assert sorted(job["metadata"]["labels"]["arm"] for job in jobs) == ["1", "1", "2", "2"]
    assert all("experiment" not in job["metadata"]["labels"] for job in jobs)
    assert all("autoresearch.dev/reserve" not in job["metadata"]["annotations"] for job in jobs)
    [record] = campaign.records()
    assert all(1.15 < score < 1.16 for score in record.scores(1))
    assert all(1.95 < score < 1.96 for score in record.scores(2))

    assert campaign.answer("claim", "--seeds", "2") == [answer]
    assert len(campaign.jobs("claim-1")) == len(jobs), "an answered question runs nothing"


def test_ablation_leaves_out_each_edit_and_claims_the_pruned_head(namespace: TaskNamespace, tmp_path: Path) -> None:
    campaign = studied(namespace, tmp_path, [{"A=9": "A=1"}, {"B=5": "B=6"}])

    ablated, claimed = campaign.answer("ablate", "--prune", "--seeds", "2", "--claim-seeds", "1")

    for name in ("ablate-1", "claim-2"):
        campaign.require_one_job_a_run(name)
    records = campaign.records()
    assert [arm.name for arm in records[0].study.arms] == ["head", "without 1", "without 2"]
    assert [arm.name for arm in records[1].study.arms] == ["pruned", "baseline", "head"]
    assert (ablated["study"], claimed["study"]) == ("ablate-1", "claim-2")
    lab = Lab.open(campaign.folder / "lab.git")
    pruned = lab.find_commit(f"refs/heads/pruned/{campaign.tag}/claim-2")
    assert pruned is not None
    assert "A=1\n\n" in lab.source(pruned, "train.py")
    assert "B=5\n\n" in lab.source(pruned, "train.py"), "what made it worse is left out"


def test_portability_runs_each_place_on_its_own_nodes_one_after_the_other(
    namespace: TaskNamespace, tmp_path: Path
) -> None:
    campaign = studied(namespace, tmp_path, [{"A=9": "A=1"}])
    cluster, label = namespace.cluster, f"pool-{campaign.tag}"
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    cluster.kubectl("label", "node", node, f"{label}=slow")
    pools = ("--pool", "slow", "--pool", "fast", "--pool-label", label, "--seeds", "1")
    with subprocess.Popen(
        campaign.command("portability", *pools), stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as asked:
        try:
            assert asked.stderr is not None
            waits = next(line for line in asked.stderr if "waits for a place in the cluster" in line)
            assert pools_of(campaign.jobs("portability-1"), label) == ["fast", "fast", "slow", "slow"]
            before = [RECORDED in job["metadata"]["annotations"] for job in of_pool(campaign, label, "slow")]
            cluster.kubectl("label", "node", node, f"{label}=fast", "--overwrite")
            _, said = asked.communicate(timeout=PATIENCE_S)
        finally:
            asked.kill()
            cluster.kubectl("label", "node", node, f"{label}-")

    assert asked.returncode == 0, said
    assert "unschedulable: 0/" in waits
    assert "waits for a place no more" in said
    assert before == [True, True], "the second place begins when the first has ended"
    campaign.require_one_job_a_run("portability-1")


def test_portability_asks_each_preset_about_data_of_its_own(namespace: TaskNamespace, tmp_path: Path) -> None:
    campaign = studied(namespace, tmp_path, [{"A=9": "A=1"}], task={"preset": "cpu"})
    for further in ((), ("--set", "task.preset=gpu", "--set", "executor.kubernetes.data_folder=data-gpu")):
        prepared = campaign.ask("prepare", "--executor", "kubernetes", *further)
        assert prepared.returncode == 0, prepared.stderr

    campaign.answer("portability", "--preset", "cpu", "--preset", "gpu", "--seeds", "1")

    campaign.require_one_job_a_run("portability-1")
    folders = {job["metadata"]["labels"]["arm"]: data_folders(job) for job in campaign.jobs("portability-1")}
    assert folders == {"1": {"data"}, "2": {"data"}, "3": {"data-gpu"}, "4": {"data-gpu"}}


def data_folders(job: Manifest) -> set[str]:
    """Folders of the claim that the phases of a Job are shown parts of."""
    pod = job["spec"]["template"]["spec"]
    mounts = [mount for each in (*pod["initContainers"], *pod["containers"]) for mount in each["volumeMounts"]]
    return {mount["subPath"].partition("/")[0] for mount in mounts if mount["name"] == "data"}


def of_pool(campaign: Studied, label: str, pool: str) -> list[Manifest]:
    """Jobs of a portability study that ask for a pool."""
    return [job for job in campaign.jobs("portability-1") if pools_of([job], label) == [pool]]


def pools_of(jobs: Sequence[Manifest], label: str) -> list[str]:
    return sorted(str(job["spec"]["template"]["spec"]["nodeSelector"][label]) for job in jobs)


def test_killed_claim_goes_on_by_being_asked_again_with_the_jobs_that_still_run(
    namespace: TaskNamespace, tmp_path: Path
) -> None:
    campaign = studied(namespace, tmp_path, [{"A=9": "A=1"}], program=PROGRAM.replace("PAUSE=0", "PAUSE=8"))
    with subprocess.Popen(campaign.command("claim", "--seeds", "2"), stderr=subprocess.DEVNULL, cwd=ROOT) as asked:
        wait_until(lambda: len(training(campaign, "claim-1")) == SLOTS, what="two trainings")
        asked.send_signal(signal.SIGKILL)
    running_before = {job["metadata"]["uid"] for job in campaign.jobs("claim-1")}

    [answer] = campaign.answer("claim", "--seeds", "2")

    assert answer["holdout"] is True
    campaign.require_one_job_a_run("claim-1")
    assert running_before <= {job["metadata"]["uid"] for job in campaign.jobs("claim-1")}
    [record] = campaign.records()
    assert all(len(attempt.tries) == 1 for run in record.runs for attempt in run.attempts)


DIES_BEFORE_THE_LAST_MARK = """
import os, sys
from controller.cli.commands import main
from controller.executor.kubernetes import worker

marks, mark = [], worker.mark_recorded

def die(*given, **named):
    marks.append(1)
    if len(marks) == 2:
        os._exit(9)  # as SIGKILL does
    mark(*given, **named)

worker.mark_recorded = die
main()
"""


def test_study_killed_right_behind_its_last_run_leaves_no_job_that_stays_for_ever(
    namespace: TaskNamespace, tmp_path: Path
) -> None:
    campaign = studied(namespace, tmp_path, [])
    rerun = ("rerun", "0", "--seeds", "2")
    _, _, _, *words = campaign.command(*rerun)
    killed = subprocess.run(
        [sys.executable, "-c", DIES_BEFORE_THE_LAST_MARK, *words], check=False, timeout=PATIENCE_S, cwd=ROOT
    )
    [record] = campaign.records()
    outcomes = [attempt.result.outcome for attempt in record.runs[0].attempts if attempt.result]
    assert (killed.returncode, outcomes, record.study.ended_at) == (9, [Outcome.SCORED] * 2, None)

    campaign.answer(*rerun)

    jobs = campaign.jobs("rerun-1")
    assert sorted(job["metadata"]["labels"].get("outcome", "") for job in jobs) == ["orphan", "scored"]
    assert all(job["spec"]["ttlSecondsAfterFinished"] > 0 for job in jobs)


def training(campaign: Studied, study: str) -> list[Manifest]:
    """Pods of a study that run."""
    found = campaign.namespace.cluster.get(
        *("pods", f"--namespace={campaign.namespace.name}", "--field-selector=status.phase!=Succeeded"),
        f"-lcampaign={campaign.tag},study={study}",
    )
    return [pod for pod in found["items"] if trains(pod)]


def trains(pod: Manifest) -> bool:
    statuses = pod["status"].get("initContainerStatuses", [])
    return any(status["name"] == "train" and "running" in status["state"] for status in statuses)


def test_study_beside_a_running_campaign_is_refused_with_a_sentence_and_leaves_no_trace(
    namespace: TaskNamespace, tmp_path: Path
) -> None:
    campaign = studied(namespace, tmp_path, [{"A=9": "A=1"}])
    with running(namespace, tag=campaign.tag):
        refused = campaign.ask("claim", "--seeds", "2")

    assert refused.returncode == 2, refused.stderr
    assert f"campaign {campaign.tag} is run by " in refused.stderr
    assert "a study needs the campaign to itself: ask again when that has ended" in refused.stderr
    assert campaign.records() == []
    assert campaign.jobs("claim-1") == []


@pytest.mark.parametrize("unfinished", [[], ["claim-1"]], ids=["of an ended study", "of one that goes on later"])
def test_job_that_a_killed_study_did_not_mark_is_put_away_by_the_next_one_unless_it_is_still_to_be_adopted(
    namespace: TaskNamespace, unfinished: list[str]
) -> None:
    tag = f"left{os.urandom(2).hex()}"
    tried = TryId(tag, 1, 1, 1, study="claim-1")
    with running(namespace, tag=tag, parts={"studies": True}) as first:
        first.launch(SCORES, id=tried)
        assert first.result().outcome is Outcome.SCORED
    with running(namespace, tag=tag, parts={"studies": True, "unfinished": unfinished}):
        pass  # it finds nothing to run, and ends at once

    labels = namespace.job(tried)["metadata"]["labels"]
    assert labels.get("outcome") == (None if unfinished else "orphan")
