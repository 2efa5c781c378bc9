"""The Helm chart's values, each described once: `campaign` is the settings' own, the rest is here.

A test holds the defaults in helm/values.yaml equal to these. Nothing is decided here: what a value does is written in
the chart's templates.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from controller.settings import Settings

Raw = dict[str, Any]
"""A piece of a Kubernetes manifest that the chart passes through."""

Labels = dict[str, str]
Quantities = dict[str, str | int]
Cidrs = tuple[Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")], ...]
Ports = tuple[Annotated[int, Field(ge=1, le=65535)], ...]
AccessMode = Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]

EVERYWHERE: Cidrs = ("0.0.0.0/0", "::/0")


class Group(BaseModel):
    """A group of values that refuses keys it does not know; names are camelCase in YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class ImageValues(Group):
    """The controller's image."""

    repository: str = Field("autoresearch-controller", min_length=1)
    tag: str = Field("", description="Empty: the chart's appVersion.")
    digest: str = Field("", pattern=r"^(sha256:[0-9a-f]{64})?$", description="Wins over the tag.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"


class TrainerImageValues(Group):
    """The image of attempts, used where campaign.executor.kubernetes.image is empty."""

    repository: str = Field("autoresearch-trainer", min_length=1)
    tag: str = Field("", description="Empty: the chart's appVersion.")
    digest: str = Field("", pattern=r"^(sha256:[0-9a-f]{64})?$", description="Wins over the tag.")


class AgentValues(Group):
    """The key of the model's API. It is never a value: it would be stored in the release."""

    existing_secret: str = Field("", description="Secret with the key; it makes `claude` the agent.")
    secret_key: str = Field("api-key", min_length=1, description="The key's name in that Secret.")


class ControllerValues(Group):
    """The controller's pod."""

    resources: Raw = {"requests": {"cpu": "100m", "memory": "200Mi"}, "limits": {"memory": "512Mi"}}
    extra_env: tuple[Raw, ...] = Field((), description="More environment, as in a container's `env`.")
    extra_volumes: tuple[Raw, ...] = Field((), description="More volumes, for example a Secret with a git key.")
    extra_volume_mounts: tuple[Raw, ...] = ()
    pod_annotations: Labels = {}
    pod_labels: Labels = {}
    node_selector: Labels = {}
    tolerations: tuple[Raw, ...] = ()
    affinity: Raw = {}
    runtime_class_name: str = ""
    priority_class_name: str = ""
    termination_grace_period_seconds: int = Field(30, ge=0)


class ServiceAccountValues(Group):
    """The identity of the controller towards the API server."""

    create: bool = True
    name: str = Field("", description="Empty: made from the release's name.")
    annotations: Labels = {}


class VolumeValues(Group):
    """A volume that the chart claims, or one that exists."""

    existing_claim: str = Field("", description="Use this PersistentVolumeClaim and make none.")
    size: str = "10Gi"
    storage_class: str = Field("", description='Empty: the cluster\'s default class; "-": no class (a static volume).')
    access_modes: tuple[AccessMode, ...] = Field(("ReadWriteOnce",), min_length=1)
    annotations: Labels = {}


class LabValues(VolumeValues):
    """The lab: every experiment, its code and its results."""

    keep: bool = Field(True, description="Leave the volume where it is when the release is uninstalled.")


class DownloadValues(Group):
    """The way out for the Job that prepares the data; attempts never have one."""

    enabled: bool = Field(False, description="Needed for sources such as hf:, not for the default source.")
    cidrs: Cidrs = EVERYWHERE
    ports: Ports = (443,)


class DataValues(VolumeValues):
    """The prepared data, in the runner's namespace. Several nodes need ReadWriteMany."""

    size: str = "20Gi"
    keep: bool = Field(False, description="Keep volume and namespace at uninstall; else it is prepared again.")
    download: DownloadValues = DownloadValues()


class QuotaValues(Group):
    """A ResourceQuota over everything in the runner's namespace."""

    enabled: bool = True
    hard: Quantities = Field({}, description="Laid over what the chart computes: Jobs, pods and accelerators.")


class LimitRangeValues(Group):
    """What a container gets that asks for nothing, as a quota refuses it otherwise."""

    enabled: bool = True
    default: Quantities = {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "50Gi"}
    default_request: Quantities = {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "256Mi"}
    max: Quantities = {}


class AdmissionValues(Group):
    """A ValidatingAdmissionPolicy over Jobs and pods of the runner's namespace (Kubernetes 1.30 and newer)."""

    enabled: bool = True
    images: tuple[str, ...] = Field((), description="Images besides the trainer image that may run there.")
    require_digest: bool = Field(False, description="Refuse images that are not named by digest.")


class RunnerValues(Group):
    """The namespace of attempts. Its name is campaign.executor.kubernetes.namespace."""

    create_namespace: bool = Field(True, description="false: it exists already, and gets no labels from the chart.")
    namespace_labels: Labels = {}
    namespace_annotations: Labels = {}
    quota: QuotaValues = QuotaValues()
    limit_range: LimitRangeValues = LimitRangeValues()
    admission: AdmissionValues = AdmissionValues()
    cleanup: bool = Field(True, description="Remove Jobs at uninstall where the namespace stays.")


class EndpointValues(Group):
    """Where the controller may connect to."""

    cidrs: Cidrs = EVERYWHERE
    ports: Ports = (443,)


class ApiServerValues(EndpointValues):
    """The Kubernetes API: policies see its endpoints, often on port 6443, not its Service."""

    ports: Ports = (443, 6443)


class GitValues(EndpointValues):
    """The lab's remote, where campaign.lab.remote is set."""

    ports: Ports = (22, 443)


class DnsValues(Group):
    """The cluster's resolver."""

    to: tuple[Raw, ...] = Field(
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},),
        description="Peers; add an ipBlock of 169.254.20.10/32 where NodeLocal DNSCache runs.",
    )
    ports: Ports = (53,)


