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

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class ImageValues(Group):
    """The controller's image."""

    repository: str = Field("autoresearch-controller", min_length=1)
    """Registry and name of the image, without tag."""

    tag: str = ""
    """Empty: the chart's appVersion."""

    digest: str = Field("", pattern=r"^(sha256:[0-9a-f]{64})?$")
    """Wins over the tag."""

    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the kubelet asks the registry for the image."""


class TrainerImageValues(Group):
    """The image of attempts, used where campaign.executor.kubernetes.image is empty."""

    repository: str = Field("autoresearch-trainer", min_length=1)
    """Registry and name of the image, without tag."""

    tag: str = ""
    """Empty: the chart's appVersion."""

    digest: str = Field("", pattern=r"^(sha256:[0-9a-f]{64})?$")
    """Wins over the tag."""


class AgentValues(Group):
    """The key of the model's API. It is never a value: it would be stored in the release."""

    existing_secret: str = ""
    """Secret with the key; it makes `claude` the agent."""

    secret_key: str = Field("api-key", min_length=1)
    """The key's name in that Secret."""


class McpValues(Group):
    """Clients from outside, where campaign.agent.kind is mcp. The token is never a value."""

    existing_secret: str = ""
    """Secret with the token that clients must show; empty: the chart makes one, once."""

    secret_key: str = Field("token", min_length=1)
    """The token's name in that Secret."""

    ingress_from: tuple[Raw, ...] = ()
    """Who may reach the port of clients, as peers of a NetworkPolicy; empty: nobody but `kubectl port-forward`."""


class ControllerValues(Group):
    """The controller's pod."""

    resources: Raw = {"requests": {"cpu": "100m", "memory": "200Mi"}, "limits": {"memory": "512Mi"}}
    """Requests and limits, as in a container's `resources`. Seen: 70 MB and 0.03 CPUs with 16 attempts."""

    extra_env: tuple[Raw, ...] = ()
    """More environment, as in a container's `env`."""

    extra_volumes: tuple[Raw, ...] = ()
    """More volumes, for example a Secret with a git key."""

    extra_volume_mounts: tuple[Raw, ...] = ()
    """Where the extra volumes are mounted, as in a container's `volumeMounts`."""

    pod_annotations: Labels = {}
    """More annotations of the pod."""

    pod_labels: Labels = {}
    """More labels of the pod."""

    node_selector: Labels = {}
    """Labels that the controller's node must have."""

    tolerations: tuple[Raw, ...] = ()
    """Taints that the controller's pod tolerates."""

    affinity: Raw = {}
    """Preferred or required nodes, as in a pod's `affinity`."""

    runtime_class_name: str = ""
    """RuntimeClass of the pod; empty: the cluster's default."""

    priority_class_name: str = ""
    """PriorityClass of the pod; empty: the cluster's default."""

    termination_grace_period_seconds: int = Field(30, ge=0)
    """Seconds from TERM to KILL. The controller needs a few to write down what it knows."""


class ServiceAccountValues(Group):
    """The identity of the controller towards the API server."""

    create: bool = True
    """false: the account named below exists already."""

    name: str = ""
    """Empty: made from the release's name."""

    annotations: Labels = {}
    """Annotations of the account, for example a cloud identity."""


class VolumeValues(Group):
    """A volume that the chart claims, or one that exists."""

    existing_claim: str = ""
    """An existing PersistentVolumeClaim to use; empty: the chart makes one."""

    size: str = "10Gi"
    """Size of the claim."""

    storage_class: str = ""
    """Empty: the cluster's default class; "-": no class (a static volume)."""

    access_modes: tuple[AccessMode, ...] = Field(("ReadWriteOnce",), min_length=1)
    """Access modes of the claim, as the storage class offers them."""

    annotations: Labels = {}
    """Annotations of the claim."""


class LabValues(VolumeValues):
    """The lab: every experiment, its code and its results."""

    keep: bool = True
    """Leave the volume where it is when the release is uninstalled."""


class DownloadValues(Group):
    """Network access of the Job that prepares the data; attempts never have any."""

    enabled: bool = False
    """Needed for sources such as hf:, not for the default source."""

    cidrs: Cidrs = EVERYWHERE
    """Address ranges that the Job may connect to."""

    ports: Ports = (443,)
    """TCP ports that the Job may connect to."""


class DataValues(VolumeValues):
    """The prepared data, in the runner's namespace. Several nodes need ReadWriteMany."""

    size: str = "20Gi"
    """Size of the claim."""

    keep: bool = False
    """Keep volume and namespace at uninstall; else it is prepared again."""

    download: DownloadValues = DownloadValues()


class QuotaValues(Group):
    """A ResourceQuota over everything in the runner's namespace."""

    enabled: bool = True
    """Bound what the namespace of attempts may use in all."""

    hard: Quantities = {}
    """Laid over what the chart computes: Jobs, pods and accelerators."""


class LimitRangeValues(Group):
    """Requests of a container that asks for nothing, because a quota refuses it otherwise."""

    enabled: bool = True
    """Give such a container the amounts below."""

    default: Quantities = {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "50Gi"}
    """Limits of a container that names none."""

    default_request: Quantities = {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "256Mi"}
    """Requests of a container that names none."""

    max: Quantities = {}
    """Most that one container may ask for; empty: no bound."""


