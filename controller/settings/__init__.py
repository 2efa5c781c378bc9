"""Every knob of a campaign: one schema for the YAML file, `--set` flags and the chart's values.

defaults     what a campaign does unless it is told otherwise, by the device that trains; pure
metric       checks how a task names its score, and knows what the name tells; pure
places       checks where a task wants its data; pure
section      what every group of settings is built from
task         the settings of a task
command      the settings of an agent that is a program
mcp          the settings of an agent that is a client from outside
budget       the settings of what may be spent, and of when something is killed
executor     the settings of what runs attempts
schema       all settings, their units, ranges and defaults
environment  the only place that reads the environment: keys, and what tells of the machine
file         reads and writes a campaign's YAML file
yaml_text    reads YAML, in which a key may stand once; pure
complaints   says in plain words why a setting cannot be used; pure
secrecy      tells what must not stand in settings, because it looks like a key; pure
reference    generates docs/settings.md
helm_values  the chart's values, described
helm_schema  generates helm/values.schema.json and docs/values.md
"""

from controller.settings.command import CommandSettings
from controller.settings.defaults import Device
from controller.settings.environment import (
    Federation,
    home_of_campaigns,
    own_environment,
    read_secrets,
    search_path,
    visible_devices,
)
from controller.settings.executor import ExecutorSettings, KubernetesSettings, LimitSettings
from controller.settings.mcp import McpSettings
from controller.settings.schema import AgentSettings, ClaudeSettings, JudgeSettings, Settings
from controller.settings.task import GuardSettings, TaskSettings

__all__ = [
    "AgentSettings",
    "ClaudeSettings",
    "CommandSettings",
    "Device",
    "ExecutorSettings",
    "Federation",
    "GuardSettings",
    "JudgeSettings",
    "KubernetesSettings",
    "LimitSettings",
    "McpSettings",
    "Settings",
    "TaskSettings",
    "home_of_campaigns",
    "own_environment",
    "read_secrets",
    "search_path",
    "visible_devices",
]
