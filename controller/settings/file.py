"""The settings as a YAML file: read with `--set` flags laid over it, and written so that it reads back the same.

A mistake is one sentence that names file, line and field. What a setting is, and which values it takes, is said in
`settings` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from controller.errors import SettingsError
from controller.settings import Settings, TaskSettings
from controller.settings.complaints import explain
from controller.settings.defaults import LIMITS, Device, preset_among, with_defaults
from controller.settings.places import fault_of_name
from controller.settings.section import without_empty_groups
from controller.settings.yaml_text import Unreadable, line_of, read_yaml

PATHS = (("brief",), ("task", "folder"), ("agent", "patches"), ("executor", "kubernetes", "kubeconfig"))


_QUOTE = """a text with signs of YAML needs quotation marks of its own, --set 'task.metric="a: b"'"""


def trains_on_cpu() -> Device:
    """The answer of a machine without a GPU."""
    return Device.CPU


def load_settings(
    path: Path | None, overrides: Sequence[str] = (), *, here: Callable[[], Device] = trains_on_cpu
) -> Settings:
    """Read a YAML file and apply `key.path=value` overrides. Raises SettingsError naming file, line and field.

    here: looks at what this machine trains on; asked where the campaign trains here and leaves something open.
    """
    text = _read(path) if path else ""
    where = str(path) if path else "flags"
    try:
        document = read_yaml(text)
    except Unreadable as error:
        line = f" line {error.line}" if error.line else ""
        raise SettingsError(f"settings {where}{line}: {error}") from error
    if document is None:
        document = {}
    if not isinstance(document, dict):
        found = "a list" if isinstance(document, list) else f"the value {str(document)[:40]!r}"
        raise SettingsError(f"settings {where}: must be lines such as `tag: mine`, found {found}")
    document = without_empty_groups(document, Settings)
    if path:
        _anchor(document, base=path.resolve().parent)
    for override in overrides:
        _apply(document, override)
    _anchor(document, base=Path.cwd())
    return _validate(with_defaults(document, here), text=text, where=where, overrides=overrides)


def dump_settings(settings: Settings) -> str:
    """The settings as YAML that `load_settings` reads back: what people change first, and whatever is no default."""
    executor: dict[str, Any] = {"kind": settings.executor.kind, "slots": settings.executor.slots}
    if settings.executor.kind == "local":
        # It follows the device, and the campaign goes on with it on any machine.
        executor["limits"] = {"memory_gb": settings.executor.limits.memory_gb}
    shown = {
        "tag": settings.tag,
        "agent": {"kind": settings.agent.kind},
        "budget": settings.budget.model_dump(mode="json", exclude_none=True),
        "judge": settings.judge.model_dump(mode="json"),
        "executor": executor,
    }
    chosen = settings.model_dump(mode="json", exclude_defaults=True)
    if "metric" in chosen.get("task", {}):
        # Written out, so that the campaign goes on alike if another version takes the name otherwise.
        chosen["task"]["direction"] = settings.task.direction
    unlimited = {name for name in LIMITS if getattr(settings.budget, name) is None}
    chosen["budget"] = {name: value for name, value in chosen.get("budget", {}).items() if name not in unlimited}
    return yaml.safe_dump(_merged(shown, chosen), sort_keys=False, allow_unicode=True)


def refuse_other_preset(begun: str, settings: Settings) -> None:
    """Refuse to go on with a lab whose scores are of other data. Raises SettingsError.

    begun: the settings that the campaign began with, as the lab keeps them; empty where it has not begun.
    """
    then, now = _preset_of(_group(_parsed(begun), "task")), _preset_of(settings.task.model_dump())
    if settings.task.score == "exam" and then and now and then != now:
        raise SettingsError(
            f"campaign {settings.tag} began with the data of preset {then}, and its settings now say {now}: scores of "
            f"the two cannot be compared; go on with --set task.preset={then}, or begin another with --set tag=..."
        )


def refuse_other_score(begun: str, settings: Settings) -> None:
    """Refuse to go on with a lab whose scores are of another metric, or are better the other way. Raises SettingsError.

    begun: the settings that the campaign's first score was measured with; empty where there is none.
    """
    task = _group(_parsed(begun), "task")
    for name in ("metric", "direction", "score"):
        then, now = task.get(name, TaskSettings.model_fields[name].default), getattr(settings.task, name)
        if begun and then != now:
            raise SettingsError(
                f"campaign {settings.tag} began with task.{name} {then}, and its settings now say {now}: scores of the "
                f"two cannot be compared; go back to {then}, or begin another with --set tag=..."
            )


def changed_training(begun: str, settings: Settings) -> list[str]:
    """A sentence for everything by which trainings or their scores differ from those that the campaign began with."""
    task = _group(_parsed(begun), "task")
    changed = [
        f"campaign {settings.tag} began with another task.{name}, and goes on with this one: if it changes what a "
        "score means, choose another tag"
        for name in ("command", "score_line", "score_file", "examiner")
        if begun and _plain(task.get(name, TaskSettings.model_fields[name].default)) != getattr(settings.task, name)
    ]
    then, now = _group(_parsed(begun), "budget").get("train_seconds"), settings.budget.train_seconds
    if then is None or float(then) == now:
        return changed
    return [
        *changed,
        f"campaign {settings.tag} began with {float(then):g} s a run, and goes on with {now:g} s: scores of the two "
        f"cannot be compared; go back to budget.train_seconds={float(then):g}, or choose another tag",
    ]


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _parsed(text: str) -> Mapping[str, Any]:
    document = yaml.safe_load(text)  # ours: what dump_settings wrote
    return document if isinstance(document, dict) else {}


def _group(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    group = document.get(name)
    return group if isinstance(group, dict) else {}


def _preset_of(task: Mapping[str, Any]) -> str:
    return preset_among(task.get("prepare") or ()) or str(task.get("preset") or "")


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, group by group."""
    groups = {key: _merged(base[key], over[key]) for key in base.keys() & over.keys() if isinstance(base[key], dict)}
    return {**base, **over, **groups}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except PermissionError:
        raise  # The command line tells whose it is.
    except OSError as error:
        raise SettingsError(f"settings {path}: cannot be read: {error.strerror}; give another file") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"settings {path}: cannot be read: {error}; save it as UTF-8") from error


