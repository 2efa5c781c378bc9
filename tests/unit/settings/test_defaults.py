"""Defaults follow the device, in one place, and whatever is given wins over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.costs.forecast import forecast, unfit_settings
from controller.errors import DataError, SettingsError
from controller.executor.kubernetes.prepare import build_prepare_job
from controller.folder import CampaignFolder, check_preset
from controller.reports.text import budget_line
from controller.settings import Device, Settings
from controller.settings.defaults import LIMITS, cluster_device, preset_among, with_defaults
from controller.settings.file import (
    changed_training,
    dump_settings,
    load_settings,
    refuse_other_preset,
    refuse_other_score,
)

DEVICES = st.sampled_from(list(Device))


def load(*overrides: str, here: Device = Device.CPU) -> Settings:
    return load_settings(None, overrides, here=lambda: here)


def limits(settings: Settings) -> dict[str, Any]:
    return {name: value for name in LIMITS if (value := getattr(settings.budget, name)) is not None}


def test_cpus_are_given_seconds_and_eight_experiments() -> None:
    found = load()

    assert (found.budget.train_seconds, limits(found), found.task.preset) == (20, {"experiments": 8}, "cpu")


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(load(here=Device.GPU), id="a GPU in this machine"),
        pytest.param(load("executor.kind=kubernetes"), id="a cluster, from a machine without one"),
        pytest.param(load("executor={kind: kubernetes, kubernetes: {gpus: 8}}"), id="eight of them"),
    ],
)
def test_gpus_are_given_five_minutes_a_night_and_their_own_data(found: Settings) -> None:
    assert (found.budget.train_seconds, found.task.preset) == (300, "gpu")
    assert found.executor.kind == "kubernetes" or found.executor.limits.memory_gb == 32
    assert limits(found) == {"hours": 8, "dollars": 20}


def test_cluster_without_gpus_is_given_what_cpus_are_given_wherever_it_is_run_from() -> None:
    found = load("executor={kind: kubernetes, kubernetes: {gpus: 0}}", here=Device.GPU)

    assert (found.budget, found.task) == (load().budget, load().task)


@pytest.mark.parametrize(
    ("cluster", "device"),
    [
        ({"gpus": 1}, Device.GPU),
        ({"gpus": 0}, Device.CPU),
        ({"gpus": 0, "extra_resources": ["nvidia.com/mig-1g.10gb"]}, Device.GPU),
        ({"gpus": 0, "extra_resources": ["gpu.intel.com/i915"]}, Device.GPU),
        ({"gpus": 0, "extra_resources": ["hugepages-2Mi", "rdma/hca_shared", "example.com/migrations"]}, Device.CPU),
        ({"gpus": 0, "claims": 1}, Device.GPU),
    ],
)
def test_device_is_what_a_pod_asks_for(cluster: dict[str, Any], device: Device) -> None:
    assert cluster_device(**cluster) is device


@given(
    here=DEVICES,
    seconds=st.none() | st.floats(5, 1e5),
    preset=st.none() | DEVICES,
    named=st.sets(st.sampled_from(LIMITS)),
)
def test_what_is_given_wins_and_a_named_limit_takes_the_place_of_all(
    here: Device, seconds: float | None, preset: Device | None, named: set[str]
) -> None:
    given_budget: dict[str, Any] = dict.fromkeys(named, 7) | ({"train_seconds": seconds} if seconds else {})
    document = {"budget": given_budget, "task": {"preset": str(preset)} if preset else {}}

    found = Settings.model_validate(with_defaults(document, lambda: here))

    default = load(here=here)
    assert found.budget.train_seconds == (seconds or default.budget.train_seconds)
    assert found.task.preset == (preset or here)
    assert limits(found) == (dict.fromkeys(named, 7) or limits(default))


def test_limit_that_is_named_empty_leaves_the_campaign_without_an_end() -> None:
    with pytest.raises(SettingsError, match="budget needs at least one limit"):
        load("budget.experiments=null", here=Device.GPU)


def test_preset_among_the_arguments_of_prepare_wins() -> None:
    assert load("task.prepare=[--preset, cpu]", here=Device.GPU).task.preset == "cpu"
    assert load("task.prepare=[--preset=gpu, --seed, '3']").task.preset == "gpu"
    assert load("task.prepare=[--preset, huge]").task.preset == "cpu", "another task's preset is not ours to check"
    assert preset_among(["--source", "--preset"]) == ""


def test_machine_is_looked_at_only_where_the_answer_matters() -> None:
    def must_not() -> Device:
        raise AssertionError("this machine does not train")

    load_settings(None, ["executor.kind=kubernetes"], here=must_not)
    load_settings(
        None, ["budget={train_seconds: 5, hours: 1}", "task.score=log", "executor.limits.memory_gb=4"], here=must_not
    )


@given(here=DEVICES, there=DEVICES)
def test_campaign_goes_on_with_what_it_began_with_on_any_machine(
    here: Device, there: Device, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = CampaignFolder(tmp_path_factory.mktemp("campaign") / "c")

    began = folder.choose_settings(None, [], here=lambda: here)
    goes_on = folder.choose_settings(None, [], here=lambda: there)

    assert goes_on == began
    assert load_settings(folder.known_settings) == began
    assert "null" not in dump_settings(began)


@pytest.mark.parametrize("word", [3, "text", ["a"]])
@pytest.mark.parametrize("group", ["budget", "task", "executor"])
def test_group_that_is_none_is_complained_about_by_name(group: str, word: object, tmp_path: Path) -> None:
    import yaml

    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump({group: word}))

    with pytest.raises(SettingsError, match=group):
        load_settings(file)


# -- the data ---------------------------------------------------------------------------------------------------------


def container(settings: Settings) -> dict[str, Any]:
    [found] = build_prepare_job(settings)["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize(("gpus", "preset"), [(0, "cpu"), (1, "gpu")])
def test_job_that_prepares_is_told_the_preset_of_the_device(gpus: int, preset: str) -> None:
    settings = load(f"executor={{kind: kubernetes, kubernetes: {{gpus: {gpus}, image: 'trainer:1'}}}}")

    assert {"name": "AUTORESEARCH_PRESET", "value": preset} in container(settings)["env"]


def test_data_of_another_preset_are_refused_with_a_way_out() -> None:
    with pytest.raises(DataError, match=r"prepared with preset cpu, .* asks for gpu: go on with --set task.preset=cpu"):
        check_preset({"preset": "cpu"}, load(here=Device.GPU), Path("demo/data"))

    check_preset({"preset": "cpu"}, load("task.preset=cpu", here=Device.GPU), Path("demo/data"))
    check_preset({"preset": "gpu"}, load("task.prepare=[--preset, gpu]"), Path("demo/data"))
    check_preset({}, load(here=Device.GPU), Path("demo/data"))


def test_lab_that_began_with_another_preset_is_refused_and_another_time_is_told() -> None:
    began = dump_settings(load())

    with pytest.raises(SettingsError, match="began with the data of preset cpu, and its settings now say gpu"):
        refuse_other_preset(began, load(here=Device.GPU))
    refuse_other_preset(began, load())
    refuse_other_preset("", load(here=Device.GPU))
    refuse_other_preset("tag: demo\nbudget: {train_seconds: 20}\n", load(here=Device.GPU))
    assert changed_training(began, load()) == []
    [told] = changed_training(began, load(here=Device.GPU))
    assert "began with 20 s a run, and goes on with 300 s" in told


def test_lab_whose_scores_are_of_another_metric_is_refused_with_a_way_back() -> None:
    began = dump_settings(load("task={score: log, metric: loss}"))

    with pytest.raises(SettingsError, match=r"began with task.metric loss, .* now say accuracy: .* go back to loss"):
        refuse_other_score(began, load("task={score: log, metric: accuracy}"))
    with pytest.raises(SettingsError, match=r"began with task\.direction minimize, and its settings now say maximize"):
        refuse_other_score(began, load("task={score: log, metric: loss, direction: maximize}"))
    with pytest.raises(SettingsError, match=r"began with task\.score log, and its settings now say exam"):
        refuse_other_score(began, load("task={metric: loss}"))
    refuse_other_score(began, load("task={score: log, metric: loss, most: 3}"))
    refuse_other_score("", load("task={metric: accuracy}"))
    refuse_other_score("tag: demo\n", load())


def test_another_command_or_place_of_the_score_is_told() -> None:
    began = dump_settings(load("task={score: log, metric: loss, command: [python, a.py]}"))

    assert changed_training(began, load("task={score: log, metric: loss, command: python a.py}")) == []
    [told] = changed_training(began, load("task={score: log, metric: loss, command: python b.py}"))
    assert "began with another task.command, and goes on with this one" in told


# -- what it will cost ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "here", "line"),
    [
        pytest.param(
            [],
            Device.CPU,
            "  budget    20 s a training, until 8 experiments are judged · about 15 trainings, about 6 min 30 s and "
            "0.1 CPU-h",
            id="a CPU",
        ),
        pytest.param(
            [],
            Device.GPU,
            "  budget    300 s a training, until 8 h have passed or $20 are spent · about 83 trainings, at most "
            "8 h 00 min and 8.0 GPU-h (budget.gpu_dollars_per_hour gives them a price)",
            id="a GPU",
        ),
        pytest.param(
            ["budget.gpu_dollars_per_hour=5"],
            Device.GPU,
            "  budget    300 s a training, until 8 h have passed or $20 are spent · about 42 trainings, at most "
            "4 h 00 min and 4.0 GPU-h for $20.00",
            id="dollars end it first",
        ),
        pytest.param(
            [
                "budget={gpu_hours: 64, gpu_dollars_per_hour: 2}",
                "executor={kind: kubernetes, slots: 4, kubernetes: {gpus: 2}}",
            ],
            Device.GPU,
            "  budget    300 s a training, until 64 GPU-h are used · about 334 trainings, at most 8 h 00 min and "
            "64.0 GPU-h for $128.00",
            id="slots of two GPUs",
        ),
        pytest.param(
            ["agent.kind=claude", "budget.dollars=5"],
            Device.CPU,
            "  budget    20 s a training, until $5 are spent, the model's calls included",
            id="a model's dollars alone",
        ),
    ],
)
def test_start_says_what_the_campaign_will_take(overrides: list[str], here: Device, line: str) -> None:
    assert budget_line(load(*overrides, here=here), here) == line


@given(
    slots=st.integers(1, 64),
    seconds=st.floats(5, 1e4),
    # Of a price below a billionth of a dollar the division by it overflows.
    price=st.just(0.0) | st.floats(1e-9, 100),
    limit=st.sampled_from(LIMITS),
    amount=st.integers(1, 1000),
)
def test_forecast_never_passes_a_limit(slots: int, seconds: float, price: float, limit: str, amount: int) -> None:
    budget = f"budget={{train_seconds: {seconds}, gpu_dollars_per_hour: {price}, {limit}: {amount}}}"
    coming = forecast(load(f"executor.slots={slots}", budget), Device.GPU)

    least, most = coming.slot_dollars
    assert least <= most * (1 + 1e-9)
    bound = {"hours": coming.clock_hours, "gpu_hours": coming.slot_hours, "dollars": most}.get(limit)
    assert bound is None or bound <= amount * (1 + 1e-9)
    assert (limit == "dollars" and price == 0) == (coming.trainings == float("inf"))


SOURCE = "task.prepare=[--source, texts]"


@pytest.mark.parametrize(
    ("overrides", "here", "words"),
    [
        ([SOURCE, "budget.train_seconds=20"], Device.GPU, "compiles for up to 60 s: give it 300"),
        ([SOURCE, "task.preset=cpu"], Device.GPU, "preset cpu is asked for, and the campaign trains on GPUs"),
        (["task.preset=gpu"], Device.CPU, "preset gpu is asked for, and the campaign trains on CPUs"),
        (["task.prepare=[--preset, gpu]"], Device.CPU, "preset gpu is asked for"),
        (["agent.kind=claude", "budget.hours=2"], Device.CPU, "dollars that nothing limits: set budget.dollars"),
        ([SOURCE, "budget.dollars=5"], Device.GPU, "budget.dollars is the only limit, and nothing here costs any"),
        ([], Device.GPU, "some 4 million tokens, which a GPU reads dozens of times"),
    ],
)
def test_settings_for_another_device_and_open_costs_are_told(overrides: list[str], here: Device, words: str) -> None:
    [told] = unfit_settings(load(*overrides, here=here), here)

    assert words in told


@pytest.mark.parametrize("here", Device)
@pytest.mark.parametrize(
    "overrides", [[SOURCE], ["task={folder: /x, score: log}", "budget={train_seconds: 5, hours: 1}"]]
)
def test_defaults_and_other_tasks_are_nothing_to_complain_about(here: Device, overrides: list[str]) -> None:
    assert unfit_settings(load(*overrides, here=here), here) == []
