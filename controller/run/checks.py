"""Looks at the prepared data before anything is spent."""

from __future__ import annotations

from rich.console import Console

from controller.campaign.preflight import require_data_parts
from controller.folder import CampaignFolder, check_preset, read_manifest
from controller.reports import text
from controller.settings import Settings


def check_data(folder: CampaignFolder, settings: Settings, err: Console) -> None:
    """Read the sealed data through and say what they are. Raises DataError where they are not what they were."""
    manifest = read_manifest(folder.data)
    check_preset(manifest, settings, folder.data)
    require_data_parts(folder.data, settings)
    err.print(f"  data    {text.data_line(manifest)}", markup=False)
