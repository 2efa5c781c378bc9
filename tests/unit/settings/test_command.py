"""Settings of an agent that is a program: a mistake is one sentence at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.errors import AgentError, SettingsError
from controller.run.command_agent import check_vendors
from controller.settings import CommandSettings, read_secrets
from controller.settings.file import load_settings

RUN = ["agent.kind=command", "agent.command.run=[python, /opt/agents/wider.py]"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["agent.kind=command"], "agent command needs agent.command.run"),
        ([*RUN, "executor.kind=kubernetes", "agent.command.mounts=[/opt]"], "build them into the image"),
        ([*RUN, "agent.command.address=my-laptop"], "agent.command.address"),
        ([*RUN, "executor.sandbox=none"], "not with executor.sandbox: none"),
        ([*RUN, "agent.command.mounts=[agents]"], "agents does not begin with '/'"),
        ([*RUN, "agent.command.environment={OPENAI_API_KEY: sk-12345678}"], "reads like the name of a secret"),
        ([*RUN, "agent.command.gateway=[mistral]"], "gateway"),
        ([*RUN, "agent.command.name=a b"], "name"),
    ],
)
def test_mistake_is_told_in_one_sentence(overrides: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(None, overrides)


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (("python", "/opt/agents/wider.py"), "wider.py"),
        (("python3.11", "-I", "/opt/hill climb.py"), "hill-climb.py"),
        (("/opt/node_modules/.bin/claude", "-p", "Read TASK.md"), "claude"),
        (("sh",), "sh"),
    ],
)
def test_program_is_known_by_the_name_of_its_file(run: tuple[str, ...], name: str) -> None:
    assert CommandSettings(run=run).shown_name == name


def test_program_may_be_one_line_and_one_vendor_may_stand_alone() -> None:
    settings = load_settings(
        None, ["agent.kind=command", "agent.command.run='python x.py'", "agent.command.gateway=openai"]
    )

    assert settings.agent.command.run == ("python", "x.py")
    assert settings.agent.command.gateway == ("openai",)
    assert settings.agent.asks_models


def test_a_number_is_a_text_to_the_program_that_reads_it() -> None:
    settings = load_settings(None, [*RUN, "agent.command.environment={DEPTH: 3}"])

    assert settings.agent.command.environment == {"DEPTH": "3"}


def test_program_without_a_model_needs_no_key_and_costs_nothing() -> None:
    settings = load_settings(None, RUN)

    check_vendors(settings.agent.command)
    assert not settings.agent.asks_models


def test_missing_key_and_unknown_price_are_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(AgentError, match=r"names openai, which needs a key: set OPENAI_API_KEY"):
        check_vendors(CommandSettings(run=("x",), gateway=("openai",)))

    monkeypatch.setenv("OPENAI_API_KEY", "sk-nobody")
    check_vendors(CommandSettings(run=("x",), gateway=("openai",), models=("gpt-5.5",)))
    with pytest.raises(SettingsError, match=r"claude-opus-5-5: its price is not known at openai"):
        check_vendors(CommandSettings(run=("x",), gateway=("openai",), models=("claude-opus-5-5",)))


def test_files_that_hold_keys_are_known_so_that_no_sandbox_shows_them(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-openai\n")
    secrets = read_secrets({"OPENAI_API_KEY_FILE": str(tmp_path / "key"), "OPENAI_BASE_URL": "http://gateway/v1"})

    assert secrets.openai_api_key
    assert secrets.openai_api_key.get_secret_value() == "sk-openai"
    assert secrets.key_files == (tmp_path / "key",)
