"""A small task for the local executor's tests: the real training supervisor, and stand-ins for what needs torch.

The stand-ins keep the contract between executor and task image (environment, folders, exit codes, result line)
and nothing else: their score is what the artifact holds.
"""

from __future__ import annotations

import os
import queue
import shutil
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from controller.domain import Result, TryEnded, TryId, TryRequest
from controller.executor.local import LocalExecutor
from controller.executor.local.folders import TryFolder
from controller.settings import Settings
from controller.settingsfile import load_settings

EXAM = Path(__file__).resolve().parent.parent / "trainer-image" / "exam"
SUPERVISOR = ("__init__.py", "supervise.py", "artifact.py", "errors.py", "processes.py", "walls.py")
PATIENCE_S = 60.0

TRAIN = """
    import os
    with open(os.environ["AUTORESEARCH_ARTIFACT"] + "/score", "w") as file:
        file.write("1.5")
    print("---")
    print("val_bpb:          1.500000")
    print("num_steps:        7")
"""

PROBE = """
    import os
    from pathlib import Path
    Path(os.environ["AUTORESEARCH_ANSWERS"], "logits.f16").write_bytes(
        Path(os.environ["AUTORESEARCH_ARTIFACT"], "score").read_bytes()
    )
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
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "exam.sock"))
            listener.listen(1)
            control, _ = listener.accept()
            heard.append(float(control.recv(16)))
            os.unlink(folder / "exam.sock")
            control.sendall(b"restart")
            assert control.recv(1) == b""
    assert Path(os.environ["AUTORESEARCH_ANSWERS"], "logits.f16").is_file()
    report = {"attempt": os.environ["AUTORESEARCH_ATTEMPT"], "verdict": "scored", "val_bpb": heard[0],
              "raw_bpb": heard[0], "holdout_bpb": heard[1], "hits": 0}
    line = "@@RESULT v1 " + json.dumps(report)
    Path(os.environ["AUTORESEARCH_RESULT"]).write_text(line)
    print(line)
"""


def make_settings(*overrides: str) -> Settings:
    """Settings with short deadlines, changed by `key=value`."""
    quick = ["budget.train_seconds=5", "deadlines.examine=20", "deadlines.probe=20", "tag=t"]
    return load_settings(None, [*quick, *overrides])


def make_request(train: str = TRAIN, *, experiment: int = 1, number: int = 1, probe_set: int = 0) -> TryRequest:
    """One try of `train` as the whole train.py."""
    return TryRequest(
        id=TryId("t", experiment, 1, number),
        commit="c" * 40,
        files={"train.py": textwrap.dedent(train)},
        seed=3,
        probe_set=probe_set,
    )


@dataclass(frozen=True)
class Place:
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


def make_place(folder: Path) -> Place:
    """A task with stand-in examiners, and a data folder of the right shape with a secret in each test set."""
    place = Place(folder / "task", folder / "campaign")
    (place.task / "exam").mkdir(parents=True)
    for name in SUPERVISOR:
        shutil.copy(EXAM / name, place.task / "exam" / name)
    place.write("train.py", "raise SystemExit('the original train.py ran')")
    place.write("prepare.py", "FIXED = 1")
    for name, source in (("probe", PROBE), ("candidate", CANDIDATE), ("examine", EXAMINE)):
        place.write(f"exam/{name}.py", source)
    for name in ("train", "tokenizer", "validation", "holdout", "probes/00/questions", "probes/00/answers"):
        (place.data / name).mkdir(parents=True)
        (place.data / name / "content").write_text(f"SECRET-{name}")
    (place.data / "manifest.json").write_text("{}")
    return place


@dataclass
class Ends:
    """What an executor reported, in order."""

    arrived: queue.Queue[TryEnded] = field(default_factory=queue.Queue)

    def wait(self) -> Result:
        return self.arrived.get(timeout=PATIENCE_S).result


@contextmanager
def running(place: Place, *overrides: str) -> Iterator[tuple[LocalExecutor, Ends]]:
    """A started executor, stopped in the end."""
    ends = Ends()
    executor = LocalExecutor(
        make_settings(*overrides), task_folder=place.task, data_folder=place.data, work_folder=place.work
    )
    executor.start(ends.arrived.put)
    try:
        yield executor, ends
    finally:
        executor.stop()
        for started in place.work.glob("*/started"):
            TryFolder(started.parent).forget()


def run_one(place: Place, request: TryRequest, *overrides: str) -> Result:
    """Run one try to its end."""
    with running(place, *overrides) as (executor, ends):
        executor.launch(request)
        result = ends.wait()
        executor.recorded(request.id)
        return result


def wait_until(holds: Callable[[], bool], *, seconds: float = 20.0, what: str) -> None:
    """Wait for a condition; fails with `what` after `seconds`."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.02)


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


def cgroups_of(place: Place) -> list[Path]:
    """Cgroups that this work folder's executors made and did not remove."""
    import json

    note = json.loads((place.work / "cgroups.json").read_text())
    return [path for parent in note["parents"].values() for path in Path(parent).glob(f"{note['family']}*")]
