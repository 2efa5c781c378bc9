"""Every setting of a campaign in one schema, group by group; the larger groups have modules of their own.

The YAML file, `--set` flags and Helm's `campaign:` block are all this schema; `file` brings them here. Unknown keys are
errors, everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from controller.settings.budget import BudgetSettings, DeadlineSettings
from controller.settings.command import CommandSettings
from controller.settings.defaults import LIMITS
from controller.settings.executor import ExecutorSettings
from controller.settings.mcp import McpSettings
from controller.settings.section import Positive, Seconds, Section
from controller.settings.task import TaskSettings


class JudgeSettings(Section):
    """The policy that reaches verdicts."""

    policy: Literal["ledger", "gauss", "confirm", "greedy"] = "ledger"
    """Rule by which an edit is kept, discarded or run again (judging.md)."""

    baseline_runs: int = Field(3, ge=1, le=20)
    """Trainings of the unchanged code that give sigma."""

    max_runs: int = Field(5, ge=1, le=20)
    """Most runs that one experiment may have."""

    line_price: float = Field(0.01, ge=0, le=10)
    """Gain in sigma that each added line must pay, and each removed line pays back (ledger and gauss)."""

    doubt: Literal["one-slot", "always", "never"] = "one-slot"
    """When a kept edit that later runs make doubtful is left out, and undone if it fails (ledger and gauss): in
    campaigns with one slot, as no gain was shown with 16; always; or never."""

    @model_validator(mode="after")
    def _sigma_needs_two_runs(self) -> JudgeSettings:
        if self.policy != "greedy" and self.baseline_runs < 2:
            raise ValueError("baseline_runs must be at least 2 unless the policy is greedy, or there is no sigma")
        return self


class ClaudeSettings(Section):
    """The Claude agent: which model, how hard it thinks, and what a proposal may cost."""

    platform: Literal["anthropic", "bedrock", "vertex", "foundry"] = "anthropic"
    """Who serves the model: the vendor's own API, Amazon Bedrock, Vertex AI or Microsoft Foundry (agents.md)."""

    region: str | None = None
    """Region of Bedrock (`us-east-1`) or Vertex AI (`global`, `us`, `eu`, `us-east5`)."""

    project: str | None = None
    """Google's project, for Vertex AI."""

    resource: str | None = None
    """Name of the resource in Foundry."""

    model: str = "claude-opus-5-5"
    """Name of the model that proposes, as the platform writes it; on Bedrock `global.anthropic.claude-opus-5-5`."""

    plateau_model: str | None = None
    """Model that proposes while nothing is kept (`plateau_after`); empty: the same one."""

    refusal_model: str | None = "claude-opus-5"
    """Model that answers what `model` refuses, for an hour after each refusal; empty: nobody does. On Bedrock
    `global.anthropic.claude-opus-5`."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] = "medium"
    """How hard the model thinks, as the API names it."""

    thinking: Literal["adaptive", "between_tools", "disabled"] = "adaptive"
    """How the model thinks; the newest ones take adaptive only."""

    base_url: str | None = None
    """Address of a gateway; empty: the platform's own API."""

    max_tokens: int = Field(64_000, ge=1024, le=128_000)
    """Tokens that one reply may have, thinking included; a reply that is cut there is asked for again with more."""

    dollars: Positive | None = None
    """Most dollars for the model's calls; when they are used up, the fallback proposes. Empty: `budget.dollars` alone
    limits them."""

    calls_per_proposal: int = Field(24, ge=2, le=200)
    """Calls of the model after which a conversation without a submission is given up."""

    seconds_per_proposal: Seconds = 900
    """Seconds after which a conversation without a submission is given up."""

    submissions: int = Field(3, ge=1, le=16)
    """Most edits that one conversation submits, one after another; as many as are wanted at that moment, and never more
    than there are slots."""

    plateau_after: int = Field(10, ge=2)
    """Verdicts without a keep before the strategy changes; up to three times as many where keeps are rare."""

    cache_ttl: Literal["auto", "5m", "1h"] = "auto"
    """Lifetime of the cached prefix; auto: by the time between proposals."""

    prices: Mapping[str, Mapping[str, float]] = Field(
        default_factory=dict,
    )
    """Dollars per million tokens by model: input, output, cache_write, cache_write_1h, cache_read."""

    fallback: Literal["none", "perturb"] = "perturb"
    """Agent that proposes while Claude cannot."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of all models that may be asked, each once."""
        names = (self.model, self.plateau_model, self.refusal_model)
        return tuple(dict.fromkeys(name for name in names if name))

    @model_validator(mode="before")
    @classmethod
    def _bedrock_names_models_in_its_own_way(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or given.get("platform") != "bedrock":
            return given
        return {f: f"global.anthropic.{cls.model_fields[f].default}" for f in ("model", "refusal_model")} | {**given}

    @model_validator(mode="after")
    def _platform_has_what_it_needs(self) -> ClaudeSettings:
        needed = {"bedrock": ("region",), "vertex": ("region", "project")}.get(self.platform, ())
        if self.platform == "foundry" and not self.base_url:
            needed = ("resource",)
        for name in needed:
            if not getattr(self, name):
                raise ValueError(f"agent.claude.platform {self.platform} needs agent.claude.{name}")
        for name in ("region", "project", "resource"):
            # They become parts of an address.
            given = getattr(self, name)
            if given and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.:-]*", given):
                raise ValueError(f"agent.claude.{name} may hold letters, digits, hyphens and dots (got {given})")
        for model in self.models if self.platform == "bedrock" else ():
            if "anthropic." not in model and not model.startswith("arn:"):
                raise ValueError(
                    f"the model {model} has another name on Bedrock, such as global.anthropic.{model}, or "
                    f"us.anthropic.{model} to stay in the United States: correct agent.claude.model, plateau_model or "
                    "refusal_model"
                )
        return self


