"""The settings of a task: its folder, what may be edited, how it is run, and where its score stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from controller.settings.metric import allowed_scores, direction_of, fault_of_expression, fault_of_name, fault_of_place
from controller.settings.places import fault_of_data_path
from controller.settings.secrecy import fault_of_variables
from controller.settings.section import Bound, Command, OneOrMore, Section, Variables

SHIPPED_MAX_LINES = 630
"""Most lines of our train.py: as many as upstream's, which a model reads in one piece."""


class GuardSettings(Section):
    """Bounds of one number beside the metric. At least one is needed."""

    max: float | None = None
    """Most that its mean may be."""

    min: float | None = None
    """Least that its mean may be."""

    max_ratio: float | None = Field(None, gt=0)
    """Most that it may be as a multiple of the unchanged code's."""

    min_ratio: float | None = Field(None, gt=0)
    """Least that it may be as a multiple of the unchanged code's."""

    @model_validator(mode="after")
    def _bounds_something(self) -> GuardSettings:
        if all(bound is None for bound in (self.max, self.min, self.max_ratio, self.min_ratio)):
            raise ValueError("a guard needs a bound: max, min, max_ratio or min_ratio")
        for least, most in (("min", "max"), ("min_ratio", "max_ratio")):
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and low > high:
                raise ValueError(f"a guard's {least} {low:g} is above its {most} {high:g}: no number is between them")
        return self


