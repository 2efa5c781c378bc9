"""Reads what lies on the disk beside the lab: a campaign's folder, the task's folder, the data, room to write.

campaign_folder  finds a campaign's folder and the files in it
task_folder      which files of a task may change, their text, and the research brief
missing_parts    finds what a clone left out: content of git-lfs, submodules
new_task         writes a small task that runs, from templates/
prepared_data    refuses data that are not what their manifest says
ownership        tells whose a file is that may not be read or written
ballast          a file that is given up when the disk is full, so that what matters can be written
"""

from controller.folder.campaign_folder import CampaignFolder, find, short_lived_place
from controller.folder.ownership import denied_access, refused_to
from controller.folder.prepared_data import check_preset, hidden_folders, prepare_command, read_manifest
from controller.folder.task_folder import expand_globs, read_brief, shipped_task, task_files, task_folder

__all__ = [
    "CampaignFolder",
    "check_preset",
    "denied_access",
    "expand_globs",
    "find",
    "hidden_folders",
    "prepare_command",
    "read_brief",
    "read_manifest",
    "refused_to",
    "shipped_task",
    "short_lived_place",
    "task_files",
    "task_folder",
]