class AgentSettings(Section):
    """The agent that proposes."""

    kind: Literal["perturb", "replay", "claude", "command", "mcp"] = "perturb"
    """Who proposes edits."""

    seed: int = Field(0, ge=0)
    """Seed of `perturb`'s choices: another one tries other edits first."""

    max_in_flight: int | None = Field(
        None,
        ge=1,
        le=1024,
    )
    """Most proposals thought about at once; as many are as keep the slots busy. Empty: 16, or one per slot where there
    are more; of `mcp`, one more than there are slots."""

    patches: Path | None = None
    """Folder of patches for `replay`."""

    then: Literal["none", "perturb"] = "none"
    """Who goes on proposing once `replay` has had every patch; `none`: the campaign ends."""

    claude: ClaudeSettings = ClaudeSettings()
    command: CommandSettings = CommandSettings()
    mcp: McpSettings = McpSettings()

    @property
    def asks_models(self) -> bool:
        """True if its proposals cost dollars."""
        return self.kind == "claude" or (self.kind == "command" and bool(self.command.gateway))

    @model_validator(mode="after")
    def _kind_has_what_it_needs(self) -> AgentSettings:
        if self.kind == "replay" and self.patches is None:
            raise ValueError("agent replay needs agent.patches, a folder of *.patch files")
        if self.kind == "command" and not self.command.run:
            raise ValueError("agent command needs agent.command.run, the program and its arguments")
        return self


SMOKE_FROM_SECONDS = 120.0
"""Seconds of a training from which on a smoke test costs little beside it: about ten seconds of a CPU at low priority.
"""


class ServerSettings(Section):
    """The controller's own HTTP port: metrics, probes, live page, read-only lab."""

    enabled: bool = False
    """Serve metrics, live page and lab, and stay after the campaign has ended. The chart sets it."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` is every network interface."""

    port: int = Field(8080, ge=0, le=65535)
    """TCP port; 0 takes a free one."""


class LabSettings(Section):
    """The mirror of the lab."""

    remote: str | None = None
    """Git address that every experiment is pushed to."""


class Settings(Section):
    """A campaign, whole."""

    tag: str = "demo"
    """Name of the campaign, in git refs, Job names and labels: 1 to 30 lower-case letters, digits and inner hyphens."""

    brief: Path | None = None
    """The research brief; empty: program.md of the task or ours."""

    task: TaskSettings = TaskSettings()
    budget: BudgetSettings = BudgetSettings()
    deadlines: DeadlineSettings = DeadlineSettings()
    judge: JudgeSettings = JudgeSettings()
    executor: ExecutorSettings = ExecutorSettings()
    agent: AgentSettings = AgentSettings()
    server: ServerSettings = ServerSettings()
    lab: LabSettings = LabSettings()

    @property
    def smoke_tests(self) -> bool:
        """True if larger edits are run for one step before their first attempt."""
        long_enough = self.budget.train_seconds >= SMOKE_FROM_SECONDS
        return long_enough if self.executor.smoke is None else self.executor.smoke

    @field_validator("tag")
    @classmethod
    def _tag_names_refs_and_jobs(cls, tag: str) -> str:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?", tag):
            raise ValueError(
                "tag must be 1 to 30 lower-case letters, digits and inner hyphens (it names git refs and Jobs)"
            )
        return tag

    @model_validator(mode="after")
    def _something_ends_it(self) -> Settings:
        if self.executor.kind == "kubernetes" and (self.task.mounts or self.task.environment_folder):
            which = "mounts" if self.task.mounts else "environment_folder"
            raise ValueError(
                f"task.{which} names folders of this machine, and a cluster has none of them: "
                "build them into the image (executor.kubernetes.image), whose python is used there"
            )
        if self.agent.kind == "command" and self.executor.kind == "local" and self.executor.sandbox != "bubblewrap":
            raise ValueError(
                "agent command runs its program in a sandbox of this machine, and so not with executor.sandbox: none: "
                "choose another agent, or executor.sandbox: bubblewrap"
            )
        if self.agent.kind == "command" and self.executor.kind == "kubernetes" and self.agent.command.mounts:
            raise ValueError(
                "agent.command.mounts names folders of this machine, and a cluster has none of them: "
                "build them into the image (agent.command.image)"
            )
        if all(getattr(self.budget, limit) is None for limit in LIMITS):
            raise ValueError("budget needs at least one limit: experiments, hours, gpu_hours or dollars")
        return self
