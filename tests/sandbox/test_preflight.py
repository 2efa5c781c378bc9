"""An operator's mistake is told at the start, in one sentence, before a lab is made or a second is trained."""

from __future__ import annotations

import difflib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from controller.campaign.preflight import check_start
from controller.errors import AutoresearchError, SettingsError
from controller.executor.kubernetes.rights import NEEDED, check_cluster
from controller.folder import CampaignFolder
from controller.run.campaign import run_campaign
from controller.settings import KubernetesSettings
from controller.settings.file import load_settings
from tests.support.kubernetes_api import Reply, Request, ScriptedApi, client_of
from tests.support.local_task import make_folders
from tests.support.waiting import PATIENCE_S

TRAIN = """\
WIDTH = 4  # 1 to 64

print("---")
print(f"val_bpb: {2 - WIDTH / 100}")
"""
PATCH = "".join(
    difflib.unified_diff(
        TRAIN.splitlines(True), TRAIN.replace("= 4", "= 5").splitlines(True), "a/train.py", "b/train.py"
    )
)
MALFORMED = "Subject: =?utf-7?q?+2AA-?=\n\nwhy\n---\n"
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: a
clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: a, user: {token: x}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task folder `task` and a campaign folder `c` side by side, which is where the process stands."""
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "train.py").write_text(TRAIN)
    (tmp_path / "c").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return tmp_path


def run(*overrides: str) -> tuple[str, str]:
    """Run the campaign in `c`; what it printed to either stream."""
    quick = ["tag=c", "task.folder=task", "task.score=log", "budget={train_seconds: 5, experiments: 1}"]
    quick.append(f"deadlines.log_scored={PATIENCE_S}")
    out, err = (Console(file=io.StringIO(), width=200, soft_wrap=True) for _ in range(2))
    run_campaign(CampaignFolder(Path("c")), load_settings(None, [*quick, *overrides]), out=out, err=err)
    return out.file.getvalue(), err.file.getvalue()  # type: ignore[attr-defined]  # both are StringIO


def write(**files: str | bytes) -> Callable[[Path], None]:
    """Have these files, `__` standing for `/` and `_dot_` for `.`."""

    def make(place: Path) -> None:
        for name, text in files.items():
            path = place / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())

    return make


def nothing(place: Path) -> None:
    """Leave everything as it is."""


REPLAY = "agent={kind: replay, patches: p}"
CLUSTER = ("executor.kind=kubernetes", "executor.kubernetes.image=x", "executor.kubernetes.kubeconfig=k.yaml")
JUNK = write(p__1_dot_patch=b"\xff\xfe", p__2_dot_patch="hello\n", p__3_dot_patch="")


@pytest.mark.parametrize(
    ("prepare", "overrides", "sentence"),
    [
        pytest.param(nothing, [REPLAY], "/p: no *.patch file is there, as it is no folder", id="no patches"),
        pytest.param(lambda p: (p / "p").mkdir(), [REPLAY], "/p: no *.patch file is there; name", id="empty"),
        pytest.param(JUNK, [REPLAY], "none of its *.patch files can be read as a patch; the first, 1.patch", id="junk"),
        pytest.param(write(p__1_dot_patch=MALFORMED + PATCH), [REPLAY], "its subject cannot be decoded", id="mail"),
        pytest.param(nothing, ["agent.kind=claude"], "set ANTHROPIC_API_KEY", id="no key"),
        pytest.param(
            write(task__train_dot_py="print(1)\n"), [], "agent perturb finds nothing to change in train.py", id="idle"
        ),
        pytest.param(
            write(task__train_dot_py="def broken(:\n"), [], "train.py line 1 does not parse: invalid", id="syntax"
        ),
        pytest.param(write(task__train_dot_py=b"\xff"), [], "train.py is no UTF-8 text", id="no text"),
        pytest.param(lambda p: (p / "task/train.py").unlink(), [], "has no train.py: set task.editable", id="missing"),
        pytest.param(nothing, ["task.editable=[/etc/hostname]"], "lies outside of the task folder", id="absolute"),
        pytest.param(nothing, ["task.editable=[../x.py]"], "lies outside of the task folder", id="above"),
        pytest.param(nothing, ["brief=b.md"], "does not exist: set brief", id="no brief"),
        pytest.param(nothing, ["brief=task"], "is a folder: set brief to a text file", id="brief is a folder"),
        pytest.param(write(b_dot_md=b"\xff\xfe\x80"), ["brief=b.md"], "cannot be read as text", id="binary brief"),
        pytest.param(nothing, ["task.score=exam"], "no top-level load_model", id="no load_model"),
        pytest.param(
            write(task__train_dot_py="WIDTH = 4\ndef load_model(folder): ...\n"),
            ["task.score=exam"],
            "has no exam/supervise.py, and task.score is exam",
            id="no examiner",
        ),
        pytest.param(
            write(c__data__manifest_dot_json='{"files": {}}'),
            ["task.score=exam"],
            "data folder c/data has no train",
            id="half the data",
        ),
        pytest.param(nothing, ["budget.gpu_hours=0.001"], "budget.gpu_hours 0.001 has no room for the", id="gpu hours"),
        pytest.param(nothing, ["budget.hours=0.001"], "budget.hours 0.001 has no room for the baseline", id="hours"),
        pytest.param(
            nothing,
            ["budget.dollars=0.01", "budget.gpu_dollars_per_hour=10"],
            "budget.dollars 0.01 has no room for the baseline",
            id="dollars",
        ),
        pytest.param(nothing, ["executor.kind=kubernetes"], "executor.kubernetes.image is not set", id="no image"),
        pytest.param(nothing, CLUSTER, "k.yaml is no file: name the one that", id="no kubeconfig"),
        pytest.param(write(k_dot_yaml="{]"), CLUSTER, "k.yaml): while parsing a flow node", id="no YAML"),
        pytest.param(
            write(k_dot_yaml="[1]"), CLUSTER, "no way into a cluster (executor.kubernetes.kubeconfig", id="a list"
        ),
        pytest.param(write(k_dot_yaml=KUBECONFIG), CLUSTER, "https://127.0.0.1:1 does not answer", id="unreachable"),
        pytest.param(
            write(
                k_dot_yaml=KUBECONFIG.replace(
                    "{token: x}", "{exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-helper}}"
                )
            ),
            CLUSTER,
            "its credential plug-in failed: [Errno 2] No such file or directory: 'no-such-helper'",
            id="plug-in",
        ),
    ],
)
def test_mistake_ends_it_before_there_is_a_lab(
    place: Path, prepare: Callable[[Path], None], overrides: list[str], sentence: str
) -> None:
    prepare(place)

    with pytest.raises(AutoresearchError) as told:
        run(*overrides)

    assert sentence in str(told.value)
    assert "\n" not in str(told.value)
    assert told.value.exit_code == 2
    assert not (place / "c" / "lab.git").exists()


@pytest.mark.parametrize("sandbox", ["bubblewrap", "none"])
@pytest.mark.parametrize(
    ("prepare", "command", "sentence"),
    [
        pytest.param(nothing, "uv, run, train.py", "task.command: uv is not found; ", id="not installed"),
        pytest.param(nothing, "nosuch/bin/python, train.py", "nosuch/bin/python is not found; ", id="no such path"),
        pytest.param(
            write(task__go_dot_sh="#!/bin/sh\n"), "./go.sh", "./go.sh cannot be executed; make it executable", id="mode"
        ),
        pytest.param(nothing, "python, other.py", "task.command: other.py is not in the task folder", id="script"),
    ],
)
def test_program_that_is_not_there_is_told_before_training(
    place: Path, prepare: Callable[[Path], None], command: str, sentence: str, sandbox: str
) -> None:
    prepare(place)

    with pytest.raises(AutoresearchError) as told:
        run(f"task.command=[{command}]", f"executor.sandbox={sandbox}")

    assert sentence in str(told.value)
    assert told.value.exit_code == 2
    assert not list((place / "c" / "work").glob("c-e*"))


def test_program_that_the_sandbox_hides_is_told_before_training(place: Path) -> None:
    hidden = place / "task" / ".venv" / "bin" / "python"
    hidden.parent.mkdir(parents=True)
    hidden.symlink_to("/usr/bin/env")
    script = place / "task" / "go"
    script.write_text("#!/opt/nowhere/python\n")
    script.chmod(0o755)

    with pytest.raises(AutoresearchError, match=r"\.venv/bin/python is not found; the sandbox shows the programs in"):
        run("task.command=[.venv/bin/python, train.py]")
    with pytest.raises(AutoresearchError, match=r"\./go is run by /opt/nowhere/python, which is not found; the sandb"):
        run("task.command=[./go]")
    script.write_bytes(b"#!/bin/sh\r\necho\r\n")
    with pytest.raises(AutoresearchError, match=r"\./go has line ends of Windows, .* save it with those of Unix"):
        run("task.command=[./go]")


@pytest.mark.parametrize(
    "command", ["sh, -c, 'python train.py'", "env, python3, train.py", "./go", "python, -u, train.py"]
)
def test_programs_that_are_there_are_found(place: Path, command: str) -> None:
    script = place / "task" / "go"
    script.write_text("#!/bin/sh\npython train.py\n")
    script.chmod(0o755)

    out, _ = run(f"task.command=[{command}]")

    assert "stopped: 1 experiment (budget)" in out


def test_unreadable_patch_is_named_and_the_others_are_run(place: Path) -> None:
    write(p__1_dot_patch=MALFORMED + PATCH, p__2_dot_patch=PATCH)(place)

    out, err = run(REPLAY)

    assert "warning  agent replay will skip 1.patch: its subject cannot be decoded" in err
    assert "sent back: skipped 1.patch: its subject cannot be decoded" in err
    assert "stopped: 1 experiment (budget) · 1 judged" in out


def test_budget_that_may_end_within_the_baseline_is_a_warning_where_runs_may_be_short(place: Path) -> None:
    out, err = run("budget.gpu_hours=0.003")

    assert "warning  budget.gpu_hours 0.003 may end within the baseline, which takes up to 3 runs of 5 s" in err
    assert "baseline  3 × 5 s" in out


def test_budget_is_not_looked_at_again_once_the_campaign_has_begun(place: Path) -> None:
    run()

    out, _ = run("budget.gpu_hours=0.0001", "budget.experiments=2")

    assert "stopped: the budget has no room for another run" in out


def test_examined_baseline_takes_all_of_its_seconds(place: Path, tmp_path: Path) -> None:
    made = make_folders(tmp_path / "sealed")
    made.write("train.py", "WIDTH = 4\ndef load_model(folder): ...\n")
    overrides = [f"task.folder={made.task}", "budget={train_seconds: 5, experiments: 1, gpu_hours: 0.003}"]
    settings = load_settings(None, overrides)

    with pytest.raises(AutoresearchError, match=r"gpu_hours 0\.003 has no room for the baseline, which takes 3 runs"):
        check_start(CampaignFolder(Path("c")), settings)


def test_missing_data_of_a_task_that_can_prepare_some_is_a_warning(place: Path) -> None:
    shutil.copy(place / "task" / "train.py", place / "task" / "prepare.py")

    _, err = run()

    assert "warning  the task has a prepare.py and there is no folder c/data" in err


def test_data_beside_the_program_are_none_that_are_missing(place: Path) -> None:
    shutil.copy(place / "task" / "train.py", place / "task" / "prepare.py")
    (place / "task/data").mkdir()
    (place / "task/data/table.csv").write_text("1")

    _, err = run()

    assert "prepare.py" not in err


# -- clusters -------------------------------------------------------------------------------------------------------


class ClusterWithRights(ScriptedApi):
    """Answers which version it is and whether its caller may do what he asks about."""

    def __init__(self, *refused: tuple[str, str]) -> None:
        super().__init__()
        self._refused = refused

    def reply_to(self, request: Request) -> Reply:
        self.requests.append(request)
        if request.path == "/version":
            return Reply(body={"major": "1", "minor": "34+"})
        asked = request.body["spec"]["resourceAttributes"]
        assert asked["namespace"] == "runs"
        assert (asked["group"] == "batch") == (asked["resource"] == "jobs")
        name = asked["resource"] + (f"/{asked['subresource']}" if "subresource" in asked else "")
        return Reply(body={"status": {"allowed": (asked["verb"], name) not in self._refused}})


SETTINGS = KubernetesSettings(image="x")


def test_every_missing_right_is_named() -> None:
    api = ClusterWithRights(("create", "jobs"), ("get", "pods/log"))
    with (
        client_of(api) as client,
        pytest.raises(SettingsError, match="may not create jobs, get pods/log in namespace runs: give them the rights"),
    ):
        check_cluster(SETTINGS, client=client)


def test_credentials_with_all_rights_pass() -> None:
    api = ClusterWithRights()
    with client_of(api) as client:
        check_cluster(SETTINGS, client=client)

    reviews = api.seen("POST", "selfsubjectaccessreviews")
    assert len(reviews) == sum(len(verbs) for _, _, verbs in NEEDED)
    assert {json.dumps(request.body)[:40] for request in reviews} == {'{"apiVersion": "authorization.k8s.io/v1"'}


def test_cluster_that_does_not_tell_rights_is_used_all_the_same() -> None:
    api = ScriptedApi()
    api.answer("GET", "/version", Reply(body={"major": "1", "minor": "34"}))
    with client_of(api) as client:
        check_cluster(SETTINGS, client=client)


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(status=401, body={"reason": "Unauthorized", "message": "Unauthorized"}), "credentials are not accepted"),
        (Reply(body={"major": "1", "minor": "28"}), "the cluster runs Kubernetes 1.28; 1.29 or newer is needed"),
    ],
)
def test_cluster_that_cannot_be_used_is_told(reply: Reply, sentence: str) -> None:
    api = ScriptedApi()
    api.answer("GET", "/version", reply)
    with client_of(api) as client, pytest.raises(SettingsError, match=sentence):
        check_cluster(SETTINGS, client=client)
