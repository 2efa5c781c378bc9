"""The command that a client from outside starts: `mcp` connects it to the campaign that runs."""

from __future__ import annotations

from pathlib import Path

from controller.cli.shared import CampaignArgument, CampaignOption, LabOption, device_here, name_once
from controller.errors import SettingsError
from controller.folder import CampaignFolder, find
from controller.settings import home_of_campaigns
from controller.settings.file import load_settings


def mcp(named: CampaignArgument = None, campaign: CampaignOption = None, lab_path: LabOption = None) -> None:
    """Connect an MCP client, which starts this, to the campaign that runs with `agent.kind: mcp` (docs/mcp.md)."""
    from controller.run.mcp_agent import find_campaign, require_package

    require_package()
    from controller.agent.mcp.bridge import run_bridge

    chosen = find(name_once(named, campaign), preferred=home_of_campaigns(), here=Path())
    folder = CampaignFolder(chosen, lab_override=lab_path)
    if folder.known_settings is None:
        raise SettingsError(f"{folder.path} holds no campaign: start one with `{folder.run_command}`")
    tag = load_settings(folder.known_settings, here=device_here).tag
    run_bridge(lambda: find_campaign(folder, tag))
