"""An operator's mistakes in the first hour, one of each kind: exit code 2 and one line that says what to do."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.first_hour.small_task import write_exam_task, write_own_task
from tests.first_hour.walking import Person, assert_is_told

SETTINGS = """\
tag: mine
task: {folder: own, score: log, metric: accuracy, direction: maximize}
budget: {train_seconds: 5}
deadlines: {log_scored: 200}
"""


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    """In a folder with a task of their own and its settings; nothing has run yet."""
    write_own_task(tmp_path / "own")
    (tmp_path / "mine.yaml").write_text(SETTINGS)
    with Person(tmp_path).at_the_terminal() as person:
        yield person


def set_up(person: Person) -> Path:
    """A campaign folder as the first run leaves it, with nothing in the lab yet."""
    (person.folder / "c").mkdir()
    (person.folder / "c" / "campaign.yaml").write_text(SETTINGS.replace("folder: own", f"folder: {person.folder}/own"))
    return person.folder / "c"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("run --fast", ("--fast", "run --help"), id="unknown option"),
        pytest.param("walk", ("walk", "--help"), id="unknown command"),
        pytest.param("show", ("NUMBER", "show --help"), id="missing number"),
        pytest.param("show three", ("number",), id="no number"),
        pytest.param("run a b", ("(b)",), id="one name too many"),
        pytest.param("run c --settings", ("--settings",), id="option without a value"),
        pytest.param("run c --settings none.yaml", ("none.yaml", "cannot be read"), id="no such settings"),
        pytest.param("run c --settings own", ("own", "cannot be read"), id="settings are a folder"),
        pytest.param("run c --set budget.experiments", ("must look like",), id="--set without value"),
        pytest.param("run c --set budget.experiments=many", ("budget.experiments",), id="wrong type"),
        pytest.param("run c --set budget.experiments=0", ("must be at least 1",), id="too small"),
        pytest.param("run c --set budget.exps=5", ("budget.exps is not a setting",), id="unknown setting"),
        pytest.param("run c --set tag.name=5", ("tag",), id="no group"),
        pytest.param("run c --set tag=[", ("not valid YAML",), id="--set is no YAML"),
        pytest.param("run c --set budget.experiments=null", ("budget",), id="no limit at all"),
        pytest.param("run c --set agent.kind=gpt", ("agent.kind",), id="unknown agent"),
        pytest.param("run c --set agent.kind=claude", ("ANTHROPIC_API_KEY",), id="no key"),
        pytest.param(
            "run c --set agent.kind=claude --set agent.claude.platform=bedrock",
            ("agent.claude.region",),
            id="no region",
        ),
        pytest.param(
            "run c --set agent.kind=claude --set agent.claude.platform=foundry --set agent.claude.resource=lab",
            ("ANTHROPIC_FOUNDRY_API_KEY",),
            id="no key of the platform, nor the package for an identity",
        ),
        pytest.param("run c --set agent.kind=replay", ("agent.patches",), id="replay of nothing"),
        pytest.param("run c --set task.folder=/nowhere", ("/nowhere does not exist",), id="no task"),
        pytest.param("run c --set task.folder=/etc/hostname", ("/etc/hostname",), id="task is a file"),
        pytest.param("run c --set task.editable=[model.py]", ("has no model.py",), id="no such editable file"),
        pytest.param("run c --set brief=none.md", ("none.md does not exist",), id="no brief"),
        pytest.param("run c --set task.metric=3", ("task.metric",), id="metric is a number"),
        pytest.param("run c --executor slurm", ("executor.kind",), id="unknown executor"),
        pytest.param("run c --sandbox chroot", ("executor.sandbox",), id="unknown sandbox"),
        pytest.param("run own/train.py", ("own/train.py",), id="campaign is a file"),
        pytest.param("run /proc/c", ("/proc/c",), id="folder that cannot be made"),
        pytest.param('run c --set task.command="\'a"', ("quotation mark that is not closed",), id="half a word"),
        pytest.param('run c --set task.command=["",a]', ("begins with an empty word",), id="no program"),
        pytest.param('run c --set task.folder="a\\nb"', ("a b does not exist",), id="a name of two lines"),
        pytest.param('run c --set task.folder="a\\0b"', ("U+0000 cannot be used",), id="a zero byte"),
        pytest.param("run c\udcff", ("is no UTF-8 text",), id="a name in another encoding"),
        pytest.param("run c --lab \udcff", ("is no UTF-8 text",), id="a lab in another encoding"),
        pytest.param("status -C c\udcff", ("is no UTF-8 text",), id="reading from another encoding"),
        pytest.param("run c --lab own/train.py", ("own/train.py",), id="lab is a file"),
        pytest.param("run c --lab own", ("own",), id="lab is another folder"),
        pytest.param("status", ("several campaigns", "autoresearch status DIR"), id="several campaigns"),
        pytest.param("status -C nowhere", ("nowhere",), id="no such campaign"),
        pytest.param("log -C c", ("no lab at",), id="nothing has run"),
        pytest.param("status -C own/train.py", ("own/train.py",), id="campaign to read is a file"),
        pytest.param("prepare c", ("prepare.py does not exist",), id="nothing prepares"),
    ],
)
def test_what_is_typed_wrong(person: Person, line: str, words: tuple[str, ...]) -> None:
    set_up(person)
    (person.folder / "d").mkdir()
    (person.folder / "d" / "campaign.yaml").write_text(SETTINGS)

    said = person.say(*line.split())

    assert_is_told(said, *words)
    assert not (person.folder / "c" / "lab.git" / "refs" / "experiments").exists()


def spoil_yaml(person: Person) -> str:
    (person.folder / "mine.yaml").write_text("tag: [mine\n")
    return "not valid YAML"


def spoil_encoding(person: Person) -> str:
    (person.folder / "mine.yaml").write_bytes(b"tag: caf\xe9\n")
    return "cannot be read"


def choose_a_folder_with_work_of_ones_own(person: Person) -> str:
    (person.folder / "mine" / "work" / "trash").mkdir(parents=True)
    (person.folder / "mine" / "work" / "trash" / "thesis").write_text("mine")
    return "give the campaign a folder of its own"


def make_a_list(person: Person) -> str:
    (person.folder / "mine.yaml").write_text("- tag\n- mine\n")
    return "found a list"


def spoil_the_program(person: Person) -> str:
    (person.folder / "own" / "train.py").write_bytes(b"# caf\xe9\nprint(1)\n")
    return "train.py is no UTF-8 text"


def replay_an_empty_folder(person: Person) -> str:
    (person.folder / "patches").mkdir()
    (person.folder / "mine.yaml").write_text(SETTINGS + "agent: {kind: replay, patches: patches}\n")
    return "patches"


def replay_what_is_no_patch(person: Person) -> str:
    replay_an_empty_folder(person)
    (person.folder / "patches" / "1.patch").write_bytes(b"\xff\xfe no patch")
    (person.folder / "patches" / "2.patch").write_text("just words\n")
    return "patches"


def prepare_from_what_is_damaged(person: Person) -> str:
    task = write_exam_task(person.folder / "shipped")
    (person.folder / "mine.yaml").write_text(f"tag: mine\ntask: {{folder: {task}, prepare: [--damaged]}}\n")
    return "give another --source"


def prepare_until_memory_ends(person: Person) -> str:
    task = write_exam_task(person.folder / "shipped")
    (task / "prepare.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    (person.folder / "mine.yaml").write_text(f"tag: mine\ntask: {{folder: {task}}}\n")
    return "was ended by SIGKILL"


def start_in_data_of_another_kind(person: Person) -> str:
    task = write_exam_task(person.folder / "shipped")
    (person.folder / "mine.yaml").write_text(f"tag: mine\ntask: {{folder: {task}}}\n")
    (person.folder / "mine" / "data").mkdir(parents=True)
    return "has no manifest.json"


def point_at_no_cluster(person: Person) -> str:
    (person.folder / "mine.yaml").write_text(
        SETTINGS + f"executor: {{kind: kubernetes, kubernetes: {{kubeconfig: {person.folder}/none, image: i}}}}\n"
    )
    return f"{person.folder}/none"


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_yaml,
        spoil_encoding,
        choose_a_folder_with_work_of_ones_own,
        make_a_list,
        spoil_the_program,
        replay_an_empty_folder,
        replay_what_is_no_patch,
        prepare_from_what_is_damaged,
        prepare_until_memory_ends,
        start_in_data_of_another_kind,
        point_at_no_cluster,
    ],
)
def test_what_lies_there_wrong(person: Person, spoil: Callable[[Person], str]) -> None:
    words = spoil(person)

    said = person.say("run", "mine", "--settings", "mine.yaml")

    assert_is_told(said, words)
    assert list((person.folder / "mine").glob("work/*/logs")) == [], "something was trained for it"
    thesis = person.folder / "mine" / "work" / "trash" / "thesis"
    assert thesis.exists() == (spoil is choose_a_folder_with_work_of_ones_own)


def test_a_port_that_somebody_else_has(person: Person) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = f"server={{enabled: true, host: 127.0.0.1, port: {port}}}"

        said = person.say("run", "mine", "--settings", "mine.yaml", "--set", server)

    assert_is_told(said, f"cannot listen on 127.0.0.1:{port}")


def test_a_lab_that_another_controller_writes(person: Person) -> None:
    program = person.folder / "own" / "train.py"
    program.write_text(f"import time\ntime.sleep(600)\n{program.read_text()}")
    first = person.start("run", "mine", "--settings", "mine.yaml")
    person.wait_for_lines(first, "campaign mine")

    second = person.say("run", "mine")
    person.press_ctrl_c(first)
    ended = person.wait_for(first)

    assert_is_told(second, f"is in use by pid {first.pid}")
    assert ended.code in (0, -signal.SIGINT), ended


def test_what_is_asked_of_a_campaign_and_not_there(person: Person) -> None:
    ran = person.say("run", "mine", "--settings", "mine.yaml", "--set", "budget.experiments=1")
    (person.folder / "other.yaml").write_text(SETTINGS.replace("tag: mine", "tag: other"))
    (person.folder / "report").write_text("a file")

    assert ran.code == 0, ran
    assert_is_told(person.say("show", "99"), "no experiment 99", "0 to 1")
    assert_is_told(person.say("diff", "7"), "no experiment 7")
    assert_is_told(person.say("report", "--to", "report"), "report")
    assert_is_told(person.say("run", "mine", "--settings", "other.yaml"), "holds campaign mine, not other")
    assert_is_told(person.say("run", "mine", "--set", "budget.experiments=0"), "must be at least 1")
    kept = person.folder / "mine" / "campaign.yaml"
    kept.write_text(kept.read_text().replace("tag: mine", "tag: other"))
    assert_is_told(person.say("status"), "has no campaign other", "but mine: mend the tag there")
