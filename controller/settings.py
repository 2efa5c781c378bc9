"""One schema for every setting, and the only place that reads the environment.

The YAML file, `--set` flags and Helm's `campaign:` block are all this schema; `settingsfile` brings them here. Secrets
come from the environment alone and never enter the model. Unknown keys are errors, everywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

Positive = Annotated[float, Field(gt=0)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A frozen group of settings that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class TaskSettings(Section):
    """What is researched: a folder, the files an agent may edit, and how a run is scored."""

    folder: Path | None = Field(None, description="Task folder; empty: the language-model task that ships with us.")
    editable: tuple[str, ...] = Field(("train.py",), min_length=1, description="Files an agent may change.")
    readable: tuple[str, ...] = Field(
        ("prepare.py", "corpus/tokenizer.py", "corpus/batches.py"),
        description="Files an agent may read but not change, those of them that the task has.",
    )
    command: tuple[str, ...] = Field(("python", "train.py"), min_length=1, description="What trains.")
    score: Literal["exam", "log"] = Field("exam", description="exam: sealed; log: read from the training's own log.")
    metric: str = Field("val_bpb", min_length=1, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Name of the score.")
    direction: Literal["minimize", "maximize"] = "minimize"
    examiner: str = Field("exam", description="Python package in the task folder that holds the four exam phases.")
    probe_sets: int = Field(64, ge=1, description="Probe sets that prepare.py made; one is drawn for every try.")
    prepare: tuple[str, ...] = Field((), description="Extra arguments for prepare.py.")
    data_path: str = Field("/data", pattern=r"^/", description="Where data appears inside the sandbox.")


class BudgetSettings(Section):
    """What may be spent. An empty limit does not limit; at least one of the campaign limits must be given."""

    train_seconds: float = Field(20, ge=5, description="Wall seconds of one training.")
    experiments: int | None = Field(8, ge=1, description="Experiments, the baseline not counted.")
    hours: Positive | None = Field(None, description="Hours on the clock since the campaign began.")
    gpu_hours: Positive | None = Field(None, description="Slot hours of all attempts together.")
    dollars: Positive | None = Field(None, description="Dollars for the model and, where a price is set, for GPUs.")
    gpu_dollars_per_hour: Price = Field(0.0, description="Price of an accelerator (of a slot without any) per hour.")
    gpu_dollars_by_pool: Mapping[str, Price] = Field(
        default_factory=dict,
        description="The same by node pool, `{a100: 1.8, h100: 3.9}`; a pool is known by the node's name or the node "
        "selector's values, globs allowed. Booked with each try, so that new prices leave the past alone.",
    )

    @field_validator("gpu_dollars_by_pool")
    @classmethod
    def _pools_have_names(cls, pools: Mapping[str, float]) -> Mapping[str, float]:
        wrong = [pool for pool in pools if not re.fullmatch(r"[A-Za-z0-9.*?_-]+", pool)]
        if wrong:
            raise ValueError(
                f"budget.gpu_dollars_by_pool: {wrong[0]!r} names no node pool: "
                "give letters, digits, '.', '_' and '-', or a glob with '*' and '?'"
            )
        return pools


class DeadlineSettings(Section):
    """When something is killed, in seconds, on top of what the budget grants."""

    train_grace: Positive = Field(30, description="From the end of the training budget to the kill.")
    probe: Positive = Field(120, description="The probe phase.")
    examine: Positive = Field(
        960, description="The exam, the candidate's two starts included; above the examiner's own 900."
    )
    pending: Positive = Field(1800, description="Waiting for a place in the cluster.")
    image_pull: Positive = Field(600, description="Allowance for image pull, part of the pod's deadline.")
    log_scored: Positive | None = Field(None, description="A log-scored run; empty: twice the training budget.")


class JudgeSettings(Section):
    """How verdicts are reached."""

    policy: Literal["ledger", "gauss", "confirm", "greedy"] = "ledger"
    baseline_runs: int = Field(3, ge=1, le=20, description="Trainings of the unchanged code that give sigma.")
    max_runs: int = Field(5, ge=1, le=20, description="Most runs that one experiment may have.")

    @model_validator(mode="after")
    def _sigma_needs_two_runs(self) -> JudgeSettings:
        if self.policy != "greedy" and self.baseline_runs < 2:
            raise ValueError("baseline_runs must be at least 2 unless the policy is greedy, or there is no sigma")
        return self


class LimitSettings(Section):
    """What one phase may use."""

    memory_gb: Positive = 8.0
    artifact_gb: Positive = 2.0
    scratch_gb: Positive = 2.0
    processes: int = Field(512, ge=16)
    log_mb: Positive = 5.0
    cpus: Positive | None = None


class KubernetesSettings(Section):
    """Where and how Jobs run. Passed-through fields are the Pod's own."""

    namespace: str = Field("autoresearch-runs", min_length=1)
    kubeconfig: Path | None = Field(None, description="Empty: in-cluster credentials, else the default kubeconfig.")
    context: str | None = None
    image: str = Field("", description="Trainer image, by digest where the admission policy asks for one.")
    data_claim: str = Field("autoresearch-data", description="PersistentVolumeClaim with the prepared data.")
    data_folder: str = Field("data", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Its folder on that claim.")
    gpu_resource: str = Field("nvidia.com/gpu", description="Resource name of an accelerator.")
    gpus: int = Field(1, ge=0, description="Accelerators of one attempt; 0 trains on CPUs.")
    cpu: str = "4"
    memory: str = "32Gi"
    examine_cpu: str = "2"
    examine_memory: str = "4Gi"
    shared_memory: str = Field("1Gi", description="/dev/shm of a phase; it counts as memory of the phase.")
    service_account: str = "autoresearch-attempt"
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    runtime_class_name: str | None = None
    priority_class_name: str | None = None
    node_selector: Mapping[str, str] = Field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    affinity: Mapping[str, Any] = Field(default_factory=dict)
    resource_claims: tuple[Mapping[str, Any], ...] = ()
    extra_resources: Mapping[str, str] = Field(default_factory=dict, description="For example MIG slices.")
    kueue_queue: str | None = Field(None, description="Kueue's LocalQueue, which admits attempts as quota allows.")
    kueue_priority: str | None = Field(None, description="Kueue's WorkloadPriorityClass: whom it admits and preempts.")
    prepare_disk: str = Field("50Gi", description="Most disk that preparing data may use beside its volume.")
    lease_seconds: float = Field(15, ge=3, description="After so long another controller may follow one that died.")
    follow: int = Field(8, ge=0, description="Training logs followed at once, for people; each holds a connection.")
    keep_succeeded_seconds: int = Field(3600, ge=0)
    keep_failed_seconds: int = Field(86400, ge=0)


class ExecutorSettings(Section):
    """Who runs attempts, and how many at once."""

    kind: Literal["local", "kubernetes"] = "local"
    slots: int = Field(1, ge=1, le=1024)
    sandbox: Literal["bubblewrap", "none"] = "bubblewrap"
    max_tries: int = Field(3, ge=1, le=10)
    limits: LimitSettings = LimitSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()


class ClaudeSettings(Section):
    """The Claude agent: which model, how hard it thinks, and what a proposal may cost."""

    model: str = "claude-opus-5-5"
    plateau_model: str | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] = "medium"
    thinking: Literal["adaptive", "between_tools", "disabled"] = Field(
        "adaptive", description="How the model thinks; the newest ones take adaptive only."
    )
    base_url: str | None = Field(None, description="Address of a gateway; empty: the vendor's own API.")
    max_tokens: int = Field(16_000, ge=1024, le=128_000)
    calls_per_proposal: int = Field(24, ge=2, le=200)
    seconds_per_proposal: Positive = 900
    plateau_after: int = Field(10, ge=2, description="Verdicts without a keep before the strategy changes.")
    cache_ttl: Literal["auto", "5m", "1h"] = Field(
        "auto", description="Lifetime of the cached prefix; auto: by the time between proposals."
    )
    prices: Mapping[str, Mapping[str, float]] = Field(
        default_factory=dict,
        description="Dollars per million tokens by model: input, output, cache_write, cache_write_1h, cache_read.",
    )
    fallback: Literal["none", "perturb"] = "perturb"


