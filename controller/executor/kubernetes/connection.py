"""Opens the way into a cluster. No other module uses the Kubernetes client library.

The library provides the connection pool, TLS and credentials (kubeconfig, exec plug-ins, a pod's own token). Requests
are sent by `client`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from controller.errors import SettingsError
from controller.executor.kubernetes.client import Client, Observe, unobserved
from controller.settings import KubernetesSettings

NO_KUBECONFIG = (yaml.YAMLError, UnicodeDecodeError, TypeError, AttributeError, KeyError)
"""Errors of a file that is not a kubeconfig: the library assumes YAML whose groups are lists of mappings."""

CONNECTIONS = 64
"""Connections kept open. Each watch and each followed log holds one for as long as it lasts."""


def connect(settings: KubernetesSettings, *, observe: Observe = unobserved) -> Client:
    """A client for the cluster that the settings name. Raises SettingsError where they lead to none."""
    from kubernetes import client as library  # imported here: it takes 0.2 s, and only this executor needs it

    configuration = _configuration(settings, library)
    configuration.connection_pool_maxsize = CONNECTIONS
    configuration.keep_alive = True  # TCP keep-alive finds dead connections; the library's default is off
    api = library.ApiClient(configuration)

    def credentials() -> Mapping[str, str]:
        # Read for every request: a pod's token is valid for an hour, and the library reads the next one from its file.
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
    given = settings.kubeconfig
    named = f"executor.kubernetes.kubeconfig {given}" if given else "executor.kubernetes.kubeconfig is not set"
    if given and not given.is_file():
        raise SettingsError(f"{named} is no file: name the one that kubectl uses here")
    heard = _Heard()
    logging.getLogger().addHandler(heard)
    try:
        if given is None and settings.context is None and _in_cluster():
            config.load_incluster_config(client_configuration=configuration)
        else:
            path = str(given) if given else None
            config.load_kube_config(config_file=path, context=settings.context, client_configuration=configuration)
    except (config.ConfigException, OSError, *NO_KUBECONFIG) as error:
        words = " ".join(str(error).split()).rstrip(".")
        raise SettingsError(
            f"no way into a cluster ({named}): {words}; set executor.kubernetes.kubeconfig, or run inside a pod"
        ) from error
    finally:
        logging.getLogger().removeHandler(heard)
    if heard.error and not configuration.auth_settings():
        raise SettingsError(f"no way into a cluster ({named}): its credential plug-in failed: {heard.error}")
    return configuration


class _Heard(logging.Handler):
    """Remembers the last error: of a plug-in that fails the library only logs it, and goes on without credentials."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.error = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.error = " ".join(record.getMessage().split())[:200]


def _in_cluster() -> bool:
    from kubernetes.config import incluster_config

    needed = (incluster_config.SERVICE_TOKEN_FILENAME, incluster_config.SERVICE_CERT_FILENAME)
    return all(Path(name).is_file() for name in needed)
