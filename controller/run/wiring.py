"""Builds the executor and the agent that the settings name. No other module knows all implementations."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Collection
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from controller.agent.succession import SuccessionAgent
from controller.costs.model_calls import require_price
from controller.errors import AgentError
from controller.executor.training_facts import SHOWN_PACKAGES, Machine, tell_training
from controller.folder import CampaignFolder, short_lived_place, task_files, task_folder
from controller.folder.ballast import room_on
from controller.lab.booked_calls import BookedCalls
from controller.ports import Agent, Executor, SmokeTest, SmokeTester
from controller.settings import AgentSettings, ClaudeSettings, Device, ExecutorSettings, Settings, read_secrets
from controller.settings.defaults import cluster_device

if TYPE_CHECKING:
    from controller.agent.perturb import PerturbAgent
    from controller.agent.replay import ReplayAgent


def build_executor(
    folder: CampaignFolder,
    settings: Settings,
    *,
    observe: Callable[[str, str, str, float], None] = lambda *_: None,
    warn: Callable[[str], None] = lambda _: None,
    work: Path | None = None,
    studies: bool = False,
    unfinished: Collection[str] = (),
) -> Executor:
    """The executor that the settings name.

    work: folder in which it runs tries on this machine; None for that of the campaign, which one executor may use.
    studies: it runs studies, and leaves alone what a cluster holds of the campaign's own tries. unfinished: names of
    other studies, whose tries it leaves alone as well.
    observe: gets verb, resource, code and seconds of each cluster request. warn: gets sentences for the operator, from
    any thread.
    """
    if settings.executor.kind == "kubernetes":
        from controller.executor.kubernetes import KubernetesExecutor

        return KubernetesExecutor(settings, observe=observe, warn=warn, studies=studies, unfinished=unfinished)
    from controller.executor.local import LocalExecutor

    return LocalExecutor(
        settings,
        task_folder=task_folder(settings),
        data_folder=folder.data.resolve(),
        work_folder=(work or folder.work).resolve(),
        clock=time.time,
        warn=warn,
    )


def build_smoke_test(executor: Executor, *, wanted: bool) -> SmokeTest | None:
    """The smoke test that runs one step of a larger edit before its first attempt; None where there is none."""
    return executor.smoke if wanted and isinstance(executor, SmokeTester) else None


def build_agent(
    folder: CampaignFolder, settings: Settings, booked_calls: BookedCalls, *, warn: Callable[[str], None]
) -> Agent:
    """The agent that the settings name. Raises AgentError or SettingsError where it cannot work.

    warn: gets sentences for the operator, from any thread.
    """
    match settings.agent.kind:
        case "replay" if settings.agent.then == "perturb":
            return SuccessionAgent(_replay(settings.agent), _perturb(settings))
        case "replay":
            return _replay(settings.agent)
        case "claude":
            return _claude(settings, booked_calls)
        case "command":
            return _command(folder, settings, booked_calls, warn=warn)
        case "mcp":
            return _mcp(folder, settings)
        case _:
            return _perturb(settings)


def check_agent(settings: Settings) -> None:
    """Raise AgentError or SettingsError where it can be told without a call that the agent cannot work.

    Whoever serves goes on for what may be mended meanwhile: the loop meets it again, and tells it on its page.
    """
    agent = settings.agent
    match agent.kind:
        case "claude":
            from controller.agent.claude.platforms import price_seller, require_access

            require_access(agent.claude, key=_key(agent.claude), federation=read_secrets().anthropic_federation)
            for model in agent.claude.models:
                require_price(model, agent.claude.prices, price_seller(agent.claude))
        case "command":
            from controller.run.command_agent import check_vendors

            check_vendors(agent.command)
        case "mcp":
            from controller.run.mcp_agent import require_package

            require_package()
        case "replay" if not settings.server.enabled:
            _replay(settings.agent).check()
        case "perturb" if not settings.server.enabled:
            _perturb(settings).require_constants({name: task_files(settings)[name] for name in settings.task.editable})
        case _:
            pass


def check_executor(settings: ExecutorSettings, *, serves: bool) -> None:
    """Raise SettingsError where the cluster cannot be used with these settings; a sandbox is tried out at the start.

    serves: true if this process has an HTTP port. It then runs in the cluster already: it waits for the API server, and
    its page says what is missing.
    """
    if settings.kind == "kubernetes" and not serves:
        from controller.executor.kubernetes.rights import check_cluster

        check_cluster(settings.kubernetes)


def warnings_of(agent: Agent, *, serves: bool) -> list[str]:
    """Warnings about the agent. Raises AgentError if it cannot work and nobody could see it wait.

    serves: true if this process has an HTTP port. It then goes on: the loop meets the same error, pauses for it, and
    metrics, page and alerts tell.
    """
    try:
        return agent.check()
    except AgentError as error:
        if not serves:
            raise
        return [str(error)]


def _claude(settings: Settings, booked_calls: BookedCalls) -> Agent:
    from controller.agent.claude import ClaudeAgent
    from controller.agent.fallback import FallbackAgent

    secrets, asked = read_secrets(), settings.agent.claude
    if asked.platform == "anthropic":
        asked = asked.model_copy(update={"base_url": asked.base_url or secrets.anthropic_base_url})
    claude = ClaudeAgent(
        asked,
        key=_key(asked),
        read_key=lambda: _key(asked),
        federation=secrets.anthropic_federation,
        book=booked_calls.book,
        booked=booked_calls.cost.dollars,
        needs_load_model=settings.task.needs_load_model,
    )
    return FallbackAgent(claude, _perturb(settings)) if settings.agent.claude.fallback == "perturb" else claude


def _key(settings: ClaudeSettings) -> SecretStr | None:
    """The key for the platform that serves the model; None if there is none, as where an identity stands in for it."""
    secrets = read_secrets()
    match settings.platform:
        case "anthropic":
            return secrets.anthropic_api_key
        case "bedrock":
            return secrets.bedrock_api_key
        case "foundry":
            return secrets.foundry_api_key
        case "vertex":
            return None


def _command(
    folder: CampaignFolder, settings: Settings, booked_calls: BookedCalls, *, warn: Callable[[str], None]
) -> Agent:
    from controller.agent.fallback import FallbackAgent
    from controller.run.command_agent import make_command_agent

    agent = make_command_agent(folder, settings, booked_calls, warn=warn)
    return FallbackAgent(agent, _perturb(settings)) if settings.agent.command.fallback == "perturb" else agent


def _mcp(folder: CampaignFolder, settings: Settings) -> Agent:
    from controller.agent.fallback import FallbackAgent
    from controller.run.mcp_agent import make_mcp_agent

    agent = make_mcp_agent(folder, settings)
    return FallbackAgent(agent, _perturb(settings)) if settings.agent.mcp.fallback == "perturb" else agent


def _replay(settings: AgentSettings) -> ReplayAgent:
    from controller.agent.replay import ReplayAgent

    return ReplayAgent(settings)


def _perturb(settings: Settings) -> PerturbAgent:
    from controller.agent.perturb import PerturbAgent

    # It must change the constants that count where the training runs.
    return PerturbAgent(settings.agent, accelerator=training_device(settings.executor) is Device.GPU)


def device_here() -> Device:
    """The device that trainings on this machine use."""
    from controller.executor.local.gpus import find_gpus, see_gpus

    return Device.GPU if find_gpus(see_gpus()).accelerators else Device.CPU


def training_device(settings: ExecutorSettings) -> Device:
    """The device that the campaign's trainings use."""
    if settings.kind == "local":
        return device_here()
    cluster = settings.kubernetes
    return cluster_device(
        gpus=cluster.gpus, extra_resources=cluster.extra_resources, claims=len(cluster.resource_claims)
    )


