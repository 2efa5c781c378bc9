"""The controller reads what was asked for, and what only the chart can know."""

from __future__ import annotations

import json
import re
from math import inf
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.costs.forecast import forecast
from controller.run.wiring import training_device
from controller.settings import Settings
from controller.settings.file import load_settings
from tests.chart.rendering import CI, HelmError, Manifest, campaign, notes, of_kind, one, render


def loaded(manifests: list[Manifest], folder: Path) -> Settings:
    """The settings as the controller in the pod would have them."""
    path = folder / "campaign.yaml"
    path.write_text(campaign(manifests), encoding="utf-8")
    return load_settings(path)


@pytest.mark.parametrize("file", CI, ids=lambda file: file.name)
def test_controller_accepts_the_campaign(file: Path, tmp_path: Path) -> None:
    found = loaded(render(None, file), tmp_path)

    assert (found.executor.kind, found.server.enabled, found.server.host) == ("kubernetes", True, "0.0.0.0")
    assert found.executor.kubernetes.image


def test_plain_install_is_the_control_group_on_one_gpu(tmp_path: Path) -> None:
    found = loaded(render(), tmp_path)

    kubernetes = found.executor.kubernetes
    assert (found.tag, found.agent.kind, found.executor.slots, kubernetes.gpus) == ("demo", "perturb", 1, 1)
    assert kubernetes.namespace == "research-runs"
    assert kubernetes.image == "autoresearch-trainer:0.1.0"
    assert (kubernetes.service_account, kubernetes.data_claim) == ("autoresearch-attempt", "autoresearch-data")
    assert found.budget == load_settings(None, ["executor.kind=kubernetes"]).budget


def test_plain_install_without_gpus_is_the_campaign_of_a_cpu(tmp_path: Path) -> None:
    found = loaded(render({"campaign": {"executor": {"kubernetes": {"gpus": 0}}}}), tmp_path)

    assert (found.budget, found.task) == (load_settings(None).budget, load_settings(None).task)
    assert (found.budget.train_seconds, found.budget.experiments, found.task.preset) == (20, 8, "cpu")


def test_key_makes_claude_the_agent(tmp_path: Path) -> None:
    manifests = render({"agent": {"existingSecret": "anthropic"}})

    assert loaded(manifests, tmp_path).agent.kind == "claude"
    [container] = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert {
        "name": "ANTHROPIC_API_KEY",
        "valueFrom": {"secretKeyRef": {"name": "anthropic", "key": "api-key"}},
    } in container["env"]


def test_key_is_a_file_as_well_which_follows_its_secret_without_a_restart() -> None:
    pod = one(render({"agent": {"existingSecret": "anthropic", "secretKey": "token"}}), "Deployment")["spec"][
        "template"
    ]
    [container] = pod["spec"]["containers"]

    assert {"name": "ANTHROPIC_API_KEY_FILE", "value": "/run/anthropic/api-key"} in container["env"]
    assert {"name": "key", "mountPath": "/run/anthropic", "readOnly": True} in container["volumeMounts"]
    [volume] = [each for each in pod["spec"]["volumes"] if each["name"] == "key"]
    assert volume["secret"] == {"secretName": "anthropic", "items": [{"key": "token", "path": "api-key"}]}


@pytest.mark.parametrize(
    ("named", "variable"),
    [
        ({"platform": "bedrock", "region": "us-east-1"}, "AWS_BEARER_TOKEN_BEDROCK"),
        ({"platform": "foundry", "resource": "lab"}, "ANTHROPIC_FOUNDRY_API_KEY"),
    ],
)
def test_key_is_that_of_the_platform_which_may_do_without_one(
    named: dict[str, str], variable: str, tmp_path: Path
) -> None:
    values = {"campaign": {"agent": {"kind": "claude", "claude": named}}}
    keyless = render({**values, "serviceAccount": {"annotations": {"cloud.example.org/role": "lab"}}})
    keyed = render({**values, "agent": {"existingSecret": "cloud"}})

    assert loaded(keyless, tmp_path).agent.claude.platform == named["platform"]
    names = [each["name"] for each in _environment_of(keyed)]
    assert [name for name in names if "KEY" in name or "TOKEN" in name] == [variable, f"{variable}_FILE"]
    assert not [each for each in _environment_of(keyless) if each["name"].startswith(variable)]


