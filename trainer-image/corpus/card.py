"""The claims of a data set's card (README.md on the Hugging Face hub) about its own files. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

ANY = "*"


@dataclass(frozen=True, slots=True)
class Claim:
    """Some file matches each of these patterns, and all these files hold so many rows; None where it does not say."""

    patterns: tuple[str, ...]
    rows: int | None


def read_claims(card: str) -> list[Claim]:
    """The YAML between the first two lines of three dashes; empty if there is none or it is unfit."""
    import yaml

    head, _, rest = card.removeprefix("\ufeff").partition("---\n")
    if head.strip():
        return []
    try:
        fields = yaml.safe_load(rest.partition("\n---")[0])
    except yaml.YAMLError:
        return []
    if not isinstance(fields, dict):
        return []
    infos = _list_of_mappings(fields.get("dataset_info"))
    configs = _list_of_mappings(fields.get("configs"))
    if configs:
        rows = {str(info.get("config_name", "default")): _rows_by_split(info) for info in infos}
        return [claim for config in configs for claim in _claims_of(config, rows)]
    return [Claim((ANY,), sum(_rows_by_split(infos[0]).values()) or None)] if len(infos) == 1 else []


def _list_of_mappings(value: Any) -> list[Mapping[str, Any]]:
    values = value if isinstance(value, list) else [value]
    return [entry for entry in values if isinstance(entry, dict)]


def _rows_by_split(info: Mapping[str, Any]) -> dict[str, int]:
    splits = _list_of_mappings(info.get("splits"))
    return {str(split.get("name")): split["num_examples"] for split in splits if type(split.get("num_examples")) is int}


def _claims_of(config: Mapping[str, Any], rows: Mapping[str, Mapping[str, int]]) -> Iterator[Claim]:
    """Of one configuration: `data_files` is a path, a list of paths, or a list of splits with one or more paths."""
    listed = config.get("data_files")
    splits = rows.get(str(config.get("config_name", "default")), {})
    for entry in listed if isinstance(listed, list) else [listed]:
        path = entry.get("path") if isinstance(entry, dict) else entry
        patterns = tuple(name for name in (path if isinstance(path, list) else [path]) if isinstance(name, str))
        if patterns and all(map(_can_be_parquet, patterns)):
            yield Claim(patterns, splits.get(str(entry.get("split"))) if isinstance(entry, dict) else None)


def _can_be_parquet(pattern: str) -> bool:
    """Most cards write `data/train-*`, which says nothing about the kind of file."""
    suffix = PurePosixPath(pattern).suffix
    return suffix in ("", ".parquet") or "*" in suffix
