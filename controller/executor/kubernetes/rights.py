"""Tells before anything is launched what a cluster lacks: an answer, a version that is new enough, rights, a lease."""

from __future__ import annotations

from controller.errors import ClusterError, SettingsError
from controller.executor.kubernetes.client import CONFIG_MAPS, EVENTS, JOBS, LEASES, PODS, Client
from controller.executor.kubernetes.connection import connect
from controller.executor.kubernetes.errors import Refused
from controller.executor.kubernetes.lease import TO_A_STUDY, Lease
from controller.settings import KubernetesSettings, Settings

NEEDED = (
    (JOBS, "", ("create", "get", "list", "watch", "patch", "delete")),
    (PODS, "", ("get", "list", "watch")),
    # Logs are a subresource with a right of its own: `get` of pods does not include it.
    (PODS, "log", ("get",)),
    (CONFIG_MAPS, "", ("create", "get", "patch", "delete")),
    (EVENTS, "", ("create", "list", "watch")),
    (LEASES, "", ("create", "get", "update")),
)
"""What the executor asks of the API server. It can do without `patch` of pods: it then deletes the Job instead."""

OLDEST_VERSION = (1, 29)
"""Restartable init containers and podReplacementPolicy are on by default from here."""


def check_cluster(settings: KubernetesSettings, *, client: Client | None = None) -> None:
    """Raise SettingsError with what is missing: nothing is running yet that could wait for it."""
    require_image(settings)
    asked = client or connect(settings)
    try:
        require_version(asked)
        require_rights(asked)
    except ClusterError as error:
        raise SettingsError(f"{error}; check executor.kubernetes: kubeconfig, context and namespace") from error
    finally:
        if client is None:
            asked.close()


def check_free(settings: Settings, *, client: Client | None = None) -> None:
    """Raise SettingsError where another controller works on this campaign, before a study of it is begun.

    It waits until the lease of a dead one has expired.
    """
    cluster = settings.executor.kubernetes
    asked = client or connect(cluster)
    try:
        Lease(asked, settings.tag, holder="", duration=cluster.lease_seconds, advice=TO_A_STUDY).wait_until_free()
    except ClusterError as error:
        raise SettingsError(str(error)) from error
    finally:
        if client is None:
            asked.close()


def require_image(settings: KubernetesSettings) -> None:
    """Raise SettingsError where no image is named."""
    if not settings.image:
        raise SettingsError("executor.kubernetes.image is not set: name the trainer image that attempts run in")


def require_version(client: Client) -> None:
    """Raise ClusterError where the cluster is too old."""
    version = client.version()
    if version < OLDEST_VERSION:
        needed, found = (".".join(map(str, pair)) for pair in (OLDEST_VERSION, version))
        raise ClusterError(f"the cluster runs Kubernetes {found}; {needed} or newer is needed for sidecars")


def require_rights(client: Client) -> None:
    """Raise ClusterError naming every right that these credentials lack in the namespace."""
    try:
        missing = [
            f"{verb} {resource.plural}{f'/{part}' if part else ''}"
            for resource, part, verbs in NEEDED
            for verb in verbs
            if not client.may(verb, resource, part)
        ]
    except Refused:
        # Whoever may not even ask learns it from the first request that is refused.
        return
    if missing:
        raise ClusterError(
            f"these credentials may not {', '.join(missing)} in namespace {client.namespace}: "
            "give them the rights that docs/operations.md lists"
        )