def test_key_of_a_program_that_proposes_is_that_of_its_vendor(tmp_path: Path) -> None:
    command = {"run": ["agent"], "gateway": ["openai"]}
    manifests = render(
        {"agent": {"existingSecret": "openai"}, "campaign": {"agent": {"kind": "command", "command": command}}}
    )

    assert loaded(manifests, tmp_path).agent.command.gateway == ("openai",)
    names = [each["name"] for each in _environment_of(manifests)]
    assert [name for name in names if "KEY" in name] == ["OPENAI_API_KEY", "OPENAI_API_KEY_FILE"]


def test_file_of_a_second_vendors_key_may_be_mounted(tmp_path: Path) -> None:
    command = {"run": ["agent"], "gateway": ["anthropic", "openai"]}
    variable = {"name": "OPENAI_API_KEY_FILE", "value": "/run/openai/key"}
    manifests = render(
        {
            "agent": {"existingSecret": "anthropic"},
            "campaign": {"agent": {"kind": "command", "command": command}},
            "controller": {"extraEnv": [variable]},
        }
    )

    assert loaded(manifests, tmp_path).agent.command.gateway == ("anthropic", "openai")
    assert variable in _environment_of(manifests)


def test_workload_identity_of_the_vendor_needs_no_key(tmp_path: Path) -> None:
    variable = {"name": "ANTHROPIC_IDENTITY_TOKEN_FILE", "value": "/run/identity/token"}
    values = {"campaign": {"agent": {"kind": "claude"}}, "controller": {"extraEnv": [variable]}}

    manifests = render(values)

    assert loaded(manifests, tmp_path).agent.kind == "claude"
    assert variable in _environment_of(manifests)


