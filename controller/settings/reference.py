"""docs/settings.md, written from the settings schema: `python -m controller.settings.reference > docs/settings.md`."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from controller.settings import Settings
from controller.settings.defaults import by_device

HEAD = """# Settings

Every setting of a campaign, from `campaign.yaml`, from `--set key.path=value`, or from the chart's `campaign:`
block, which is this schema. Unknown keys are errors. Secrets (`ANTHROPIC_API_KEY`) come from the environment alone.
A default may follow the device: on a cluster `executor.kubernetes.gpus`, locally the GPU that is found or not found.
What a campaign began with is written to its `campaign.yaml`, so that it goes on alike on another machine.
This page is generated from the schema in `controller/settings/`; a test holds the two together.
"""


def reference() -> str:
    """The whole page as Markdown."""
    return "\n".join([HEAD, *_section(Settings, "")])


def _section(model: type[BaseModel], prefix: str) -> Iterator[str]:
    plain = [(name, field) for name, field in model.model_fields.items() if _group(field) is None]
    if plain:
        yield f"## {prefix.rstrip('.') or 'campaign'}\n\n{' '.join((model.__doc__ or '').split())}\n"
        yield "| setting | default | meaning |\n|---|---|---|"
        for name, field in plain:
            yield f"| `{prefix}{name}` | {_default_of(f'{prefix}{name}', field)} | {_meaning(field)} |"
        yield ""
    for name, field in model.model_fields.items():
        group = _group(field)
        if group is not None:
            yield from _section(group, f"{prefix}{name}.")


def _group(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _default_of(setting: str, field: FieldInfo) -> str:
    followed = by_device(setting)
    if followed is None:
        return _shown(field.get_default(call_default_factory=True))
    values = [f"{_shown(value)} on {device.upper()}s" for device, value in followed.items() if value is not None]
    return ", ".join(values) or "-"


def _shown(value: Any) -> str:
    if value in (None, "", (), {}):
        return "-"
    shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"`{shown}`"


def _meaning(field: FieldInfo) -> str:
    choices = _choices(field.annotation)
    listed = f"One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
    return " ".join(filter(None, [" ".join((field.description or "").split()), listed])).replace("|", "\\|")


def _choices(kind: Any) -> tuple[Any, ...]:
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return next((c for part in typing.get_args(kind) if (c := _choices(part))), ())
    return ()


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference())
