"""The schema of settings: closed, frozen, and silent about keys."""

from __future__ import annotations

from pathlib import Path

from controller.settings import ClaudeSettings, Settings, read_secrets


def test_every_group_of_settings_is_closed_and_frozen() -> None:
    def groups(model: type) -> set[type]:
        fields = model.model_fields.values()  # type: ignore[attr-defined]  # a pydantic model
        inner = {f.annotation for f in fields if hasattr(f.annotation, "model_fields")}
        return inner.union(*(groups(m) for m in inner)) | {model}

    for group in groups(Settings):
        assert group.model_config["extra"] == "forbid", group  # type: ignore[attr-defined]
        assert group.model_config["frozen"] is True, group  # type: ignore[attr-defined]


def test_key_comes_from_the_environment_and_is_never_shown() -> None:
    secrets = read_secrets({"ANTHROPIC_API_KEY": "sk-very-secret"})

    assert "very-secret" not in repr(secrets)
    assert "very-secret" not in str(secrets.model_dump())
    assert secrets.anthropic_api_key is not None
    assert secrets.anthropic_api_key.get_secret_value() == "sk-very-secret"


def test_key_in_a_file_goes_before_the_other_and_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "key"
    environment = {"ANTHROPIC_API_KEY_FILE": str(file), "ANTHROPIC_API_KEY": "sk-old", "ANTHROPIC_BASE_URL": ""}
    keys = []
    for text in (None, "sk-new\n", "  ", "sk-newer"):
        if text is not None:
            file.write_text(text)
        found = read_secrets(environment).anthropic_api_key
        keys.append(found.get_secret_value() if found else "")
    file.write_bytes(b"\xff\xfe")

    assert keys == ["sk-old", "sk-new", "sk-old", "sk-newer"]
    assert read_secrets(environment).anthropic_api_key is not None
    assert read_secrets(environment).anthropic_base_url is None
    assert read_secrets({"ANTHROPIC_BASE_URL": "http://gateway"}).anthropic_base_url == "http://gateway"


def test_each_model_that_may_be_asked_is_named_once() -> None:
    chosen = ClaudeSettings(model="a", plateau_model="b", refusal_model="a")

    assert chosen.models == ("a", "b")
    assert ClaudeSettings(refusal_model=None).models == ("claude-opus-5-5",)