def _environment_of(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    [container] = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    environment: list[dict[str, Any]] = container["env"]
    return environment


def test_agent_may_be_chosen_against_the_key(tmp_path: Path) -> None:
    values = {"agent": {"existingSecret": "anthropic"}, "campaign": {"agent": {"kind": "perturb"}}}

    assert loaded(render(values), tmp_path).agent.kind == "perturb"


@pytest.mark.parametrize("file", CI, ids=lambda file: file.name)
def test_no_secret_is_rendered(file: Path) -> None:
    manifests = render(None, file)

    assert not of_kind(manifests, "Secret")
    for manifest in manifests:
        assert "sk-ant" not in yaml.safe_dump(manifest)


def test_limit_set_to_null_does_not_limit(tmp_path: Path) -> None:
    budget = {"experiments": None, "dollars": 40}

    found = loaded(render({"campaign": {"budget": budget}}), tmp_path).budget
    assert (found.experiments, found.dollars) == (None, 40)


CLUSTERS = st.fixed_dictionaries(
    {},
    optional={
        "gpus": st.integers(0, 8),
        "extra_resources": st.sampled_from(
            [
                {},
                {"nvidia.com/mig-1g.5gb": "1"},
                {"amd.com/gpu": "1"},
                {"hugepages-2Mi": "1Gi"},
                {"a.b/gpu.shared": "1"},
            ]
        ),
        "resource_claims": st.sampled_from([[], [{"name": "gpu", "resourceClaimTemplateName": "one"}]]),
    },
)
BUDGETS = st.fixed_dictionaries(
    {},
    optional={
        "train_seconds": st.integers(5, 1000),
        "experiments": st.integers(1, 99),
        "hours": st.integers(1, 99),
        "gpu_hours": st.integers(1, 99),
        "dollars": st.integers(1, 99),
        "gpu_dollars_per_hour": st.integers(0, 9),
    },
)
TASKS = st.fixed_dictionaries(
    {},
    optional={
        "preset": st.sampled_from(["cpu", "gpu"]),
        "prepare": st.sampled_from([[], ["--preset", "gpu"], ["--preset=cpu"], ["--source", "x"]]),
        "score": st.sampled_from(["exam", "log"]),
    },
)


@given(cluster=CLUSTERS, budget=BUDGETS, task=TASKS, slots=st.integers(1, 16))
@settings(max_examples=25, deadline=None)
def test_chart_leaves_open_what_the_controller_would_and_forecasts_the_same(
    cluster: dict[str, Any], budget: dict[str, Any], task: dict[str, Any], slots: int, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("campaign")
    executor = {"slots": slots, "kubernetes": cluster}
    given_campaign = {"budget": budget, "task": task, "executor": executor}
    (folder / "values.yaml").write_text(json.dumps({"campaign": given_campaign}))
    (folder / "own.yaml").write_text(json.dumps(given_campaign | {"executor": executor | {"kind": "kubernetes"}}))
    own = load_settings(folder / "own.yaml")

    found = loaded(render(None, folder / "values.yaml"), folder)

    assert (found.budget, found.task) == (own.budget, own.task)
    coming = forecast(own, training_device(own.executor))
    if coming.trainings < inf:
        [cost] = [line for line in notes("-f", str(folder / "values.yaml")).splitlines() if line.startswith("cost ")]
        told = [float(number) for number in re.findall(r"[0-9]+(?:\.[0-9]+)?", cost)]
        expected = [coming.trainings, coming.clock_hours, coming.slot_hours, *filter(None, coming.slot_dollars[1:])]
        assert told == pytest.approx(expected, abs=0.51, rel=1e-3)
        assert ("about" in cost.partition(", ")[2]) == coming.guessed


def test_zero_is_a_value(tmp_path: Path) -> None:
    values = {"campaign": {"executor": {"kubernetes": {"gpus": 0}}, "agent": {"seed": 0}}}

    assert loaded(render(values), tmp_path).executor.kubernetes.gpus == 0


def test_empty_text_means_what_the_chart_knows(tmp_path: Path) -> None:
    values = {"campaign": {"executor": {"kubernetes": {"image": "", "data_claim": ""}}}}

    kubernetes = loaded(render(values), tmp_path).executor.kubernetes
    assert (kubernetes.image, kubernetes.data_claim) == ("autoresearch-trainer:0.1.0", "autoresearch-data")


def test_digest_wins_over_the_tag(tmp_path: Path) -> None:
    digest = "sha256:" + "a" * 64

    found = loaded(render({"trainerImage": {"tag": "7", "digest": digest}}), tmp_path)
    assert found.executor.kubernetes.image == f"autoresearch-trainer@{digest}"


# Control characters are refused by YAML itself.
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co")) | st.sampled_from("\n\t"), max_size=40)


@given(
    seconds=st.floats(5, 1e6),
    dollars=st.floats(1e-6, 1e7),
    tokens=st.integers(1024, 128_000),
    model=TEXT.filter(bool),
    selector=st.dictionaries(st.from_regex(r"\A[a-z]{1,5}/[a-z]{1,5}\Z"), TEXT, max_size=2),
)
@settings(max_examples=30, deadline=None)
def test_any_value_arrives_unchanged(
    seconds: float, dollars: float, tokens: int, model: str, selector: dict[str, str], tmp_path_factory: Any
) -> None:
    wanted: dict[str, Any] = {
        "budget": {"train_seconds": seconds, "dollars": dollars},
        "agent": {"claude": {"model": model, "max_tokens": tokens}},
        "executor": {"kubernetes": {"node_selector": selector}},
    }

    found = loaded(render({"campaign": wanted}), tmp_path_factory.mktemp("campaign"))

    assert (found.budget.train_seconds, found.budget.dollars) == (seconds, dollars)
    assert (found.agent.claude.model, found.agent.claude.max_tokens) == (model, tokens)
    assert found.executor.kubernetes.node_selector == selector


@given(brief=TEXT.filter(bool))
@settings(max_examples=30, deadline=None)
def test_any_brief_arrives_unchanged(brief: str) -> None:
    manifests = render({"brief": brief})

    [found] = [m for m in of_kind(manifests, "ConfigMap") if "program.md" in m["data"]]
    assert found["data"]["program.md"] == brief
    assert yaml.safe_load(campaign(manifests))["brief"] == "/etc/autoresearch/program.md"
    mounts = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": "campaign", "mountPath": "/etc/autoresearch", "readOnly": True} in mounts


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the data are the Python library's own sources"),
        (["--set", "campaign.budget.train_seconds=20"], "compiles for up to 60 s"),
        (
            ["--set", "campaign.budget.hours=3,agent.existingSecret=key"],
            "the model's calls cost dollars that nothing limits",
        ),
        (["--set-json", "campaign.budget.gpu_dollars_per_hour=2.5"], "at most 8.0 h and 8.0 GPU-h for $20.00"),
        (["--set", "agent.existingSecret=key"], "the model's calls are part of the $20"),
    ],
)
def test_notes_tell_what_the_first_campaign_costs_and_what_does_not_fit_a_gpu(arguments: list[str], words: str) -> None:
    told = notes(*arguments)

    assert words in told
    assert "trains the unchanged code 3 times" in told
    assert "library's own sources" not in notes("--set", "campaign.executor.kubernetes.gpus=0")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({"campaign": {"executor": {"kind": "local"}}}, "must be kubernetes", id="local executor"),
        pytest.param({"campaign": {"server": {"enabled": False}}}, "must stay true", id="no server"),
        pytest.param({"campaign": {"tag": "Bad_Tag"}}, "campaign.tag", id="tag"),
        pytest.param({"campaign": {"budget": {"experiments": None}}}, "at least one limit", id="no limit"),
        pytest.param({"campaign": {"agent": {"kind": "claude"}}}, "there is no key", id="claude without a key"),
        pytest.param(
            {"campaign": {"agent": {"kind": "command", "command": {"run": ["agent"], "gateway": ["openai"]}}}},
            "OPENAI_API_KEY_FILE",
            id="a vendor without a key",
        ),
        pytest.param(
            {"campaign": {"agent": {"kind": "command", "command": {"run": ["agent"], "port": 0}}}},
            "network policies need to know it",
            id="any free port",
        ),
        pytest.param({"campaign": {"agent": {"kind": "command"}}}, "agent.command.run", id="no program"),
        pytest.param(
            {"campaign": {"agent": {"kind": "command", "command": {"run": ["agent"], "mounts": ["/opt"]}}}},
            "agent.command.image",
            id="files of one machine",
        ),
        pytest.param({"campaign": {"agent": {"kind": "replay"}}}, "agent.patches", id="replay without patches"),
        pytest.param(
            {"campaign": {"executor": {"kubernetes": {"namespace": "research"}}}},
            "beside the API key",
            id="attempts in the controller's namespace",
        ),
        pytest.param({"brief": "a", "campaign": {"brief": "/b"}}, "both given", id="two briefs"),
        pytest.param({"serviceAccount": {"create": False}}, "serviceAccount.name", id="nobody's account"),
        pytest.param(
            {"controller": {"extraEnv": [{"name": "ANTHROPIC_API_KEY", "value": "sk"}]}},
            "never a value",
            id="the key as plain environment",
        ),
    ],
)
def test_mistake_is_refused_before_anything_is_installed(values: dict[str, Any], words: str) -> None:
    with pytest.raises(HelmError, match=words):
        render(values)
