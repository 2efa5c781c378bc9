"""The chart's values: one schema, one set of defaults, one version, and nothing accepted that means nothing."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from controller import __version__
from controller.settings import Settings
from controller.settings.defaults import Device, as_document, defaults_of
from controller.settings.helm_schema import reference, values_schema
from controller.settings.helm_values import Values
from tests.chart.rendering import CHART, CI, HelmError, leaves, render

REPOSITORY = CHART.parent
DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())


def test_schema_is_the_settings() -> None:
    assert json.loads((CHART / "values.schema.json").read_text()) == values_schema(), (
        "run `python -m controller.settings.helm_schema > helm/values.schema.json`"
    )


def test_reference_is_made_from_the_schema() -> None:
    assert (REPOSITORY / "docs" / "values.md").read_text() == reference(), (
        "run `python -m controller.settings.helm_schema --reference > docs/values.md`"
    )


def test_defaults_by_device_are_the_controllers() -> None:
    assert json.loads((CHART / "defaults.json").read_text()) == as_document(), (
        "run `python -m controller.settings.helm_schema --defaults > helm/defaults.json`"
    )


@pytest.mark.parametrize("page", [CHART / "values.yaml", CHART / "README.md"], ids=lambda page: page.name)
def test_what_people_read_about_the_defaults_is_what_they_are(page: Path) -> None:
    gpu, cpu = defaults_of(Device.GPU), defaults_of(Device.CPU)
    text = " ".join(page.read_text().replace("#", " ").replace("|", " ").split())

    assert f"GPUs {gpu.train_seconds:g} s {gpu.hours:g} h or ${gpu.dollars:g}" in text
    assert f"{cpu.train_seconds:g} s {cpu.experiments} experiments" in text


def test_defaults_are_those_of_the_schema() -> None:
    described = Values().model_dump(mode="json", by_alias=True, exclude={"campaign"})

    assert {key: value for key, value in DEFAULTS.items() if key != "campaign"} == described


def test_campaign_shows_the_controllers_own_defaults() -> None:
    defaults = dict(leaves(Settings().model_dump(mode="json")))

    shown = dict(leaves(DEFAULTS["campaign"]))

    assert shown.items() <= defaults.items()


def test_every_setting_can_be_given_as_a_value() -> None:
    everything = Settings().model_dump(mode="json")

    jsonschema.validate({"campaign": everything}, values_schema())


def test_chart_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    package = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

    assert {chart["version"], chart["appVersion"], package["version"]} == {__version__}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        pytest.param({"replicas": 2}, "replicas", id="unknown at the top"),
        pytest.param({"controller": {"replicas": 2}}, "replicas", id="unknown in a group"),
        pytest.param({"campaign": {"budget": {"experimentz": 3}}}, "experimentz", id="unknown setting"),
        pytest.param({"agent": {"apiKey": "sk-ant-1"}}, "apiKey", id="a key as a value"),
        pytest.param({"campaign": {"executor": {"slots": "many"}}}, "slots", id="text for a number"),
        pytest.param({"campaign": {"executor": {"slots": 0}}}, "slots", id="too small"),
        pytest.param({"campaign": {"judge": {"policy": "hope"}}}, "policy", id="no such choice"),
        pytest.param({"image": {"digest": "sha256:abc"}}, "digest", id="not a digest"),
        pytest.param({"networkPolicy": {"apiServer": {"cidrs": ["example.com"]}}}, "cidrs", id="a name for an address"),
        pytest.param({"lab": {"keep": "yes"}}, "keep", id="text for a truth"),
    ],
)
def test_value_that_means_nothing_is_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(HelmError, match=named):
        render(values)


@pytest.mark.parametrize("file", CI, ids=lambda file: file.name)
def test_examples_are_accepted(file: Path) -> None:
    assert render(None, file)


def test_everything_file_sets_every_value_to_something_else() -> None:
    given = Values.model_validate(yaml.safe_load((CHART / "ci" / "everything-values.yaml").read_text()))

    same = [name for name, value, default in settable(given, Values()) if value == default]
    assert set(same) <= {
        # Where one is given, the other is not used.
        *("image.digest", "trainer_image.digest", "lab.existing_claim", "data.existing_claim")
    }


def settable(given: BaseModel, default: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Path, value and default of everything outside the campaign."""
    for name in type(given).model_fields:
        value, other = getattr(given, name), getattr(default, name)
        if not isinstance(value, BaseModel):
            yield f"{prefix}{name}", value, other
        elif name != "campaign":
            yield from settable(value, other, f"{prefix}{name}.")


def test_chart_may_be_part_of_another() -> None:
    assert render({"global": {"anything": "goes"}})
