"""Writes docs/cli.md from the commands themselves: `make docs`, or `python -m controller.cli.reference > docs/cli.md`.

Commands and flags come from the typer app, exit codes from the error family, and the variables of a phase from the
phases of a try. Only the sentences that no code holds are written here. A test compares the page with this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from inspect import getdoc
from itertools import product
from typing import cast

import typer
from typer.core import TyperGroup

from controller.cli.commands import app
from controller.domain import BASELINE, BaselineNoise, Calm, TryId, TryRequest
from controller.errors import AutoresearchError
from controller.executor.kubernetes.pod_witness import witness_order
from controller.executor.phases import phases
from controller.executor.smoke import smoke_phases
from controller.settings import Settings

HEAD = """# Commands

`autoresearch COMMAND --help` prints the same in the terminal. `make docs` generates this page from the code, and
a test fails when it is out of date. The [glossary](glossary.md) explains the words, [settings.md](settings.md) the
settings.

**Which campaign.** A command takes the campaign folder that you name. Without a name it takes the one in
`AUTORESEARCH_CAMPAIGN`, then the current folder if it holds a `campaign.yaml`, then the only folder below it that does.
With several to choose from it asks you to name one.

**Where output goes.** Results go to standard output, progress and warnings to standard error. `--json` prints the facts
for a script.

