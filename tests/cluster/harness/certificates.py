"""The cluster's certificate authorities, certificates and kubeconfigs, made by openssl (3.0 or newer)."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError
from .layout import Layout

DAYS = "30"


@dataclass(frozen=True, slots=True)
class Certificate:
    """One to be made. authority: the name of its issuer; common_name and organization: who Kubernetes takes it for."""

    name: str
    common_name: str
    organization: str | None = None
    authority: str = "ca"
    alternative_names: tuple[str, ...] = ()


def certificates(layout: Layout) -> list[Certificate]:
    """All that the components show to each other."""
    node = layout.node_name
    servers = ("IP:127.0.0.1", f"IP:{layout.node_address}")
    api_names = ("DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc", "DNS:localhost")
    return [
        Certificate(
            "api-server", "kube-apiserver", None, "ca", (*api_names, f"IP:{layout.api_service_address}", *servers)
        ),
        # Masters, so that no binding to system:kubelet-api-admin has to exist before the first log is read.
        Certificate("api-server-to-kubelet", "kube-apiserver-kubelet-client", "system:masters"),
        Certificate("front-proxy", "front-proxy-client", None, "front-proxy-ca"),
        Certificate("admin", "admin", "system:masters"),
        Certificate("controller-manager", "system:kube-controller-manager"),
        Certificate("scheduler", "system:kube-scheduler"),
        Certificate("proxy", "system:kube-proxy"),
        Certificate("kubelet", f"system:node:{node}", "system:nodes"),
        Certificate("kubelet-server", f"system:node:{node}", "system:nodes", "ca", (f"DNS:{node}", *servers)),
    ]


def make_certificates(layout: Layout) -> None:
    """Write NAME.crt and NAME.key for every certificate, both authorities and the service accounts' key."""
    folder = layout.certificates
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("ca", "front-proxy-ca"):
        _openssl(folder, "req", "-x509", *_new_key(name), "-subj", f"/CN={name}", "-days", DAYS, "-out", f"{name}.crt")
    _openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "service-account.key")
    for certificate in certificates(layout):
        _issue(folder, certificate)


def kubeconfig(folder: Path, certificate: str, *, server: str) -> str:
    """A kubeconfig with everything inside it, as JSON, which is YAML too."""

    def data(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    user = {"client-certificate-data": data(f"{certificate}.crt"), "client-key-data": data(f"{certificate}.key")}
    cluster = {"server": server, "certificate-authority-data": data("ca.crt")}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": certificate, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": certificate}}],
            "current-context": "test",
        },
        indent=1,
    )


def ca_bundle(folder: Path) -> str:
    """The cluster's authority as webhooks name the one that they trust."""
    return base64.b64encode((folder / "ca.crt").read_bytes()).decode()


def _issue(folder: Path, certificate: Certificate) -> None:
    organization = f"/O={certificate.organization}" if certificate.organization else ""
    alternatives = ",".join(certificate.alternative_names)
    extensions = ["basicConstraints=CA:FALSE", "extendedKeyUsage=serverAuth,clientAuth"]
    extensions += [f"subjectAltName={alternatives}"] if alternatives else []
    _openssl(
        folder,
        *("req", "-x509", "-CA", f"{certificate.authority}.crt", "-CAkey", f"{certificate.authority}.key"),
        *_new_key(certificate.name),
        *("-subj", f"{organization}/CN={certificate.common_name}", "-days", DAYS),
        *(part for extension in extensions for part in ("-addext", extension)),
        *("-out", f"{certificate.name}.crt"),
    )


def _new_key(name: str) -> Sequence[str]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", f"{name}.key")


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ClusterError(f"openssl {arguments[0]} in {folder}: {done.stderr.strip()}")
