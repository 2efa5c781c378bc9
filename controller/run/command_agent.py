"""Puts together the agent that is a program: its sandboxes or Jobs, and the vendors that it may ask."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from pydantic import SecretStr

from controller.agent.command import CommandAgent
from controller.agent.command.upstream import ADDRESSES, Account, Upstream
from controller.costs.model_calls import Vendor, require_price
from controller.errors import AgentError, SettingsError
from controller.executor.phases import trusted_files
from controller.executor.workshop import Workshop
from controller.folder import CampaignFolder, hidden_folders, task_folder
from controller.lab.booked_calls import BookedCalls
from controller.settings import CommandSettings, Settings, read_secrets


def make_command_agent(
    folder: CampaignFolder, settings: Settings, booked_calls: BookedCalls, *, warn: Callable[[str], None]
) -> CommandAgent:
    """The agent that runs the program of the settings. Raises AgentError where a key is missing.

    warn: gets sentences for the operator, from any thread.
    """
    command = settings.agent.command
    return CommandAgent(
        command,
        workshop=_open_workshop(folder, settings, place="sessions", warn=warn),
        upstream=Upstream(_read_accounts(command)) if command.gateway else None,
        book=booked_calls.book,
        booked=booked_calls.cost.dollars,
    )


def look_for_program(folder: CampaignFolder, settings: Settings) -> None:
    """Make a sandbox and look in it for the program. Raises SandboxError, TaskError or AgentError.

    It takes another place than the campaign, whose sessions may be under way.
    """
    workshop = _open_workshop(folder, settings, place="doctor-sessions", warn=lambda _: None)
    workshop.check(settings.agent.command.run)


def _open_workshop(folder: CampaignFolder, settings: Settings, *, place: str, warn: Callable[[str], None]) -> Workshop:
    if settings.executor.kind == "kubernetes":
        from controller.executor.kubernetes import ClusterWorkshop

        return ClusterWorkshop(settings, warn=warn)
    from controller.executor.local import LocalWorkshop

    secrets = [folder.path, folder.lab, folder.data, *read_secrets().key_files]
    secrets += [task_folder(settings) / name for name in trusted_files(settings.task)]
    return LocalWorkshop(
        settings.agent.command,
        folder=folder.path.resolve() / place,
        secrets=tuple(path.resolve() for path in secrets),
        held_out=hidden_folders(folder.data),
        warn=warn,
        has_exams=settings.task.score == "exam",
    )


def check_vendors(settings: CommandSettings) -> None:
    """Raise AgentError where a vendor's key is missing, SettingsError where a model's price is."""
    _read_accounts(settings)
    for model in settings.models:
        _require_price_of_any(model, settings)


def _read_accounts(settings: CommandSettings) -> dict[Vendor, Account]:
    """Access to the vendors that the program may ask. Raises AgentError where a key is missing."""
    secrets, accounts = read_secrets(), dict[Vendor, Account]()
    given: dict[Vendor, str | None] = {
        "anthropic": settings.anthropic_url or secrets.anthropic_base_url,
        "openai": settings.openai_url or secrets.openai_base_url,
    }
    keys: dict[Vendor, Callable[[], SecretStr | None]] = {
        "anthropic": lambda: read_secrets().anthropic_api_key,
        "openai": lambda: read_secrets().openai_api_key,
    }
    for vendor in settings.gateway:
        if keys[vendor]() is None:
            name = f"{vendor.upper()}_API_KEY"
            raise AgentError(
                f"agent.command.gateway names {vendor}, which needs a key: set {name}, or {name}_FILE to the path of a "
                "file; without a model leave agent.command.gateway out"
            )
        # OpenAI's programs write their address with the version, Anthropic's without.
        address = (given[vendor] or ADDRESSES[vendor]).rstrip("/").removesuffix("/v1")
        accounts[vendor] = Account(vendor=vendor, address=address, read_key=keys[vendor])
    return accounts


def _require_price_of_any(model: str, settings: CommandSettings) -> None:
    """Raise SettingsError if none of the vendors in use sells a model of this name at a known price."""
    for vendor in settings.gateway:
        with suppress(SettingsError):
            return require_price(model, settings.prices, vendor)
    raise SettingsError(
        f"agent.command.models {model}: its price is not known at {' or '.join(settings.gateway) or 'any vendor'}; "
        f"add agent.command.prices.{model} with dollars per million tokens"
    )