class AdmissionValues(Group):
    """A ValidatingAdmissionPolicy over Jobs and pods of the runner's namespace (Kubernetes 1.30 and newer)."""

    enabled: bool = True
    """Install the policy, where the cluster has the API."""

    images: tuple[str, ...] = ()
    """Images besides the trainer image that may run there."""

    require_digest: bool = False
    """Refuse images that are not named by digest."""


class RunnerValues(Group):
    """The namespace of attempts. Its name is campaign.executor.kubernetes.namespace."""

    create_namespace: bool = True
    """false: it exists already, and gets no labels from the chart."""

    namespace_labels: Labels = {}
    """More labels of the namespace."""

    namespace_annotations: Labels = {}
    """Annotations of the namespace."""

    quota: QuotaValues = QuotaValues()
    limit_range: LimitRangeValues = LimitRangeValues()
    admission: AdmissionValues = AdmissionValues()
    cleanup: bool = True
    """Remove Jobs at uninstall where the namespace stays."""


class EndpointValues(Group):
    """Addresses to which the controller may connect."""

    cidrs: Cidrs = EVERYWHERE
    """Address ranges that may be connected to."""

    ports: Ports = (443,)
    """TCP ports that may be connected to."""


class ApiServerValues(EndpointValues):
    """The Kubernetes API: policies see its endpoints, often on port 6443, not its Service."""

    ports: Ports = (443, 6443)
    """TCP ports that may be connected to."""


class GitValues(EndpointValues):
    """The lab's remote, where campaign.lab.remote is set."""

    ports: Ports = (22, 443)
    """TCP ports that may be connected to."""


class DnsValues(Group):
    """The cluster's resolver."""

    to: tuple[Raw, ...] = ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},)
    """Peers; add an ipBlock of 169.254.20.10/32 where NodeLocal DNSCache runs."""

    ports: Ports = (53,)
    """Ports that may be asked, by UDP and TCP."""


class NetworkPolicyValues(Group):
    """Attempts reach nothing and are reached by nothing; the controller reaches what it needs."""

    enabled: bool = True
    """Install the policies. Without them an attempt can reach the network."""

    ingress_from: tuple[Raw, ...] = ()
    """Who may reach the controller's port; empty: every namespace but the runner's."""

    dns: DnsValues = DnsValues()
    api_server: ApiServerValues = ApiServerValues()
    model: EndpointValues = EndpointValues()
    """The model's API, where the agent needs one."""

    git: GitValues = GitValues()
    extra_egress: tuple[Raw, ...] = ()
    """More rules for what the controller may connect to, as in a policy's `egress`."""


class ServiceValues(Group):
    """The Service in front of metrics, live page and lab."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the Service."""

    port: int = Field(8080, ge=1, le=65535)
    """TCP port of the Service."""

    annotations: Labels = {}
    """Annotations of the Service."""


class ServiceMonitorValues(Group):
    """Scraping by the Prometheus operator, where its resources exist."""

    enabled: bool = True
    """Install the ServiceMonitor."""

    additional_labels: Labels = {}
    """kube-prometheus-stack selects `release: NAME` by default."""

    interval: str = "30s"
    """Time between two scrapes."""

    scrape_timeout: str = "10s"
    """Time after which a scrape is given up."""

    relabelings: tuple[Raw, ...] = ()
    """Passed through to the ServiceMonitor."""

    metric_relabelings: tuple[Raw, ...] = ()
    """Passed through to the ServiceMonitor."""


class PrometheusRuleValues(Group):
    """Alerts for the Prometheus operator, where its resources exist."""

    enabled: bool = True
    """Install the alerts."""

    additional_labels: Labels = {}
    """More labels, by which a Prometheus selects its rules."""


class DashboardsValues(Group):
    """Dashboards in ConfigMaps that Grafana's sidecar finds by their label."""

    enabled: bool = True
    """Install the dashboards."""

    label: str = Field("grafana_dashboard", min_length=1)
    """Label by which the sidecar finds them."""

    label_value: str = "1"
    """Value of that label."""

    folder: str = "Autoresearch"
    """Grafana folder, by annotation grafana_folder; empty: none."""

    namespace: str = ""
    """Empty: the release's."""

    annotations: Labels = {}
    """More annotations of the ConfigMaps."""


class TestValues(Group):
    """Checks of `helm test`."""

    __test__ = False

    outside: tuple[str, ...] = ("1.1.1.1:443",)
    """Addresses that attempts must not reach."""

    accelerators: bool = True
    """false where GPU nodes are made on demand."""

    processes: int = Field(8192, ge=0)
    """A pod must be refused more processes than this; 0: not checked."""

    data: bool = True
    """Check that the data are there and intact."""

    exam: bool = True
    """Hold five small exams in the trainer image."""


class Values(Group):
    """The values of the chart."""

    name_override: str = ""
    """Replaces the chart's name in the names of objects; empty: `autoresearch`."""

    fullname_override: str = ""
    """Replaces release and chart name in the names of objects; empty: made from both."""

    image: ImageValues = ImageValues()
    trainer_image: TrainerImageValues = TrainerImageValues()
    image_pull_secrets: tuple[str, ...] = ()
    """Names; they must exist in both namespaces."""

    agent: AgentValues = AgentValues()
    mcp: McpValues = McpValues()
    brief: str = ""
    """Text of the research brief; --set-file brief=program.md"""

    campaign: Settings = Settings()
    """The campaign's settings."""

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
    lookups: bool = True
    """false for installers who may not read nodes, DaemonSets and classes."""

    global_: Raw = Field({}, alias="global")
    """Helm's own, where this chart is part of another."""
