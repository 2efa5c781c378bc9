"""A task with an examiner of its own in pods: scored as on one machine, its examiner hidden from the agent's code."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.cli.doctor.cheats import CHEATS, Manner, with_cheat
from controller.cli.doctor.checkup import check_up
from controller.cli.doctor.findings import State, is_fit
from controller.domain import Outcome, Provenance
from controller.executor.kubernetes.prepare import prepare_on_cluster
from controller.folder import CampaignFolder
from controller.folder.new_task import TEMPLATES, TaskKind, write_task
from controller.ports import SmokeCrash
from tests.cluster.examined_task import PREPARATIONS, TASK, examined_image
from tests.cluster.executor_task import TaskNamespace, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

__all__ = ["PREPARATIONS"]


def test_an_examiner_scores_in_pods_and_is_hidden_from_the_agents_code(own_namespace: TaskNamespace) -> None:
    own_namespace.image = own_namespace.cluster.import_image(examined_image())
    prepare_on_cluster(own_namespace.settings("search", **TASK), say=print)
    source = (TEMPLATES / "search/train.py").read_text()
    with running(own_namespace, tag="search", **TASK) as one:
        honest = one.run(source, number=1, seconds=300, reserve=7)
        cheats = {
            cheat.name: one.run(with_cheat(source, cheat, Manner.QUESTIONS), number=number, seconds=300)
            for number, cheat in enumerate(CHEATS, start=2)
            if cheat.name in ("looks for the solutions", "keeps answers between questions")
        }

    assert honest.outcome is Outcome.SCORED, honest.reason
    assert honest.score is not None
    assert honest.score.provenance is Provenance.SEALED
    assert honest.exam is not None
    assert (honest.exam.questions, honest.exam.flag, honest.exam.test) == (300, None, None)
    assert honest.exam.freshness is not None
    assert honest.exam.numbers["latency_ms"] > 0
    looked = cheats["looks for the solutions"]
    assert looked.outcome is Outcome.SCORED, looked.reason
    assert looked.score is not None
    assert looked.score.value == honest.score.value
    assert cheats["keeps answers between questions"].outcome is Outcome.REJECTED
    assert "a fresh process answered" in cheats["keeps answers between questions"].reason


def test_a_smoke_test_steps_behind_the_real_supervisor_and_loads_as_the_candidate_does(
    own_namespace: TaskNamespace,
) -> None:
    own_namespace.image = own_namespace.cluster.import_image(examined_image())
    prepare_on_cluster(own_namespace.settings("smoke", **TASK), say=print)
    source = (TEMPLATES / "search/train.py").read_text()
    tells = (
        'assert os.environ["AUTORESEARCH_TRAIN_SECONDS"] == "1" and os.environ["AUTORESEARCH_SMOKE"] == "1"\n'
        'print(sorted(os.listdir(os.environ["AUTORESEARCH_DATA"])))\n'
    )
    with running(own_namespace, tag="smoke", **TASK) as one:
        works = one.executor.smoke({"train.py": source.replace("def main():\n", f"{tells}\n\ndef main():\n")})
        steps = one.executor.smoke({"train.py": source.replace("Counter(words)", "Counter(wrods)")})
        loads = one.executor.smoke({"train.py": source.replace('/ "index.json").read', '/ "idnex.json").read')})
        saves = one.executor.smoke({"train.py": source.replace("(artifact / ", "(Path('/tmp') / ", 1)})

    assert works is None
    assert isinstance(steps, SmokeCrash)
    assert "name 'wrods' is not defined" in steps.reason
    assert isinstance(loads, SmokeCrash)
    assert "idnex.json" in loads.reason
    assert isinstance(saves, SmokeCrash)
    assert "artifact" in saves.reason


def test_a_check_up_runs_its_short_attempts_in_pods(own_namespace: TaskNamespace, tmp_path: Path) -> None:
    own_namespace.image = own_namespace.cluster.import_image(examined_image())
    write_task(tmp_path / "search", TaskKind.SEARCH)
    task = {**TASK["task"], "folder": str(tmp_path / "search")}
    settings = own_namespace.settings("looked-at", **{**TASK, "task": task})
    findings = {found.subject: found for found in check_up(CampaignFolder(tmp_path / "c"), settings, seconds=120)}

    assert is_fit(list(findings.values())), findings
    assert findings["data"].seen == "prepared on the cluster"
    assert findings["interpreter"].state is State.GOOD
    assert "sealed" in findings["short run"].seen
