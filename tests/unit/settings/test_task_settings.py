"""What a task's settings take and refuse: names, directions, places of the score, variables without secrets."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from controller.settings import Settings, TaskSettings
from controller.settings.file import dump_settings, load_settings
from controller.settings.secrecy import fault_of_variable


def refusal(**task: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        TaskSettings.model_validate({"score": "log", "direction": "minimize"} | task)
    return str(caught.value.errors()[0]["msg"])


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({"metric": "a\nb"}, "holds a line end or another invisible character"),
        ({"metric": " "}, "task.metric is empty"),
        ({"metric": "x" * 101}, "has 101 characters, more than 100"),
        ({"metric": "CYCLES", "direction": None}, "the name 'CYCLES' does not tell which way is better"),
        ({"score_line": "(a"}, "task.score_line is no regular expression"),
        (
            {"score_line": "a"},
            "task.score_line has 0 groups, and one must hold the score: put the number into parentheses",
        ),
        ({"score_line": "(a)(b)"}, "task.score_line has 2 groups, and one must hold the score"),
        ({"score_file": "r.csv"}, "task.score_file must name a column of the table r.csv behind a colon"),
        ({"score_file": ":loss"}, "task.score_file must be a file, a colon, and keys"),
        ({"score_file": "m.json:"}, "task.score_file must be a file, a colon, and keys"),
        ({"score_file": "/etc/m.json:a"}, "which is not in the task folder"),
        ({"score_file": "../m.json:a"}, "which is not in the task folder"),
        ({"score_file": "m.json:a", "score_line": "(a)"}, "are both set: leave one out"),
        ({"score_file": "m.json:a", "score": "exam"}, "task.score is exam: set score: log"),
        ({"least": 1, "most": 1}, "task.least 1 is not below task.most 1"),
        ({"most": 0}, "is not below task.most 0"),
        (
            {"examiner": "e.py", "editable": ["train.py", "e.py"]},
            "task.examiner e.py is among the files that the agent",
        ),
        ({"examiner": "e.py", "readable": ["e.py"]}, "an examiner that the agent knows is no exam"),
        ({"examiner": "e.py", "readable": ["./e.py"]}, "an examiner that the agent knows is no exam"),
        ({"editable": ["train.py", ""]}, "one is empty or '.'"),
        ({"editable": ["./"]}, "one is empty or '.'"),
        ({"metric": "cost", "guards": {"cost": {"max": 1}}}, "task.guards.cost bounds the metric itself"),
        ({"guards": {"x": {"min": 2, "max": 1}}}, "a guard's min 2 is above its max 1"),
        ({"data_path": "data"}, "task.data_path 'data' is no whole path"),
        ({"data_path": "/a/../usr"}, "is no whole path"),
        ({"data_path": "/"}, "/ would hide everything else"),
        ({"data_path": "/task/"}, "is a folder of the attempt itself"),
        ({"data_path": "/usr/lib/x"}, "lies in /usr, which holds the system's own files"),
        ({"serve": "./server"}, "task.serve names what answers an examiner file"),
        ({"score": "exam", "examiner": "e.py", "editable": ["main.go"]}, "has no Python file whose load(artifact)"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(task: dict[str, Any], told: str) -> None:
    assert told in refusal(**task)


def test_a_file_that_is_named_in_two_ways_is_one_file() -> None:
    task = TaskSettings.model_validate({"editable": ["train.py", "./train.py", "src//a.py", "src/./a.py"]})

    assert task.editable == ("train.py", "src/a.py")


@pytest.mark.parametrize("place", ["/data", "/tmp/.cache/autoresearch", "/task/data", "/home/me/data", "/users"])
def test_data_may_appear_where_nothing_else_is(place: str) -> None:
    assert TaskSettings(data_path=place).data_path == place


def test_direction_follows_the_name_unless_it_is_given_and_is_kept_in_the_file(tmp_path: Any) -> None:
    settings = Settings.model_validate({"task": {"metric": "accuracy", "score": "log"}})
    path = tmp_path / "c.yaml"
    path.write_text(dump_settings(settings))

    assert settings.task.direction == load_settings(path).task.direction == "maximize"
    assert "direction: maximize" in path.read_text()
    assert TaskSettings.model_validate({"metric": "accuracy", "direction": "minimize"}).direction == "minimize"


def test_file_of_a_name_that_tells_nothing_reads_back(tmp_path: Any) -> None:
    settings = Settings.model_validate({"task": {"metric": "CYCLES", "direction": "minimize", "score": "log"}})
    path = tmp_path / "c.yaml"
    path.write_text(dump_settings(settings))

    assert load_settings(path) == settings


@pytest.mark.parametrize("setting", [{"mounts": ["/x"]}, {"environment_folder": "/x"}])
def test_folders_of_this_machine_are_refused_on_a_cluster(setting: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="a cluster has none of them: build them into the image"):
        Settings.model_validate({"task": setting, "executor": {"kind": "kubernetes"}})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("OPENAI_API_KEY", "x"), ("HF_TOKEN", "x"), ("DbPassword", "x"), ("MY_SECRET", ""), ("AWS_CREDENTIALS", "x")),
        *(("X", "sk-ant-api03-abcdefgh"), ("X", "ghp_abcdefghijklmnopqrst"), ("X", "hf_abcdefghijklmnop")),
        *(("X", "postgres://me:pass@host/db"), ("X", "-----BEGIN RSA PRIVATE KEY-----"), ("X", "AKIAIOSFODNN7EXAMPLE")),
        *(("X", "0123456789abcdef0123456789abcdef"), ("X", "aB3" * 10), ("X", "eyJhbGciOiJI.eyJzdWIiOiIx.abc")),
        *(("PATH", "/x"), ("HOME", "/x"), ("AUTORESEARCH_SEED", "1"), ("A-B", "1"), ("X", "a\0b"), ("X", "y" * 5000)),
    ],
)
def test_variable_that_is_a_secret_or_ours_is_refused(name: str, value: str) -> None:
    assert fault_of_variable(name, value)
    assert "task.environment" in refusal(environment={name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("TOKENIZERS_PARALLELISM", "false"),
            ("MAX_TOKENS", "512"),
            ("OMP_SCHEDULE", "static,4"),
            ("AR_WORKSPACE", "s"),
        ),
        *(
            ("PYTHONPATH", "/task/src:/task/lib"),
            ("WANDB_MODE", "offline"),
            ("MONKEY", "1"),
            ("AUTHOR", "me"),
            ("X", ""),
        ),
        *(("CONFIG", "experiments/large-model-2048-heads.toml"), ("URL", "file:///task/data"), ("PRESET", "cpu")),
    ],
)
def test_plain_variable_is_taken(name: str, value: str) -> None:
    assert TaskSettings.model_validate({"environment": {name: value}}).environment == {name: value}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("python train.py", ("python", "train.py")),
        ("python -c 'print(1)'", ("python", "-c", "print(1)")),
        ("python a.py && python b.py", ("sh", "-c", "python a.py && python b.py")),
        ("SEED=1 ./run", ("sh", "-c", "SEED=1 ./run")),
        (["a", "b c"], ("a", "b c")),
    ],
)
def test_command_may_be_given_as_a_line(command: Any, words: tuple[str, ...]) -> None:
    assert TaskSettings.model_validate({"command": command, "editable": "bot.py"}).command == words


@pytest.mark.parametrize("command", ["", "'open", []])
def test_command_that_is_none_is_refused(command: Any) -> None:
    assert refusal(command=command)


@pytest.mark.parametrize(
    "command", [["python", "train.ipynb"], "python3 -u nb/train.ipynb", "cd nb && python train.ipynb"]
)
def test_notebook_as_a_program_of_python_is_told_with_what_runs_it(command: str | list[str]) -> None:
    with pytest.raises(ValidationError, match=r"a notebook is none: write \[ipython, (nb/)?train\.ipynb\]"):
        TaskSettings.model_validate({"command": command})


@pytest.mark.parametrize("command", ["ipython train.ipynb", "python -m IPython train.ipynb"])
def test_notebook_may_be_run_by_what_runs_notebooks(command: str) -> None:
    assert TaskSettings.model_validate({"command": command}).command[-1] == "train.ipynb"
