"""The way into a cluster, and the only room that knows the Kubernetes client library.

The library gives the connection pool, TLS and credentials (kubeconfig, exec plug-ins, a pod's own token). Nothing
is asked of the cluster here: that is `client`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.errors import ClusterError
from controller.executor.kubernetes.client import Client, Observe, unobserved
from controller.settings import KubernetesSettings

CONNECTIONS = 64
"""Each watch and each followed log holds one for as long as it lasts."""


def connect(settings: KubernetesSettings, *, observe: Observe = unobserved) -> Client:
    """A client for the cluster that the settings name. Raises ClusterError where no credentials are found."""
    from kubernetes import client as library  # takes 0.2 s, and only this executor needs it

    configuration = _configuration(settings, library)
    configuration.connection_pool_maxsize = CONNECTIONS
    configuration.keep_alive = True
    api = library.ApiClient(configuration)

    def credentials() -> Mapping[str, str]:
        # Asked anew for every request: a pod's token lives for an hour, and the library re-reads it.
        found = configuration.auth_settings().values()
        return {entry["key"]: entry["value"] for entry in found if entry.get("in") == "header" and entry["value"]}

    return Client(
        host=configuration.host,
        namespace=settings.namespace,
        pool=api.rest_client.pool_manager,
        credentials=credentials,
        observe=observe,
    )


def _configuration(settings: KubernetesSettings, library: Any) -> Any:
    from kubernetes import config as untyped

    config: Any = untyped
    configuration = library.Configuration()
    try:
        if settings.kubeconfig is None and settings.context is None and _in_cluster():
            config.load_incluster_config(client_configuration=configuration)
        else:
            path = str(settings.kubeconfig) if settings.kubeconfig else None
            config.load_kube_config(config_file=path, context=settings.context, client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        raise ClusterError(
            f"no way into a cluster: {error}; set executor.kubernetes.kubeconfig, or run inside a pod"
        ) from error
    return configuration


def _in_cluster() -> bool:
    from kubernetes.config import incluster_config

    needed = (incluster_config.SERVICE_TOKEN_FILENAME, incluster_config.SERVICE_CERT_FILENAME)
    return all(Path(name).is_file() for name in needed)