def training_facts(settings: Settings) -> tuple[str, ...]:
    """Facts about each training of the campaign, in sentences for whoever proposes."""
    if settings.executor.kind == "kubernetes":
        return tell_training(settings, Machine())
    from controller.executor.local.gpu_memory import find_gpu_memory
    from controller.executor.local.gpus import find_gpus, see_gpus
    from controller.executor.local.surroundings import threads_of

    gpus = find_gpus(see_gpus()).accelerators
    machine = Machine(
        devices=[gpu.name for gpu in gpus],
        device_memory=find_gpu_memory(gpus[0]) if gpus else "",
        cpus=threads_of(settings.executor.limits.cpus),
        # A sandbox runs the interpreter of this process, and so has its packages.
        python=platform.python_version(),
        packages={name: version for name in SHOWN_PACKAGES if (version := _find_version(name))},
    )
    return tell_training(settings, machine)


def find_importable(settings: Settings) -> frozenset[str] | None:
    """Top-level names of the modules that a training can import; None if nobody here knows.

    That is so on a cluster, and where the task has an environment of its own. A local sandbox runs the interpreter of
    this process, and what lies in the task folder stands beside the program.
    """
    if settings.executor.kind == "kubernetes" or settings.task.environment_folder is not None:
        return None
    own = {entry.name.removesuffix(".py") for entry in task_folder(settings).iterdir()}
    return frozenset(own | set(sys.stdlib_module_names) | set(metadata.packages_distributions()))


def _find_version(package: str) -> str:
    """The installed version of a package; empty if there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def warnings_of_place(folder: CampaignFolder, settings: ExecutorSettings, *, score: str = "exam") -> list[str]:
    """Warnings about the machine or the cluster and the folder, before anything is spent. score: see TaskSettings."""
    from controller.executor.local import diagnoses
    from controller.executor.local.gpus import find_gpus, see_gpus
    from controller.executor.local.shares import cpus_of_slot
    from controller.executor.local.surroundings import threads_of, usable_cores

    place = short_lived_place(folder.lab.resolve())
    told = [diagnoses.short_lived(place, str(folder.path))] if place else []
    if settings.kind == "kubernetes" and score == "log":
        told.append(
            "nobody measures what other programs do to a training in a pod with task.score log: a run that they slow "
            "down counts like any other (docs/operations.md, What the node did)"
        )
    if settings.kind == "local":
        told += diagnoses.tight_disk(
            folder=str(folder.path),
            room=room_on(folder.path) / 2**30,
            slots=settings.slots,
            artifact=settings.limits.artifact_gb,
        )
        gpus, slots, cores = find_gpus(see_gpus()), settings.slots, usable_cores()
        told += gpus.doubts
        told += diagnoses.crowded(
            slots=slots,
            cores=cores,
            threads=threads_of(cpus_of_slot(settings.limits.cpus, slots=slots, cores=cores)),
            gpus=len(gpus.accelerators),
        )
    return told
