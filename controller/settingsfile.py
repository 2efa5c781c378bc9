"""The settings as a YAML file: read with `--set` flags laid over it, and written so that it reads back the same.

A mistake is one sentence that names file, line and field. What a setting is, and which values it takes, is said in
`settings` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from controller.errors import SettingsError
from controller.settings import Settings

PATHS = (("brief",), ("task", "folder"), ("agent", "patches"), ("executor", "kubernetes", "kubeconfig"))


def load_settings(path: Path | None, overrides: Sequence[str] = ()) -> Settings:
    """Read a YAML file and apply `key.path=value` overrides. Raises SettingsError naming file, line and field."""
    text = _read(path) if path else ""
    where = str(path) if path else "flags"
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise SettingsError(f"settings {where}: not valid YAML: {_one_line(error)}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"settings {where}: must be a mapping of settings, found {type(document).__name__}")
    if path:
        _anchor(document, base=path.resolve().parent)
    for override in overrides:
        _apply(document, override)
    _anchor(document, base=Path.cwd())
    return _validate(document, text=text, where=where)


def dump_settings(settings: Settings) -> str:
    """The settings as YAML that `load_settings` reads back: what people change first, and whatever is no default."""
    shown = {
        "tag": settings.tag,
        "agent": {"kind": settings.agent.kind},
        "budget": settings.budget.model_dump(mode="json", exclude_none=True),
        "judge": settings.judge.model_dump(mode="json"),
        "executor": {"kind": settings.executor.kind, "slots": settings.executor.slots},
    }
    chosen = settings.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(_merged(shown, chosen), sort_keys=False, allow_unicode=True)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, group by group."""
    groups = {key: _merged(base[key], over[key]) for key in base.keys() & over.keys() if isinstance(base[key], dict)}
    return {**base, **over, **groups}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings {path}: cannot be read: {_one_line(error)}") from error


def _anchor(document: dict[str, Any], *, base: Path) -> None:
    """Make relative paths absolute: in a file they start at the file, in a flag at the current folder."""
    for *groups, leaf in PATHS:
        node: Any = document
        for group in groups:
            node = node.get(group) if isinstance(node, dict) else None
        if isinstance(node, dict) and isinstance(node.get(leaf), str):
            node[leaf] = str(base / Path(node[leaf]).expanduser())


def _apply(document: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise SettingsError(f"--set {override}: must look like budget.experiments=20")
    *parents, leaf = key.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
        if not isinstance(document, dict):
            raise SettingsError(f"--set {override}: {parent} is not a group of settings")
    try:
        document[leaf] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {override}: the value is not valid YAML: {_one_line(error)}") from error


def _validate(document: Mapping[str, Any], *, text: str, where: str) -> Settings:
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        location = [str(part) for part in first["loc"]]
        line = _line_of(text, location)
        place = f"{where} line {line}" if line else where
        raise SettingsError(f"settings {place}: {_explain(first, location)}") from error


def _explain(problem: Any, location: Sequence[str]) -> str:
    field = ".".join(location) or "settings"
    if problem["type"] == "extra_forbidden":
        return f"{field} is not a setting (docs/settings.md lists them)"
    message = problem["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be greater than or equal to", "must be at least")
    message = message.replace("Input should be", "must be")
    given = problem.get("input")
    shown = f" (got {given!r})" if isinstance(given, (str, int, float, bool, type(None))) else ""
    return f"{message}{shown}" if problem["type"] == "value_error" else f"{field} {message}{shown}"


def _line_of(text: str, location: Sequence[str]) -> int | None:
    """Line (from 1) of the deepest key of `location` that the YAML text holds."""
    node = yaml.compose(text) if text else None
    line = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
