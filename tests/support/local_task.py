"""A small task for the local executor's tests: the real training supervisor, and stand-ins for what needs torch.

The stand-ins keep the contract between executor and task image (environment, folders, exit codes, result line)
and nothing else: their score is what the artifact holds.
"""

from __future__ import annotations

import os
import queue
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from controller.domain import Result, TryEnded, TryId, TryRequest
from controller.executor.local import LocalExecutor
from controller.executor.local.deletion import Trash
from controller.executor.local.try_folder import TryFolder
from controller.settings import Settings
from controller.settings.file import load_settings
from tests.support.requests import try_request
from tests.support.waiting import PATIENCE_S

EXAM = Path(__file__).resolve().parents[2] / "trainer-image" / "exam"
TRAIN = """
    import os
    with open(os.environ["AUTORESEARCH_ARTIFACT"] + "/score", "w") as file:
        file.write("1.5")
    print("---")
    print("val_bpb:          1.500000")
    print("num_steps:        7")
"""

CANDIDATE = """
    import os, socket, time
    from pathlib import Path
    address = os.environ["AUTORESEARCH_SOCKET"] + "/exam.sock"
    control = socket.socket(socket.AF_UNIX)
    while control.connect_ex(address):
        time.sleep(0.005)
    mark = Path(os.environ["HOME"], "mark")
    print("process", os.getpid(), "fresh", not mark.exists())
    mark.touch()
    control.sendall(Path(os.environ["AUTORESEARCH_ARTIFACT"], "score").read_bytes().ljust(16))
    control.recv(16)
"""

EXAMINE = """
    import json, os, socket
    from pathlib import Path
    folder = Path(os.environ["AUTORESEARCH_SOCKET"])
    heard = []
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "exam.sock"))
            listener.listen(1)
            control, _ = listener.accept()
            heard.append(float(control.recv(16)))
            os.unlink(folder / "exam.sock")
            control.sendall(b"restart")
            assert control.recv(1) == b""
    report = {"attempt": os.environ["AUTORESEARCH_ATTEMPT"], "verdict": "scored", "val_bpb": heard[0],
              "raw_bpb": heard[0], "freshness": heard[1] - heard[0], "hits": 0}
    line = "@@RESULT v1 " + json.dumps(report)
    Path(os.environ["AUTORESEARCH_RESULT"]).write_text(line)
    print(line)
"""


def make_settings(*overrides: str) -> Settings:
    """Settings for what ends by itself, changed by `key=value`: deadlines that no busy machine meets."""
    ample = ["budget.train_seconds=120", f"deadlines.examine={PATIENCE_S}", "tag=t"]
    return load_settings(None, [*ample, *overrides])


def make_request(train: str = TRAIN, *, experiment: int = 1, number: int = 1, probe_set: int = 0) -> TryRequest:
    """One try of `train` as the whole train.py."""
    return try_request(textwrap.dedent(train), id=TryId("t", experiment, 1, number), probe_set=probe_set)


@dataclass(frozen=True)
class TaskFolders:
    """Task, data and work folder of one test; `campaign` holds the latter two."""

    task: Path
    campaign: Path

    @property
    def data(self) -> Path:
        return self.campaign / "data"

    @property
    def work(self) -> Path:
        return self.campaign / "work"

    def logs(self, request: TryRequest) -> Mapping[str, str]:
        folder = self.work / str(request.id) / "logs"
        return {path.stem: path.read_text(errors="replace") for path in folder.iterdir()}

    def write(self, name: str, source: str) -> None:
        path = self.task / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))


def make_folders(folder: Path) -> TaskFolders:
    """A task with stand-in examiners, and a data folder of the right shape with a secret in each test set."""
    folders = TaskFolders(folder / "task", folder / "campaign")
    shutil.copytree(EXAM / "kit", folders.task / "exam" / "kit", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "supervise.py"):
        shutil.copy(EXAM / name, folders.task / "exam" / name)
    folders.write("train.py", "raise SystemExit('the original train.py ran')")
    folders.write("prepare.py", "FIXED = 1")
    for name, source in (("candidate", CANDIDATE), ("examine", EXAMINE)):
        folders.write(f"exam/{name}.py", source)
    parts = ("train", "tokenizer", "validation", "holdout", "reserve/000", "probes/00/questions", "probes/00/answers")
    for name in parts:
        (folders.data / name).mkdir(parents=True)
        (folders.data / name / "content").write_text(f"SECRET-{name}")
    (folders.data / "manifest.json").write_text("{}")
    return folders


@dataclass
class Ends:
    """The reports of an executor, in order."""

    arrived: queue.Queue[TryEnded] = field(default_factory=queue.Queue)

    def wait(self) -> Result:
        return self.arrived.get(timeout=PATIENCE_S).result


@contextmanager
def running(folders: TaskFolders, *overrides: str) -> Iterator[tuple[LocalExecutor, Ends]]:
    """A started executor, stopped in the end."""
    ends = Ends()
    executor = LocalExecutor(
        make_settings(*overrides), task_folder=folders.task, data_folder=folders.data, work_folder=folders.work
    )
    executor.start(ends.arrived.put)
    try:
        yield executor, ends
    finally:
        executor.stop()
        trash = Trash(folders.work / "trash")
        for started in folders.work.glob("*/started"):
            TryFolder(started.parent).forget(trash)
        trash.empty()


def run_one(folders: TaskFolders, request: TryRequest, *overrides: str) -> Result:
    """Run one try to its end."""
    with running(folders, *overrides) as (executor, ends):
        executor.launch(request)
        result = ends.wait()
        executor.recorded(request.id)
        return result


def processes_with(token: str) -> list[int]:
    """Processes, zombies not counted, that have `token` in their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path("/proc", name, "cmdline").read_bytes()
        except OSError:
            continue
        if token.encode() in command and int(name) != os.getpid():
            found.append(int(name))
    return found


def cgroups_of(folders: TaskFolders) -> list[Path]:
    """Cgroups that this work folder's executors made and did not remove."""
    import json

    note = json.loads((folders.work / "cgroups.json").read_text())
    return [path for parent in note["parents"].values() for path in Path(parent).glob(f"{note['family']}*")]
