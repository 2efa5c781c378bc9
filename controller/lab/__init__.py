"""The lab: the bare git repository that is the only database. All code that uses git is in this package.

reader         campaigns, experiments and results as anyone may read them
writer         the single writer: new experiments, verdicts, moves of the branch
attachments    paths of attached logs, transcripts and settings
locks          the locks that keep a second writer out, and writes apart from packing
full_disk      writes on a disk that may be full
inbox          what an operator tells a campaign, until the writer takes it in
durable_files  small files beside the repository, whole and on disk
presence       tells another process who holds the lab, and what its loop does
repository     opens or creates the repository on disk
ref_files      small durable files on a ref
commits        programs as commits, and the merge of an edit with a newer incumbent
merging        merges an edit line by line, where git would see a conflict
study_writer   the writer's part for claims and other studies
study_records  claims and other studies, on refs of their own
records        an experiment as JSON, and the messages of its commits
booked_calls   model calls, written to the lab before their reply is used
mirror         pushes the lab to a git remote
"""

from controller.lab.reader import Lab, LabNotebook

__all__ = ["Lab", "LabNotebook"]