class NetworkPolicyValues(Group):
    """Attempts reach nothing and are reached by nothing; the controller reaches what it needs."""

    enabled: bool = True
    ingress_from: tuple[Raw, ...] = Field(
        (), description="Who may reach the controller's port; empty: every namespace but the runner's."
    )
    dns: DnsValues = DnsValues()
    api_server: ApiServerValues = ApiServerValues()
    model: EndpointValues = Field(EndpointValues(), description="The model's API, where the agent needs one.")
    git: GitValues = GitValues()
    extra_egress: tuple[Raw, ...] = ()


class ServiceValues(Group):
    """The Service in front of metrics, live page and lab."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    port: int = Field(8080, ge=1, le=65535)
    annotations: Labels = {}


class ServiceMonitorValues(Group):
    """Scraping by the Prometheus operator, where its resources exist."""

    enabled: bool = True
    additional_labels: Labels = Field({}, description="kube-prometheus-stack selects `release: NAME` by default.")
    interval: str = "30s"
    scrape_timeout: str = "10s"
    relabelings: tuple[Raw, ...] = ()
    metric_relabelings: tuple[Raw, ...] = ()


class PrometheusRuleValues(Group):
    """Alerts for the Prometheus operator, where its resources exist."""

    enabled: bool = True
    additional_labels: Labels = {}


class DashboardsValues(Group):
    """Dashboards in ConfigMaps that Grafana's sidecar finds by their label."""

    enabled: bool = True
    label: str = Field("grafana_dashboard", min_length=1)
    label_value: str = "1"
    folder: str = Field("Autoresearch", description="Grafana folder, by annotation grafana_folder; empty: none.")
    namespace: str = Field("", description="Empty: the release's.")
    annotations: Labels = {}


class TestValues(Group):
    """What `helm test` checks."""

    __test__ = False

    outside: tuple[str, ...] = Field(("1.1.1.1:443",), description="Addresses that attempts must not reach.")
    accelerators: bool = Field(True, description="false where GPU nodes are made on demand.")
    processes: int = Field(8192, ge=0, description="A pod must be refused more processes than this; 0: not checked.")
    data: bool = True
    exam: bool = Field(True, description="Hold four small exams in the trainer image.")


class Values(Group):
    """The values of the chart."""

    name_override: str = ""
    fullname_override: str = ""
    image: ImageValues = ImageValues()
    trainer_image: TrainerImageValues = TrainerImageValues()
    image_pull_secrets: tuple[str, ...] = Field((), description="Names; they must exist in both namespaces.")
    agent: AgentValues = AgentValues()
    brief: str = Field("", description="Text of the research brief; --set-file brief=program.md")
    campaign: Settings = Field(Settings(), description="The campaign's settings.")
    controller: ControllerValues = ControllerValues()
    service_account: ServiceAccountValues = ServiceAccountValues()
    lab: LabValues = LabValues()
    data: DataValues = DataValues()
    runner: RunnerValues = RunnerValues()
    network_policy: NetworkPolicyValues = NetworkPolicyValues()
    service: ServiceValues = ServiceValues()
    service_monitor: ServiceMonitorValues = ServiceMonitorValues()
    prometheus_rule: PrometheusRuleValues = PrometheusRuleValues()
    dashboards: DashboardsValues = DashboardsValues()
    tests: TestValues = TestValues()
    lookups: bool = Field(True, description="false for installers who may not read nodes, DaemonSets and classes.")
    global_: Raw = Field({}, alias="global", description="Helm's own, where this chart is part of another.")