def _anchor(document: dict[str, Any], *, base: Path) -> None:
    """Make relative paths absolute: in a file they start at the file, in a flag at the current folder."""
    for *groups, leaf in PATHS:
        node: Any = document
        for group in groups:
            node = node.get(group) if isinstance(node, dict) else None
        if isinstance(node, dict) and isinstance(node.get(leaf), str):
            place = base / Path(node[leaf]).expanduser()
            if fault := fault_of_name(place):
                raise SettingsError(f"{'.'.join((*groups, leaf))}: {fault}: rename it")
            node[leaf] = str(place)


def _apply(document: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    *parents, leaf = key.strip().split(".")
    if not equals or not all((*parents, leaf)):
        raise SettingsError(f"--set {override}: must look like budget.experiments=20")
    for parent in parents:
        document = document.setdefault(parent, {})
        if not isinstance(document, dict):
            raise SettingsError(f"--set {override}: {parent} is not a group of settings")
    try:
        document[leaf] = read_yaml(value)
    except Unreadable as error:
        raise SettingsError(f"--set {override}: {error}; {_QUOTE}") from error


def _validate(document: Mapping[str, Any], *, text: str, where: str, overrides: Sequence[str]) -> Settings:
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        location = [str(part) for part in first["loc"]]
        place = _flag_for(location, overrides)
        if not place:
            line = line_of(text, location)
            place = f"settings {where} line {line}" if line else f"settings {where}"
        raise SettingsError(f"{place}: {explain(first, location)}") from error


def _flag_for(location: Sequence[str], overrides: Sequence[str]) -> str:
    """The last flag that set the value at `location`, or a group around it; empty where a file did."""
    for override in reversed(overrides):
        key = override.partition("=")[0].strip().split(".")
        if list(location[: len(key)]) == key:
            return f"--set {override}"
    return ""
