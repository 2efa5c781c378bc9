"""The parts that the settings name, built: one executor, one agent. The only room that knows them all."""

from __future__ import annotations

import time

from controller.booking import Booking
from controller.errors import AgentError
from controller.folder import CampaignFolder, task_folder
from controller.metrics import Metrics
from controller.ports import Agent, Executor
from controller.settings import Settings, read_secrets


def build_executor(folder: CampaignFolder, settings: Settings, metrics: Metrics) -> Executor:
    """The executor that the settings name."""
    if settings.executor.kind == "kubernetes":
        from controller.executor.kubernetes import KubernetesExecutor

        return KubernetesExecutor(settings, observe=metrics.requested)
    from controller.executor.local import LocalExecutor

    return LocalExecutor(
        settings,
        task_folder=task_folder(settings),
        data_folder=folder.data.resolve(),
        work_folder=folder.work.resolve(),
        clock=time.time,
    )


def build_agent(settings: Settings, booking: Booking) -> Agent:
    """The agent that the settings name. Raises AgentError or SettingsError where it cannot work."""
    match settings.agent.kind:
        case "replay":
            from controller.agent.replay import ReplayAgent

            return ReplayAgent(settings.agent)
        case "claude":
            return _claude(settings, booking)
        case _:
            return _perturb(settings)


def warnings_of(agent: Agent, settings: Settings) -> list[str]:
    """What its operator should know of the agent. Raises AgentError where it cannot work and nobody could see it wait.

    Whoever serves goes on: the loop meets the same error, pauses for it, and metrics, page and alerts tell.
    """
    try:
        return agent.check()
    except AgentError as error:
        if not settings.server.enabled:
            raise
        return [str(error)]


def _claude(settings: Settings, booking: Booking) -> Agent:
    from controller.agent.claude import ClaudeAgent
    from controller.agent.fallback import FallbackAgent

    key = read_secrets().anthropic_api_key
    if key is None:
        raise AgentError("agent claude needs a key: set ANTHROPIC_API_KEY, or run with --set agent.kind=perturb")
    claude = ClaudeAgent(
        settings.agent.claude,
        key=key,
        book=booking.book,
        booked=booking.cost.dollars,
        needs_load_model=settings.task.score == "exam",
    )
    return FallbackAgent(claude, _perturb(settings)) if settings.agent.claude.fallback == "perturb" else claude


def _perturb(settings: Settings) -> Agent:
    from controller.agent.perturb import PerturbAgent

    return PerturbAgent(settings.agent, accelerator=_trains_on_accelerator(settings))


def _trains_on_accelerator(settings: Settings) -> bool:
    """Whether trainings will find a GPU: perturb must change the constants that count there."""
    if settings.executor.kind == "kubernetes":
        return settings.executor.kubernetes.gpus > 0
    from controller.executor.local.machine import look_around

    return bool(look_around().accelerators)
