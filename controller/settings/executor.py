"""The settings of what runs attempts: slots and limits, and the place and shape of Jobs on a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from controller.settings.defaults import Device, defaults_of
from controller.settings.section import Positive, Section


class LimitSettings(Section):
    """The most that one phase may use."""

    memory_gb: float = Field(defaults_of(Device.CPU).memory_gb, ge=1 / 32, le=1e12)
    """Main memory, in GiB."""

    artifact_gb: Positive = 2.0
    """What a training may leave behind for the exam, in GiB."""

    artifact_files: int = Field(10_000, ge=1)
    """Files and folders in it: every phase looks at each of them before it loads the model, 1 s for 100,000."""
    task_gb: Positive = 1.0
    """The copy of the task folder that an attempt may write to, with what it writes there, in GiB."""

    scratch_gb: Positive = 2.0
    """What a phase may write to /tmp, in GiB."""

    processes: int = Field(512, ge=16)
    """Processes and threads that a phase may have at once."""

    log_mb: Positive = 5.0
    """Output of a phase that is kept, in MiB: its beginning and its end."""

    cpus: Positive | None = None
    """CPUs that a local phase may use, fractions allowed; empty: all of them for one slot, and for several an equal
    share each, in whole cores where there is one for each."""


class KubernetesSettings(Section):
    """Place and shape of the Jobs. Passed-through fields are the Pod's own."""

    namespace: str = Field("autoresearch-runs", min_length=1)
    """Namespace of the Jobs. It should hold nothing else."""

    kubeconfig: Path | None = None
    """Empty: in-cluster credentials, else the default kubeconfig."""

    context: str | None = None
    """Context of the kubeconfig; empty: its current one."""

    image: str = ""
    """Trainer image, by digest where the admission policy asks for one."""

    data_claim: str = "autoresearch-data"
    """PersistentVolumeClaim with the prepared data."""

    data_folder: str = Field("data", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Its folder on that claim."""

    gpu_resource: str = "nvidia.com/gpu"
    """Resource name of an accelerator."""

    gpus: int = Field(1, ge=0)
    """Accelerators of one attempt; 0 trains on CPUs."""

    cpu: str = "4"
    """CPUs that training and candidate each request and are limited to."""

    memory: str = "32Gi"
    """Memory that training and candidate each request and are limited to."""

    examine_cpu: str = "2"
    """CPUs of the examiner."""

    examine_memory: str = "4Gi"
    """Memory of the examiner."""

    shared_memory: str = "1Gi"
    """/dev/shm of a phase; it counts as memory of the phase."""

    service_account: str = "autoresearch-attempt"
    """ServiceAccount of the pods. No token of it is mounted."""

    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the kubelet asks the registry for the image."""

    image_pull_secrets: tuple[str, ...] = ()
    """Names of the Secrets for a private registry, in the namespace of the Jobs."""

    runtime_class_name: str | None = None
    """RuntimeClass of the pods, for example a sandboxed runtime; empty: the cluster's default."""

    priority_class_name: str | None = None
    """PriorityClass of the pods; empty: the cluster's default."""

    node_selector: Mapping[str, str] = Field(default_factory=dict)
    """Labels that a node must have."""

    tolerations: tuple[Mapping[str, Any], ...] = ()
    """Taints that the pods tolerate, as in a pod's `tolerations`."""

    affinity: Mapping[str, Any] = Field(default_factory=dict)
    """Preferred or required nodes, as in a pod's `affinity`."""

    smoke_node_selector: Mapping[str, str] = Field(default_factory=dict)
    """Labels of the nodes for smoke tests, best of some on which no attempt runs. Empty: the nodes of attempts, but for
    what names an accelerator in `node_selector` and `affinity`."""

    resource_claims: tuple[Mapping[str, Any], ...] = ()
    """Claims of dynamic resource allocation, as in a pod's `resourceClaims`; the phases that train or answer use them.
    """

    extra_resources: Mapping[str, str] = Field(default_factory=dict)
    """For example MIG slices."""

    kueue_queue: str | None = None
    """Kueue's LocalQueue, which admits attempts as quota allows."""

    kueue_priority: str | None = None
    """Kueue's WorkloadPriorityClass: whom it admits and preempts."""

    prepare_disk: str = "50Gi"
    """Most disk that preparing data may use beside its volume."""

    lease_seconds: float = Field(15, ge=3, le=3600)
    """After so long another controller may follow one that died."""

    follow: int = Field(8, ge=0)
    """Training logs followed at once, for people; each holds a connection."""

    keep_succeeded_seconds: int = Field(3600, ge=0)
    """Seconds that a successful Job stays for kubectl after its result was recorded."""

    keep_failed_seconds: int = Field(86400, ge=0)
    """Seconds that a failed Job stays; it is longer because somebody may want to look."""


class ExecutorSettings(Section):
    """The executor of attempts, and their number at once."""

    kind: Literal["local", "kubernetes"] = "local"
    """Where attempts run."""

    slots: int = Field(1, ge=1, le=1024)
    """Attempts at the same time. Each has its own accelerators, if there are any."""

    sandbox: Literal["bubblewrap", "none"] = "bubblewrap"
    """How a local phase is confined; `none` marks every score `unsealed`."""

    max_tries: int = Field(3, ge=1, le=10)
    """Tries of one attempt, which a lost node or an eviction uses up; after the last one the attempt is `lost`."""

    smoke: bool | None = None
    """Run one step of every larger edit on the CPU before its first attempt, for up to a minute: at low
    priority on one machine, in a pod of its own on a cluster. Empty: where a training takes 120 s or longer."""

    limits: LimitSettings = LimitSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