class AgentSettings(Section):
    """Who proposes."""

    kind: Literal["perturb", "replay", "claude"] = "perturb"
    seed: int = Field(0, ge=0)
    max_in_flight: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Most proposals thought about at once; as many are as keep the slots busy. "
        "Empty: 16, or one per slot where there are more.",
    )
    patches: Path | None = Field(None, description="Folder of patches for `replay`.")
    claude: ClaudeSettings = ClaudeSettings()

    @model_validator(mode="after")
    def _replay_needs_patches(self) -> AgentSettings:
        if self.kind == "replay" and self.patches is None:
            raise ValueError("agent replay needs agent.patches, a folder of *.patch files")
        return self


class ServerSettings(Section):
    """The controller's own HTTP port: metrics, probes, live page, read-only lab."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)


class LabSettings(Section):
    """Where the lab is mirrored to."""

    remote: str | None = Field(None, description="Git address that every experiment is pushed to.")


class Settings(Section):
    """A campaign, whole."""

    tag: str = "demo"
    brief: Path | None = Field(None, description="The research brief; empty: program.md of the task or ours.")
    task: TaskSettings = TaskSettings()
    budget: BudgetSettings = BudgetSettings()
    deadlines: DeadlineSettings = DeadlineSettings()
    judge: JudgeSettings = JudgeSettings()
    executor: ExecutorSettings = ExecutorSettings()
    agent: AgentSettings = AgentSettings()
    server: ServerSettings = ServerSettings()
    lab: LabSettings = LabSettings()

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
        budget = self.budget
        if all(limit is None for limit in (budget.experiments, budget.hours, budget.gpu_hours, budget.dollars)):
            raise ValueError("budget needs at least one limit: experiments, hours, gpu_hours or dollars")
        return self


class Secrets(BaseModel):
    """What only the environment may hold."""

    model_config = ConfigDict(frozen=True)
    anthropic_api_key: SecretStr | None = None


def read_secrets(environment: Mapping[str, str] | None = None) -> Secrets:
    """Keys from the environment; they are never part of Settings, the lab or a Job."""
    source = os.environ if environment is None else environment
    key = source.get("ANTHROPIC_API_KEY")
    return Secrets(anthropic_api_key=SecretStr(key) if key else None)


def home_of_campaigns(environment: Mapping[str, str] | None = None) -> Path | None:
    """The campaign folder named by AUTORESEARCH_CAMPAIGN, for people who do not want to repeat it."""
    source = os.environ if environment is None else environment
    return Path(source["AUTORESEARCH_CAMPAIGN"]) if source.get("AUTORESEARCH_CAMPAIGN") else None


def search_path() -> str:
    """PATH, for finding programs such as bubblewrap."""
    return os.environ.get("PATH", os.defpath)