class TaskSettings(Section):
    """The subject of research: a folder, the files an agent may edit, and the way a run is scored."""

    folder: Path | None = None
    """Task folder; empty: the language-model task that ships with us."""

    editable: OneOrMore[str] = Field(("train.py",), min_length=1)
    """Files an agent may change, and patterns such as `src/*.py`, which stand for the files that fit them at the start.
    """

    readable: OneOrMore[str] = ("prepare.py", "corpus/tokenizer.py", "corpus/batches.py")
    """Files an agent may read but not change, those of them that the task has; patterns as above."""

    max_lines: int | None = Field(None, ge=1)
    """Most lines of an edited file; an edit that makes one longer is sent back. Empty: 630 for the task that ships, so
    that a model reads the file whole, and no limit for another."""

    command: Command = Field(("python", "train.py"), min_length=1)
    """What trains: its words, or one line as for a shell."""

    score: Literal["exam", "log"] = "exam"
    """exam: sealed; log: read from the training's own log."""

    metric: str = "val_bpb"
    """Name of the score: the text that is printed in front of it, such as `ndcg@10` or `val loss`."""

    direction: Literal["minimize", "maximize"] = "minimize"
    """Which way the metric gets better. It may be left out where the name tells, as `accuracy` and `eval/loss` do."""

    least: Bound | None = None
    """Least value that the metric can have: a lower one is no score. `val_bpb` is above 0 in any case. It counts in the
    unit in which scores are shown: that of the unchanged code. A percent sign changes no number: `91%` is 91."""

    most: Bound | None = None
    """Largest value that the metric can have: a higher one is no score. It counts in the same unit."""

    score_line: str | None = Field(None, max_length=1000)
    """With `score: log`, a regular expression with one group, which holds the score: the last line that it fits counts.
    Empty: the last number behind the metric's name."""

    score_file: str | None = Field(None, max_length=1000)
    """With `score: log`, a file that the training writes into its folder (JSON, YAML, TOML, CSV, TSV or lines of text),
    and the keys to the score in it: `metrics.json:val.loss`, `results.csv:loss` for the last row of a column, or
    `score.txt` for a file that holds the number alone."""

    guards: Mapping[str, GuardSettings] = Field(default_factory=dict)
    """Numbers beside the metric that a kept edit must keep within bounds, `{latency_ms: {max: 50}, peak_memory_gb:
    {max_ratio: 1.1}}`: what the exam reports, `train_seconds` and the like, or what the training prints. An answer may
    cost 4 times the unchanged code's time and memory at most (and always 1 GiB, and 1 ms where it is no token), unless
    `seconds_per_answer` and `answer_memory_gb` have other bounds here; a large `max_ratio` leaves them free."""

    examiner: str = "exam"
    """With `score: exam`, the trusted file of the task that asks and marks, such as `examiner.py`; or a Python package
    in the task folder that holds the phases, as that of the language model does."""

    serve: Command = ()
    """With an examiner file, the command that answers where it is no Python: its words, or one line as for a shell.
    Empty: `load(artifact)` of the first editable Python file."""

    probe_sets: int = Field(64, ge=1)
    """Probe sets that prepare.py made; one is drawn for every try."""

    reserve_slices: int = Field(128, ge=0)
    """Slices of the reserve that prepare.py made, each asked in one try and never again; 0 for a task without one."""

    preset: Literal["cpu", "gpu"] | None = None
    """Sizes of the data and of the exam that prepare.py makes, in AUTORESEARCH_PRESET."""

    prepare: tuple[str, ...] = ()
    """Extra arguments for prepare.py; they win over the preset."""

    data_path: str = Field("/data", json_schema_extra={"pattern": "^/"})
    """Where data appears inside the sandbox: a whole path, outside of the folders of the system."""

    environment_folder: Path | None = None
    """Folder of the virtual environment (venv, uv), of conda or of node in which the task runs on this machine, such as
    `.venv` in the task folder: its `bin` comes first, and `python` is the one in it. It is seen read-only. Empty: the
    environment of `autoresearch`."""

    mounts: OneOrMore[Path] = ()
    """Further files and folders of this machine that the task may read, each at its own path. Those inside the task
    folder are not copied for an attempt."""

    environment: Variables = Field(default_factory=dict)
    """Environment variables of the task. They are written to the lab: no key, token or password may be among them."""

    @property
    def line_limit(self) -> int | None:
        """Most lines of an edited file; None for no limit."""
        return SHIPPED_MAX_LINES if self.max_lines is None and self.folder is None else self.max_lines

    @property
    def examiner_file(self) -> str:
        """The examiner where it is a file of the task's author; empty for a package."""
        return self.examiner if self.examiner.endswith(".py") else ""

    @property
    def needs_load_model(self) -> bool:
        """True if the exam is that of a language model, which calls `load_model` of the agent's file."""
        return self.score == "exam" and not self.examiner_file

    @property
    def answering_module(self) -> str:
        """The Python module whose `load` answers the examiner: the first editable Python file; empty if none is."""
        file = next((name for name in self.editable if name.endswith(".py")), "")
        return file.removesuffix(".py").replace("/", ".")

    @property
    def allowed_scores(self) -> tuple[float, float]:
        """Least and most that a score can be, whoever measured it."""
        least, most = allowed_scores(self.metric)
        return max(least, least if self.least is None else self.least), min(
            most, most if self.most is None else self.most
        )

    @model_validator(mode="before")
    @classmethod
    def _direction_is_known(cls, given: Any) -> Any:
        """Fill in the direction that the metric's name tells. Raises ValueError where it tells none."""
        if not isinstance(given, Mapping) or given.get("direction") is not None:
            return given
        name = given.get("metric", "val_bpb")
        if not isinstance(name, str) or fault_of_name(name):
            return given
        direction = direction_of(name)
        if not direction:
            raise ValueError(
                f"task.direction is not set, and the name {name!r} does not tell which way is better: "
                "add direction: minimize, or direction: maximize"
            )
        return {**given, "direction": direction}

    @field_validator("metric")
    @classmethod
    def _metric_is_a_name(cls, name: str) -> str:
        if fault := fault_of_name(name):
            raise ValueError(fault)
        return name.strip()

    @field_validator("editable", "readable")
    @classmethod
    def _names_are_written_one_way(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Each name once: `./train.py` is `train.py`, and git takes the second form alone."""
        if any(PurePosixPath(name) == PurePosixPath() for name in names):
            raise ValueError("task.editable and task.readable hold names of files: one is empty or '.', leave it out")
        return tuple(dict.fromkeys(str(PurePosixPath(name)) for name in names))

    @field_validator("command")
    @classmethod
    def _command_runs_no_notebook_as_program(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if notebook := re.search(r"(?:^|[\s/])python[0-9.]*(?:\s+-\S+)*\s+(\S+\.ipynb)\b", " ".join(command)):
            file = notebook[1]
            raise ValueError(
                f"task.command runs {file} as a program, and a notebook is none: write [ipython, {file}], with an "
                f"environment that has IPython, or make a program of it (jupyter nbconvert --to script {file})"
            )
        return command

    @field_validator("data_path")
    @classmethod
    def _data_path_is_free(cls, place: str) -> str:
        if fault := fault_of_data_path(place):
            raise ValueError(f"task.data_path {fault}: give a path such as /data")
        return place

    @field_validator("score_line")
    @classmethod
    def _score_line_has_one_group(cls, pattern: str | None) -> str | None:
        if pattern and (fault := fault_of_expression(pattern)):
            raise ValueError(f"task.score_line {fault}, as in 'CYCLES: +([0-9]+)'")
        return pattern

    @field_validator("score_file")
    @classmethod
    def _score_file_is_in_the_folder(cls, place: str | None) -> str | None:
        if place and (fault := fault_of_place(place)):
            raise ValueError(f"task.score_file {fault}, as in metrics.json:val.loss")
        return place

    @field_validator("environment")
    @classmethod
    def _environment_is_public(cls, variables: Mapping[str, str]) -> Mapping[str, str]:
        if fault := fault_of_variables(variables):
            raise ValueError(f"task.environment {fault}")
        return variables

    @model_validator(mode="after")
    def _examiner_is_unseen(self) -> TaskSettings:
        if self.examiner_file in {*self.editable, *self.readable} - {""}:
            raise ValueError(
                f"task.examiner {self.examiner_file} is among the files that the agent may edit or read: an examiner "
                "that the agent knows is no exam"
            )
        if self.serve and not self.examiner_file:
            raise ValueError("task.serve names what answers an examiner file, and task.examiner is none")
        if self.examiner_file and self.score == "exam" and not self.serve and not self.answering_module:
            raise ValueError(
                "task.editable has no Python file whose load(artifact) could answer the examiner: name one, or set "
                "task.serve to the command that answers"
            )
        return self

    @model_validator(mode="after")
    def _score_is_read_one_way(self) -> TaskSettings:
        if self.score_line and self.score_file:
            raise ValueError("task.score_line and task.score_file are both set: leave one out")
        if self.score != "log" and (self.score_line or self.score_file):
            which = "score_line" if self.score_line else "score_file"
            raise ValueError(f"task.{which} tells where a log holds the score, and task.score is exam: set score: log")
        if self.metric in self.guards:
            raise ValueError(
                f"task.guards.{self.metric} bounds the metric itself, which the judge compares: leave it out, or set "
                "task.least and task.most to what it can be"
            )
        least, most = self.allowed_scores
        if least >= most:
            raise ValueError(f"task.least {least:g} is not below task.most {most:g}: no score could lie between them")
        return self