**Which commands write.** `run` and the studies (`claim`, `ablate`, `rerun`, `aa`, `portability`) write to the lab and
lock it, so that only one of them runs at a time. `prepare` writes the data, `report` its two files, `new` a folder.
`tell` leaves a file in the lab's inbox, which the process that runs the campaign takes in, and `mcp` hands on to that
process what a client submits. All others only read, and can be used while the campaign runs; but `doctor` makes data
that are missing and trains for some seconds, which would disturb one.
"""

EXIT_CODES = {
    0: "The command did what it was asked. For `run`: the budget is used up, the agent has nothing left to propose, or "
    "you stopped it with Ctrl-C or SIGTERM. For `doctor`: fit.",
    1: "A bug: a traceback is printed.",
    2: "Bad input (an unknown flag, a wrong setting), or something on this machine that you must change first. One "
    "sentence says what, where and what to do. For `doctor`: not fit.",
    3: "The campaign stopped because you must act before it can go on (for example: the unchanged code cannot be "
    "scored), or the cluster refused or cannot be reached. For a study: it was stopped before its answer, and the same "
    "command goes on.",
    130: "Ctrl-C before the campaign itself runs, or a second one, which does not wait for a clean stop. The next "
    "`autoresearch run` goes on all the same.",
}

READ_BY_COMMANDS = {
    "ANTHROPIC_API_KEY": "The key of the agent `claude`, and of the gateway of `command`. It is read here and nowhere "
    "else, and is never written.",
    "ANTHROPIC_API_KEY_FILE": "The path of a file with that key. It goes before the other, and is read again "
    "when the key is refused.",
    "ANTHROPIC_IDENTITY_TOKEN_FILE": "Workload identity in place of that key, with `ANTHROPIC_FEDERATION_RULE_ID`, "
    "`ANTHROPIC_ORGANIZATION_ID`, and `ANTHROPIC_SERVICE_ACCOUNT_ID` and `ANTHROPIC_WORKSPACE_ID` where the rule needs "
    "them ([agents.md](agents.md#other-platforms-and-no-key)).",
    "AWS_BEARER_TOKEN_BEDROCK, ANTHROPIC_FOUNDRY_API_KEY": "The key where `agent.claude.platform` is `bedrock` or "
    "`foundry`; each with `_FILE` as above. Without one, the cloud's own library looks for an identity by its own "
    "variables.",
    "ANTHROPIC_BASE_URL": "The address of a gateway, where `agent.claude.base_url` or `agent.command.anthropic_url` is "
    "empty.",
    "OPENAI_API_KEY": "The key of the gateway of agent `command` for OpenAI's models; `OPENAI_API_KEY_FILE` as above.",
    "OPENAI_BASE_URL": "The same address for OpenAI's API, where `agent.command.openai_url` is empty.",
    "AUTORESEARCH_CAMPAIGN": "The campaign folder to use when none is named.",
    "AUTORESEARCH_MCP_TOKEN": "The token that clients of the agent `mcp` must show; the path of a file with it in "
    "`AUTORESEARCH_MCP_TOKEN_FILE`, as above. Without one, the campaign makes its own ([mcp.md](mcp.md)).",
    "CUDA_VISIBLE_DEVICES": "The GPUs that local attempts may use: numbers, UUIDs or MIG slices; all if it is not set. "
    "`-1` trains on the CPU.",
    "CUDA_DEVICE_ORDER": "`PCI_BUS_ID` if numbers in `CUDA_VISIBLE_DEVICES` follow the PCI bus.",
    "PATH": "Where `bwrap` (bubblewrap) is looked for, and `git` for the agent `replay` and the mirror.",
    "KUBECONFIG": "The kubeconfig file, where `executor.kubernetes.kubeconfig` is empty and this is no pod.",
    "HTTPS_PROXY, NO_PROXY": "The proxy for calls to the model API.",
    "COLUMNS, NO_COLOR, FORCE_COLOR": "Width and colours of what is printed.",
    "AUTORESEARCH_PRESET": "Given to `prepare.py`: the sizes `cpu` or `gpu` (`task.preset`).",
    "AUTORESEARCH_PROPOSAL": "Given to the program of agent `command`: a number that rises with each proposal.",
    "HF_HOME, HF_HUB_CACHE": "Read by `prepare.py`: the cache that holds the data sets of `--source hf:ORG/NAME`.",
}

GIVEN_TO_PHASES = {
    "AUTORESEARCH_SEED": "The seed of this attempt, a whole number. `train.py` must use it and no other.",
    "AUTORESEARCH_TRAIN_SECONDS": "Wall-clock seconds of the training, counted from the start of the process.",
    "AUTORESEARCH_SMOKE": "1 in a smoke test (`executor.smoke`), which is given one second and no accelerator; "
    "absent otherwise.",
    "AUTORESEARCH_DATA": "The folder with the data that this phase may read.",
    "AUTORESEARCH_ARTIFACT": "The folder of the trained model. `train` writes it; `candidate` reads it.",
    "AUTORESEARCH_ARTIFACT_BYTES": "Most bytes that the artifact may have.",
    "AUTORESEARCH_ARTIFACT_FILES": "Most files, links and folders that it may have.",
    "AUTORESEARCH_SOCKET": "The folder of the Unix socket over which the examiner asks and the candidate answers.",
    "AUTORESEARCH_RESULT": "The file that the examiner writes its result line to.",
    "AUTORESEARCH_ATTEMPT": "The name of the try, which the result line must repeat.",
    "AUTORESEARCH_METRIC": "The name of the score, which an examiner in one file must name alike.",
    "AUTORESEARCH_DIRECTION": "`minimize` or `maximize`; the same.",
    "AUTORESEARCH_RESERVE": "The name of the slice of the reserve that is asked; absent where none is left.",
    "AUTORESEARCH_HOLDOUT": "Set if the exam asks the holdout as well, for a claim.",
    "AUTORESEARCH_BASELINE_SPREAD": "The largest `spread` of the baseline's exams, in nats; absent until there is one.",
    "AUTORESEARCH_BASELINE_INFLATION_ERROR": "The same of `inflation_error`.",
    "AUTORESEARCH_BASELINE_RESTART_ERROR": "The same of `restart_error`.",
    "AUTORESEARCH_LEVEL_FILES": (
        "Folders whose files are read whole before agent code begins, joined by colons; absent where the executor "
        "itself can have the kernel forget what was read."
    ),
    "AUTORESEARCH_WITNESS_KEY": (
        "In a pod, what the supervisor's line about the machine repeats, so that the executor knows it for the "
        "supervisor's; the training itself is shown none of these."
    ),
    "AUTORESEARCH_WITNESS_OWN_CPUS": "CPUs that other pods of the campaign, and the node for them, may use at most.",
    "AUTORESEARCH_WITNESS_RUN_AGAIN": (
        "Exit codes of the supervisor after which a disturbed training does not count; absent where it counts in any "
        "case, and then so are the next two."
    ),
    "AUTORESEARCH_WITNESS_MOST_WAITED": "Share of the time for which the training may wait for a CPU.",
    "AUTORESEARCH_WITNESS_MOST_TAKEN": "Share of the CPUs that other programs may take meanwhile.",
    "AUTORESEARCH_BASELINE_ITSELF": "Set if this is the baseline's own exam, which tells what noise is honest.",
}


def reference() -> str:
    """The whole page as Markdown."""
    return "\n".join([HEAD, *_commands(), *_exit_codes(), *_variables()])


def _commands() -> Iterator[str]:
    """One section for each command: its help text, its usage and a table of its arguments and flags."""
    group = cast(TyperGroup, typer.main.get_command(app))
    for name, command in group.commands.items():
        context = typer.Context(command, info_name=f"autoresearch {name}")
        yield f"## {name}\n"
        yield f"{' '.join((command.help or '').split())}\n"
        yield f"```\n{' '.join(command.get_usage(context).removeprefix('Usage: ').split())}\n```\n"
        yield "| argument or flag | meaning |\n|---|---|"
        for parameter in command.params:
            shown, meaning = parameter.get_help_record(context) or ("", "")
            yield f"| `{_plain(shown)}` | {_plain(meaning)} |"
        yield ""


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n"
    yield "| code | meaning |\n|---|---|"
    for code, meaning in EXIT_CODES.items():
        yield f"| {code} | {meaning} |"
    yield "\nThe errors behind the codes 2 and 3 (`controller/errors.py`):\n"
    yield "| error | code | when |\n|---|---|---|"
    for error in _below(AutoresearchError):
        sentence = (getdoc(error) or "").split("\n")[0]
        yield f"| `{error.__name__}` | {error.exit_code} | {_plain(sentence)} |"
    yield ""


def _below(error: type[AutoresearchError]) -> Iterator[type[AutoresearchError]]:
    """Direct and indirect subclasses that `errors` itself defines, in the order of its file."""
    for child in error.__subclasses__():
        if child.__module__ == AutoresearchError.__module__:
            yield child
            yield from _below(child)


def _variables() -> Iterator[str]:
    yield "## Environment variables\n"
    yield "The commands read these, and no setting:\n"
    yield from _table("variable", READ_BY_COMMANDS)
    yield (
        "A phase gets no other variable of ours than these. A task of your own can rely on them "
        "([tasks.md](tasks.md)).\n"
    )
    given = _phases_of_variables()
    yield "| variable | phases | meaning |\n|---|---|---|"
    for name, names in given.items():
        yield f"| `{name}` | {', '.join(f'`{phase}`' for phase in names)} | {GIVEN_TO_PHASES[name]} |"
    yield ""


def _phases_of_variables() -> dict[str, list[str]]:
    """The phases that get each variable, over both kinds of examiner and the tries of an experiment, of the baseline
    and of a claim, and a smoke test."""
    packaged = Settings()
    in_one_file = Settings(task=packaged.task.model_copy(update={"examiner": "examiner.py"}))
    ordinary = TryRequest(
        id=TryId("demo", 1, 1, 1), commit="", files={}, seed=0, probe_set=0, reserve=0, baseline=BaselineNoise()
    )
    ordinary = replace(ordinary, calm=Calm(waited=0.0, taken=0.0), counts=False, late_counts=False)
    claim = replace(ordinary, holdout=True)
    of_baseline = replace(ordinary, id=TryId("demo", BASELINE, 1, 1))
    given: dict[str, list[str]] = {}
    for settings, request in product((packaged, in_one_file), (ordinary, claim, of_baseline)):
        for phase in (*phases(settings, request), *smoke_phases(settings, request)):
            # The executors add these, because their values depend on the machine.
            level = ["AUTORESEARCH_LEVEL_FILES"] if phase.receives_messages else []
            for name in (*phase.environment, *level, *witness_order(settings.executor, request, phase)):
                if phase.name not in given.setdefault(name, []):
                    given[name].append(phase.name)
    return given


def _table(heading: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield f"| {heading} | meaning |\n|---|---|"
    for name, meaning in rows.items():
        yield f"| `{'`, `'.join(name.split(', '))}` | {meaning} |"
    yield ""


def _plain(text: str) -> str:
    """Text for one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference())
