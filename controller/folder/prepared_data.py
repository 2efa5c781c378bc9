"""Reads the folder of prepared data, and refuses data that are not what their manifest says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from controller.errors import DataError
from controller.settings import Settings
from controller.settings.defaults import preset_among
from controller.text.shell_words import shell_word


def prepare_command(data: Path) -> str:
    """The command that makes this data folder, to copy into a shell."""
    return f"autoresearch prepare {shell_word(data.parent)}"


def read_manifest(data: Path) -> dict[str, object]:
    """The data folder's manifest. Raises DataError if a file is missing or differs from its checksum."""
    path = data / "manifest.json"
    again = f"run `{prepare_command(data)}` to make it again"
    if not path.is_file():
        raise DataError(f"data folder {data} has no manifest.json: {again}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        for name, entry in manifest["files"].items():
            _check_file(data / name, entry, again)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"data folder {data}: its manifest cannot be read ({error}); {again}") from error
    return dict(manifest)


def hidden_folders(data: Path) -> tuple[str, ...]:
    """The folders of Python's library that hold the exam's text, as the manifest says; empty without a manifest.

    Files are not compared with their checksums. Raises DataError for names that are none.
    """
    try:
        names = json.loads((data / "manifest.json").read_text(encoding="utf-8")).get("hidden", [])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"data folder {data}: its manifest cannot be read ({error})") from error
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isidentifier() for name in names):
        raise DataError(f"data folder {data}: its manifest names folders to hide that cannot be ({names!r})")
    return tuple(names)


def check_preset(manifest: Mapping[str, object], settings: Settings, data: Path) -> None:
    """Refuse data that were prepared for another device than the campaign's. Raises DataError.

    Data of a task that names no preset in its manifest are taken as they are.
    """
    made, wanted = manifest.get("preset"), preset_among(settings.task.prepare) or settings.task.preset
    if made and wanted and made != wanted:
        raise DataError(
            f"the data in {data} were prepared with preset {made}, and this campaign asks for {wanted}: go on with "
            f"--set task.preset={made}, or move the folder away and run `{prepare_command(data)}`"
        )


def _check_file(path: Path, entry: dict[str, object], again: str) -> None:
    if not path.is_file():
        raise DataError(f"data file {path} is missing: {again}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != entry["sha256"]:
        raise DataError(f"data file {path} is not what the manifest says (sha256 differs): {again}")
