"""The schema and the page of the Helm chart's values, written from `helmvalues`.

    python -m controller.settings.helm_schema > helm/values.schema.json
    python -m controller.settings.helm_schema --reference > docs/values.md
    python -m controller.settings.helm_schema --defaults > helm/defaults.json

A test holds the files equal to this module. It renders no template and describes no value itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from controller.settings import Settings
from controller.settings.defaults import as_document
from controller.settings.helm_values import Values

HEADER = """\
# Values of the chart

Generated from `controller/settings/helm_values.py`; a test holds the two together. Unknown values and wrong types
are refused before anything is installed. `campaign` holds the settings of the controller, which
[settings.md](settings.md) lists; what the chart fills in there is said in `helm/values.yaml`. How to install:
[install.md](install.md).
"""


def values_schema() -> dict[str, Any]:
    """JSON Schema, in the draft that every Helm from version 3 on reads."""
    schema = Values.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions = schema.pop("$defs")
    whole = {"$schema": "http://json-schema.org/draft-07/schema#", **schema, "definitions": definitions}
    return dict(_plain(whole))


def _plain(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Without what no validator reads: titles made from names, and the defaults, which values.yaml holds."""
    for key, value in schema.items():
        if key in ("properties", "definitions"):
            yield key, {name: dict(_plain(part)) for name, part in value.items()}
        elif key == "$ref" and len(schema) > 1:
            # Draft 7 ignores what stands beside a reference.
            yield "allOf", [{key: value}]
        elif key == "description":
            yield key, " ".join(value.split())  # the lines of a docstring
        elif key not in ("title", "default"):
            yield key, _plain_value(value)


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(_plain(value))
    return [_plain_value(item) for item in value] if isinstance(value, list) else value


def reference() -> str:
    """The tables of all values for people."""
    return HEADER + "".join(_tables(Values, ""))


def _tables(group: type[BaseModel], prefix: str) -> Iterator[str]:
    """A group's own values as a table, then the groups in it; the campaign has a page of its own."""
    properties = group.model_json_schema(by_alias=True)["properties"]
    groups = {name: part for name, field in group.model_fields.items() if (part := _group(field.annotation))}
    if prefix:
        yield f"\n## {prefix.rstrip('.')}\n\n{' '.join((group.__doc__ or '').split())}\n"
    yield "\n| value | type | default | meaning |\n|---|---|---|---|\n"
    for name, field in group.model_fields.items():
        if name not in groups:
            key = field.alias or name
            yield _row(f"{prefix}{key}", properties[key], " ".join((field.description or "").split()))
    for name, part in groups.items():
        if part is not Settings:
            yield from _tables(part, f"{prefix}{group.model_fields[name].alias or name}.")


def _group(kind: Any) -> type[BaseModel] | None:
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _row(key: str, schema: Mapping[str, Any], meaning: str) -> str:
    return f"| `{key}` | {_type(schema)} | `{json.dumps(schema.get('default'))}` | {meaning} |\n"


def _type(schema: Mapping[str, Any]) -> str:
    names = {"array": "list", "object": "map"}
    return ", ".join(schema["enum"]) if "enum" in schema else names.get(schema["type"], schema["type"])


def main(arguments: list[str]) -> None:
    """Print the schema, the reference, or the defaults by device."""
    if "--reference" in arguments:
        text = reference()
    else:
        document = as_document() if "--defaults" in arguments else values_schema()
        text = json.dumps(document, indent=1) + "\n"
    sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
